"""Each pattern on a drawn trace: what it says with and without usual values, and that it is silent where its rule does not hold."""

from __future__ import annotations

from typing import Any

from drawn import drawn
from nested import MS, T0, Drawn, calls, evidence, row, usually, within

from clew_server.analysis import patterns
from clew_server.analysis.answers import Finding
from clew_server.analysis.evidence import Evidence
from clew_server.analysis.patterns.statements import masked
from clew_server.model.trace import CLIENT, CONSUMER, PRODUCER, SERVER
from clew_server.model.usual import NOTHING, Usual


def found(top: Drawn, usual: Usual = NOTHING, kind: str | None = None) -> list[Finding]:
    findings = patterns.find(evidence(top, usual))
    return [finding for finding in findings if kind is None or finding.kind == kind]


def kinds(top: Drawn, usual: Usual = NOTHING) -> list[str]:
    return [finding.kind for finding in found(top, usual)]


# --- repeated calls


def test_equal_calls_in_a_row_are_named_with_their_usual_number() -> None:
    top = Drawn("GET /cart", 0, 100, calls("SELECT rates", row(8, 10)))
    [finding] = found(top, usually("SELECT rates", within(calls=3, p50_ms=10, p95_ms=20)), "repeated_calls")
    assert finding.text == "8 equal calls in a row, usually 3: SELECT rates under shop · GET /cart"
    assert finding.share == 0.8
    assert finding.certainty == "certain"
    assert finding.numbers == {"calls": 8, "total_ns": 80 * MS, "critical_ns": 80 * MS, "usual_calls": 3}
    assert list(finding.rows) == list(range(1, 9))


def test_without_samples_equal_calls_are_not_compared() -> None:
    top = Drawn("GET /cart", 0, 100, calls("SELECT rates", row(8, 10)))
    [finding] = found(top, kind="repeated_calls")
    assert finding.text == "8 equal calls in a row: SELECT rates under shop · GET /cart"
    assert "usual_calls" not in finding.numbers
    few = usually("SELECT rates", within(calls=3, traces=29))
    assert "usually" not in found(top, Usual(within=few.within, sampled=29), "repeated_calls")[0].text
    assert "usually none" in found(top, few, "repeated_calls")[0].text, "100 traces were looked at, 29 have it"


def test_four_calls_and_calls_at_once_are_not_repeated_calls() -> None:
    assert "repeated_calls" not in kinds(Drawn("r", 0, 100, calls("q", row(4, 20))))
    assert "repeated_calls" not in kinds(Drawn("r", 0, 100, calls("q", [(0, 90)] * 8)))
    half = [(0.0, 50.0)] * 4 + row(4, 10, start=50)
    assert "repeated_calls" not in kinds(Drawn("r", 0, 100, calls("q", half))), "half is not more than half"
    assert "repeated_calls" in kinds(Drawn("r", 0, 100, calls("q", [(0.0, 50.0)] * 3 + row(4, 10, start=50))))


def test_equal_calls_that_take_less_than_a_tenth_are_not_worth_a_sentence() -> None:
    assert kinds(Drawn("r", 0, 1000, [Drawn("work", 0, 901), *calls("q", row(9, 10, start=905))])) == []


def test_calls_of_one_name_with_other_statements_are_other_calls() -> None:
    statements = ["SELECT a FROM t WHERE id = 17", "SELECT b FROM t WHERE id = 4"]
    queries = [
        Drawn("SELECT t", start, end, attributes={"db.query.text": statements[n % 2]})
        for n, (start, end) in enumerate(row(8, 10))
    ]
    assert "repeated_calls" not in kinds(Drawn("r", 0, 100, queries))
    for n, query in enumerate(queries):
        query.attributes = {"db.query.text": f"SELECT a FROM t WHERE id = {n} AND name = 'it''s {n}'"}
    assert "repeated_calls" in kinds(Drawn("r", 0, 100, queries))


