"""Records of a digest log into OTLP. No I/O."""

from __future__ import annotations

from collections import Counter
from typing import Final

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import MAX_REQUEST_BYTES, Head, OtlpBatch
from clew_server.receivers.foreign.writing import Groups, batch
from clew_server.receivers.sofatracer.fields import Field, fields_of
from clew_server.receivers.sofatracer.records import MAX_RECORD_BYTES, records, text_of
from clew_server.receivers.sofatracer.spans import Malformed, resource_of, written
from clew_server.receivers.sofatracer.times import offset_ms

SCOPE: Final = "sofatracer"


def decode(body: bytes, head: Head) -> OtlpBatch:
    """Whole records; `head.path` is the name of their file, empty where it is not known.

    Each record that is no span is counted. Raises BadInput where none is one, TooLarge.
    """
    file = head.path.rpartition("/")[2]
    groups, rejected = Groups(), Counter[str]()
    lines: list[dict[str, Field]] = []
    for record in records(body):
        if len(record) > MAX_RECORD_BYTES:
            rejected["malformed"] += 1
        else:
            lines.append(fields_of(text_of(record), file))
    offset = offset_ms(lines)
    size = 0
    for fields in lines:
        try:
            one = written(fields, file, offset)
        except Malformed as error:
            rejected[error.reason] += 1
            continue
        groups.add(resource_of(fields), SCOPE, "", one)
        size += len(one)
        if size > MAX_REQUEST_BYTES:
            raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes, written as OTLP")
    if rejected and not size and rejected["malformed"] == rejected.total():
        raise BadInput("no line of a digest log of SOFATracer among these", code="malformed")
    return batch(groups, received=body, rejected=rejected)
