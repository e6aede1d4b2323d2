"""Texts of foreign protocols, whose bytes may be no UTF-8."""

from __future__ import annotations


def text(raw: bytes) -> str:
    """A text; U+FFFD stands for what is not UTF-8."""
    return raw.decode("utf-8", "replace")


def text_value(raw: bytes) -> str | bytes:
    """A value as text; as bytes where it is none."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
