"""Where a trace failed: roles, the order of causes, and what is said about each."""

from __future__ import annotations

import pytest
from drawn import MS, Drawing, drawn, spans_of
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.analysis.failure import causes, failures, group_key, masked, reason
from clew_server.model.trace import trace_from_spans


def roles(drawing: Drawing) -> dict[str, str]:
    return {drawing.names[failure.row]: failure.role for failure in failures(drawing.tree)}


def cause_names(drawing: Drawing) -> list[str]:
    return [drawing.names[row] for row in causes(failures(drawing.tree))]


def test_the_origin_has_no_failed_descendant_even_where_the_spans_between_are_not_marked() -> None:
    # By "no failed child" web:get would be an origin too.
    drawing = drawn("""
        web:get       S  [------------]   !
          web:call    C    [--------]
            pay:post  S      [----]
              pay:db  C       [-]         !boom
          web:other   C              []
    """)
    assert roles(drawing) == {
        "pay:db": "origin",
        "web:get": "propagated",
        "pay:post": "absorbed",
        "web:call": "absorbed",
    }
    assert cause_names(drawing) == ["pay:db"]


def test_of_several_origins_the_earliest_to_end_is_first_then_the_deepest() -> None:
    drawing = drawn("""
        web:get       S  [------------]   !
          a:late      C    [--------]     !
          b:early     C    [---]          !
          web:in      I   [----]
            c:deep    C    [---]          !
    """)
    assert cause_names(drawing) == ["c:deep", "b:early", "a:late"]


def test_a_retry_that_succeeded_and_a_fallback_are_handled_and_never_the_cause() -> None:
    drawing = drawn("""
        web:get       S  [------------]
          web:first   C    [--]            !refused
          web:again   C        [--]
    """)
    assert roles(drawing) == {"web:first": "handled", "web:get": "absorbed"}
    assert cause_names(drawing) == []


def test_a_handled_failure_under_a_failed_root_is_an_origin() -> None:
    assert (
        roles(
            drawn("""
        web:get       S  [------------]    !
          web:in      I    [------]
            web:call  C     [--]           !refused
    """)
        )["web:call"]
        == "origin"
    )


def test_a_call_that_was_sent_again_with_success_is_not_the_cause_of_what_failed_later() -> None:
    drawing = drawn("""
        web:get        S  [----------------]    !no_stock
          web:pay      C   [-]                  !refused  url.full=http://pay/1
            pay:post   S    |                   !busy
          web:pay'     C      [-]                         url.full=http://pay/1  http.request.resend_count=1
          web:stock    C          [--]          !no_stock
    """)
    found = sorted((drawing.names[failure.row], failure.role) for failure in failures(drawing.tree))
    assert found == [
        ("pay:post", "handled"),
        ("web:get", "propagated"),
        ("web:pay", "propagated"),
        ("web:stock", "origin"),
    ]


def test_above_a_call_that_was_sent_again_with_success_the_span_that_failed_itself_is_the_cause() -> None:
    drawing = drawn("""
        web:get        S  [----------------]    !ValueError:no_such_user
          web:pay      C   [-]                  !refused
          web:pay'     C      [-]               !refused  http.request.resend_count=1
          web:pay''    C         [-]                      http.request.resend_count=2
    """)
    assert cause_names(drawing) == ["web:get"]
    assert [failure.role for failure in failures(drawing.tree)] == ["origin", "handled", "handled"]


@pytest.mark.parametrize(
    "again",
    [
        "[-]          url.full=http://pay/1",
        "[-]          url.full=http://pay/2  http.request.resend_count=1",
        "[-] !refused url.full=http://pay/1  http.request.resend_count=1",
    ],
    ids=["an equal name alone", "to another address", "failed again"],
)
def test_a_call_that_was_not_sent_again_with_success_stays_a_cause(again: str) -> None:
    drawing = drawn(f"""
        web:get        S  [----------------]    !
          web:pay      C   [-]                  !refused  url.full=http://pay/1
          web:pay'     C       {again}
    """)
    assert "web:pay" in cause_names(drawing)


