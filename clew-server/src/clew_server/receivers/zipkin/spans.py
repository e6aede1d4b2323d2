"""Zipkin spans become OTLP bytes: one place for all four encodings. No I/O.

A shared span (client and server report one id) becomes two: the server's side has an id of its own, derived from the shared one
(`clew.ids.span_id_from_zipkin_server`), and the client's span as its parent. Spans of the same request that the server's
service reported below the shared id hang on the server's side.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from clew.ids import span_id_from_zipkin_server
from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import MAX_REQUEST_SPANS, OtlpBatch
from clew_server.receivers.foreign import quick, writing
from clew_server.receivers.foreign.conventions import CLIENT, SERVER, Value, beside, peer
from clew_server.receivers.foreign.marks import Marks, json_object

_SHARED: Final = "zipkin.shared"
_ID: Final = "zipkin.id"
_PARENT: Final = "zipkin.parent_id"
_REMOTE: Final = {
    "peer.service": "zipkin.remote_endpoint.service_name",
    "network.peer.address": "zipkin.remote_endpoint.address",
    "network.peer.port": "zipkin.remote_endpoint.port",
}
_GO_EVENT: Final = re.compile(r"([^|]*)\|(\{.*\})\|([0-9]{1,9})", re.DOTALL)
_LONGEST_EVENT = 64 << 10


class Endpoint(NamedTuple):
    """One side of a call; empty text and 0 where a part is not known."""

    service: str = ""
    ipv4: str = ""
    ipv6: str = ""
    port: int = 0

    @property
    def address(self) -> str:
        return self.ipv4 or self.ipv6


NOWHERE: Final = Endpoint()


class Annotation(NamedTuple):
    """Something that happened at a time."""

    timestamp_us: int
    value: str
    attributes: Mapping[str, Value] = {}


class _Draft(NamedTuple):
    """A span whose id and parent may still change."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    is_server: bool
    is_shared: bool
    local: Endpoint
    trace_state: str
    front: bytes
    back: bytes
    resource: bytes
    scope_name: str
    scope_version: str


