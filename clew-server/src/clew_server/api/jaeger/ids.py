"""Trace ids as Jaeger writes and reads them."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from clew_server.errors import BadInput

_HALF: Final = "0" * 16
_SHORT: Final = re.compile(r"[0-9a-fA-F]{1,32}")
_MOST_BASE64: Final = 24


def jaeger_id(trace_id: str) -> str:
    """A trace id of 32 hex digits as Jaeger writes it: 16 digits where the upper half is zero."""
    return trace_id[16:] if trace_id.startswith(_HALF) else trace_id


def trace_id_from_jaeger(text: str) -> str:
    """The 32 hex digits of a trace id, which may lack its leading zeros or be the base64 of its bytes.

    Raises BadInput, code `bad_id`, for anything else and for the id of zeros.
    """
    digits = text.strip()
    if _SHORT.fullmatch(digits) is None:
        digits = _from_base64(digits)
    digits = digits.rjust(32, "0").lower()
    if not digits.strip("0"):
        raise _bad(text)
    return digits


def _from_base64(text: str) -> str:
    """The hex digits of 8 or 16 bytes in base64, with or without padding."""
    try:
        if len(text) > _MOST_BASE64:
            raise ValueError
        plain = text.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise _bad(text) from None
    if len(data) not in (8, 16):
        raise _bad(text)
    return data.hex()


def _bad(text: str) -> BadInput:
    return BadInput(f"{text[:80]!r} is not a trace id: it has up to 32 hex digits", code="bad_id")