def test_a_masked_statement_has_a_mark_for_every_value_and_keeps_its_names() -> None:
    assert (
        masked("SELECT  c1 FROM t2\nWHERE id IN (1, 2, 3) AND x = -1.5e3")
        == "SELECT c1 FROM t2 WHERE id IN (?) AND x = ?"
    )
    assert masked("SELECT c FROM t WHERE id IN (1)") == masked("SELECT c FROM t WHERE id IN (7, 8)")
    assert masked("INSERT INTO t VALUES (1, 'a'), (2, 'b''c')") == "INSERT INTO t VALUES (?)"
    assert masked("SELECT $1, :2, %s, 0xff") == "SELECT ?, ?, ?, ?"


# --- sequential calls


def sequential(*names: str, pause: float = 0, length: float = 20, **given: Any) -> Drawn:
    steps = [
        Drawn(f"GET {name}", start, end, kind=CLIENT, attributes={"server.address": name}, **given)
        for name, (start, end) in zip(names, row(len(names), length, pause=pause), strict=True)
    ]
    return Drawn("GET /page", 0, steps[-1].end + 2, steps)


def test_calls_to_different_targets_one_after_another_could_run_at_once() -> None:
    [finding] = found(sequential("cart", "stock", "price"))
    assert finding.kind == "sequential_calls"
    assert finding.text == (
        "3 calls one after another under shop · GET /page, to cart, stock and price: "
        "at once they would take 40 ms less, if none needs the answer of another"
    )
    assert finding.numbers["saving_ns"] == 40 * MS
    assert round(finding.share, 3) == round(60 / 62, 3)


def test_calls_with_pauses_or_to_one_target_or_that_overlap_are_no_sequence() -> None:
    assert kinds(sequential("cart", "stock", "price", pause=1.5)) == []
    assert kinds(sequential("cart", "stock", "cart")) == []
    assert kinds(sequential("cart", "stock")) == []
    overlapping = sequential("cart", "stock", "price")
    overlapping.below[1].start -= 5
    assert "sequential_calls" not in kinds(overlapping)


def test_a_call_that_follows_from_another_could_not_run_at_once() -> None:
    linked = sequential("cart", "stock", "price")
    linked.below[2].links = ["GET cart"]
    assert kinds(linked) == []


# --- retries


def test_what_failed_after_its_caller_had_given_up_is_no_time_out() -> None:
    late = Drawn("GET /slow", 10, 2010, kind=SERVER, service="stock", failed="KeyError: x")
    call = Drawn("GET", 0, 500, [late], kind=CLIENT, failed="ReadTimeout: ")
    [finding] = found(Drawn("GET /", 0, 3000, [call], kind=SERVER), kind="timeout")
    assert finding.rows[0] == 1


def test_a_retry_is_told_with_its_attempts_and_the_time_between() -> None:
    attempts = [
        Drawn("POST bank", 10, 20, kind=CLIENT, failed="refused"),
        Drawn("POST bank", 30, 40, kind=CLIENT, failed="refused"),
        Drawn("POST bank", 60, 90, kind=CLIENT),
    ]
    [finding] = found(Drawn("POST /pay", 0, 100, attempts), kind="retries")
    assert finding.text == (
        "3 attempts at shop · POST bank, the last one succeeded: 2 retries, 80 ms, 30 ms of it waiting in between"
    )
    assert finding.share == 0.8
    assert finding.numbers == {"attempts": 3, "failed": 2, "total_ns": 80 * MS, "back_off_ns": 30 * MS}
    attempts[-1].failed = "refused"
    [finding] = found(Drawn("POST /pay", 0, 100, attempts), kind="retries")
    assert "all failed" in finding.text


def test_a_call_after_a_success_or_of_something_else_is_no_retry() -> None:
    good = [Drawn("POST bank", 0, 40), Drawn("POST bank", 40, 90, failed="refused")]
    assert "retries" not in kinds(Drawn("r", 0, 100, good))
    other = [
        Drawn("SELECT t", 0, 40, failed="locked", attributes={"db.query.text": "SELECT 1"}),
        Drawn("SELECT t", 40, 90, attributes={"db.query.text": "SELECT 2"}),
    ]
    assert "retries" not in kinds(Drawn("r", 0, 100, other))
    at_once = [Drawn("POST bank", 0, 40, failed="refused"), Drawn("POST bank", 10, 90)]
    assert "retries" not in kinds(Drawn("r", 0, 100, at_once))


