"""Digest logs of SOFATracer: lines of text, in JSON or with commas; `receivers.sofatracer` reads them. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from clew_server.errors import BadInput
from clew_server.model.otlp_raw import count_spans
from clew_server.receivers.contract import Head
from clew_server.receivers.files.blocks import Blocks
from clew_server.receivers.files.contract import Notes, Part
from clew_server.receivers.pieces import pieces
from clew_server.receivers.sofatracer.decoder import decode
from clew_server.receivers.sofatracer.records import MAX_RECORD_BYTES, has_crlf, whole_bytes

_STEP_BYTES: Final = 256 << 10
_JSON: Final = re.compile(rb'\{\s{0,8}"(?:time|timestamp)"\s{0,8}:\s{0,8}"\d{4}-\d\d-\d\d[ T]')
_COMPACT: Final = re.compile(rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]\d{3},")


def is_digest(head: bytes) -> bool:
    """Whether a file that begins so, white space aside, is a digest log."""
    return _JSON.match(head) is not None or _COMPACT.match(head) is not None


def lines(source: Blocks, notes: Notes, name: str) -> Iterator[Part]:
    """The spans of a digest log; `name` is that of its file, empty where it is not known. Raises BadInput where none is one."""
    crlf = has_crlf(source.peek(MAX_RECORD_BYTES))
    head = Head(path=name)
    waiting = b""
    problem: BadInput | None = None
    has_read = False
    while True:
        came = source.take(_STEP_BYTES)
        waiting += came
        end = whole_bytes(waiting, crlf=crlf) if came else len(waiting)
        if not end and len(waiting) > MAX_RECORD_BYTES + _STEP_BYTES:
            end = len(waiting)  # a record that is too long: it is left out, and what follows it begins a new one
        if end:
            try:
                batch = decode(waiting[:end], head)
            except BadInput as error:
                notes.left_out["malformed"] += 1
                problem = problem or error
            else:
                has_read = has_read or batch.spans > 0
                notes.left_out.update(batch.rejected)
                for piece in pieces(batch.request):
                    yield Part(piece, count_spans(piece))
            waiting = waiting[end:]
        if not came:
            break
    if problem is not None and not has_read:
        raise problem
