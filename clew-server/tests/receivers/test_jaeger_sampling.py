"""Strategies of Jaeger's remote sampling: the file, the answers in both forms, and the samplers that read them."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from clew.recorder.sampler.jaeger_remote import PerOperation, strategy_from_answer
from clew.recorder.sampler.rate_limited import RateLimited
from clew_server.errors import BadInput
from clew_server.receivers.jaeger.sampling import Sampling
from clew_server.receivers.jaeger.strategies import Strategies, strategies_from

FILE = {
    "service_strategies": [
        {
            "service": "checkout",
            "type": "probabilistic",
            "param": 0.5,
            "operation_strategies": [
                {"operation": "GET /health", "type": "probabilistic", "param": 0},
                {"operation": "burst", "type": "ratelimiting", "param": 5},
            ],
        },
        {"service": "mailer", "type": "ratelimiting", "param": 5},
        {"service": "like the others"},
    ],
    "default_strategy": {
        "type": "probabilistic",
        "param": 0.25,
        "operation_strategies": [
            {"operation": "GET /metrics", "type": "probabilistic", "param": 0.01},
            {"operation": "GET /health", "type": "probabilistic", "param": 0.125},
        ],
    },
}


def answer(strategies: Strategies, service: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(strategies.of(service).as_json())
    return found


def test_without_a_file_every_trace_is_recorded() -> None:
    assert answer(Strategies(), "any") == {
        "strategyType": "PROBABILISTIC",
        "probabilisticSampling": {"samplingRate": 1.0},
    }
    assert strategies_from("{}").of("any") == Strategies().of("any")


def test_a_service_has_its_strategy_with_the_operations_of_the_default_one() -> None:
    found = strategies_from(json.dumps(FILE))
    assert answer(found, "checkout") == {
        "strategyType": "PROBABILISTIC",
        "probabilisticSampling": {"samplingRate": 0.5},
        "operationSampling": {
            "defaultSamplingProbability": 0.5,
            "defaultLowerBoundTracesPerSecond": 0,
            "perOperationStrategies": [
                {"operation": "GET /metrics", "probabilisticSampling": {"samplingRate": 0.01}},
                {"operation": "GET /health", "probabilisticSampling": {"samplingRate": 0.0}},
            ],
        },
    }
    mailer = answer(found, "mailer")
    assert (mailer["strategyType"], mailer["rateLimitingSampling"]) == ("RATE_LIMITING", {"maxTracesPerSecond": 5})
    assert mailer["operationSampling"]["defaultSamplingProbability"] == 0.001
    assert found.of("like the others") == found.of("unknown") == found.default


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "the file: wants an object"),
        ('{"service_strategies": {}}', "service_strategies: wants a list"),
        (
            '{"service_strategies": [{"type": "probabilistic", "param": 1}]}',
            r"service_strategies\[0\]: wants a service",
        ),
        ('{"default_strategy": {"type": "adaptive", "param": 1}}', 'the type "adaptive" is neither probabilistic nor'),
        ('{"default_strategy": {"type": "probabilistic", "param": 2}}', "param 2 is not between 0 and 1"),
        ('{"default_strategy": {"type": "probabilistic", "param": NaN}}', "param nan is not between"),
        ('{"default_strategy": {"type": "probabilistic", "param": true}}', "param wants a number"),
        ('{"default_strategy": {"type": "ratelimiting", "param": -1}}', "is not between 0 and 2147483647"),
        (
            '{"default_strategy": {"operation_strategies": [{"param": 1}]}}',
            r"operation_strategies\[0\]: wants an operation",
        ),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_makes_no_sense_is_named_with_the_place(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        strategies_from(text)


def test_clews_own_sampler_reads_every_answer() -> None:
    found = strategies_from(json.dumps(FILE))
    per_operation = strategy_from_answer(answer(found, "checkout"))
    assert isinstance(per_operation, PerOperation)
    assert "2 operations, others 0.5" in per_operation.get_description()
    plain = strategies_from('{"service_strategies": [{"service": "mailer", "type": "ratelimiting", "param": 5}]}')
    assert isinstance(strategy_from_answer(answer(plain, "mailer")), RateLimited)
    assert "1" in strategy_from_answer(answer(plain, "any")).get_description()


def test_the_answer_in_protobuf_says_the_same() -> None:
    found = strategies_from(json.dumps(FILE))
    response = _response_class().FromString(found.of("mailer").as_protobuf())
    assert (response.strategyType, response.rateLimitingSampling.maxTracesPerSecond) == (1, 5)
    response = _response_class().FromString(found.of("checkout").as_protobuf())
    assert (response.strategyType, response.probabilisticSampling.samplingRate) == (0, 0.5)
    operations = response.operationSampling
    assert operations.defaultSamplingProbability == 0.5
    assert [(one.operation, one.probabilisticSampling.samplingRate) for one in operations.perOperationStrategies] == [
        ("GET /metrics", 0.01),
        ("GET /health", 0.0),
    ]


def _response_class() -> Any:
    """sampling.proto of api_v2."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="sampling.proto", package="t", syntax="proto3")
    for message, fields in {
        "Probabilistic": (("samplingRate", 1, types.TYPE_DOUBLE),),
        "RateLimiting": (("maxTracesPerSecond", 1, types.TYPE_INT32),),
        "Operation": (("operation", 1, types.TYPE_STRING), ("probabilisticSampling", 2, "Probabilistic")),
        "PerOperation": (
            ("defaultSamplingProbability", 1, types.TYPE_DOUBLE),
            ("defaultLowerBoundTracesPerSecond", 2, types.TYPE_DOUBLE),
            ("perOperationStrategies", 3, "Operation"),
        ),
        "Response": (
            ("strategyType", 1, types.TYPE_INT32),
            ("probabilisticSampling", 2, "Probabilistic"),
            ("rateLimitingSampling", 3, "RateLimiting"),
            ("operationSampling", 4, "PerOperation"),
        ),
    }.items():
        described = file.message_type.add(name=message)
        for name, number, type_ in fields:
            many = name == "perOperationStrategies"
            field = described.field.add(
                name=name, number=number, label=types.LABEL_REPEATED if many else types.LABEL_OPTIONAL
            )
            if isinstance(type_, str):
                field.type, field.type_name = types.TYPE_MESSAGE, f".t.{type_}"
            else:
                field.type = type_
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Response"))


