"""Which services call which, against counting by hand over the same spans."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import Unavailable
from clew_server.model.dependency import DATABASE_KEYS, PEER_KEYS, Dependency
from clew_server.store import chdb_dependencies
from clew_server.store.asking import Stopped, Tables
from clew_server.store.chdb_dependencies import ChdbDependencies

MS = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
AT = time.time_ns() // HOUR * HOUR - 3 * HOUR
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class One:
    """A span as the tests know it. `links`: trace and span ids."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    service: str
    kind: int
    start: int
    failed: bool = False
    attributes: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def key(self) -> tuple[bytes, bytes]:
        return self.trace_id, self.span_id


@dataclass
class Builder:
    """Spans of made traces."""

    rng: random.Random
    spans: list[One] = field(default_factory=list)

    def span(self, service: str, kind: int, above: One | None = None, **more: Any) -> One:
        start = AT if above is None else above.start + self.rng.randrange(0, 100 * MS)
        made = One(
            self.rng.randbytes(16) if above is None else above.trace_id,
            self.rng.randbytes(8),
            b"" if above is None else above.span_id,
            service,
            kind,
            start,
        )
        self.spans.append(replace(made, **more))
        return self.spans[-1]


def request_of(spans: Iterable[One]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for one in spans:
        of_resource = request.resource_spans.add()
        of_resource.resource.attributes.add(key="service.name").value.string_value = one.service
        span = of_resource.scope_spans.add().spans.add(
            trace_id=one.trace_id,
            span_id=one.span_id,
            parent_span_id=one.parent_id,
            name=f"{one.kind}",
            kind=one.kind,
            start_time_unix_nano=one.start,
            end_time_unix_nano=one.start + MS,
        )
        span.status.code = 2 if one.failed else 0
        for key, value in one.attributes:
            span.attributes.add(key=key).value.string_value = value
        for trace_id, span_id in one.links:
            span.links.add(trace_id=trace_id, span_id=span_id)
    return request


def peer_of(one: One, keys: Sequence[str] = PEER_KEYS) -> str:
    attributes = dict(one.attributes)
    return next((attributes[key] for key in keys if attributes.get(key)), "")


def by_hand(came: Iterable[One], from_ns: int = 0, to_ns: int = 1 << 62) -> list[Dependency]:
    """What the spans say, by loops."""
    spans = set(came)
    by_id: dict[tuple[bytes, bytes], list[One]] = defaultdict(list)
    for one in spans:
        by_id[one.key].append(one)

    def above(one: One) -> list[One]:
        sharing = [other for other in by_id[one.key] if one.kind == SERVER and other.kind == CLIENT]
        if sharing:
            return sharing
        found = by_id[one.trace_id, one.parent_id] if one.parent_id else []
        return [other for other in found if other.kind == SERVER] or found

    calls: dict[tuple[str, str, str, str | None], Counter[bool]] = defaultdict(Counter)

    def count(caller: One | None, key: tuple[str, str, str, str | None], at: One, failed: bool) -> None:
        if from_ns <= at.start < to_ns:
            calls[key][failed] += 1

    below: dict[One, list[One]] = defaultdict(list)
    for one in spans:
        for caller in above(one):
            below[caller].append(one)
    linked_callers, linked_consumers = set(), set()
    for one in spans:
        for link in set(one.links) if one.kind == CONSUMER else ():
            for caller in by_id[link]:
                if caller.kind == PRODUCER or caller.service != one.service:
                    linked_callers.add(caller)
                    linked_consumers.add(one)
                    if (one.trace_id, one.parent_id) != link:
                        failed = one.failed or (caller.kind in (CLIENT, PRODUCER) and caller.failed)
                        count(caller, (caller.service, one.service, "message", None), caller, failed)
    for caller in spans:
        answered = caller in linked_callers
        by_service: dict[str, list[One]] = defaultdict(list)
        for one in below[caller]:
            answered = answered or one.kind >= SERVER or one.service != caller.service
            by_service[one.service].append(one)
        for service, called in by_service.items():
            entries = [one for one in called if one.kind in (SERVER, CONSUMER)]
            if service == caller.service:
                pair = {CLIENT: SERVER, PRODUCER: CONSUMER}.get(caller.kind)
                counted = [[one] for one in entries if one.kind == pair]
            else:
                counted = [[one] for one in entries] or [called]
            for group in counted:
                is_message = caller.kind == PRODUCER or any(one.kind == CONSUMER for one in group)
                failed = any(one.failed for one in group) or (caller.kind in (CLIENT, PRODUCER) and caller.failed)
                count(caller, (caller.service, service, "message" if is_message else "call", None), caller, failed)
        if caller.kind in (CLIENT, PRODUCER) and not answered and peer_of(caller):
            of_database = "database" if peer_of(caller, DATABASE_KEYS) else "call"
            word = "message" if caller.kind == PRODUCER else of_database
            count(caller, (caller.service, peer_of(caller), word, "callee"), caller, caller.failed)
        named = peer_of(caller, PEER_KEYS if caller.kind == CONSUMER else PEER_KEYS[:1])
        is_entry = caller.kind in (SERVER, CONSUMER) and not above(caller) and caller not in linked_consumers
        if is_entry and named:
            word = "message" if caller.kind == CONSUMER else "call"
            count(None, (named, caller.service, word, "caller"), caller, caller.failed)
    return [
        Dependency(caller, callee, kind, side, sum(counts.values()), counts[True])  # type: ignore[arg-type]
        for (caller, callee, kind, side), counts in sorted(
            calls.items(), key=lambda item: [text or "" for text in item[0]]
        )
    ]


class Folder:
    """The store of the file, and a stretch of time in it that no other test uses."""

    def __init__(self, opened: Any, number: int) -> None:
        self.opened = opened
        pool = opened.store._connections.read
        self.dependencies = ChdbDependencies(pool, Tables(pool), seconds=300)
        self.shift_ns = number * HOUR * 24

    def put(self, *requests: Iterable[One]) -> None:
        for spans in requests:
            self.opened.put([request_of(replace(one, start=one.start - self.shift_ns) for one in spans)])

    def ask(self, from_ns: int = AT - HOUR, to_ns: int = AT + HOUR) -> list[Dependency]:
        found, reason = self.dependencies.dependencies(from_ns - self.shift_ns, to_ns - self.shift_ns)
        assert reason is None
        return list(found)


_numbers = iter(range(1, 1000))


@pytest.fixture
def folder(opened: Any) -> Folder:
    return Folder(opened, next(_numbers))


@pytest.fixture
def made() -> Builder:
    return Builder(random.Random(7))


def test_a_client_and_the_server_below_it_are_a_call_of_one_service_to_another(folder: Folder, made: Builder) -> None:
    web = made.span("web", SERVER)
    for failed in (False, True):
        client = made.span("web", CLIENT, web, attributes=(("server.address", "10.0.0.1"),))
        made.span("cart", SERVER, client, failed=failed, attributes=(("peer.service", "web"),))
    folder.put(made.spans)
    assert folder.ask() == [Dependency("web", "cart", "call", None, 2, 1)] == by_hand(made.spans)


def test_calls_begin_to_count_when_a_late_span_is_there_and_never_twice(folder: Folder, made: Builder) -> None:
    client = made.span("web", CLIENT, attributes=(("server.address", "10.0.0.1"), ("peer.service", "cart.local")))
    server = made.span("cart", SERVER, client)
    folder.put([client])
    assert folder.ask() == [Dependency("web", "cart.local", "call", "callee", 1, 0)]
    folder.put([server])
    assert folder.ask() == [Dependency("web", "cart", "call", None, 1, 0)]
    folder.put([server, client], [client])
    assert folder.ask() == [Dependency("web", "cart", "call", None, 1, 0)]


def test_an_uninstrumented_peer_is_named_by_the_first_attribute_that_names_one(folder: Folder, made: Builder) -> None:
    root = made.span("web", SERVER)
    for at in range(len(PEER_KEYS)):
        made.span("web", CLIENT, root, attributes=tuple((key, f"by {key}") for key in PEER_KEYS[at:]))
    made.span("web", CLIENT, root, attributes=(("peer.service", ""), ("db.namespace", "orders")))
    made.span("web", CLIENT, root)
    folder.put(made.spans)
    found = folder.ask()
    assert found == by_hand(made.spans)
    assert {one.callee for one in found} == {f"by {key}" for key in PEER_KEYS} | {"orders"}
    assert {one.uninstrumented for one in found} == {"callee"}
    assert {one.callee: one.kind for one in found}["by messaging.system"] == "call"
    assert {one.callee: one.kind for one in found}["orders"] == "database"


def test_messages_go_from_producer_to_consumer_by_parent_and_by_link(folder: Folder, made: Builder) -> None:
    broker = (("messaging.destination.name", "orders"), ("messaging.system", "kafka"))
    first, second, lost = (made.span("shop", PRODUCER, attributes=broker) for _ in range(3))
    made.span("mail", CONSUMER, first, attributes=broker)
    links = (first.key, second.key, second.key, (bytes(15) + b"\1", bytes(7) + b"\1"))
    made.span("bill", CONSUMER, links=links, attributes=broker, failed=True)
    made.span("audit", CONSUMER, attributes=broker)
    folder.put(made.spans[3:], made.spans[:3])
    assert folder.ask() == by_hand(made.spans)
    assert folder.ask() == [
        Dependency("orders", "audit", "message", "caller", 1, 0),
        Dependency("shop", "bill", "message", None, 2, 2),
        Dependency("shop", "mail", "message", None, 1, 0),
        Dependency("shop", "orders", "message", "callee", 1, 0),
    ]
    assert lost.service == "shop"


def test_a_service_without_an_entry_span_is_called_once_for_all_its_spans_there(folder: Folder, made: Builder) -> None:
    client = made.span("web", CLIENT)
    for kind in (INTERNAL, CLIENT, 0):
        made.span("cart", kind, client)
    other = made.span("web", CLIENT)
    made.span("cart", SERVER, other)
    made.span("cart", CLIENT, other)
    folder.put(made.spans)
    assert folder.ask() == [Dependency("web", "cart", "call", None, 2, 0)] == by_hand(made.spans)


def test_a_client_inside_a_client_is_the_one_that_calls(folder: Folder, made: Builder) -> None:
    outer = made.span("web", CLIENT, attributes=(("peer.service", "search"),))
    made.span("web", CLIENT, outer, attributes=(("server.address", "search-1"),))
    folder.put(made.spans)
    assert folder.ask() == [Dependency("web", "search-1", "call", "callee", 1, 0)] == by_hand(made.spans)


def test_local_spans_between_a_server_and_its_client_change_nothing(folder: Folder, made: Builder) -> None:
    server = made.span("web", SERVER)
    local = made.span("web", INTERNAL, made.span("web", INTERNAL, server))
    made.span("cart", SERVER, made.span("web", CLIENT, local))
    folder.put(made.spans)
    assert folder.ask() == [Dependency("web", "cart", "call", None, 1, 0)] == by_hand(made.spans)


def test_what_hangs_on_a_span_that_never_came_is_a_call_only_where_it_names_its_caller(
    folder: Folder, made: Builder
) -> None:
    lost = made.span("web", CLIENT)
    made.span("cart", SERVER, lost)
    made.span("stock", SERVER, lost, attributes=(("peer.service", "web"),))
    folder.put(made.spans[1:])
    assert folder.ask() == [Dependency("web", "stock", "call", "caller", 1, 0)] == by_hand(made.spans[1:])


def test_client_and_server_that_share_an_id_are_one_call(folder: Folder, made: Builder) -> None:
    web = made.span("web", SERVER)
    client = made.span("web", CLIENT, web, attributes=(("peer.service", "cart"),))
    server = made.span("cart", SERVER, web, span_id=client.span_id, attributes=(("peer.service", "web"),))
    made.span("cart", INTERNAL, server)
    made.span("cart", SERVER, server)
    made.span("stock", SERVER, made.span("cart", CLIENT, server))
    folder.put(made.spans)
    expected = [Dependency("cart", "stock", "call", None, 1, 0), Dependency("web", "cart", "call", None, 1, 0)]
    assert folder.ask() == expected == by_hand(made.spans)


def test_a_service_that_calls_itself_is_its_own_peer_and_wrapped_servers_are_no_call(
    folder: Folder, made: Builder
) -> None:
    client = made.span("web", CLIENT)
    server = made.span("web", SERVER, client)
    made.span("web", SERVER, server)
    folder.put(made.spans)
    assert folder.ask() == [Dependency("web", "web", "call", None, 1, 0)] == by_hand(made.spans)


def test_a_call_belongs_to_the_time_of_its_caller_and_stretches_add_up(folder: Folder, made: Builder) -> None:
    root = made.span("web", SERVER)
    for minute in range(50):
        client = made.span("web", CLIENT, root, start=AT + minute * MINUTE + 59 * SECOND)
        made.span("cart", SERVER, client, start=AT + (minute + minute % 9) * MINUTE + 61 * SECOND)
    made.span("orders", SERVER, attributes=(("peer.service", "edge"),), start=AT + MINUTE)
    folder.put(made.spans)
    whole = folder.ask()
    assert whole == by_hand(made.spans)
    for cut in (AT + 7 * MINUTE + 59 * SECOND, AT + 7 * MINUTE + 59 * SECOND + 1):
        parts: Counter[tuple[str, str]] = Counter()
        for one in folder.ask(AT - HOUR, cut) + folder.ask(cut, AT + HOUR):
            parts[one.caller, one.callee] += one.calls
        assert parts == Counter({(one.caller, one.callee): one.calls for one in whole})
        assert folder.ask(AT - HOUR, cut) == by_hand(made.spans, AT - HOUR, cut)


def random_spans(seed: int) -> list[One]:
    """Traces of all kinds of spans below each other, with peers, links, failures and shared ids."""
    rng = random.Random(seed)
    made = Builder(rng)
    services = ["", "a", "b", "c", "d"]
    for _ in range(40):
        inside = [made.span(rng.choice(services), rng.randrange(6), start=AT + rng.randrange(3 * MINUTE))]
        for _ in range(rng.randrange(12)):
            above = rng.choice(inside)
            sent = [one for one in made.spans if one.start < above.start + MINUTE // 2]
            linked = tuple(rng.choice(sent).key for _ in range(rng.choice((0, 0, 1, 3))))
            one = made.span(
                rng.choice(services),
                rng.randrange(6),
                above,
                failed=rng.random() < 0.2,
                attributes=tuple((key, f"p{rng.randrange(3)}") for key in PEER_KEYS if rng.random() < 0.1),
                links=linked,
            )
            if rng.random() < 0.1:
                made.spans.pop()
                one = replace(one, parent_id=rng.randbytes(8))
                made.spans.append(one)
            if one.kind == CLIENT and rng.random() < 0.2:
                made.span(rng.choice(services), SERVER, above, span_id=one.span_id)
            inside.append(one)
    return made.spans


def test_random_traces_say_the_same_however_they_arrive(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = random_spans(1)
    rng = random.Random(1)
    came = spans + rng.sample(spans, len(spans) // 4)
    rng.shuffle(came)
    cuts = sorted(rng.sample(range(len(came)), 2))
    for start, end in zip([0, *cuts], [*cuts, len(came)], strict=True):
        folder.put(came[start:end])
    assert folder.ask() == by_hand(spans)
    part = AT + MINUTE + 17, AT + 2 * MINUTE + 5
    assert folder.ask(*part) == by_hand(spans, *part)
    # In pieces of a few minutes each the same comes out.
    monkeypatch.setattr(chdb_dependencies, "PIECE_SPANS", 150)
    assert folder.ask() == by_hand(spans)


def test_where_there_are_too_many_spans_the_newest_count_and_the_answer_says_so(
    folder: Folder, made: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in range(10):
        made.span("cart", SERVER, made.span("web", CLIENT, start=AT + minute * MINUTE))
    folder.put(made.spans)
    monkeypatch.setattr(chdb_dependencies, "MAX_SPANS", 6)
    from_ns, to_ns = AT - HOUR - folder.shift_ns, AT + HOUR - folder.shift_ns
    found, reason = folder.dependencies.dependencies(from_ns, to_ns)
    assert found == [Dependency("web", "cart", "call", None, 3, 0)]
    assert reason is not None
    assert reason.startswith("more than 6 spans: calls before ")
    assert reason.endswith(" were not looked at")


def test_a_machine_that_is_too_busy_for_all_of_them_answers_for_the_newest(
    folder: Folder, made: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in range(10):
        made.span("cart", SERVER, made.span("web", CLIENT, start=AT + minute * MINUTE))
    folder.put(made.spans)
    calls = chdb_dependencies._calls

    def slow(piece: Any, question: Any) -> Any:
        if piece.to_ns - piece.from_ns > HOUR:
            raise Stopped("stopped after 10 s")
        return calls(piece, question)

    monkeypatch.setattr(chdb_dependencies, "_calls", slow)
    monkeypatch.setattr(chdb_dependencies, "PIECE_SPANS", 32)
    found, reason = folder.dependencies.dependencies(AT - HOUR - folder.shift_ns, AT + HOUR - folder.shift_ns)
    assert found == [Dependency("web", "cart", "call", None, 2, 0)]
    assert reason is not None
    assert reason.startswith("stopped after 10 s; calls before ")
    monkeypatch.setattr(chdb_dependencies, "PIECE_SPANS", 1_000_000)
    with pytest.raises(Unavailable):
        folder.dependencies.dependencies(AT - HOUR - folder.shift_ns, AT + HOUR - folder.shift_ns)


def test_nothing_is_found_in_a_time_without_spans_or_an_empty_one(folder: Folder) -> None:
    assert folder.ask() == []
    assert folder.ask(AT, AT) == []
    assert folder.ask(AT, AT - HOUR) == []
