"""Identifier conversions: the vectors never change, stored traces would split."""

from __future__ import annotations

import pytest

from clew import ids


def test_t16_vectors() -> None:
    assert ids.t16("agent1^1795347896040^0").hex() == "3e551cb98df09436b5718edd85ba1024"
    assert ids.t16("myapp-c0000202-498707-2").hex() == "d9d4d85765033ada5615ec9a36c52c43"


def test_s8_is_the_first_half_of_t16_and_never_zero() -> None:
    assert ids.s8("agent1^1795347896040^0").hex() == "3e551cb98df09436"
    assert len(ids.s8("")) == 8


def test_hex_is_padded_on_the_left_and_shortened_again() -> None:
    assert ids.trace_id_from_hex("463ac35c9f6413ad").hex() == "0" * 16 + "463ac35c9f6413ad"
    assert ids.trace_id_to_hex(ids.trace_id_from_hex("463AC35C9F6413AD")) == "463ac35c9f6413ad"
    assert ids.trace_id_to_hex(bytes(range(16))) == bytes(range(16)).hex()
    assert ids.span_id_from_hex("1").hex() == "0000000000000001"


@pytest.mark.parametrize("text", ["", "xyz", "0x12", "1" * 33, " 1", "1_0"])
def test_what_is_no_hex_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        ids.trace_id_from_hex(text)


def test_text_ids_are_taken_as_they_are_where_they_are_ids() -> None:
    assert ids.trace_id_from_text("0AF7651916cd43dd8448eb211c80319c").hex() == "0af7651916cd43dd8448eb211c80319c"
    assert ids.trace_id_from_text("0af76519-16cd-43dd-8448-eb211c80319c").hex() == "0af7651916cd43dd8448eb211c80319c"
    assert ids.trace_id_from_text("myapp-c0000202-498707-2") == ids.t16("myapp-c0000202-498707-2")
    assert ids.trace_id_from_text("463ac35c9f6413ad") == ids.t16("463ac35c9f6413ad")


def test_signed_integers_are_twos_complement() -> None:
    assert ids.span_id_from_int64(-1).hex() == "f" * 16
    assert ids.span_id_from_int64(2**64 - 1).hex() == "f" * 16
    assert ids.trace_id_from_int64s(1, -2).hex() == "0000000000000001fffffffffffffffe"
    with pytest.raises(OverflowError):
        ids.span_id_from_int64(2**64)