def asked(sampling: Sampling, path: str, query: bytes, method: str = "GET") -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("there is no body to read")

    scope = {"type": "http", "path": path, "method": method, "query_string": query}
    asyncio.run(sampling(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]


def test_a_service_must_be_named_once() -> None:
    sampling = Sampling()
    for query in (b"", b"service=", b"service=a&service=b"):
        assert asked(sampling, "/sampling", query)[0] == 400
    assert asked(sampling, "/sampling", b"service=a")[0] == 200
    assert asked(sampling, "/api/sampling", b"service=a%20b&x=1")[0] == 200
    assert asked(sampling, "/baggageRestrictions", b"service=a") == (200, b"[]")
    assert asked(sampling, "/sampling", b"service=a", "POST")[0] == 405
    assert asked(sampling, "/elsewhere", b"service=a")[0] == 404
    with pytest.raises(BadInput):
        sampling.get_strategy(b"")
    with pytest.raises(BadInput):
        sampling.get_strategy(b"\x0a\x7f")


def test_the_file_is_read_again_when_it_changes_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "strategies.json"
    now_s = [0.0]
    written = [0]

    def write(text: str) -> None:
        path.write_text(text, encoding="utf-8")
        written[0] += 1
        os.utime(path, (written[0], written[0]))
        now_s[0] += 10

    def rate() -> float:
        return float(json.loads(sampling.strategies().of("a").as_json())["probabilisticSampling"]["samplingRate"])

    write('{"default_strategy": {"type": "probabilistic", "param": 0.5}}')
    sampling = Sampling(path, clock_s=lambda: now_s[0])
    assert rate() == 0.5
    write('{"default_strategy": {"type": "probabilistic", "param": 0.25}}')
    assert rate() == 0.25
    write("{")
    assert rate() == 0.25
    path.unlink()
    now_s[0] += 10
    assert rate() == 0.25
    write('{"default_strategy": {"type": "probabilistic", "param": 0.75}}')
    assert rate() == 0.75


def test_a_file_that_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="missing"):
        Sampling(tmp_path / "missing")
    (tmp_path / "bad").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="bad"):
        Sampling(tmp_path / "bad")
