"""What gRPC's two sides share: addresses as gRPC writes them, and metadata as it comes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.instrumentation._grpc import GrpcTransport, ReceivedMetadata, given_up_outcome, peer_from_text
from clew.transport import Peer

names = st.from_regex(r"[a-z0-9_.-]{1,12}", fullmatch=True)
ports = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("ipv4:127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("ipv6:%5B::1%5D:50051", ("::1", 50051)),
        ("ipv6:[fe80::1%25eth0]:80", ("fe80::1%eth0", 80)),
        ("[::1]:80", ("::1", 80)),
        ("[::1]", ("::1", 0)),
        ("::1", ("::1", 0)),
        ("messages:9000", ("messages", 9000)),
        ("messages", ("messages", 0)),
        ("dns:///messages:9000", ("messages", 9000)),
        ("dns://8.8.8.8/messages:9000", ("messages", 9000)),
        ("dns:messages", ("messages", 0)),
        ("xds:///messages", ("messages", 0)),
        ("unix:/run/s", ("/run/s", 0)),
        ("unix:///run/s", ("/run/s", 0)),
        ("unix:run/s", ("run/s", 0)),
        ("unix-abstract:name", ("name", 0)),
        # The client's end of a socket, several servers, nothing at all.
        ("unix:", None),
        ("ipv4:10.0.0.1:80,10.0.0.2:80", None),
        ("xds:///", None),
        ("", None),
    ],
)
def test_addresses_are_taken_apart(text: str, peer: Peer | None) -> None:
    assert peer_from_text(text) == peer


@given(st.text(max_size=60))
def test_no_text_is_too_strange_for_an_address(text: str) -> None:
    peer = peer_from_text(text)
    assert peer is None or (isinstance(peer[0], str) and isinstance(peer[1], int))
    GrpcTransport("/a.B/C", ReceivedMetadata(()), peer=peer).attributes()


@given(st.ip_addresses(), ports)
def test_an_address_is_its_own_on_both_sides(address: IPv4Address | IPv6Address, port: int) -> None:
    written = f"ipv4:{address}:{port}" if address.version == 4 else f"ipv6:%5B{address}%5D:{port}"
    peer = peer_from_text(written)
    assert peer == (str(address), port)
    attributes = GrpcTransport("/a.B/C", ReceivedMetadata(()), peer=peer).attributes()
    assert (attributes["network.peer.address"], attributes["network.peer.port"]) == (str(address), port)


@given(st.lists(st.tuples(names, st.text(st.characters(min_codepoint=32, max_codepoint=126))), max_size=8))
def test_received_metadata_gives_all_values_in_order(pairs: list[tuple[str, str]]) -> None:
    carrier = ReceivedMetadata(tuple(pairs))
    for name in {name for name, _ in pairs} | {"absent"}:
        assert carrier.get(name.upper()) == [value for key, value in pairs if key == name]
        assert carrier.has_any((name,)) is (name in dict(pairs))
    assert sorted(carrier.keys()) == sorted({name for name, _ in pairs})


@given(st.binary(max_size=40))
def test_binary_metadata_loses_nothing(value: bytes) -> None:
    (text,) = ReceivedMetadata([("grpc-trace-bin", value)]).get("grpc-trace-bin")
    assert text.encode("latin-1") == value


def test_received_metadata_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="cannot be written"):
        ReceivedMetadata(None).set("a", "1")


@pytest.mark.parametrize(("remaining_s", "is_over"), [(None, False), (0.0, True), (0.01, True), (3.0, False)])
def test_who_is_gone_gave_up_or_ran_out_of_time(remaining_s: float | None, is_over: bool) -> None:
    outcome = given_up_outcome(remaining_s)
    assert outcome.cancelled is not is_over
    assert outcome.error_type == ("DEADLINE_EXCEEDED" if is_over else None)