def test_only_as_many_calls_before_it_count_as_the_one_that_succeeded_says() -> None:
    drawing = drawn("""
        web:get        S  [----------------]    !
          web:pay      C   |                    !first
          web:pay'     C     |                  !second
          web:pay''    C       |                          http.request.resend_count=1
    """)
    assert [failure.message for failure in failures(drawing.tree) if failure.role == "handled"] == ["second"]


def test_a_failure_that_reached_a_span_on_the_way_up_is_an_origin_though_the_root_succeeded() -> None:
    drawing = drawn("""
        web:get       S  [------------]
          web:in      I    [------]        !
            web:mid   I     [----]
              web:sql C     [--]           !locked
          web:first   C             []     !refused
    """)
    assert roles(drawing) == {
        "web:sql": "origin",
        "web:in": "propagated",
        "web:first": "handled",
        "web:mid": "absorbed",
        "web:get": "absorbed",
    }


@pytest.mark.parametrize(
    ("root", "role"),
    [
        ("http.response.status_code=200", "handled"),
        ("http.response.status_code=404", "origin"),
        ("rpc.grpc.status_code=0", "handled"),
        ("", "origin"),
    ],
)
def test_a_failure_that_reached_a_span_on_the_way_up_was_handled_if_the_root_says_that_it_succeeded(
    root: str, role: str
) -> None:
    drawing = drawn(f"""
        web:get       S  [------------]              {root}
          web:in      I    [------]        !
            web:sql   C     [--]           !locked
    """)
    assert roles(drawing) == {"web:sql": role, "web:in": "propagated", "web:get": "absorbed"}


@pytest.mark.parametrize(
    ("root", "role"),
    [("http.response.status_code=200", "handled"), ("http.response.status_code=302", "handled"), ("", "origin")],
)
def test_a_call_that_failed_was_handled_with_all_that_led_to_it_where_the_root_says_that_it_succeeded(
    root: str, role: str
) -> None:
    # A fallback: the caller saw the callee's error and went on. A root that says nothing may not be marked.
    drawing = drawn(f"""
        web:get         S  [------------]        {root}
          web:pay       C    [----]              !HTTP_500
            pay:post    S     [--]               !
              pay:sql   C      [-]               !locked
          web:pay'      C          [--]
    """)
    found = {(drawing.names[failure.row], failure.role) for failure in failures(drawing.tree)}
    assert found == {
        ("pay:sql", role), ("pay:post", "propagated"), ("web:pay", "propagated"), ("web:get", "absorbed"),
    }  # fmt: skip


def test_a_failure_that_ended_after_its_caller_had_given_up_is_not_the_cause() -> None:
    drawing = drawn("""
        web:get         S  [------]                  !bad_gateway
          web:call      C   [----]                   !ReadTimeout:no_answer
            slow:get    S    [--------------]        !KeyError:x
              slow:sql  C                  [-]       !locked
    """)
    assert roles(drawing) == {
        "web:call": "origin",
        "web:get": "propagated",
        "slow:get": "propagated",
        "slow:sql": "abandoned",
    }
    late = next(failure for failure in failures(drawing.tree) if failure.role == "abandoned")
    assert drawing.names[late.because] == "web:call"
    assert cause_names(drawing) == ["web:call"]


@pytest.mark.parametrize(
    ("caller", "role"),
    [
        ("!ReadTimeout:no_answer", "abandoned"),
        ("! rpc.grpc.status_code=4", "abandoned"),
        ("! rpc.grpc.status_code=1", "abandoned"),
        ("!CancelledError:", "abandoned"),
        ("!connection_reset", "abandoned"),
        # These came as an answer: it failed because of the callee, whenever that ended its span.
        ("! http.response.status_code=500", "origin"),
        ("! http.response.status_code=504", "origin"),
        ("! rpc.grpc.status_code=13", "origin"),
    ],
)
def test_a_caller_gave_up_unless_it_had_an_answer(caller: str, role: str) -> None:
    drawing = drawn(f"""
        web:get         S  [------]                  !
          web:call      C   [----]                   {caller}
            slow:get    S    [--------------]        !KeyError:x
    """)
    assert roles(drawing)["slow:get"] == role