def flaky(pause_ms: float, **attributes: Any) -> Drawn:
    attempts = [
        Drawn(
            "GET",
            start,
            start + 10,
            kind=CLIENT,
            failed="busy" if number < 2 else "",
            attributes={
                "url.full": f"http://bank/flaky/{number}",
                **attributes,
            },
        )
        for number, start in enumerate((0.0, 10 + pause_ms, 20 + 2 * pause_ms))
    ]
    return Drawn("GET /pay", 0, 30 + 2 * pause_ms, attempts)


def test_calls_to_different_addresses_are_likely_to_be_attempts_where_the_caller_waited() -> None:
    [finding] = found(flaky(100), kind="retries")
    assert (finding.certainty, finding.numbers["attempts"], finding.numbers["back_off_ns"]) == ("likely", 3, 200 * MS)
    assert finding.text.startswith(
        "3 attempts at shop · GET, at different addresses, the last one succeeded: 2 retries"
    )
    assert "gap" not in kinds(flaky(100)), "the time between attempts is not work"
    assert "retries" not in kinds(flaky(1)), "one after another they are several calls"
    assert "retries" not in kinds(flaky(100, **{"http.response.status_code": 404})), (
        "nobody asks again for what is not there"
    )


# --- gap


def gapped(gap_ms: float) -> Drawn:
    return Drawn("r", 0, 40 + gap_ms, [Drawn("read", 0, 20), Drawn("write", 20 + gap_ms, 40 + gap_ms)])


def test_time_without_a_child_is_a_gap_with_the_spans_around_it() -> None:
    [finding] = found(gapped(60))
    assert finding.kind == "gap"
    assert (
        finding.text == "60 ms in shop · r without a child span, between read and write: work there is not instrumented"
    )
    assert (finding.share, finding.certainty) == (0.6, "likely")
    assert list(finding.rows) == [0, 1, 2]


def test_a_gap_between_a_call_that_failed_and_another_may_be_waiting() -> None:
    calls = [Drawn("GET one", 0, 20, kind=CLIENT, failed="busy"), Drawn("GET two", 80, 100, kind=CLIENT)]
    [finding] = found(Drawn("r", 0, 100, calls), kind="gap")
    assert finding.text.endswith(
        "between GET one and GET two: waiting after the failure, or work that is not instrumented"
    )


def test_a_gap_that_is_short_or_usual_is_not_told() -> None:
    assert kinds(gapped(4.4)) == [], "a tenth of the root, and not 5 ms"
    assert kinds(Drawn("r", 0, 1000, [Drawn("read", 0, 950)])) == [], "5 ms, and not a tenth of the root"
    assert kinds(gapped(60), usually("r", within(p50_ms=90, p95_ms=110))) == []
    [finding] = found(gapped(60), usually("r", within(p50_ms=40, p95_ms=50)), "gap")
    assert finding.certainty == "certain"


def test_a_span_without_children_has_no_gap() -> None:
    assert kinds(Drawn("r", 0, 100)) == []
    assert kinds(Drawn("r", 0, 100, [Drawn("leaf", 0, 100)])) == []


def test_time_between_a_call_and_its_server_is_told_as_such() -> None:
    call = Drawn("POST bank", 0, 100, [Drawn("POST /charge", 60, 100, service="bank", kind=SERVER)], kind=CLIENT)
    [finding] = found(Drawn("r", 0, 100, [call]))
    assert (
        finding.text
        == "60 ms of shop · POST bank were spent outside bank, before it began: network, or waiting to be accepted"
    )


def test_a_sender_does_not_wait_for_its_message_to_be_handled() -> None:
    handled = Drawn("handle", 60, 100, service="worker", kind=CONSUMER)
    send = Drawn("send", 0, 50, [Drawn("LPUSH", 40, 50, kind=CLIENT), handled], kind=PRODUCER)
    [finding] = found(Drawn("r", 0, 52, [send]), kind="gap")
    assert finding.text == (
        "40 ms in shop · send without a child span, before LPUSH: connecting, or handing the message over"
    )


