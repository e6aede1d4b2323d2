"""SkyWalking's two listeners, and all that its agents ask a collector for. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from clew_server.receivers.contract import (
    JSON,
    Answer,
    Head,
    Limits,
    Other,
    OtlpBatch,
    PlainAnswers,
    ReceiverSpec,
    Stream,
)
from clew_server.receivers.skywalking.properties import properties_of_message
from clew_server.receivers.skywalking.segments import decode_collection, decode_segment
from clew_server.receivers.skywalking.segments_json import PATHS, properties_of_json

_SEGMENTS: Final = "TraceSegmentReportService"
COLLECT: Final = f"/skywalking.v3.{_SEGMENTS}/collect"
COLLECT_IN_SYNC: Final = f"/skywalking.v3.{_SEGMENTS}/collectInSync"
PROPERTIES: Final = "/skywalking.v3.ManagementService/reportInstanceProperties"
PROPERTIES_PATH: Final = "/v3/management/reportProperties"

_NO_COMMANDS: Final = b""
"""An empty `Commands`, and the empty answer of the methods that have none."""
_GOES_ON: Final = b""
"""`PROFILING_SUCCESS` of the methods that ask whether profiles may be sent."""

# Service and methods, with the kind as which their messages are counted; none where nothing is lost with them.
_OTHERS: Final[Mapping[str, Mapping[str, str]]] = {
    "ManagementService": {"keepAlive": ""},
    "ConfigurationDiscoveryService": {"fetchConfigurations": ""},
    "JVMMetricReportService": {"collect": "jvm_metrics"},
    "CLRMetricReportService": {"collect": "clr_metrics"},
    "GolangMetricReportService": {"collect": "go_metrics"},
    "MeterReportService": {"collect": "meter", "collectBatch": "meter"},
    "LogReportService": {"collect": "log"},
    "EventService": {"collect": "event"},
    "SpanAttachedEventReportService": {"collect": "span_attached_event"},
    "ProfileTask": {
        "getProfileTaskCommands": "",
        "collectSnapshot": "profile",
        "collectGoProfileReport": "profile",
        "reportTaskFinish": "",
    },
    "BrowserPerfService": {
        "collectPerfData": "browser",
        "collectErrorLogs": "browser",
        "collectWebVitalsPerfData": "browser",
        "collectResourcePerfData": "browser",
        "collectWebInteractionsPerfData": "browser",
    },
}
_PROFILERS: Final[Mapping[str, Mapping[str, str]]] = {
    "AsyncProfilerTask": {"getAsyncProfilerTaskCommands": "", "collect": "profile"},
    "PprofTask": {"getPprofTaskCommands": "", "collect": "profile"},
}


def _others() -> dict[str, Other]:
    """Agents before 8.7 know the services without a package."""
    found = {}
    for service, methods in _OTHERS.items():
        for method, kind in methods.items():
            for package in ("skywalking.v3.", ""):
                found[f"/{package}{service}/{method}"] = Other(kind=kind, answer=_NO_COMMANDS)
    for service, methods in _PROFILERS.items():
        for method, kind in methods.items():
            other = Other(kind=kind, answer=_GOES_ON, answers="each") if kind else Other(answer=_NO_COMMANDS)
            found[f"/skywalking.v10.{service}/{method}"] = other
    return found


def _without_package(method: str) -> str:
    return method.replace("skywalking.v3.", "")


def _decode_grpc(body: bytes, head: Head) -> OtlpBatch:
    return decode_collection(body, head) if head.path.endswith("/collectInSync") else decode_segment(body, head)


def _decode_http(body: bytes, head: Head) -> OtlpBatch:
    return PATHS[head.path](body, head)


class _Json(PlainAnswers):
    """200 and an empty object."""

    def accepted(self, batch: OtlpBatch, head: Head) -> Answer:
        return Answer(200, b"{}", JSON)


# An agent does not send again what it had in a call that failed, so a segment that cannot be read costs itself only.
_COLLECT: Final = Stream(keep_open=True)

GRPC: Final = ReceiverSpec(
    name="skywalking-grpc",
    transport="grpc",
    default_port=11800,
    decode=_decode_grpc,
    paths=(COLLECT_IN_SYNC, _without_package(COLLECT_IN_SYNC)),
    streams={COLLECT: _COLLECT, _without_package(COLLECT): _COLLECT},
    others=_others(),
    remembers=dict.fromkeys((PROPERTIES, _without_package(PROPERTIES)), properties_of_message),
    said=Answer(body=_NO_COMMANDS),
)
HTTP: Final = ReceiverSpec(
    name="skywalking-http",
    transport="http",
    default_port=12800,
    decode=_decode_http,
    paths=tuple(PATHS),
    answers=_Json(),
    limits=Limits(message_bytes=16 << 20),
    remembers={PROPERTIES_PATH: properties_of_json},
    said=Answer(200, b"{}", JSON),
)