@pytest.mark.parametrize(
    ("caller", "role"), [("!timed_out", "abandoned"), ("!connection_reset", "origin")], ids=["gave up", "ended"]
)
def test_a_service_may_end_its_span_a_little_after_its_failure_reached_the_caller(caller: str, role: str) -> None:
    drawing = drawn(
        f"""
        web:get         S  [------------------------]     !
          web:call      C   [---------------------]       {caller}
            pay:post    S    [----------------------]     !KeyError:x
    """,
        column_ns=5 * MS,
    )
    assert roles(drawing)["pay:post"] == role


def test_within_the_noise_of_clocks_a_failure_is_not_late() -> None:
    drawing = drawn(
        """
        web:get         S  [------]            !
          web:call      C   [----]             !timed_out
            slow:get    S    [-----]           !KeyError:x
    """,
        column_ns=MS // 2,
    )
    assert cause_names(drawing) == ["slow:get"]


def test_a_call_that_was_cancelled_because_its_caller_gave_up_is_not_the_cause() -> None:
    drawing = drawn("""
        web:get         S  [------]            !
          web:call      C   [----]             !  rpc.grpc.status_code=4
            slow:get    S    [---]             !CancelledError:
              slow:sql  C     [--]             !CancelledError:
    """)
    assert roles(drawing)["slow:sql"] == "abandoned"
    assert cause_names(drawing) == ["web:call"]


def test_a_server_that_failed_by_the_deadline_of_its_caller_is_not_the_cause() -> None:
    # gRPC's server says the same as the client whose deadline it was.
    drawing = drawn("""
        web:get         S  [------]            !
          web:call      C   [----]             !Deadline_Exceeded  rpc.grpc.status_code=4
            slow:get    S    [---]             !Deadline_Exceeded
    """)
    assert roles(drawing)["slow:get"] == "abandoned"
    assert cause_names(drawing) == ["web:call"]


def test_a_deadline_that_a_callee_set_for_its_own_call_is_where_it_failed() -> None:
    drawing = drawn("""
        web:get          S  [------]            !
          web:call       C   [----]             !  rpc.grpc.status_code=4
            slow:get     S    [---]             !  rpc.grpc.status_code=4
              slow:call  C     [--]             !  rpc.grpc.status_code=4
    """)
    assert cause_names(drawing) == ["slow:call"]


def test_within_one_service_the_call_that_was_cancelled_is_where_it_failed() -> None:
    drawing = drawn("""
        web:get         S  [------]            !TimeoutError:
          web:call      C   [-----]            !CancelledError:
    """)
    assert cause_names(drawing) == ["web:call"]


def test_a_cancelled_call_that_is_not_marked_leaves_its_service_as_the_place() -> None:
    # asyncio's cancellation marks no span with many instrumentations.
    drawing = drawn("""
        web:get         S  [------]                  !TimeoutError:
          web:call      C   [-----]
            slow:get    S    [--------------]        !KeyError:x
    """)
    assert cause_names(drawing) == ["web:get"]
    assert roles(drawing)["slow:get"] == "abandoned"


def test_what_failed_early_in_a_callee_that_answered_too_late_did_not_reach_the_caller() -> None:
    drawing = drawn("""
        web:get         S  [------]                  !
          web:call      C   [----]                   !timed_out
            slow:get    S    [--------------]
              slow:one  C     [-]                    !refused
              slow:one' C                  [-]
    """)
    assert roles(drawing)["slow:one"] == "handled"
    assert cause_names(drawing) == ["web:call"]
    drawing = drawn("""
        web:get         S  [------]                  !
          web:call      C   [----]                   !timed_out
            slow:get    S    [--------------]        !gone
              slow:one  C     [-]                    !refused
    """)
    assert roles(drawing)["slow:one"] == "abandoned"
    assert cause_names(drawing) == ["web:call"]


def test_a_clock_that_is_behind_does_not_make_a_late_failure_the_cause() -> None:
    # The server ran longer than its client, so it ended after it, whatever its clock says.
    drawing = drawn("""
        web:get         S  [------]                  !          @a
          web:call      C   [----]                   !timed_out @a
            slow:get    S    [--------------]        !KeyError: @b  -30
    """)
    assert cause_names(drawing) == ["web:call"]


