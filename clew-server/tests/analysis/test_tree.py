"""Clocks are aligned for the computation where a server span lies outside its client, by the median of the two hosts."""

from __future__ import annotations

from drawn import MS, Drawing, drawn

from clew_server.analysis.critical_path import critical_path
from clew_server.analysis.tree import resolution_ns


def shifts(drawing: Drawing) -> dict[str, float]:
    return {shift.host: shift.shift_ns / drawing.column_ns for shift in drawing.tree.shifts}


def starts(drawing: Drawing) -> dict[str, float]:
    return {name: drawing.column(start) for name, start in zip(drawing.names, drawing.tree.start_ns, strict=True)}


def test_a_server_outside_its_client_is_moved_into_its_middle_with_all_of_its_host() -> None:
    drawing = drawn("""
        web:get       S  [------------]       @a
          web:call    C    [--------]         @a
            pay:post  S      [----]           @b  -20
              pay:do  I       [-]             @b  -20
    """)
    assert shifts(drawing) == {"b": 20}
    assert starts(drawing) == {"web:get": 0, "web:call": 2, "pay:post": 4, "pay:do": 5}
    assert drawing.by_name(drawing.tree.shift_ns) == {"pay:post": 20, "pay:do": 20}
    assert drawing.path(critical_path(drawing.tree).sections) == (
        "web:get 0-2, web:call 2-4, pay:post 4-5, pay:do 5-7, pay:post 7-9, web:call 9-11, web:get 11-13"
    )


def test_the_trace_itself_keeps_its_times() -> None:
    drawing = drawn("""
        web:get       C  [------------]       @a
          pay:post    S      [----]           @b  +20
    """)
    assert drawing.tree.trace.start_ns[1] == 24 * drawing.column_ns
    assert drawing.tree.start_ns[1] < 14 * drawing.column_ns


def test_of_many_calls_the_median_is_used_also_of_those_that_lie_inside() -> None:
    drawing = drawn("""
        web:get       S  [--------------------------------------------------]   @a
          web:one     C    [--------]                                           @a
            pay:one   S      [----]                                             @b  -3
          web:two     C               [----]                                    @a
            pay:two   S                [--]                                     @b  -3
          web:three   C                       [---------------------]           @a
            pay:three S                                 [--------]              @b  -3
    """)
    # What would centre them: 3, 2.5 and -1 columns.
    assert shifts(drawing) == {"b": 3}


def test_one_late_answer_among_calls_that_fit_moves_nothing() -> None:
    drawing = drawn("""
        web:get       S  [----------------------------------------]   @a
          web:one     C   [------]                                    @a
            pay:one   S    [----]                                     @b
          web:two     C            [------]                           @a
            pay:two   S             [----]                            @b
          web:three   C                      [-----]                  @a
            pay:three S                         [-----]               @b
    """)
    assert shifts(drawing) == {}


def test_a_server_that_goes_on_after_its_client_gave_up_is_no_skew() -> None:
    assert (
        shifts(
            drawn("""
        web:get       C  [---------]            @a
          pay:post    S    [-----------]        @b
    """)
        )
        == {}
    )


def test_a_server_a_hundredth_longer_than_its_client_is_still_evidence() -> None:
    client, longer = "[" + "-" * 199 + "]", "[" + "-" * 201 + "]"
    picture = """
        web:get       C  {client}    @a
          pay:post    S  {server}    @b  -30
    """
    assert shifts(drawn(picture.format(client=client, server=longer))) == {"b": 29}
    assert shifts(drawn(picture.format(client=client, server="[" + "-" * 202 + "]"))) == {}


def test_on_one_host_nothing_is_moved() -> None:
    assert (
        shifts(
            drawn("""
        web:get       C  [---------]          @a
          pay:post    S        [-------]      @a
    """)
        )
        == {}
    )


def test_a_service_that_names_no_host_is_a_host_of_its_own() -> None:
    assert shifts(
        drawn("""
        web:get       C  [---------]
          pay:post    S    [-----]      -40
    """)
    ) == {"pay": 40}


def test_consumers_and_inner_spans_outside_their_parent_are_no_skew() -> None:
    assert (
        shifts(
            drawn("""
        web:get       S  [---------]                  @a
          web:send    P    []                         @a
            job:take  K                  [----]       @b
          pay:inner   I           [-----]             @c
    """)
        )
        == {}
    )


def test_a_difference_within_the_noise_of_clocks_moves_nothing_and_a_call_apart_always_does() -> None:
    late = """
        web:get       C  [---------]      @a
          pay:post    S      [------]     @b
    """
    assert shifts(drawn(late, column_ns=MS)) == {}
    assert shifts(drawn(late, column_ns=MS + 2)) == {"b": -2.5}
    apart = """
        web:get       C  [---------]                @a
          pay:post    S               [------]      @b
    """
    assert shifts(drawn(apart, column_ns=1_000)) == {"b": -11.5}


def test_a_shift_is_carried_from_host_to_host() -> None:
    drawing = drawn("""
        web:get       S  [------------------------------]   @a
          web:call    C   [---------------------------]     @a
            pay:post  S     [-----------------------]       @b  -50
              pay:c   C       [-------------------]         @b  -50
                log:s S         [---------------]           @c  -50
                  l:c C           [-----------]             @c  -50
                    d:s S           [-------]               @d  +10
          web:inner   I   [----]                            @a
            x:inner   S    [--]                             @e
    """)
    # c's clock agrees with b's, so it moves with it; d is off from c; e lies inside a.
    assert shifts(drawing) == {"b": 50, "c": 50, "d": -10}


def test_a_host_is_aligned_by_the_calls_it_makes_as_well_as_by_those_it_gets() -> None:
    drawing = drawn("""
        web:get        S  [------------------------------]   @a
          mid:inner    I   [---------------------------]     @b  -50
            mid:call   C     [-----------------------]       @b  -50
              web:back S       [-------------------]         @a
    """)
    assert shifts(drawing) == {"b": 50}


def test_what_lay_inside_a_host_that_moves_moves_with_it_and_a_consumer_elsewhere_does_not() -> None:
    drawing = drawn("""
        web:get        S  [------------------------------]          @a
          web:call     C   [---------------------------]            @a
            pay:post   S     [-----------------------]              @b  -50
              side:car I       [--------------]                     @c  -50
              pay:send P         []                                 @b  -50
                job:do K             [----]                         @d
    """)
    assert shifts(drawing) == {"b": 50, "c": 50}


def test_spans_whose_start_is_not_known_say_nothing_and_stay() -> None:
    drawing = drawn("""
        web:get        C  [----------]     @a
          pay:post     S    [------]       @b  lost
        web:other      C  [----------]     @a
          pay:more     S    [------]       @b  -50
          pay:lost     S    [------]       @b  lost
    """)
    assert shifts(drawing) == {"b": 50}
    assert drawing.by_name(drawing.tree.shift_ns) == {"pay:more": 50}


def test_the_tick_of_the_clocks_is_a_millisecond_or_a_microsecond_where_all_times_are_multiples_of_it() -> None:
    picture = """
        web:get        [----------]
          web:load       [-]
    """
    for column_ns, tick in ((3 * MS, MS), (10 * MS, MS), (1_000, 1_000), (500_000, 1_000), (999, 1), (1_001, 1)):
        assert resolution_ns(drawn(picture, column_ns=column_ns).tree.trace) == tick
