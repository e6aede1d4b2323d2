"""Whatever bytes come as a digest log, the decoder says yes, or no in its own words. `make fuzz` takes longer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew_server.errors import BadInput
from clew_server.receivers.contract import Head
from clew_server.receivers.sofatracer.decoder import decode
from clew_server.receivers.sofatracer.fields import KNOWN
from clew_server.receivers.sofatracer.records import records, whole_bytes
from clew_server.testing.sofatracer import COMPACT, HTTP_SERVER, as_json, common, compact

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))  # importlib mode adds no path

from batches import broken, check_foreign

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "60"))
long = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
LOGS = sorted((Path(__file__).parent / "golden/sofatracer").glob("*/*-digest.log"))

_files = st.sampled_from(("", "biz-digest.log", *COMPACT))
_texts = st.text(max_size=30) | st.sampled_from(
    (",", '"', '","method":"', "{", "[1]", "}\n", "\r\n", "%2C", "a=1,2&", "5ms")
)
_values = _texts | st.integers(-(2**70), 2**70)
_pairs = st.lists(
    st.tuples(st.sampled_from(sorted(KNOWN)) | st.from_regex(r"[a-z.]{1,9}", fullmatch=True), _values), max_size=8
)
_rpc_ids = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,12}){0,4}", fullmatch=True)
_kinds = st.sampled_from(("server", "client", "producer", "consumer", "", "x"))


def check(body: bytes, file: str = "") -> int:
    """How many spans there were, the rejected ones included; 0 where the bytes are refused."""
    try:
        batch = decode(body, Head(path=file))
    except BadInput:
        return 0
    return check_foreign(batch)


@long
@given(st.binary(max_size=300), _files)
def test_any_bytes_are_taken_or_refused(body: bytes, file: str) -> None:
    check(body, file)


@long
@given(_pairs, _pairs, _files)
def test_any_fields_in_json_are_taken_or_refused(
    first: list[tuple[str, str | int]], more: list[tuple[str, str | int]], file: str
) -> None:
    check(as_json([*common(), *first], more), file)
    check(as_json([("time", "2026-11-28 20:43:27.132"), *first], more), file)


@long
@given(_rpc_ids, _kinds, st.lists(_texts, max_size=14), _texts, _files)
def test_any_columns_are_a_span(rpc_id: str, kind: str, columns: list[str], baggage: str, file: str) -> None:
    clean = [column.replace("\n", " ") for column in columns]
    line = compact(common(rpc_id, kind), clean, biz_baggage=baggage.replace("\n", " "))
    assert check(line, file) == 1


@long
@given(st.data(), st.sampled_from(LOGS))
def test_flipped_cut_or_doubled_bytes_of_a_real_log_are_taken_or_refused(data: st.DataObject, log: Path) -> None:
    check(broken(data, log.read_bytes()), log.name)


@long
@given(
    st.binary(max_size=200) | st.sampled_from([log.read_bytes() for log in LOGS]), st.booleans(), st.integers(0, 400)
)
def test_bytes_cut_where_records_end_are_the_same_records(body: bytes, crlf: bool, cut: int) -> None:
    end = whole_bytes(body[:cut], crlf=crlf)
    assert 0 <= end <= len(body[:cut])
    assert end == 0 or body[end - 1 : end] == b"\n"
    assert sum(map(len, records(body))) <= len(body)


def test_a_good_line_among_bad_ones_is_always_taken() -> None:
    good = as_json(common(), HTTP_SERVER)
    assert check(b"2026-11-28 20:43:27.132,x\r\n" + good) == 2
