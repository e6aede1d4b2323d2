"""The verdict on a trace: its word, its summary, and its findings in their order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from nested import MS, T0, Drawn, calls, of_root, row, stored, tree, usually, within

from clew_server.analysis.answers import Verdict
from clew_server.analysis.tree import tree_of
from clew_server.analysis.verdict import verdict
from clew_server.model.trace import CLIENT, CONSUMER, SERVER, trace_from_spans
from clew_server.model.usual import NOTHING, Operation, Usual

OLD = T0 + 3_600_000_000_000


def judged(*tops: Drawn, usual: Usual = NOTHING, now_unix_nano: int = OLD) -> Verdict:
    return verdict(tree(*tops), usual, now_unix_nano)


def texts(answer: Verdict) -> list[str]:
    return [finding.text for finding in answer.findings]


def slow() -> Drawn:
    return Drawn("GET /cart", 0, 100, calls("SELECT rates", row(9, 10), service="db"))


def test_a_slow_trace_names_the_calls_that_took_the_time_beside_what_is_usual() -> None:
    usual = replace(usually("SELECT rates", within(calls=3, p50_ms=10), service="db"), root=of_root())
    answer = judged(slow(), usual=usual)
    assert answer.word == "slow"
    assert answer.summary == (
        "Slow: GET /cart took 100 ms, 10 times the usual 10 ms. 90 % of it went to db · SELECT rates: "
        "9 equal calls in a row, usually 3."
    )
    assert [(share.owner, share.operation, share.share, share.usual_ns) for share in answer.shares] == [
        ("db", "SELECT rates", 0.9, 30 * MS),
        ("shop", "GET /cart", 0.1, None),
    ]
    assert sum(share.critical_ns for share in answer.shares) == 100 * MS


def test_without_samples_the_verdict_is_unknown_and_says_how_many_there_are() -> None:
    answer = judged(slow(), usual=Usual(root=of_root(count=12)))
    assert answer.word == "unknown"
    assert answer.summary == "No span failed. GET /cart took 100 ms; too few samples to say whether that is slow."
    assert answer.completeness.notes == [
        "Too few samples to say what is usual for GET /cart: 12 in the hour before and the same hour a day earlier, 30 are needed."
    ]
    assert judged(slow()).word == "unknown"


def test_a_usual_trace_has_nothing_else_to_say() -> None:
    answer = judged(Drawn("GET /cart", 0, 20), usual=Usual(root=of_root()))
    assert (answer.word, answer.summary) == ("usual", "No span failed. GET /cart took 20 ms, which is usual.")
    assert answer.findings == []
    assert answer.completeness.notes == []


def test_the_failure_comes_first_with_type_and_message_as_they_came() -> None:
    message = "no answer from 'bank':\n  deadline of 2 s passed"
    bank = Drawn("POST bank", 95, 100, failed=f"TimeoutError: {message}", kind=CLIENT)
    charge = Drawn(
        "POST /charge", 0, 110, [*calls("SELECT rates", row(9, 10), service="db"), bank], failed="bad gateway"
    )
    answer = judged(charge)
    assert answer.word == "failed"
    assert texts(answer)[0] == f"shop · POST bank failed: TimeoutError: {message}"
    assert answer.summary == (
        "Failed in shop · POST bank: TimeoutError: no answer from 'bank': deadline of 2 s passed. POST /charge took 110 ms."
    )
    assert answer.origin == [10]
    # Neither a repeated call nor anything else stands above what led to the failure.
    assert texts(answer)[1] == "Started late, 95 ms into POST /charge: 90 ms went to SELECT rates (9 calls)"
    assert answer.findings[1].certainty == "likely", "without samples nobody knows whether that is late"
    assert [finding.kind for finding in answer.findings].index("repeated_calls") == 2


def test_a_late_start_of_a_failure_is_told_once_with_its_usual_delay() -> None:
    bank = Drawn("POST bank", 95, 100, failed="TimeoutError: no answer")
    charge = Drawn("POST /charge", 0, 100, [*calls("SELECT rates", row(9, 10)), bank], failed="bad gateway")
    answer = judged(charge, usual=usually("POST bank", within(delay_ms=8)))
    late = [finding for finding in answer.findings if finding.kind == "late_start"]
    assert [finding.text for finding in late] == [
        "Started late, 95 ms into POST /charge (usually 8 ms): 90 ms went to SELECT rates (9 calls)"
    ]
    assert answer.findings.index(late[0]) == 1


def test_a_failure_that_is_no_time_out_is_nobodys_victim() -> None:
    save = Drawn("INSERT", 95, 97, failed="IntegrityError: duplicate key")
    answer = judged(Drawn("POST /save", 0, 97, [Drawn("SELECT", 0, 94), save], failed="bad"))
    assert [finding.kind for finding in answer.findings] == ["failure"]


def test_a_call_cut_off_by_its_parents_deadline_says_so() -> None:
    bank = Drawn("POST bank", 1880, 2010, failed="CancelledError: cancelled", kind=CLIENT)
    charge = Drawn(
        "POST /charge", 0, 2010, [Drawn("SELECT rates", 0, 1875), bank], failed="TimeoutError: 2 s", kind=SERVER
    )
    answer = judged(Drawn("POST /pay", 0, 2020, [charge], failed="bad gateway"))
    assert texts(answer)[:2] == [
        "shop · POST bank failed: CancelledError: cancelled (cut off after 130 ms, as POST /charge ended)",
        "Started late, 1.88 s into POST /charge: 1.88 s went to SELECT rates",
    ]


def test_a_late_wrapper_of_the_failed_call_is_found_within_the_service() -> None:
    bank = Drawn("POST bank", 1901, 2000, failed="TimeoutError: no answer", kind=CLIENT)
    charge = Drawn("charge", 1900, 2000, [bank], failed="TimeoutError: no answer")
    answer = judged(
        Drawn("POST /pay", 0, 2000, [Drawn("SELECT rates", 0, 1890), charge], failed="TimeoutError: no answer")
    )
    assert texts(answer)[1] == "Started late, 1.90 s into POST /pay: 1.89 s went to SELECT rates"
    assert list(answer.findings[1].rows[:2]) == [*answer.origin, 2], "the failure it explains comes first"


def test_a_call_that_was_sent_again_with_success_is_named_after_what_the_request_failed_by() -> None:
    attempts = [
        Drawn("POST pay", 0, 10, kind=CLIENT, failed="refused"),
        Drawn("POST pay", 20, 30, kind=CLIENT, attributes={"http.request.resend_count": 1}),
        Drawn("GET stock", 40, 50, kind=CLIENT, failed="no stock"),
    ]
    answer = judged(Drawn("POST /order", 0, 100, attempts, failed="no stock"))
    assert answer.summary.startswith("Failed in shop · GET stock: no stock.")
    assert answer.summary.endswith("1 failure on the way was handled.")
    assert texts(answer)[-1] == "shop · POST pay failed: refused; it was sent again and succeeded"


def test_a_handled_failure_is_named_and_is_not_the_verdict() -> None:
    attempts = [Drawn("POST bank", 0, 40, failed="refused"), Drawn("POST bank", 40, 100)]
    answer = judged(Drawn("POST /pay", 0, 100, attempts), usual=Usual(root=of_root(p50_ms=100, p95_ms=200)))
    assert (answer.word, answer.origin) == ("usual", [])
    assert answer.summary == (
        "Nothing failed for the caller; one failure was handled: shop · POST bank: refused. "
        "POST /pay took 100 ms, which is usual."
    )
    assert [finding.kind for finding in answer.findings] == ["retries", "handled_failure"]
    assert texts(answer)[1] == "shop · POST bank failed: refused; the request went on and succeeded"


def test_a_trace_that_failed_and_was_slow_says_both() -> None:
    answer = judged(Drawn("GET /cart", 0, 110, failed="KeyError: 'sku'"), usual=Usual(root=of_root()))
    assert answer.word == "failed"
    assert answer.summary == (
        "Failed in shop · GET /cart: KeyError: 'sku'. It was slow too: GET /cart took 110 ms, 11 times the usual 10 ms. "
        "100 % of it went to shop · GET /cart."
    )


def test_more_failures_than_one_are_counted() -> None:
    both = [Drawn("a", 0, 10, failed="one"), Drawn("b", 10, 20, failed="two")]
    answer = judged(Drawn("r", 0, 20, both, failed="both"))
    assert answer.summary.startswith("Failed in shop · a: one. 1 more failure began elsewhere.")
    assert [finding.text for finding in answer.findings if finding.kind == "failure"] == [
        "shop · a failed: one",
        "shop · b failed: two",
    ]


def test_a_long_message_is_whole_in_the_finding_and_short_in_the_summary() -> None:
    message = "x" * 9_000
    answer = judged(Drawn("r", 0, 20, failed=f"E: {message}"))
    assert texts(answer)[0] == f"shop · r failed: E: {message}"
    assert len(answer.summary) < 300


# --- what could not be seen


def test_missing_parents_are_counted_and_said_once() -> None:
    spans = stored(slow())[1:]
    tree = tree_of(trace_from_spans(spans))
    answer = verdict(tree, NOTHING, OLD)
    assert (answer.completeness.missing_parents, answer.completeness.roots) == (1, 9)
    [finding] = [finding for finding in answer.findings if finding.kind == "missing"]
    assert finding.text == (
        "1 parent span was not received (lost or sampled away): who called db · SELECT rates, and what else ran there, cannot be seen"
    )
    assert answer.completeness.notes[0] == (
        "The trace has 9 roots: time is told of the first, SELECT rates, failures of all."
    )
    assert not [note for note in answer.completeness.notes if "parent" in note]
    [young] = [finding for finding in verdict(tree, NOTHING, T0).findings if finding.kind == "missing"]
    assert "(lost, sampled away or still on the way)" in young.text


def test_a_trace_whose_spans_came_just_now_is_young() -> None:
    young = judged(slow(), now_unix_nano=T0 + 29_000_000_000).completeness
    assert young.young
    assert young.notes[0] == "The last spans came less than 30 s ago: more may follow."
    assert not judged(slow(), now_unix_nano=T0 + 30_000_000_000).completeness.young
    assert not [one for one in judged(slow(), now_unix_nano=T0).findings if one.kind == "missing"], (
        "that alone is no finding"
    )


def test_work_after_the_roots_end_is_told_apart() -> None:
    top = Drawn("r", 0, 20, [Drawn("send", 0, 10, [Drawn("handle", 15, 320, kind=CONSUMER)])])
    assert judged(top).completeness.notes[0] == (
        "1 span went on after r had ended, for up to 300 ms: nobody waited for that, and it is in no share. "
        "Most of it was shop · handle (300 ms)."
    )


def test_a_service_that_nearly_all_such_traces_have_is_missed() -> None:
    usual = Usual(within=dict(usually("GET /stock", within(traces=97), service="stock").within), sampled=100)
    [finding] = judged(Drawn("r", 0, 20), usual=usual).findings
    assert finding.text == (
        "No span came from stock, which 97 % of these traces have: it was not called, or its spans were sampled away or lost"
    )
    assert finding.certainty == "uncertain"
    assert judged(Drawn("r", 0, 20), usual=replace(usual, sampled=103)).findings == [], "94 % are not nearly all"


def test_what_the_store_could_not_say_is_told() -> None:
    notes = judged(Drawn("r", 0, 20), usual=Usual(missing="the store did not say what is usual")).completeness.notes
    assert notes == ["Comparing was not possible, or not with everything: the store did not say what is usual."]


@pytest.mark.parametrize("duration_ms", [0, 0.000001])
def test_a_request_without_length_has_an_answer(duration_ms: float) -> None:
    answer = judged(Drawn("r", 0, duration_ms, [Drawn("q", 0, 0, failed="no")]))
    assert all(0 <= finding.share <= 1 for finding in answer.findings)
    assert sum(section.end_ns - section.start_ns for section in answer.critical_path) == round(duration_ms * MS)


def test_very_long_names_do_not_fill_the_sentences() -> None:
    name = "SELECT " + "x" * 5_000
    answer = judged(Drawn(name, 0, 100, calls(name, row(9, 10)), failed="no", service="s" * 5_000))
    assert answer.shares[0].operation == name
    assert all(len(text) < 1_000 for text in [answer.summary, *texts(answer), *answer.completeness.notes])


def test_a_name_of_blanks_is_said_to_be_none() -> None:
    answer = judged(Drawn(" ", 0, 100, calls("  ", row(9, 10), service="db")))
    assert answer.findings[0].text == "9 equal calls in a row: (no name) under shop · (no name)"
    assert answer.summary == "No span failed. (no name) took 100 ms; too few samples to say whether that is slow."


def test_a_failed_call_says_what_it_called_and_that_the_request_itself_did_not_fail() -> None:
    served = Drawn("POST /flaky", 12, 18, service="pricing", kind=SERVER)
    call = Drawn("POST", 10, 20, [served], kind=CLIENT, failed="ReadTimeout: ")
    assert texts(judged(Drawn("POST /pay", 0, 100, [Drawn("step", 5, 50, [call], failed="no")], failed="HTTP 500")))[
        0
    ] == ("shop · POST failed: ReadTimeout (it called pricing · POST /flaky)")
    answer = judged(
        Drawn("POST /pay", 0, 100, [Drawn("POST", 10, 20, [replace(served, failed="HTTP 503")], failed="x")])
    )
    assert texts(answer)[0] == "pricing · POST /flaky failed: HTTP 503 (POST /pay itself did not fail)"


def test_a_call_that_gave_up_is_where_it_failed_and_the_later_failure_stands_beside_it() -> None:
    sql = Drawn("SELECT", 1900, 2000, failed="KeyError: 'shelf'", service="stock")
    stock = Drawn("GET /stock", 10, 2000, [sql], failed="KeyError: 'shelf'", kind=SERVER, service="stock")
    call = Drawn("GET", 5, 505, [stock], failed="ReadTimeout: ", kind=CLIENT)
    answer = judged(Drawn("GET /cart", 0, 510, [call], failed="bad gateway", kind=SERVER))
    assert answer.word == "failed"
    assert answer.summary.startswith(
        "Failed in shop · GET: ReadTimeout. It gave up after 500 ms on stock · GET /stock, which went on for another 1.50 s."
    )
    assert answer.summary.endswith("1 failure came too late for the caller.")
    assert texts(answer)[:2] == [
        "shop · GET failed: ReadTimeout (it gave up after 500 ms on stock · GET /stock, which went on for another 1.50 s)",
        "stock · SELECT failed later, 1.50 s after shop · GET had given up at 500 ms: KeyError: 'shelf'",
    ]
    assert [finding.kind for finding in answer.findings[:3]] == ["failure", "abandoned_failure", "timeout"]
    assert answer.findings[1].rows == [3, 1]


def test_what_fails_after_the_answer_is_said_and_is_not_the_verdict() -> None:
    later = Drawn("send mail", 50, 900, failed="OSError: no route")
    answer = judged(Drawn("POST /order", 0, 100, [later], kind=SERVER))
    assert (answer.word, answer.origin) == ("unknown", [])
    assert answer.summary.startswith(
        "Nothing failed for the caller; one failure came after it had its answer: shop · send mail: OSError: no route."
    )
    assert "shop · send mail failed later, 800 ms after shop · POST /order had ended: OSError: no route" in texts(
        answer
    )


def test_a_request_that_was_refused_is_not_said_to_have_succeeded() -> None:
    call = Drawn("GET user", 10, 50, kind=CLIENT, attributes={"http.response.status_code": 404})
    answer = judged(Drawn("GET /user", 0, 60, [call], kind=SERVER, attributes={"http.response.status_code": 404}))
    assert answer.summary.startswith(
        "The caller was answered with HTTP 404; one failure was handled: shop · GET user: HTTP 404."
    )
    assert texts(answer)[-1].endswith("; the request went on and was answered with HTTP 404")


def calling(*lengths_ms: float) -> Drawn:
    """A service that calls one service after another, each of which has its answer after 5 ms."""
    calls, at = [], 0.0
    for number, length_ms in enumerate(lengths_ms):
        name = f"s{number}"
        there = Drawn(f"GET /{name}", at + length_ms - 5, at + length_ms, service=name, kind=SERVER)
        calls.append(Drawn(f"GET {name}", at, at + length_ms, [there], kind=CLIENT))
        at += length_ms
    return Drawn("GET /", 0, at, calls, kind=SERVER)


def usual_calls(count: int) -> Usual:
    known = {Operation("shop", f"GET s{number}"): within(p50_ms=8, p95_ms=10) for number in range(count)}
    return Usual(root=of_root(p50_ms=20, p95_ms=30), within=known, sampled=100)


def test_the_way_to_most_of_the_services_that_were_slow_at_once_is_charged_to_the_caller() -> None:
    answer = judged(calling(100, 60, 8), usual=usual_calls(3))
    assert {(share.owner, share.operation) for share in answer.shares} >= {("shop", "GET s0"), ("shop", "GET s1")}
    assert "57 % of it went to shop · GET s0" in answer.summary
    assert "(2 of the 3 services it calls were slow at once)" in answer.summary


def test_the_way_to_one_service_that_was_slow_is_charged_to_that_service() -> None:
    for answer in (
        judged(calling(100, 8, 8), usual=usual_calls(3)),
        judged(calling(100, 60, 8, 8), usual=usual_calls(4)),
        judged(calling(100), usual=usual_calls(1)),
        judged(calling(100, 60), usual=usual_calls(1)),
    ):
        assert answer.shares[0].owner == "s0"
        assert "at once" not in answer.summary
