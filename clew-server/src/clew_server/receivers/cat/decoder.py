"""A message of CAT's TCP protocol, in either codec, into OTLP. No I/O."""

from __future__ import annotations

from clew_server.errors import BadInput
from clew_server.receivers.cat import native, plain
from clew_server.receivers.cat.frames import NATIVE, PLAIN
from clew_server.receivers.cat.spans import batch_of
from clew_server.receivers.contract import Head, OtlpBatch


def decode(body: bytes, head: Head) -> OtlpBatch:
    """One message tree, as a frame holds it. Raises BadInput, TooLarge."""
    magic = body[:3]
    if magic == NATIVE:
        tree = native.read(body, len(magic))
    elif magic == PLAIN:
        tree = plain.read(body, len(magic))
    else:
        raise BadInput("the bytes are not a message of CAT: they begin neither with NT1 nor with PT1", code="malformed")
    if tree.is_cut and not tree.transactions:
        raise BadInput("the bytes are not a message of CAT: there is no record in them", code="malformed")
    return batch_of(tree, body)
