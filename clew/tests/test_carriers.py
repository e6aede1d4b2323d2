"""Every carrier: all values, any case, and writing that leaves one value."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from grpc import aio

from clew.carriers import AsgiCarrier, Carrier, DictCarrier, GrpcCarrier, HttpxCarrier, WsgiCarrier, as_carrier, getter

PAIRS = [("Traceparent", "a"), ("X-B3-TraceId", "b"), ("traceparent", "c")]


def carriers() -> list[Any]:
    return [
        pytest.param(DictCarrier({"Traceparent": "a", "X-B3-TraceId": b"b", "traceparent": ["c"]}), id="dict"),
        pytest.param(AsgiCarrier([(key.encode(), value.encode()) for key, value in PAIRS]), id="asgi"),
        pytest.param(AsgiCarrier([(key.lower().encode(), value.encode()) for key, value in PAIRS]), id="asgi-lower"),
        pytest.param(GrpcCarrier(PAIRS), id="grpc"),
        pytest.param(GrpcCarrier(aio.Metadata(*[(key.lower(), value) for key, value in PAIRS])), id="grpc-metadata"),
        pytest.param(HttpxCarrier(httpx.Headers(PAIRS)), id="httpx"),
    ]


@pytest.mark.parametrize("carrier", carriers())
def test_all_values_are_found_in_order_whatever_the_case(carrier: Carrier) -> None:
    assert isinstance(carrier, Carrier)
    assert carrier.get("TRACEPARENT") == carrier.get("traceparent") == ["a", "c"]
    assert carrier.get("x-b3-traceid") == ["b"]
    assert carrier.get("absent") == []
    assert getter.get(carrier, "absent") is None
    assert sorted(carrier.keys()) == ["traceparent", "x-b3-traceid"]


@pytest.mark.parametrize("carrier", carriers())
def test_a_value_set_is_the_only_one(carrier: Carrier) -> None:
    carrier.set("traceparent", "new")
    carrier.set("Fresh", "value")
    assert carrier.get("Traceparent") == ["new"]
    assert carrier.get("fresh") == ["value"]
    assert sorted(carrier.keys()) == ["fresh", "traceparent", "x-b3-traceid"]


def test_one_header_in_odd_case_is_found_among_asgis() -> None:
    assert AsgiCarrier([(b"TraceParent", b"a")]).get("traceparent") == ["a"]


def test_asgi_pairs_are_written_in_place() -> None:
    pairs = [(b"a", b"1")]
    AsgiCarrier(pairs).set("B", "2")
    assert pairs == [(b"a", b"1"), (b"b", b"2")]


def test_a_wsgi_environ_is_read_by_header_name() -> None:
    environ = {"HTTP_TRACEPARENT": "a", "CONTENT_TYPE": "text/plain", "wsgi.input": object()}
    carrier = WsgiCarrier(environ)
    assert carrier.get("TraceParent") == ["a"]
    assert carrier.get("content-type") == ["text/plain"]
    assert carrier.get("wsgi.input") == []
    assert carrier.keys() == ["traceparent", "content-type"]
    carrier.set("x-md-service-name", "user")
    assert environ["HTTP_X_MD_SERVICE_NAME"] == "user"


def test_binary_metadata_loses_nothing() -> None:
    carrier = GrpcCarrier([("grpc-trace-bin", bytes(range(256)))])
    text = carrier.get("grpc-trace-bin")[0]
    carrier.set("other-bin", text)
    assert dict(carrier.pairs)["other-bin"] == bytes(range(256))


def test_mappings_become_carriers_and_carriers_stay() -> None:
    headers: dict[str, str] = {}
    carrier = as_carrier(headers)
    assert carrier is not None
    carrier.set("Key", "value")
    assert headers == {"key": "value"}
    assert as_carrier(carrier) is carrier
    assert as_carrier(None) is None
    with pytest.raises(TypeError, match="int"):
        as_carrier(3)  # type: ignore[arg-type]