class Spans:
    """The spans of one request.

    `of_one_service`: a span that names no service is of the request's only one. A v1 span within one process has annotations or
    none, and without them nothing that could name its service.
    """

    def __init__(self, *, of_one_service: bool = False) -> None:
        self._of_one_service = of_one_service
        self.rejected: Counter[str] = Counter()
        self.first_problem: BadInput | None = None
        self._drafts: list[_Draft] = []
        self._clients: set[bytes] = set()
        self._may_share = False
        self._resources: dict[str, bytes] = {}
        self._lifted: dict[tuple[str, tuple[str, ...], str], bytes] = {}
        self._seen = 0

    def expect(self) -> None:
        """Count a span that came, good or broken. Raises TooLarge beyond the spans a request may have."""
        self._seen += 1
        if self._seen > MAX_REQUEST_SPANS:
            raise TooLarge(f"more than {MAX_REQUEST_SPANS} spans in one request")

    def reject(self, why: BadInput) -> None:
        """Leave a span out. The code of `why` is the reason under which it is counted."""
        self.first_problem = self.first_problem or why
        self.rejected[why.code if why.code in ("trace_id", "span_id") else "malformed"] += 1

    def add(
        self,
        trace_id: bytes,
        span_id: bytes,
        parent_id: bytes,
        kind: int,
        name: str,
        timestamp_us: int,
        duration_us: int,
        local: Endpoint,
        remote: Endpoint,
        annotations: Sequence[Annotation],
        tags: Mapping[str, Value],
        *,
        debug: bool = False,
        shared: bool = False,
        more: Mapping[str, Value] | None = None,
    ) -> None:
        """Add one side of a call, or a local span.

        Ids are 16 and 8 bytes, `parent_id` may be empty; `kind` as OTLP counts; times are 0 where they are not known. `more`
        are attributes named after Zipkin.
        """
        found = quick.plan(tags)
        extra: dict[str, Value] = dict(more) if more else {}
        if debug:
            extra["zipkin.debug"] = True
        start_ns, end_ns = timestamp_us * 1000, (timestamp_us + duration_us) * 1000
        if not timestamp_us or not duration_us or not 0 < start_ns <= end_ns <= writing.MAX_NS:
            start_ns, end_ns = _odd_times(extra, timestamp_us, duration_us, annotations)
        if found.lifted:
            resource, tags = self._lift(found, tags, local.service)
            if len(tags) != len(found.kept):
                found = quick.plan(tags)
        else:
            resource = self._resource(local.service)
        marks = _NO_MARKS
        if found.is_special:
            marks = Marks.of(tags)
            tags = marks.tags
            found = quick.plan(tags)
        attributes = writing.attributes(tags)
        if found.is_simple and (
            (remote is NOWHERE and local[1:] == _NO_ADDRESS) or _ENDPOINT_NAMES.isdisjoint(found.names)
        ):
            if found.rules:
                attributes += quick.attributes_beside(tags, kind, found.rules)
            attributes += _endpoints(kind, local, remote)
        else:
            standard = beside(tags, kind)
            _add_remote(standard, tags, kind, remote)
            _add_local(standard, tags, local)
            attributes += writing.attributes(standard)
        if extra:
            attributes += writing.attributes(extra)
        back = b""
        if annotations or marks is not _NO_MARKS:
            events = [_event(one) for one in annotations]
            back = writing.span_back(events, marks.links, marks.status_code, marks.status_message)
        is_server = kind == SERVER
        if kind == CLIENT:
            self._clients.add(trace_id + span_id)
        if is_server or shared:
            self._may_share = True
        front = writing.span_front(name, kind, start_ns, end_ns, attributes)
        self._drafts.append(
            _Draft(
                trace_id,
                span_id,
                b"" if parent_id == span_id else parent_id,
                is_server,
                shared,
                local,
                marks.trace_state,
                front,
                back,
                resource,
                marks.scope_name,
                marks.scope_version,
            )
        )

    def batch(self, received: bytes) -> OtlpBatch:
        """The batch of all spans. Raises BadInput where there were only broken ones, TooLarge beyond the limits of a request."""
        if self.first_problem is not None and not self._drafts:
            raise self.first_problem
        if self._of_one_service:
            self._name_services()
        groups = writing.Groups()
        for one in self._told_apart() if self._may_share else self._drafts:
            made = writing.span(one.trace_id, one.span_id, one.trace_state, one.parent_id, one.front, one.back)
            groups.add(one.resource, one.scope_name, one.scope_version, made)
        batch = writing.batch(groups, received=received, rejected=self.rejected)
        if not batch.spans and batch.rejected:
            raise BadInput(batch.rejection, code="malformed")
        return batch

    def _told_apart(self) -> Iterable[_Draft]:
        """The spans with each shared one's server side under its own id, and below it what is known to belong there."""
        servers: dict[tuple[bytes, bytes, Endpoint | str], bytes] = {}
        drafts: list[_Draft] = []
        for one in self._drafts:
            if one.is_shared or (one.is_server and one.trace_id + one.span_id in self._clients):
                made = span_id_from_zipkin_server(one.trace_id, one.span_id, *one.local)
                servers[one.trace_id, one.span_id, one.local] = made
                if one.local.service:
                    servers.setdefault((one.trace_id, one.span_id, one.local.service), made)
                front = one.front + writing.attributes(_shared_attributes(one))
                drafts.append(one._replace(span_id=made, parent_id=one.span_id, front=front))
            else:
                drafts.append(one)
        if not servers:
            return drafts
        return [_below_server(one, servers) for one in drafts]

    def _name_services(self) -> None:
        """Give the only local endpoint of the request to the spans that have none."""
        known = {one.local for one in self._drafts if one.local.service}
        if len({local.service for local in known}) != 1:
            return
        local = min(known)
        resource = self._resource(local.service)
        self._drafts = [
            one if one.resource else one._replace(local=one.local if any(one.local) else local, resource=resource)
            for one in self._drafts
        ]

    def _lift(self, found: quick.Plan, tags: Mapping[str, Value], service: str) -> tuple[bytes, Mapping[str, Value]]:
        """The resource of a span whose tags hold one, and the tags that are left."""
        values = [tags[key] for key in found.lifted]
        left = {key: tags[key] for key in found.kept}
        if service and "service.name" in found.lifted and tags["service.name"] != service:
            left["service.name"] = tags["service.name"]
        try:
            key = (service, found.lifted, "\0".join(values))  # type: ignore[arg-type]  # texts nearly always
        except TypeError:
            return _resource_of(service, found.lifted, values), left
        resource = self._lifted.get(key)
        if resource is None:
            resource = self._lifted[key] = _resource_of(service, found.lifted, values)
        return resource, left

    def _resource(self, service: str) -> bytes:
        found = self._resources.get(service)
        if found is None:
            found = self._resources[service] = writing.resource({"service.name": service}) if service else b""
        return found


_NO_MARKS: Final = Marks({})
_NO_ADDRESS: Final = NOWHERE[1:]
_ENDPOINT_NAMES: Final = frozenset(
    (
        "client.address",
        "client.port",
        "network.local.address",
        "network.local.port",
        "network.peer.address",
        "network.peer.port",
        "peer.service",
        "server.address",
        "server.port",
    )
)


def _endpoints(kind: int, local: Endpoint, remote: Endpoint) -> bytes:
    """Attributes of both endpoints where no tag has their names. A remote port is another one each time: it comes last."""
    if len(local.service) + len(local.ipv6) + len(remote.service) + len(remote.ipv4) + len(remote.ipv6) > _LONGEST_KEPT:
        return _write_endpoints(kind, local, remote)
    if kind == SERVER and remote.port:
        return _kept_endpoints(kind, local, remote._replace(port=0)) + writing.attributes(
            {"client.port": remote.port, "network.peer.port": remote.port}
        )
    return _kept_endpoints(kind, local, remote)


