"""Macros used in schema files and queries, and their expansion to ClickHouse SQL. No I/O.

A word with parentheses takes arguments. In the names: `r` one raw AnyValue (the protobuf bytes of OTLP's
`AnyValue`: the first byte tells its type), `v` an array of them, `k` an array of keys.
"""

from __future__ import annotations

import re
from typing import Final

from clew_server.store.failing import OUTCOME

# Integers are varints: the eight bytes after the type are read at once and their 7-bit groups pushed together.
# One pass over the array instead of fourteen terms a value: the views' analysis costs a third.
_GROUPS_OF_7: Final = (0x007F007F007F007F, 0x7F007F007F007F00, 1)
_GROUPS_OF_14: Final = (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2)
_GROUPS_OF_28: Final = (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4)


def _joined(below: str, masks: tuple[int, int, int]) -> str:
    low, high, shift = masks
    return f"arrayMap(x->bitOr(bitAnd(x,{low}),bitShiftRight(bitAnd(x,{high}),{shift})),{below})"


STARTED: Final = "STARTED"
"""Traces with a row in the window from `from_ns` to before `to_ns`, as a condition on rows: the row with the start of a trace is one of its rows."""

_QUANTILES: Final = "(0.5,0.9,0.95,0.99)"

MACROS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "DT": ((), "DateTime('UTC')"),
    "DT9": ((), "DateTime64(9,'UTC')"),
    "LC": ((), "LowCardinality(String)"),
    "SAF": ((), "SimpleAggregateFunction"),
    "Z": ((), "ZSTD(1)"),
    "KV": ((), "Array(Tuple(key String, value String))"),
    "MAPT": ((), "Map(LowCardinality(String),String)"),
    "P": ((), "PARTITION BY toDate(received,'UTC')"),
    # However many parts are broken, the table is opened: they are put aside and told, and the rest is answered.
    "W": (
        (),
        "fsync_after_insert=1, fsync_part_directory=1,"
        " max_suspicious_broken_parts=1000000, max_suspicious_broken_parts_bytes=1000000000000000",
    ),
    "PROOFS": ((), "SimpleAggregateFunction(groupUniqArrayArray,Array(UInt64))"),
    # A segment's number in one row of what a view gives to its table (schema step 7).
    "FIRST_ROW": (("p",), "if(rowNumberInAllBlocks()=0,p,0)"),
    "FIRST_ROWS": (("p",), "if(rowNumberInAllBlocks()=0,[p],[])"),
    "QT": ((), f"quantilesTDigest{_QUANTILES}"),
    "QTState": ((), f"quantilesTDigestState{_QUANTILES}"),
    "QTMergeState": ((), f"quantilesTDigestMergeState{_QUANTILES}"),
    STARTED: (
        (),
        "trace_id IN (SELECT trace_id FROM traces WHERE start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64}))",
    ),
    # What is listed of a trace, over its rows in `traces`: also names that conditions on whole traces have.
    "LISTED": (
        (),
        "lower(hex(trace_id)), toUnixTimestamp64Nano(min(traces.start) AS s),"
        " greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d, sum(spans) AS n, sum(errors) AS e,"
        " arraySort(groupUniqArrayArray(services)) AS of_services, (min(first) AS f).1, f.3, f.4",
    ),
    "STR": (("r",), "substring(r, multiIf(length(r)<130,3, length(r)<16387,4, length(r)<2097156,5, 6))"),
    "W0": (("v",), "arrayMap(w->reinterpretAsUInt64(substring(w,2,8)),v)"),
    "W1": (("v",), _joined("W0(v)", _GROUPS_OF_7)),
    "W2": (("v",), _joined("W1(v)", _GROUPS_OF_14)),
    "WORDS": (("v",), _joined("W2(v)", _GROUPS_OF_28)),
    "HIGH": (  # bytes 9 and 10 of a varint
        ("r",),
        "bitOr(bitShiftLeft(bitAnd(reinterpretAsUInt64(substring(r,10,1)),127),56),"
        " bitShiftLeft(reinterpretAsUInt64(substring(r,11,1)),63))",
    ),
    # One rule for every value: strings as they are, numbers and booleans as OTLP's JSON writes them, bytes, lists and lists of
    # keys (their protobuf) in base64, which is valid text whatever they hold. Taking lists apart here costs every flush as
    # much again as all the rest of the statement.
    "TEXTS": (
        ("v",),
        r"arrayMap((w,x)->multiIf(startsWith(w,'\x0a'),STR(w), startsWith(w,'\x18'),toString(reinterpretAsInt64(bitOr(x,HIGH(w)))),"
        r" startsWith(w,'\x21'),toString(reinterpretAsFloat64(substring(w,2,8))),"
        r" startsWith(w,'\x10'),if(w='\x10\x01','true','false'), base64Encode(if(startsWith(w,'\x0a'),'',STR(w)))), v, WORDS(v))",
    ),
    "SVC": (("k", "v"), "arrayElement(TEXTS(arrayFilter((w,n)->n='service.name',v,k)),1)"),
    "MAP": (("k", "v"), "CAST((k,TEXTS(v)),'Map(LowCardinality(String),String)')"),
    # A map of each list of attributes: with one use for all of a row's lists, the text of values is analysed once a view.
    "MAPS": (("lists",), "arrayMap(a->MAP(a.key,a.value),lists)"),
    "KEYS_OF_EACH": (("maps",), "arrayDistinct(arrayFlatten(arrayMap(m->mapKeys(m),maps)))"),
    # Of a thirty-second of some spans one by chance: the texts of its values, each with a separator after it (schema step 21).
    "ONE_OF": (
        ("part",),
        "argMinIf(concat(arrayStringConcat(mapValues(attrs),char(31)),char(31)),cityHash64(span_id),bitAnd(cityHash64(span_id),31)=part)",
    ),
    "ITEMS": ((), "arrayMap((k,v)->concat(k,'=',v),mapKeys(attrs),mapValues(attrs))"),
    # Both bounds of the sort key's hour and of the start: either alone does not use the key.
    "FROM_HOUR": (("a",), "(toStartOfHour(start)>=toStartOfHour(a) AND start>=a)"),
    "H": (("a", "b"), "(toStartOfHour(start) BETWEEN toStartOfHour(a) AND toStartOfHour(b) AND start>=a AND start<b)"),
    # Exact for repeated keys and for keys with "="; the hint alone uses the bloom index.
    "EQ": (
        ("key", "value"),
        "(indexHint(has(ITEMS, concat(key,'=',value)))"
        " AND arrayExists((k,v)->k=key AND v=value, mapKeys(attrs), mapValues(attrs)))",
    ),
    # Where rows of fragments stand in `spans` (schema step 9): after all starts there can be, so that nothing that looks for
    # spans by their start meets them, and together, so that they are found by the sort key.
    "FRAGMENT_NS": ((), "4260211200000000000"),
    "FRAGMENT": ((), "fromUnixTimestamp64Nano(4260211200000000000,'UTC')"),
    "IS_FRAGMENT": ((), "(toStartOfHour(start)=toStartOfHour(FRAGMENT) AND start=FRAGMENT)"),
    # The same of the bytes of a span: the key of the attribute, then its value (one in an event or inside a value counts too).
    "OF_FRAGMENT": (("c",), r"(position(c,'\x0a\x0dclew.fragment\x12')>0)"),
    # Consistent probability sampling (schema step 14): how many of 2^56 are kept, by the threshold in `ot=th:` of a trace state; 0 where
    # there is none. A span with it stands for 2^56 / kept spans.
    "TH": (("s",), r"extract(s,'(?:^|,)[ \\t]*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[ \\t;,]|$)')"),
    "KEPT": (("th",), "if(th='',0,72057594037927936-reinterpretAsUInt64(reverse(unhex(rightPad(th,14,'0')))))"),
    "STANDS_FOR": (("a",), "if(a=0,1,72057594037927936/a)"),
    "OUTCOME": ((), OUTCOME),
    "NS": (("t",), "fromUnixTimestamp64Nano(t,'UTC')"),
}