def test_a_gap_in_which_consumers_below_ran_may_have_been_waiting_for_them() -> None:
    resize = Drawn("resize", 50, 90, service="worker", kind=CONSUMER)
    more = Drawn("send", 40, 45, [resize], service="worker", kind=PRODUCER)
    fetch = Drawn("fetch", 15, 48, [more], service="worker", kind=CONSUMER)
    [finding] = found(Drawn("r", 0, 100, [Drawn("send", 0, 10, [fetch], kind=PRODUCER)]), kind="gap")
    assert finding.text == (
        "90 ms in shop · r without a child span, after send: "
        "meanwhile worker · resize (40 ms) and worker · fetch (33 ms) ran, for which it may have waited"
    )
    assert finding.certainty == "likely"
    assert [evidence(Drawn("r", 0, 100)).root, *finding.rows[2:]] == [0, 4, 2]
    fetch.end, more.below = 20, []
    [finding] = found(Drawn("r", 0, 100, [Drawn("send", 0, 10, [fetch], kind=PRODUCER)]), kind="gap")
    assert finding.text.endswith("after send: work there is not instrumented"), "they ran for less than half of it"


# --- late start


def late() -> Drawn:
    return Drawn("POST /charge", 0, 200, [*calls("SELECT rates", row(18, 10)), Drawn("POST bank", 182, 200)])


def test_a_late_start_says_what_took_the_time_before() -> None:
    [finding] = found(late(), usually("POST bank", within(delay_ms=8)), "late_start")
    assert finding.text == (
        "shop · POST bank started late, 182 ms into POST /charge (usually 8 ms): 180 ms went to SELECT rates (18 calls)"
    )
    assert finding.share == 0.91
    assert finding.rows[0] == 19


def test_a_failed_span_that_started_late_is_the_one_that_is_told() -> None:
    top = late()
    top.below[-1].failed = "deadline"
    [finding] = found(top, usually("POST bank", within(delay_ms=8)), "late_start")
    assert finding.text.startswith("Started late, 182 ms into POST /charge (usually 8 ms): 180 ms went to SELECT rates")


def test_without_samples_or_at_a_usual_moment_no_start_is_late() -> None:
    assert "late_start" not in kinds(late())
    assert "late_start" not in kinds(late(), usually("POST bank", within(delay_ms=170)))
    early = Drawn("POST /charge", 0, 200, [Drawn("SELECT rates", 0, 90), Drawn("POST bank", 99, 200)])
    assert "late_start" not in kinds(early, usually("POST bank", within(delay_ms=8)))


# --- queue wait


def queued(wait: float, **given: Any) -> Drawn:
    publish = Drawn("publish", 10, 20, kind=PRODUCER)
    publish.below = [Drawn("handle", 20 + wait, 30 + wait, kind=CONSUMER, service="worker", **given)]
    return Drawn("r", 0, 100, [publish])


def test_the_wait_between_producer_and_consumer_is_told() -> None:
    [finding] = found(queued(50), kind="queue_wait")
    assert finding.text == "The message for worker · handle, sent by shop · publish, waited 50 ms to be handled"
    assert (finding.share, finding.numbers["wait_ns"]) == (0.5, 50 * MS)
    assert "queue_wait" not in kinds(queued(9))
    assert "queue_wait" not in kinds(queued(50), usually("handle", within(delay_ms=60), service="worker"))


def test_a_consumer_that_links_to_its_producer_waited_as_well() -> None:
    top = Drawn("r", 0, 100, [Drawn("publish", 0, 10, kind=PRODUCER)])
    top.below.append(Drawn("handle", 60, 70, kind=CONSUMER, links=["publish"]))
    [finding] = found(top, kind="queue_wait")
    assert finding.numbers["wait_ns"] == 50 * MS


def test_a_message_whose_handling_has_no_known_start_did_not_wait() -> None:
    # Its arrival stands for its start: that is seconds later, and says nothing.
    tree = drawn("""
        web:get      S  [---------]
          web:send   P  []
            job:run  K      [----]      lost
    """).tree
    assert [one.kind for one in patterns.find(Evidence(tree, NOTHING))] == ["gap"]


