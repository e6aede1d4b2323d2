"""What Pinpoint's agents say of themselves: methods, statements and texts by number, and their process. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from clew_server.errors import BadInput
from clew_server.model import pinpoint as words
from clew_server.model.facts import Fact
from clew_server.receivers import messages
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.texts import text
from clew_server.receivers.foreign.writing import event, whole_characters
from clew_server.receivers.pinpoint.messages import CLASSES, INNER
from clew_server.receivers.pinpoint.pieces import Owner, Writer, encoded_resource
from clew_server.receivers.pinpoint.types import service_type

SUCCESS: Final = b"\x08\x01"
"""`PResult` with `success`."""
AGENT_FACT: Final = "agent"
_MOST_FRAMES: Final = 500


def parsed(name: str, body: bytes) -> Any:
    """A message of this type. Raises BadInput, TooLarge for one of more fields than objects should be made for."""
    return messages.parsed(CLASSES[name], body, INNER[name], f"{name} of Pinpoint")


def agent_of(head: Head) -> str:
    """Under which facts of the sending agent are kept. Raises BadInput where the call does not say who sends."""
    agent_id = head.headers.get("agentid", "")
    if not agent_id:
        raise BadInput("the call does not say which agent sends: agentid is missing in its metadata", code="malformed")
    return words.agent_key(agent_id, head.headers.get("starttime", ""))


def api_metadata(body: bytes, head: Head) -> Sequence[Fact]:
    """Raises BadInput."""
    one = parsed("PApiMetaData", body)
    fact = words.api_fact(one.apiInfo, one.line, one.type, one.location)
    return (Fact(agent_of(head), f"api:{one.apiId}", fact),)


def sql_metadata(body: bytes, head: Head) -> Sequence[Fact]:
    """Raises BadInput."""
    one = parsed("PSqlMetaData", body)
    return (Fact(agent_of(head), f"sql:{one.sqlId}", one.sql),)


def sql_uid_metadata(body: bytes, head: Head) -> Sequence[Fact]:
    """Raises BadInput."""
    one = parsed("PSqlUidMetaData", body)
    return (Fact(agent_of(head), f"sqluid:{one.sqlUid.hex()}", one.sql),)


def string_metadata(body: bytes, head: Head) -> Sequence[Fact]:
    """Raises BadInput."""
    one = parsed("PStringMetaData", body)
    return (Fact(agent_of(head), f"string:{one.stringId}", one.stringValue),)


def agent_info(body: bytes, head: Head) -> Sequence[Fact]:
    """Raises BadInput. Only what describes the process of each span is kept."""
    one = parsed("PAgentInfo", body)
    return (
        Fact(
            agent_of(head),
            AGENT_FACT,
            CLASSES["PAgentInfo"](
                hostname=one.hostname,
                ip=one.ip,
                ports=one.ports,
                serviceType=one.serviceType,
                pid=one.pid,
                agentVersion=one.agentVersion,
                vmVersion=one.vmVersion,
            ).SerializeToString(deterministic=True),
        ),
    )


def resource_of(head: Head, application_type: int) -> bytes:
    """The resource of the agent that sends. `application_type`: what a span says of it, 0 for nothing."""
    headers = head.headers
    said = headers.get("servicetype", "")
    code = application_type or (int(said) if said.isdecimal() and len(said) < 9 else 0)
    agent = headers.get("agentid", "")
    start = headers.get("starttime", "")
    info = head.known.of(words.agent_key(agent, start)).get(AGENT_FACT, b"")
    return _resource(headers.get("applicationname", ""), agent, start, headers.get("agentname", ""), code, info)


@lru_cache(maxsize=1024)
def _resource(application: str, agent: str, start: str, agent_name: str, code: int, info: bytes) -> bytes:
    known = parsed("PAgentInfo", info)
    code = code or known.serviceType
    type_ = service_type(code)
    items: dict[str, Value] = {
        "service.name": whole_characters(application or agent),
        words.AGENT_ID: whole_characters(agent),
        words.AGENT_START: start,
        "pinpoint.agent.name": whole_characters(agent_name),
        "pinpoint.application.service_type": type_.name if code else "",
        "telemetry.sdk.name": "pinpoint",
        "telemetry.sdk.language": type_.language,
        "telemetry.sdk.version": text(known.agentVersion),
        "host.name": text(known.hostname),
        "host.ip": (text(known.ip),) if known.ip else "",
        "process.pid": known.pid,
        "process.runtime.version": text(known.vmVersion),
        "pinpoint.agent.ports": text(known.ports),
    }
    return encoded_resource(items)


def exception_metadata(body: bytes, head: Head) -> OtlpBatch:
    """The exceptions of a span, with their stack traces, as events of it. Raises BadInput, TooLarge."""
    one = parsed("PExceptionMetaData", body)
    owner = Owner.of(resource_of(head, 0), transaction_of(one.transactionId, head), one.spanId)
    events = []
    for exception in one.exceptions:
        items: dict[str, Value] = {
            "exception.type": text(exception.exceptionClassName),
            "exception.message": text(exception.exceptionMessage),
        }
        if exception.stackTraceElement:
            items["exception.stacktrace"] = _stack(items, exception.stackTraceElement)
        items["pinpoint.exception.id"] = exception.exceptionId
        items["pinpoint.exception.depth"] = exception.exceptionDepth
        if one.uriTemplate:
            items["http.route"] = text(one.uriTemplate)
        start_ms = exception.startTime
        if not 0 <= start_ms < 1 << 43:
            items["pinpoint.start_time_ms"], start_ms = start_ms, 0
        events.append(event(start_ms * 1_000_000, "exception", items))
    writer = Writer()
    if events:
        first = one.exceptions[0].startTime
        writer.fragment(owner, first if 0 <= first < 1 << 43 else 0, events)
    return writer.batch(f"{agent_of(head)}\n".encode() + body)


def _stack(items: dict[str, Value], elements: Any) -> str:
    lines = [": ".join(str(items[key]) for key in ("exception.type", "exception.message"))]
    for one in elements[:_MOST_FRAMES]:
        file = text(one.fileName) or "Unknown Source"
        where = f"{file}:{one.lineNumber}" if one.lineNumber > 0 else file
        lines.append(f"\tat {text(one.className)}.{text(one.methodName)}({where})")
    if len(elements) > _MOST_FRAMES:
        lines.append(f"\t... {len(elements) - _MOST_FRAMES} more")
    return "\n".join(lines)


def transaction_of(one: Any, head: Head) -> str:
    """`agent^start^sequence`; without an agent in it, it is that of the agent that sends."""
    agent = text(one.agentId) if one.agentId else head.headers.get("agentid", "")
    return f"{agent}^{one.agentStartTime}^{one.sequence}"