def test_a_clock_that_is_ahead_does_not_make_a_cause_late() -> None:
    drawing = drawn("""
        web:get         S  [------------]            !          @a
          web:call      C   [---------]              !timed_out @a
            slow:get    S    [-----]                 !KeyError: @b  +30
    """)
    assert cause_names(drawing) == ["slow:get"]


@pytest.mark.parametrize("kinds", ["   ", "III"])
def test_where_no_call_tells_how_far_clocks_are_off_a_callee_that_fits_in_is_not_too_late(kinds: str) -> None:
    one, two, three = kinds
    drawing = drawn(f"""
        web:get         {one} [---------------]         !
          web:call      {two}   [-----]                 !
            pay:post    {three}     [--]        +9      !
              pay:db    {three}     [-]         +9      !boom
    """)
    assert roles(drawing) == {
        "pay:db": "origin",
        "pay:post": "propagated",
        "web:call": "propagated",
        "web:get": "propagated",
    }
    # Longer than its caller it went on after it, by any clock; so it did by the same clock, and after a caller that gave up.
    for callee, host, message in (("[---------]", "", ""), ("[--]", "@web", ""), ("[--]", "", "timed_out")):
        drawing = drawn(f"""
            web:get         {one} [-------------------]         !
              web:call      {two}   [-----]                     !{message}
                pay:post    {three}     {callee:11}  +9 {host} !boom
        """)
        assert roles(drawing) == {"pay:post": "abandoned", "web:call": "origin", "web:get": "propagated"}, callee


def test_what_a_consumer_fails_at_later_is_a_cause_of_its_own() -> None:
    drawing = drawn("""
        web:get        S  [----------]               !no_stock
          web:send     P    []
            job:run    K      [-----------------]    !ValueError:no_such_user
    """)
    assert roles(drawing) == {"web:get": "origin", "job:run": "origin", "web:send": "absorbed"}
    assert cause_names(drawing) == ["web:get", "job:run"]


def test_a_consumer_that_failed_before_its_caller_is_the_cause() -> None:
    # A call over messages: the caller waits for the answer.
    drawing = drawn("""
        web:get        S  [----------]               !no_answer
          web:send     P    []
            job:run    K      [---]                  !ValueError:no_such_user
    """)
    assert cause_names(drawing) == ["job:run"]


def test_what_failed_after_a_root_that_succeeded_had_ended_is_neither_handled_nor_the_cause() -> None:
    drawing = drawn("""
        web:get        S  [-----]
          web:later    I    [-----------]            !ValueError:no_such_user
    """)
    assert roles(drawing) == {"web:later": "abandoned", "web:get": "absorbed"}


def test_a_root_that_failed_itself_is_an_origin() -> None:
    assert roles(drawn("web:get S [---] !")) == {"web:get": "origin"}


def test_without_a_root_to_be_seen_nothing_counts_as_handled() -> None:
    assert roles(
        drawn("""
        pay:post      S  [------------]    ^99
          pay:sql     C    [--]            !locked
    """)
    ) == {"pay:sql": "origin", "pay:post": "absorbed"}


def test_what_fails_in_a_consumer_is_not_handled_by_its_producer_but_may_be_by_the_consumer() -> None:
    drawing = drawn("""
        web:get        S  [----------]
          web:send     P    []
            job:run    K      [------]     !ValueError:no_such_user
          web:more     P    []
            job:other  K      [------]
              job:try  C       [-]         !refused
    """)
    assert roles(drawing) == {
        "job:run": "origin",
        "job:try": "handled",
        "web:send": "absorbed",
        "web:more": "absorbed",
        "job:other": "absorbed",
        "web:get": "absorbed",
    }


def test_the_order_of_causes_uses_aligned_clocks() -> None:
    drawing = drawn("""
        web:get       S  [------------------]   !   @a
          web:one     C   [----]                    @a
            pay:one   S    [--]                 !   @b   +30
          web:two     C            [--]         !   @a
    """)
    assert cause_names(drawing) == ["pay:one", "web:two"]


