"""CAT's listener passes the kit of receivers, in both codecs."""

from __future__ import annotations

from collections.abc import Sequence

from clew import ids
from clew_server.receivers.cat import frames, specs
from clew_server.testing import ReceiverKit, SentSpan, cat
from clew_server.testing.cat import Header


class TestNative(ReceiverKit):
    spec = specs.CAT
    services = 1
    spans_a_request = 1
    magic = frames.NATIVE

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        """Behind the letters of the codec: with others a frame is counted as unknown, and not refused."""
        one = spans[-1]
        header = Header(
            domain=one.service,
            message_id=ids.span_id_to_cat(one.span_id),
            root_message_id=ids.trace_id_to_cat(one.trace_id),
        )
        return self.message(header, one)[3:]

    def message(self, header: Header, one: SentSpan) -> bytes:
        return cat.native(cat.transaction("", one.name, time_ms=one.start_unix_nano // 1_000_000), header)

    def framed(self, body: bytes) -> bytes:
        return frames.frame(self.magic + body)

    def takes_or_refuses(self, body: bytes) -> bool:
        return super().takes_or_refuses(self.magic + body)


class TestPlain(TestNative):
    magic = frames.PLAIN

    def message(self, header: Header, one: SentSpan) -> bytes:
        return cat.plain(cat.transaction("", one.name, time_ms=one.start_unix_nano // 1_000_000), header)
