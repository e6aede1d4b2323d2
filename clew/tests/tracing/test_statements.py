"""SQL without its values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.tracing.statements import described, sanitized, summary


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
        ("select * from shop.users u join b on 1", "SELECT shop.users b"),
        ("/* from x */ SELECT 'from y' FROM \"Users\"", "SELECT Users"),
        ("SELECT * FROM songs s, artists AS a LEFT JOIN labels l ON l.id = s.id WHERE a.id IN (1, 2)", "SELECT songs artists labels"),
        ("SELECT a, b FROM t ORDER BY a, b", "SELECT t"),
        ("SELECT 1", "SELECT"),
        ("SELECT now()", "SELECT"),
        ("SELECT * FROM generate_series(1, 3) g, t", "SELECT t"),
        ("SELECT EXTRACT(year FROM born), SUBSTRING(name FROM 1 FOR 2) FROM people", "SELECT people"),
        ("SELECT a IS DISTINCT FROM b FROM t", "SELECT t"),
        ("SELECT * FROM (SELECT a FROM inside WHERE x = 1) AS z JOIN outside USING (a)", "SELECT SELECT inside outside"),
        ("SELECT a FROM t UNION ALL SELECT a FROM u", "SELECT t SELECT u"),
        ("SELECT replace(a, 'x', 'y') FROM t FOR UPDATE", "SELECT t"),
        ("INSERT INTO t VALUES (1)", "INSERT t"),
        ("INSERT INTO t (a, b) SELECT a, b FROM u", "INSERT t SELECT u"),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = excluded.a", "INSERT t"),
        ("INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = 2", "INSERT t"),
        ("REPLACE INTO t VALUES (1)", "REPLACE t"),
        ("update only public.t set a = 1", "UPDATE public.t"),
        ("UPDATE t SET a = u.a FROM u WHERE u.id = t.id", "UPDATE t"),
        ("DELETE FROM t", "DELETE t"),
        ("MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN UPDATE SET a = 1", "MERGE t u"),
        ("WITH a AS (SELECT 1 FROM x), b AS (SELECT 2) DELETE FROM c", "SELECT x SELECT DELETE c"),
        ("WITH x AS (SELECT * FROM t) SELECT * FROM x", "SELECT t SELECT"),
        ("WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n FROM up, t) SELECT * FROM Up JOIN u", "SELECT SELECT t SELECT u"),
        ("EXPLAIN ANALYZE SELECT * FROM t", "SELECT t"),
        ("create table if not exists t (a int, b text)", "CREATE TABLE t"),
        ("CREATE TABLE t AS SELECT * FROM u", "CREATE TABLE t SELECT u"),
        ("CREATE OR REPLACE TEMP VIEW v AS SELECT * FROM u", "CREATE VIEW v SELECT u"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i"),
        ("DROP TABLE IF EXISTS t", "DROP TABLE t"),
        ("TRUNCATE t", "TRUNCATE t"),
        ("TRUNCATE TABLE t", "TRUNCATE TABLE t"),
        ("CALL refresh(1, 2)", "CALL refresh"),
        ("BEGIN", "BEGIN"),
        ("PRAGMA user_version = 3", "PRAGMA"),
        ("SET search_path = 'x'", "SET"),
        ("SELECT a FROM t; DELETE FROM u", "SELECT t DELETE u"),
        ("", ""),
        ("-- nothing", ""),
        ("((", ""),
    ],
)  # fmt: skip
def test_a_summary_names_verbs_and_tables_in_their_order(statement: str, wanted: str) -> None:
    assert summary(statement) == wanted


def test_a_summary_is_cut_between_words() -> None:
    text = summary("SELECT * FROM " + ", ".join(f"table_{number:03}" for number in range(100)))
    assert len(text) <= 255
    assert text.startswith("SELECT table_000 table_001 ")
    assert all(len(word) in (6, 9) for word in text.split())


@given(st.text(max_size=60))
def test_no_value_shows_in_a_summary(value: str) -> None:
    quoted = value.replace("'", "''")
    assert summary(f"SELECT a FROM t WHERE b = '{quoted}' AND c = 1") == "SELECT t"


def test_a_statement_is_described_whole() -> None:
    assert described("SELECT a FROM t WHERE b = 'x'") == ("SELECT t", "SELECT a FROM t WHERE b = ?")


@pytest.mark.parametrize("piece", ["'", "(", "/*", "$a", "- ", "1e", "a.", "\\'", '"', "(?,"])
def test_no_statement_takes_long(piece: str) -> None:
    # Quadratic, these would take minutes; pytest's own timeout is the judge.
    for system in ("postgresql", "mysql"):
        sanitized(piece * 200_000, system)
        summary(piece * 200_000, system)