def test_a_span_whose_start_is_not_known_is_not_the_first_cause() -> None:
    # Its arrival stands for its end, a whole second, which may well be before all others.
    drawing = drawn(
        """
        web:get       S  [------------------]   !
          web:one     C   [----]                !   lost
          web:two     C            [--]         !
    """,
        column_ns=10**9,
    )
    assert drawing.tree.end_ns[drawing.row("web:one")] < drawing.tree.end_ns[drawing.row("web:two")]
    assert cause_names(drawing) == ["web:two", "web:one"]


@pytest.mark.parametrize(
    ("kind", "marks", "expected"),
    [
        ("I", "!ValueError:no_such_user", ("ValueError", "no such user")),
        ("I", "!ValueError:", ("ValueError", "")),
        ("I", "!the_disk_is_full", ("", "the disk is full")),
        ("S", "http.response.status_code=503", ("", "HTTP 503")),
        ("C", "http.response.status_code=404 error.type=404", ("", "HTTP 404")),
        ("C", "rpc.grpc.status_code=14", ("", "gRPC UNAVAILABLE")),
        ("S", "! http.response.status_code=500", ("", "HTTP 500")),
        ("S", "!no_money http.response.status_code=500", ("", "no money")),
        ("C", "! error.type=TimeoutError", ("TimeoutError", "")),
        ("C", "!gave_up error.type=TimeoutError", ("TimeoutError", "gave up")),
        ("I", "!", ("", "")),
    ],
)
def test_the_reason_is_the_exception_else_the_status_else_the_code(
    kind: str, marks: str, expected: tuple[str, str]
) -> None:
    drawing = drawn(f"web:get {kind} [---] {marks}")
    assert reason(drawing.tree.trace, 0) == expected
    (failure,) = failures(drawing.tree)
    assert (failure.type, failure.message) == expected


def test_of_several_exceptions_the_last_one_is_the_reason() -> None:
    (stored,) = spans_of("web:get I [---] !OSError:first")
    span = Span.FromString(stored.span)
    again = span.events.add(name="exception")
    again.CopyFrom(span.events[0])
    again.attributes[1].value.string_value = "second"
    span.events.add(name="retrying")
    assert reason(trace_from_spans([stored._replace(span=span.SerializeToString())]), 0) == ("OSError", "second")


def test_a_trace_without_failures_has_none() -> None:
    assert failures(drawn("web:get [---] http.response.status_code=404").tree) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user 17 not found", "user 4711 not found"),
        ("took 1.5 s, limit 1,000", "took 20 s, limit 2"),
        ("no key 'a b' here", "no key 'c' here"),
        ('no key "a" here', 'no key "it\'s" here'),
        ("request 550e8400-e29b-41d4-a716-446655440000 failed", "request 6BA7B810-9DAD-11D1-80B4-00C04FD430C8 failed"),
        ("at 0x7f3a1c", "at 0xDEADBEEF"),
        ("commit deadbeef1 is gone", "commit 0123456789abcdef is gone"),
        ("session s_9aKq3LmPqRsTuVwX ended", "session s_1bTr7ZzYyXxWwVvU ended"),
        ("10.0.0.1:5432 refused", "192.168.178.20:80 refused"),
        ("b'abc' is no utf-8", "b'' is no utf-8"),
    ],
)
def test_failures_that_differ_in_numbers_ids_quotes_and_hexadecimal_parts_are_one_group(one: str, other: str) -> None:
    assert group_key("web", "GET /", "E", one) == group_key("web", "GET /", "E", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("can't open the user's file", "can't read the user's file"),
        ("bad face", "bad cafe"),
        ("connection refused", "connection reset"),
    ],
)
def test_failures_that_differ_in_words_are_two_groups(one: str, other: str) -> None:
    assert group_key("web", "GET /", "E", one) != group_key("web", "GET /", "E", other)


def test_service_operation_and_type_make_groups_too() -> None:
    keys = {
        group_key("web", "a", "E", "m"),
        group_key("web", "a", "F", "m"),
        group_key("web", "b", "E", "m"),
        group_key("db", "a", "E", "m"),
    }
    assert len(keys) == 4


def test_masking_takes_time_by_the_length_of_what_it_reads_and_reads_the_beginning_only() -> None:
    for hostile in ("'" * 100_000, "a" * 100_000, "0" * 100_000, "a_" * 50_000 + "!", '"x' * 50_000):
        assert len(masked(hostile)) <= 1_000