def _write_endpoints(kind: int, local: Endpoint, remote: Endpoint) -> bytes:
    found: dict[str, Value] = {}
    _add_remote(found, {}, kind, remote)
    _add_local(found, {}, local)
    return writing.attributes(found)


_LONGEST_KEPT = 256
_kept_endpoints: Final = lru_cache(maxsize=4096)(_write_endpoints)


def _shared_attributes(one: _Draft) -> dict[str, Value]:
    made: dict[str, Value] = {_SHARED: True, _ID: one.span_id.hex()}
    if one.parent_id:
        made[_PARENT] = one.parent_id.hex()
    return made


def _below_server(one: _Draft, servers: Mapping[tuple[bytes, bytes, Endpoint | str], bytes]) -> _Draft:
    parent = servers.get((one.trace_id, one.parent_id, one.local))
    if parent is None:
        parent = servers.get((one.trace_id, one.parent_id, one.local.service))
    # A server's side has its client's span as its parent, whichever process that ran in.
    if parent is None or parent == one.span_id:
        return one
    return one._replace(parent_id=parent)


def _resource_of(service: str, keys: Sequence[str], values: Sequence[Value]) -> bytes:
    lifted = dict(zip(keys, values, strict=True))
    name: dict[str, Value] = {"service.name": service} if service else {}
    return writing.resource({**name, **lifted, **name})


def _add_remote(extra: dict[str, Value], tags: Mapping[str, Value], kind: int, remote: Endpoint) -> None:
    for key, value in peer(kind, remote.service, remote.address, remote.port).items():
        if key in tags or key in extra:
            if key in _REMOTE and str(tags.get(key, extra.get(key))) != str(value):
                extra[_REMOTE[key]] = value
        else:
            extra[key] = value
    if remote.ipv4 and remote.ipv6:
        extra["zipkin.remote_endpoint.ipv6"] = remote.ipv6


def _add_local(extra: dict[str, Value], tags: Mapping[str, Value], local: Endpoint) -> None:
    for name, key, value in (
        ("address", "network.local.address", local.address),
        ("port", "network.local.port", local.port),
    ):
        if not value:
            continue
        if key not in tags and key not in extra:
            extra[key] = value
        elif str(tags.get(key, extra.get(key))) != str(value):
            extra[f"zipkin.local_endpoint.{name}"] = value
    if local.ipv4 and local.ipv6:
        extra["zipkin.local_endpoint.ipv6"] = local.ipv6


def _odd_times(
    extra: dict[str, Value], timestamp_us: int, duration_us: int, annotations: Sequence[Annotation]
) -> tuple[int, int]:
    """Start and end in ns where a time is missing or is no time; what OTLP cannot hold becomes an attribute."""
    absent = [name for name, value in (("timestamp", timestamp_us), ("duration", duration_us)) if not value]
    if absent:
        extra["zipkin.absent"] = tuple(absent)
    start_ns = writing.ns_from_us(timestamp_us)
    if start_ns is None:
        extra["zipkin.timestamp"] = str(timestamp_us)
        start_ns = 0
    elif not timestamp_us:
        known = [found for found in (writing.ns_from_us(one.timestamp_us) for one in annotations) if found]
        start_ns = min(known, default=0)
    length_ns = writing.ns_from_us(duration_us)
    if length_ns is None or start_ns + length_ns > writing.MAX_NS:
        extra["zipkin.duration"] = str(duration_us)
        length_ns = 0
    return start_ns, start_ns + length_ns


def _event(one: Annotation) -> bytes:
    name, items, dropped = one.value, dict[str, Any](one.attributes), 0
    if "{" in name and len(name) <= _LONGEST_EVENT:
        name, found, dropped = _event_of_opentelemetry(name)
        items = {**found, **items}
    time_ns = writing.ns_from_us(one.timestamp_us)
    if time_ns is None:
        items["zipkin.timestamp"] = str(one.timestamp_us)
        time_ns = 0
    return writing.event(time_ns, name, items, dropped)


def _event_of_opentelemetry(value: str) -> tuple[str, dict[str, Any], int]:
    """Name, attributes and dropped attributes of an event that an OpenTelemetry exporter wrote as one text; else the text.

    SDKs write `{"name": {"key": value}}`, the Collector `name|{"key":value}|dropped`.
    """
    if value.startswith("{"):
        whole = _loaded(value)
        if isinstance(whole, dict) and len(whole) == 1:
            ((name, items),) = whole.items()
            if isinstance(items, dict):
                return name, {key: _simple(item) for key, item in items.items()}, 0
    else:
        found = _GO_EVENT.fullmatch(value)
        known = json_object(found[2]) if found else None
        if found and known is not None:
            return found[1], known, int(found[3])
    return value, {}, 0


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _simple(item: Any) -> Any:
    """Lists of simple values stay lists, as OpenTelemetry's attributes have them; what is nested deeper becomes text."""
    if isinstance(item, list):
        if all(not isinstance(one, dict | list) for one in item):
            return item
    elif not isinstance(item, dict):
        return item
    return json.dumps(item)
