"""One value is what the server says of itself: its JSON, the description of that, and the metrics are made of it."""

from __future__ import annotations

import dataclasses
from typing import Any

from jsonschema import Draft202012Validator

from clew_server.api.health import metrics_text
from clew_server.api.openapi import DOCUMENT
from clew_server.status import ReceiverStatus, Status, TroubleStatus, metrics_of

RECEIVER = ReceiverStatus(
    name="zipkin",
    transport="http",
    address="http://127.0.0.1:9411",
    state="open",
    option="--receive zipkin",
    point_at="http://127.0.0.1:9411/api/v2/spans",
    connections=1,
    spans=2,
    refused_requests=3,
    dropped_datagrams=4,
    files=7,
    dropped={"jvm_metrics": 5, "log": 6},
    unnamed_spans=8,
    last_error=None,
    last_client="127.0.0.1:5",
    last_seen_unix_nano=1_795_000_000_000_000_001,
)


def status(**known: Any) -> Status:
    """A status whose every number is another one."""
    values: dict[str, Any] = {
        "version": "1",
        "rejected_spans": {"span_id": 101, "trace_id": 102},
        "dropped_signals": {"log": 103},
        "troubles": (TroubleStatus(what="log", since_unix_nano=1, last_unix_nano=2, count=3, message="full"),),
        "receivers": (RECEIVER, dataclasses.replace(RECEIVER, name="off", state="off", last_seen_unix_nano=None)),
    }
    names = [one.name for one in dataclasses.fields(Status)]
    return Status(**{name: number for number, name in enumerate(names, 200)} | values | known)


def test_what_the_status_says_is_what_is_described() -> None:
    schema = {"$ref": "#/components/schemas/Status", "components": DOCUMENT["components"]}
    body = status().as_json()
    assert list(Draft202012Validator(schema).iter_errors(body)) == []
    schemas = DOCUMENT["components"]["schemas"]
    assert list(body) == list(schemas["Status"]["properties"]) == schemas["Status"]["required"]
    for name, part in (("Receiver", body["receivers"][0]), ("Trouble", body["troubles"][0])):
        assert list(part) == list(schemas[name]["properties"]) == schemas[name]["required"]
    assert body["receivers"][0]["last_seen_unix_nano"] == "1795000000000000001"
    assert body["receivers"][1]["last_seen_unix_nano"] is None
    assert [*Draft202012Validator(schema).iter_errors({**body, "receivers": [{**body["receivers"][0], "spans": "2"}]})]


def test_every_number_of_the_status_is_a_metric() -> None:
    one = status()
    lines = [line for line in metrics_text(one).decode().splitlines() if not line.startswith("#")]
    metrics = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
    for metric in metrics_of(Status):
        suffix = "_total" if metric.kind == "counter" else ""
        value = getattr(one, metric.name)
        if metric.label:
            for key, count in value.items():
                assert metrics[f'clew_{metric.name}{suffix}{{{metric.label}="{key}"}}'] == count
        else:
            assert metrics[f"clew_{metric.name}{suffix}"] == value
    assert metrics['clew_receiver_spans_total{receiver="zipkin"}'] == 2
    assert metrics['clew_receiver_dropped_datagrams_total{receiver="zipkin"}'] == 4
    assert metrics['clew_receiver_unnamed_spans_total{receiver="zipkin"}'] == 8
    assert metrics['clew_receiver_files{receiver="zipkin"}'] == 7
    assert metrics['clew_receiver_dropped_total{kind="log",receiver="zipkin"}'] == 6
    numbers = {one.name for one in dataclasses.fields(Status) if one.type == "int"} - {"started_unix_nano"}
    assert numbers <= {metric.name for metric in metrics_of(Status)}
