"""Finds single attributes of parsed OTLP messages without making a dict of all of them."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from clew_server.model.text import value_text


def find(attributes: Iterable[KeyValue], key: str) -> AnyValue | None:
    """The value of the first attribute with this key; None where there is none."""
    return next((pair.value for pair in attributes if pair.key == key), None)


def text_of(attributes: Iterable[KeyValue], *keys: str) -> str:
    """The first of these keys that is there and not empty, as text (`model.text`); empty where none is."""
    found = {pair.key: pair.value for pair in attributes if pair.key in keys}
    return next((text for key in keys if key in found and (text := value_text(found[key]))), "")