def test_waits_that_attributes_say_are_told() -> None:
    enqueued_s = (T0 + 10 * MS) / 1e9
    handled = Drawn(
        "handle", 60, 70, kind=CONSUMER, attributes={"messaging.servicebus.message.enqueued_time": enqueued_s}
    )
    [finding] = found(Drawn("r", 0, 100, [handled]), kind="queue_wait")
    assert abs(finding.numbers["wait_ns"] - 50 * MS) < MS
    pooled = Drawn("SELECT t", 0, 90, kind=CLIENT, attributes={"db.client.connection.wait_time": 0.08})
    [finding] = found(Drawn("r", 0, 100, [pooled]), kind="queue_wait")
    assert finding.text == "shop · SELECT t waited 80 ms for a connection of the pool"


# --- time-out


def test_a_failure_after_a_round_time_is_a_time_out() -> None:
    call = Drawn("GET stock", 0, 2010, kind=CLIENT, failed="no answer")
    call.below = [Drawn("GET /stock", 5, 5000, service="stock", kind=SERVER)]
    [finding] = found(Drawn("r", 0, 2012, [call], failed="no answer"), kind="timeout")
    assert finding.text == (
        "shop · GET stock failed after 2.01 s: probably a time-out of 2 s; stock · GET /stock went on for another 2.99 s"
    )
    assert finding.certainty == "likely"
    call.failed = "TimeoutError: deadline passed"
    [finding] = found(Drawn("r", 0, 2012, [call], failed="no answer"), kind="timeout")
    assert finding.certainty == "certain"
    assert "the time-out of 2 s" in finding.text


def test_a_success_after_a_round_time_and_a_failure_after_another_are_no_time_out() -> None:
    assert "timeout" not in kinds(Drawn("r", 0, 2000, [Drawn("call", 0, 2000)]))
    assert "timeout" not in kinds(Drawn("r", 0, 2000, [Drawn("call", 0, 1700, failed="no")]))


# --- slow call


def test_a_call_of_three_times_its_usual_p95_is_slow() -> None:
    top = Drawn("r", 0, 100, [Drawn("SELECT t", 0, 60)])
    [finding] = found(top, usually("SELECT t", within(p50_ms=10, p95_ms=20)), "slow_call")
    assert finding.text == (
        "shop · SELECT t took 60 ms by itself, usually 10 ms (19 of 20 within 20 ms): 3.0 times as long as that"
    )
    assert finding.share == 0.6
    assert "slow_call" not in kinds(top, usually("SELECT t", within(p50_ms=10, p95_ms=21)))
    assert "slow_call" not in kinds(top, usually("SELECT t", within(p50_ms=10, p95_ms=20, spans=29)))
    assert "slow_call" not in kinds(top)


# --- fan-out


def test_one_of_several_calls_at_once_that_takes_twice_the_median_is_waited_for() -> None:
    top = Drawn("r", 0, 100, calls("GET shard", [(0, 20), (0, 30), (1, 30), (2, 90)]))
    [finding] = found(top, kind="fan_out_straggler")
    assert finding.text == (
        "4 calls at once of shop · GET shard under shop · r waited for one: it took 88 ms, half of them 29.5 ms or less"
    )
    assert finding.rows[0] == 4
    assert finding.numbers["alone_ns"] == 60 * MS


def test_even_calls_and_three_calls_have_no_straggler() -> None:
    assert "fan_out_straggler" not in kinds(Drawn("r", 0, 100, calls("q", [(0, 50), (0, 50), (0, 50), (0, 90)])))
    assert "fan_out_straggler" not in kinds(Drawn("r", 0, 100, calls("q", [(0, 20), (0, 20), (0, 90)])))
    one_by_one = [*row(3, 10), (30.0, 90.0)]
    assert "fan_out_straggler" not in kinds(Drawn("r", 0, 100, calls("q", one_by_one)))


def test_an_ordinary_request_has_nothing_to_say() -> None:
    top = Drawn("GET /cart", 0, 100, [Drawn("auth", 0, 20), Drawn("SELECT cart", 20, 70), Drawn("render", 70, 100)])
    assert found(top) == []
