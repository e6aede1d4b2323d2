"""Own time: each instant has one span, the sum is the root's duration, and the owner is who answers for it."""

from __future__ import annotations

import pytest
from drawn import drawn

from clew_server.analysis.own_time import after_root_ns, own_ns, owners, self_ns
from clew_server.analysis.tree import tree_of
from clew_server.model.trace import trace_from_spans


def own(picture: str) -> dict[str, float]:
    drawing = drawn(picture)
    return drawing.columns(own_ns(drawing.tree))


def owner(picture: str) -> dict[str, str]:
    drawing = drawn(picture)
    return dict(zip(drawing.names, owners(drawing.tree), strict=True))


def test_in_code_that_waits_for_what_it_calls_own_time_is_self_time() -> None:
    assert own("""
        web:get        [-----------------]
          web:auth        [--]
          web:load             [-----]
            db:select            [-]
    """) == {"web:get": 9, "web:auth": 3, "web:load": 4, "db:select": 2}


def test_siblings_that_overlap_are_counted_once_and_the_last_to_start_wins_until_it_ends() -> None:
    # Self time, the duration less the union of the children, would be 6 + 6 + 4: more than there was.
    assert own("""
        web:get    [---------]
          a:one     [-----]
          b:two       [-----]
    """) == {"web:get": 2, "a:one": 2, "b:two": 6}
    assert own("""
        web:get    [---------]
          a:one     [-------]
          b:two       [--]
    """) == {"web:get": 2, "a:one": 5, "b:two": 3}


def test_of_spans_that_start_together_the_deeper_has_the_time() -> None:
    assert own("""
        web:get      [--------]
          web:load   [----]
            db:sel   [--]
          web:other  [-]
    """) == {"web:get": 4, "web:load": 2, "db:sel": 3}


def test_a_child_that_outlives_its_parent_keeps_its_time_to_the_end_of_the_root() -> None:
    assert own("""
        web:get      [--------]
          web:spawn   [-]
            job:run    [-----------]
    """) == {"web:get": 1, "web:spawn": 1, "job:run": 7}


def test_what_runs_after_the_root_is_reported_apart() -> None:
    drawing = drawn("""
        web:get      [-----]
          web:spawn    [-------]
            job:run        [--]
          job:late                  [--]
    """)
    assert drawing.columns(own_ns(drawing.tree)) == {"web:get": 2, "web:spawn": 4}
    assert drawing.columns(after_root_ns(drawing.tree)) == {"web:spawn": 1, "job:run": 3, "job:late": 3}


def test_a_child_that_starts_a_little_before_its_parent_does_not_lose_its_time_to_it() -> None:
    # By its own start the parent would be the last to start and have everything.
    assert own("""
        web:get      [---------]
          web:load       [---]
            db:sel      [--]
          web:first [--]
    """) == {"web:get": 4, "web:load": 2, "db:sel": 2, "web:first": 2}


def test_spans_without_length_and_spans_whose_start_is_not_known_have_no_own_time() -> None:
    assert own("""
        web:get      [---------]
          web:mark     |
          old:call      [-]          lost
            db:sel      [-]
    """) == {"web:get": 8, "db:sel": 2}
    assert own("web:get |") == {}


def test_each_root_has_its_own_sum() -> None:
    drawing = drawn("""
        web:get      [---------]
        job:run         [-----]        ^99
          db:sel          [-]
    """)
    tree = drawing.tree
    assert drawing.columns(own_ns(tree)) == {"web:get": 10}
    assert drawing.columns(own_ns(tree, drawing.row("job:run"))) == {"job:run": 4, "db:sel": 2}


def test_a_trace_without_spans_has_no_own_time() -> None:
    tree = tree_of(trace_from_spans([]))
    assert (own_ns(tree), after_root_ns(tree), list(owners(tree)), tree.root) == ([], [], [], -1)


