"""The families' names, attributes and outcomes; every name is one of the conventions installed."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import opentelemetry.semconv._incubating.attributes as incubating
import opentelemetry.semconv.attributes as stable
import pytest
from opentelemetry.semconv.schemas import Schemas

from clew import semconv
from clew.tracing.attributes import (
    db_attributes,
    db_outcome,
    db_span_name,
    http_client_attributes,
    messaging_attributes,
    messaging_span_name,
    redacted,
    redacted_url,
)


def names_in(package: Any) -> set[str]:
    modules = [
        importlib.import_module(f"{package.__name__}.{one.name}") for one in pkgutil.iter_modules(package.__path__)
    ]
    return {
        value for module in modules for key, value in vars(module).items() if key.isupper() and isinstance(value, str)
    }


def test_the_version_stated_is_that_of_the_conventions_installed() -> None:
    assert list(Schemas)[-1].value == f"https://opentelemetry.io/schemas/{semconv.VERSION}"


def test_every_name_is_the_conventions_and_those_of_http_and_databases_are_stable() -> None:
    ours = {
        key: value
        for key, value in vars(semconv).items()
        if key.isupper() and isinstance(value, str) and not key.startswith("KRATOS")
    }
    known, settled = names_in(incubating) | names_in(stable), names_in(stable)
    for key, value in ours.items():
        if key in ("VERSION", "SCHEMA_URL", "COMPONENT", "CANCELLED"):
            continue
        assert value in known, key
        if key.startswith(("HTTP_", "DB_", "URL_", "ERROR_", "NETWORK_")):
            assert value in settled, key


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("a=1&b=2", "a=1&b=2"),
        ("token=x&a=1;sig=3", "token=REDACTED&a=1;sig=REDACTED"),
        ("API_KEY=1&pass%77ord=q&X-Amz-Signature=s&AWSAccessKeyId=k", "API_KEY=REDACTED&pass%77ord=REDACTED&X-Amz-Signature=REDACTED&AWSAccessKeyId=REDACTED"),
        ("monkey=1&keyboard=2&author=3&design=4", "monkey=1&keyboard=2&author=3&design=4"),
        ("password=&b", "password=REDACTED&b"),
    ],
)  # fmt: skip
def test_values_of_parameters_that_look_secret_are_redacted(query: str, wanted: str) -> None:
    assert redacted(query) == wanted


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://me:secret@shop.example/a@b?token=1#c", "https://shop.example/a@b?token=REDACTED#c"),
        ("http://shop.example/@me", "http://shop.example/@me"),
        ("http://shop.example/?to=me@shop.example", "http://shop.example/?to=me@shop.example"),
        ("//me@shop.example/", "//shop.example/"),
        ("http://me:p@ss@shop.example/", "http://shop.example/"),
    ],
)
def test_a_url_is_kept_without_user_and_password(url: str, wanted: str) -> None:
    assert redacted_url(url) == wanted
    assert http_client_attributes("GET", url, "shop.example", None)["url.full"] == wanted


def test_long_queries_do_not_take_long() -> None:
    for piece in ("token", "token=", "&", "%", "a=token&"):
        redacted(piece * 100_000)
        redacted_url("http://a/?" + piece * 100_000)
        redacted_url(piece * 100_000 + "@")


def test_messages_are_described_with_what_is_known() -> None:
    assert messaging_attributes(
        "kafka",
        "process",
        destination="orders",
        message_id="7",
        body_size_bytes=0,
        batch_count=2,
        consumer_group="shop",
        partition=0,
        kafka_offset=0,
        host="127.0.0.1",
        port=9092,
    ) == {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "orders",
        "messaging.destination.partition.id": "0",
        "messaging.message.id": "7",
        "messaging.message.body.size": 0,
        "messaging.batch.message_count": 2,
        "messaging.consumer.group.name": "shop",
        "messaging.kafka.offset": 0,
        "server.address": "127.0.0.1",
        "server.port": 9092,
    }
    assert (
        messaging_attributes("rabbitmq", "send", operation_name="publish", rabbitmq_routing_key="")[
            "messaging.operation.name"
        ]
        == "publish"
    )
    assert messaging_span_name("send", "orders") == "send orders"
    assert messaging_span_name("send", None) == "send"


def test_databases_are_described_with_what_is_known() -> None:
    assert db_attributes("sqlite", operation="INSERT", batch_size=1) == {
        "db.system.name": "sqlite",
        "db.operation.name": "INSERT",
    }
    assert db_attributes("sqlite", batch_size=2)["db.operation.batch.size"] == 2
    assert db_span_name("SELECT", "users", "sqlite") == "SELECT users"
    assert db_span_name(None, None, "sqlite") == "sqlite"
    failed = db_outcome(11000, message="duplicate")
    assert failed.attributes == {"db.response.status_code": "11000"}
    assert (failed.error_type, failed.message, failed.code) == ("11000", "duplicate", 11000)
    assert db_outcome().error_type is None
    assert db_outcome("01000", failed=False).error_type is None
