"""The receiver that follows SOFATracer's digest logs. No I/O."""

from __future__ import annotations

import re
from typing import Final

from clew_server.receivers.contract import ReceiverSpec
from clew_server.receivers.sofatracer.decoder import decode
from clew_server.receivers.sofatracer.records import has_crlf, whole_bytes

# Also those of the days before, `okhttp-digest.log.2026-11-27`; what is packed is for `clew import`.
_NAME: Final = re.compile(r"[\w.\-]{1,200}-digest\.log(?:\.[\w\-]{1,40}(?<!gz)(?<!zip)(?<!zst)(?<!bz2)(?<!xz))?")


class DigestLogs:
    """`Following` of digest logs."""

    def follows(self, name: str) -> bool:
        return _NAME.fullmatch(name) is not None

    def whole_bytes(self, data: bytes, head: bytes) -> int:
        return whole_bytes(data, crlf=has_crlf(head))


SOFATRACER: Final = ReceiverSpec(
    name="sofatracer",
    transport="file",
    default_port=0,
    decode=decode,
    following=DigestLogs(),
)