def test_the_way_to_another_service_is_charged_to_that_service() -> None:
    assert owner("""
        web:get       S  [------------]
          web:call    C   [--------]     peer.service=somebody
            pay:post  S     [----]
          web:send    P            []
            job:take  K             [-]
    """) == {"web:get": "web", "web:call": "pay", "pay:post": "pay", "web:send": "job", "job:take": "job"}


def test_a_client_span_whose_only_child_is_in_its_own_service_is_charged_to_its_own_service() -> None:
    assert owner("""
        web:get       S  [------------]
          web:call    C   [--------]     peer.service=pay
            web:dns   I    []
    """) == {"web:get": "web", "web:call": "web", "web:dns": "web"}


def test_a_client_span_with_a_child_here_and_one_elsewhere_is_charged_elsewhere() -> None:
    assert (
        owner("""
        web:get       S  [------------]
          web:call    C   [--------]
            web:dns   I   []
            pay:post  S     [----]
    """)["web:call"]
        == "pay"
    )


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("peer.service=pay server.address=10.0.0.1 db.namespace=users", "pay"),
        ("db.namespace=users server.address=10.0.0.1", "10.0.0.1"),
        ("db.namespace=users", "users"),
        ("db.system.name=sqlite", "web"),
        ("peer.service=7", "7"),
        ("net.peer.name=pay db.name=users", "pay"),
        ("db.name=users", "users"),
        ("db.system.name=redis server.address=cache.internal", "cache.internal"),
        ("db.system.name=redis server.address=10.0.0.1", "redis 10.0.0.1"),
        ("db.system.name=redis server.address=127.0.0.1 db.namespace=0", "redis 127.0.0.1"),
        ("db.system=postgresql server.address=::1 db.namespace=users", "postgresql users"),
        ("db.system.name=postgresql server.address=localhost db.namespace=users", "postgresql users"),
        ("db.system.name=postgresql server.address=10.0.0.1 db.namespace=users", "postgresql 10.0.0.1"),
        ("server.address=127.0.0.1 db.namespace=users", "127.0.0.1"),
        ("db.system.name=sqlite db.namespace=/var/lib/shop/app.db", "sqlite app.db"),
        ("db.system.name=sqlite db.namespace=C:\\shop\\app.db", "sqlite app.db"),
        ("db.system.name=sqlite db.namespace=:memory:", "sqlite :memory:"),
        ("db.namespace=/var/lib/shop/app.db", "app.db"),
        ("db.namespace=/", "/"),
    ],
)
def test_a_client_span_without_a_child_is_charged_to_what_it_names(attributes: str, expected: str) -> None:
    picture = f"""
        web:get      [------]
          web:call C  [----]    {attributes}
    """
    assert owner(picture)["web:call"] == expected


def test_only_clients_and_producers_hand_their_time_on() -> None:
    assert owner("""
        web:get       S  [------------]
          web:inner   I   [--------]     peer.service=somebody
            pay:post  S     [----]
          web:send    P            []    peer.service=broker
    """) == {"web:get": "web", "web:inner": "web", "pay:post": "pay", "web:send": "web"}


def test_self_time_is_the_length_less_the_time_in_which_a_child_ran_each_instant_once() -> None:
    drawing = drawn("""
        web:get    [---------]
          a:one     [-----]
          b:two       [-----]
            c:out         [-------]
    """)
    assert drawing.columns(self_ns(drawing.tree)) == {"web:get": 2, "a:one": 6, "b:two": 4, "c:out": 8}


def test_self_time_is_that_of_aligned_clocks() -> None:
    drawing = drawn("""
        web:get     S [-------------]     @one
          a:own     I  [-]                @one
          b:call    C     [-------]       @one
            b:get   S      [-----]        @two -20
    """)
    assert drawing.tree.shift_ns
    assert drawing.columns(self_ns(drawing.tree)) == {"web:get": 4, "a:own": 2, "b:call": 2, "b:get": 6}
