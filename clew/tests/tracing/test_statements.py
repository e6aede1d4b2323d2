"""SQL without its values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.tracing.statements import Summary, sanitized, summary


@pytest.mark.parametrize(
    ("statement", "system", "wanted"),
    [
        ("SELECT * FROM users WHERE id = 42 AND name='O''Brien'", "postgresql", "SELECT * FROM users WHERE id = ? AND name=?"),
        ("SELECT a -- who\nFROM t /* why 42 */ WHERE x IN (1, 2,3)", "sqlite", "SELECT a FROM t WHERE x IN (?)"),
        ("INSERT INTO t(a, b) VALUES (1, 'x'), (2, 'y')", "sqlite", "INSERT INTO t(a, b) VALUES (?)"),
        ("SELECT $1, $tag$ secret $tag$, $$a$$, E'it\\'s', :name, %s, %(x)s, ?1", "postgresql", "SELECT $1, ?, ?, ?, :name, %s, %(x)s, ?1"),
        ('SELECT "secret", \'it\\\'s\' FROM `db`.`t1` # 42', "mysql", "SELECT ?, ? FROM `db`.`t1`"),
        ('SELECT "Id2" FROM t1', "postgresql", 'SELECT "Id2" FROM t1'),
        ("SELECT 'C:\\', 'secret'", "postgresql", "SELECT ?, ?"),
        ("UPDATE t SET a = 'never ending", "sqlite", "UPDATE t SET a = ?"),
        ("SELECT -1.5e3, 0xFF, x'00ff', col_1, t2.c3, 1", "sqlite", "SELECT ?, ?, ?, col_1, t2.c3, ?"),
        ("SELECT a FROM t WHERE b BETWEEN 1 AND 2 LIMIT 10", "sqlite", "SELECT a FROM t WHERE b BETWEEN ? AND ? LIMIT ?"),
        ("", "sqlite", ""),
    ],
)  # fmt: skip
def test_each_value_is_a_question_mark_and_nothing_else_is(statement: str, system: str, wanted: str) -> None:
    assert sanitized(statement, system) == wanted


def test_a_long_statement_is_cut_without_a_value_in_it() -> None:
    text = sanitized("SELECT " + "a, " * 5_000 + "'secret'")
    assert len(text) == 2_048
    assert text.endswith("…")
    assert "secret" not in sanitized("SELECT '" + "secret" * 5_000 + "'", max_characters=100)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    st.sampled_from(["postgresql", "sqlite", "mysql"]),
)
def test_whatever_a_quoted_value_is_it_does_not_show(value: str, system: str) -> None:
    quoted = value.replace("'", "''")
    if system == "mysql":
        quoted = quoted.replace("\\", "\\\\")
    assert (
        sanitized(f"SELECT a FROM t WHERE b = '{quoted}' AND c = 1", system) == "SELECT a FROM t WHERE b = ? AND c = ?"
    )


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("select * from shop.users u join b on 1", ("SELECT", "shop.users")),
        ("/* from x */ SELECT 'from y' FROM \"Users\"", ("SELECT", "Users")),
        ("INSERT INTO t VALUES (1)", ("INSERT", "t")),
        ("update only public.t set a = 1", ("UPDATE", "public.t")),
        ("DELETE FROM t", ("DELETE", "t")),
        ("WITH a AS (SELECT 1 FROM x), b AS (SELECT 2) DELETE FROM c", ("DELETE", "c")),
        ("create table if not exists t (a int)", ("CREATE", "t")),
        ("BEGIN", ("BEGIN", None)),
        ("PRAGMA user_version = 3", ("PRAGMA", None)),
        ("", (None, None)),
    ],
)
def test_a_statement_does_something_to_a_table(statement: str, wanted: tuple[str | None, str | None]) -> None:
    assert summary(statement) == Summary(*wanted)


@pytest.mark.parametrize("piece", ["'", "(", "/*", "$a", "- ", "1e", "a.", "\\'", '"', "(?,"])
def test_no_statement_takes_long(piece: str) -> None:
    # Quadratic, these would take minutes; pytest's own timeout is the judge.
    for system in ("postgresql", "mysql"):
        sanitized(piece * 200_000, system)
        summary(piece * 200_000, system)