_TOKENS: Final = re.compile(r"'(?:\\.|''|[^'\\])*'|`[^`]*`|[A-Za-z_][A-Za-z0-9_]*|--[^\n]*", re.DOTALL)


def expand(sql: str) -> str:
    """Replace every macro of the text, whole words outside quotes only, nested ones too; comments are left out.

    Raises ValueError for a macro with the wrong number of arguments.
    """
    out: list[str] = []
    at = 0
    while (token := _TOKENS.search(sql, at)) is not None:
        out.append(sql[at : token.start()])
        word, at = token.group(), token.end()
        if word.startswith("--"):
            continue
        if word not in MACROS:
            out.append(word)
            continue
        parameters, body = MACROS[word]
        if parameters:
            if sql[at : at + 1] != "(":
                out.append(word)
                continue
            arguments, at = _arguments(sql, at)
            if len(arguments) != len(parameters):
                raise ValueError(f"{word} takes {len(parameters)} arguments, not {len(arguments)}")
            body = _substituted(body, dict(zip(parameters, arguments, strict=True)))
        out.append(expand(body))
    out.append(sql[at:])
    return "".join(out)


def words_replaced(sql: str, words: dict[str, str]) -> str:
    """Replace whole words outside quotes by texts of ours (never by values: those are bound)."""
    return _substituted(sql, words)


def statements(sql: str) -> list[str]:
    """Split a file at the semicolons that end a line."""
    return [part.strip() for part in re.split(r";[ \t]*(?:\n|$)", sql) if part.strip()]


def _substituted(text: str, words: dict[str, str]) -> str:
    return _TOKENS.sub(lambda token: words.get(token.group(), token.group()), text)


def _arguments(sql: str, start: int) -> tuple[list[str], int]:
    """The texts between the commas of the parentheses that open at `start`, and the place after them."""
    depth, begin, found = 0, start + 1, []
    at = start
    while at < len(sql):
        token = _TOKENS.match(sql, at)
        if token is not None:
            at = token.end()
            continue
        character = sql[at]
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                found.append(sql[begin:at].strip())
                return found, at + 1
        elif character == "," and depth == 1:
            found.append(sql[begin:at].strip())
            begin = at + 1
        at += 1
    raise ValueError("parenthesis is never closed")
