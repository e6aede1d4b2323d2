"""What is left out, by path, operation, header, callable and variable."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from clew.testing import FakeTransport, SpanRecorder, outside_pytest
from clew.tracing import Tracer
from clew.tracing.exclusion import EXCLUDED_URLS, exclusion_from_environment, exclusion_from_rules, path_of


class WithPath(FakeTransport):
    path = "/static/a/b.css"
    url = "http://shop.example/static/a/b.css"


@pytest.mark.parametrize(
    ("rule", "transport", "is_excluded"),
    [
        ("/static/*", WithPath(), True),
        ("/static", WithPath(), False),
        ("/users/*", FakeTransport("GET /users/{id}"), True),
        ("/grpc.health.v1.Health/*", FakeTransport("grpc.health.v1.Health/Check"), True),
        ("grpc.health.*", FakeTransport("grpc.health.v1.Health/Check"), True),
        ("ping", FakeTransport("ping"), True),
        ("ping", FakeTransport("pinging"), False),
        ("User-Agent: Probe/*", FakeTransport(headers={"user-agent": "probe/1.0"}), True),
        ("user-agent: probe", FakeTransport(headers={"user-agent": "probe/1.0"}), False),
        ("user-agent:*", FakeTransport(), False),
        (lambda transport: transport.kind == "fake", FakeTransport(), True),
    ],
)
def test_a_rule_is_a_path_a_name_a_header_or_a_callable(rule: Any, transport: FakeTransport, is_excluded: bool) -> None:
    decide = exclusion_from_rules([rule])
    assert decide is not None
    assert decide(transport) is is_excluded


def test_without_rules_nothing_decides_and_wrong_ones_are_refused() -> None:
    assert exclusion_from_rules([]) is None
    with pytest.raises(TypeError, match="sequence"):
        exclusion_from_rules("/health")
    with pytest.raises(TypeError, match="int"):
        exclusion_from_rules([1])  # type: ignore[list-item]


def test_a_rule_that_fails_excludes_nothing() -> None:
    decide = exclusion_from_rules([lambda transport: 1 / 0, "/fake*"])  # type: ignore[arg-type,return-value]
    assert decide is not None
    with outside_pytest():
        assert decide(FakeTransport("/fake/Method"))
        assert not decide(FakeTransport("other"))


def test_the_variable_holds_expressions_for_urls_of_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXCLUDED_URLS, "health$, ^http://shop.example/static ,")
    decide = exclusion_from_environment()
    assert decide is not None
    assert decide(WithPath(kind="http"))
    assert decide(FakeTransport("GET /health", kind="http"))
    assert not decide(FakeTransport("GET /healthy", kind="http"))
    assert not decide(FakeTransport("/health"))


@pytest.mark.parametrize("value", ["", " , ", "(["])
def test_a_variable_that_says_nothing_excludes_nothing(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(EXCLUDED_URLS, value)
    assert exclusion_from_environment() is None


def test_the_option_goes_before_the_variable_and_clients_read_only_the_option(
    tracer_provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EXCLUDED_URLS, ".*")
    recorder = SpanRecorder(tracer_provider)
    call = FakeTransport("GET /", kind="http")
    for kind, options, recorded in (
        (SpanKind.SERVER, {}, 0),
        (SpanKind.SERVER, {"exclude": []}, 1),
        (SpanKind.CLIENT, {}, 1),
    ):
        tracer = Tracer(kind, tracer_provider=tracer_provider, **options)  # type: ignore[arg-type]
        tracer.end(tracer.start(call.operation, None, transport=call))
        assert len(recorder.spans) == recorded
        recorder.clear()


def test_what_is_within_an_excluded_call_is_left_out_whatever_the_sampler_says(tracer_provider: Any) -> None:
    import opentelemetry.sdk.trace as sdk
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    provider: Any = sdk.TracerProvider(sampler=ALWAYS_ON)
    recorder = SpanRecorder(provider)
    outer = Tracer(SpanKind.SERVER, tracer_provider=provider, exclude=["/fake*"])
    inner = Tracer(SpanKind.CLIENT, tracer_provider=provider)
    from opentelemetry.context import attach, detach

    call = FakeTransport("/fake/Method")
    span, context = outer.begin(call.operation, None, call)
    token = attach(context)
    try:
        within = inner.start("db", None, transport=FakeTransport("db"))
    finally:
        detach(token)
    inner.end(within)
    outer.end(span)
    assert recorder.spans == []


def test_attributes_of_an_excluded_call_are_not_read(tracer_provider: Any) -> None:
    class Unreadable(FakeTransport):
        def attributes(self) -> Any:
            raise AssertionError("read")

    tracer = Tracer(SpanKind.SERVER, tracer_provider=tracer_provider, exclude=["/fake*"])
    call = Unreadable("/fake/Method")
    assert not tracer.start(call.operation, None, transport=call).is_recording()


def test_a_path_comes_from_the_transport_or_its_operation() -> None:
    assert path_of(WithPath()) == "/static/a/b.css"
    assert path_of(FakeTransport("GET /users/{id}")) == "/users/{id}"
    assert path_of(FakeTransport("a.B/C")) == "/a.B/C"
    assert path_of(FakeTransport("find shop/users")) == "/find shop/users"
