"""The messages of Jaeger's api_v3: those of the file, with the bytes that clients made from Jaeger's own proto send and read."""

from __future__ import annotations

import re

from clew_server.api.jaeger.messages import message, text


def test_every_message_and_field_of_the_file_is_there() -> None:
    declared = re.findall(r"^message (\w+) \{(.*?)\}", text(), re.MULTILINE | re.DOTALL)
    assert len(declared) == 15
    for name, body in declared:
        fields = {field.name: field.number for field in message(name).DESCRIPTOR.fields}
        assert fields == {key: int(number) for key, number in re.findall(r" (\w+) = (\d+);", body)}
        assert len(fields) == body.count(";")


def test_a_search_has_the_bytes_of_jaegers_clients() -> None:
    """Written out by hand from the field numbers: service a, operation b, tag k=v, from 1 s to 2 s and 5 ns, 3 ns long, 7 traces."""
    query = (
        b"\x0a\x01a" b"\x12\x01b" b"\x1a\x06\x0a\x01k\x12\x01v" b"\x22\x02\x08\x01" b"\x2a\x04\x08\x02\x10\x05" b"\x32\x02\x10\x03" b"\x40\x07"
    )  # fmt: skip
    read = message("FindTracesRequest").FromString(b"\x0a" + bytes((len(query),)) + query).query
    assert (read.service_name, read.operation_name, dict(read.attributes)) == ("a", "b", {"k": "v"})
    assert (read.start_time_min.ToNanoseconds(), read.start_time_max.ToNanoseconds()) == (10**9, 2 * 10**9 + 5)
    assert (read.duration_min.ToNanoseconds(), read.search_depth, read.HasField("duration_max")) == (3, 7, False)


def test_a_class_stays_the_same_while_others_are_made_and_garbage_is_collected() -> None:
    import gc

    first = message("TraceSummary")(trace_id="t")
    for name in ("GetTraceRequest", "Dependency", "Operation"):
        message(name)
        gc.collect()
    assert message("TraceSummary").FromString(first.SerializeToString()).trace_id == "t"
