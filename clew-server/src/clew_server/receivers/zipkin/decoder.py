"""Any of Zipkin's four encodings, by the path and the Content-Type. No I/O."""

from __future__ import annotations

from typing import Final

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import MAX_REQUEST_BYTES, Head, OtlpBatch
from clew_server.receivers.memory import memory_errors
from clew_server.receivers.zipkin.v1_json import decode_v1_json
from clew_server.receivers.zipkin.v1_thrift import decode_v1_thrift
from clew_server.receivers.zipkin.v2_json import decode_v2_json
from clew_server.receivers.zipkin.v2_proto import decode_v2_proto

V1_PATH: Final = "/api/v1/spans"
V2_PATH: Final = "/api/v2/spans"
REPORT: Final = "/zipkin.proto3.SpanService/Report"

_LIST_OF_STRUCTS: Final = b"\x0c"  # how v1 in Thrift begins
_FIRST_SPAN: Final = b"\x0a"  # how v2 in protobuf begins; in JSON a line's end
_BLANK: Final = b" \t\r\n\xef\xbb\xbf"


def decode(body: bytes, head: Head) -> OtlpBatch:
    """Decode a decompressed body of Zipkin's collector paths; see `contract.Decoder`.

    The Content-Type counts where it names protobuf, Thrift or JSON; else the first byte does, for clients that send none.
    """
    if len(body) > MAX_REQUEST_BYTES:
        raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes")
    form = _form(body, head)
    is_v1 = head.path == V1_PATH
    with memory_errors():
        if form == "json":
            return decode_v1_json(body) if is_v1 else decode_v2_json(body)
        if form == "thrift" and is_v1:
            return decode_v1_thrift(body)
        if form == "protobuf" and not is_v1:
            return decode_v2_proto(body)
    takes = "a list of v1 spans in JSON or Thrift" if is_v1 else "a list of v2 spans in JSON or protobuf"
    raise BadInput(f"{head.path or V2_PATH} takes {takes}, not {form}", code="malformed")


def _form(body: bytes, head: Head) -> str:
    media = head.content_type.partition(";")[0].strip().lower()
    for form in ("protobuf", "thrift", "json"):
        if form in media:
            return form
    if head.path == REPORT or (body.startswith(_FIRST_SPAN) and not body.lstrip(_BLANK).startswith(b"[")):
        return "protobuf"
    return "thrift" if body.startswith(_LIST_OF_STRUCTS) else "json"
