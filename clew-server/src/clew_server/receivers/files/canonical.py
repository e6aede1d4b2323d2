"""A whole file as canonical requests, for what is shown and not kept. No I/O."""

from __future__ import annotations

from typing import Final

from clew_server.errors import BadInput
from clew_server.receivers.contract import PROTOBUF
from clew_server.receivers.files.contract import Notes
from clew_server.receivers.files.read import read
from clew_server.receivers.otlp import decode_otlp

_MOST_BYTES: Final = 256 << 20


def requests_of_file(body: bytes) -> tuple[list[bytes], str]:
    """The requests of a file, at most 256 MiB of it after unpacking, and a sentence about what could not be read, or none.

    Raises as `read`; where its end is missing, what came before is good.
    """
    notes = Notes()
    requests: list[bytes] = []
    try:
        for part in read([body], notes, most_bytes=_MOST_BYTES):
            batch = decode_otlp(part.request, PROTOBUF)
            notes.left_out.update(batch.rejected)
            requests.append(batch.request)
    except BadInput as error:
        if not requests or error.code != "malformed":
            raise
        notes.problem(str(error))
    return requests, notes.sentence()
