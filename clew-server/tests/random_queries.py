"""Random queries of the whole grammar, about the spans that `evaluator.made` makes."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

from clew_server.model.search import KIND_WORDS, STATUS_WORDS

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path
from evaluator import ATTRIBUTES, KEYS, NAMES, NOW, SECOND, SERVICES, elements, text_of


def quoted(text: str) -> str:
    out = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{out}"'


def any_value(chance: random.Random) -> str:
    texts = [text_of(one) for values in ATTRIBUTES.values() for value in values for one in elements(value)]
    numbers = [
        "5",
        "5.0",
        "200.0",
        "1e+21",
        "1e21",
        "NaN",
        "Infinity",
        "-5",
        "9223372036854775807",
        "0",
        "-0.0",
        "0.5",
        "500",
        "1e400",
        "1e-400",
    ]
    return chance.choice(
        [
            quoted(chance.choice(texts)),
            chance.choice(numbers),
            chance.choice(["G*", "*", "*0*", "*5", "a", "north", "N*", "-I*", "*e+*", "*.0"]),
        ]
    )


NAME_PATTERNS = ["GET*", "*pay", "a\\*b", "*%*", "*_*"]


def condition(chance: random.Random, trace_id: str) -> str:
    def equal() -> str:
        return chance.choice(["=", "=", "!="])

    key = chance.choice(KEYS)
    attribute = chance.choice(
        [key, key, f"span.{key}", f"resource.{key}", f"exact({key})", "event.k", "link.k", "scope.zone", "service.name"]
    )
    limits = ["5", "4.5", "-1", "200", "9223372036854775806.5", "1e20", "Infinity", "3ms", "2kB"]
    return chance.choice(
        [
            lambda: f"service{equal()}{quoted(chance.choice(SERVICES))}",
            lambda: f"name{equal()}{chance.choice([quoted(chance.choice(NAMES)), *NAME_PATTERNS])}",
            lambda: (
                f"{chance.choice(['name', 'service', 'status.message', 'scope'])} {chance.choice(['=~', '!~'])} {quoted(chance.choice(['^GET', 'a', '[ck]art$', 'line.break', 'no|x', '^$']))}"
            ),
            lambda: f"kind{equal()}{chance.choice(KIND_WORDS)}",
            lambda: f"status in ({chance.choice(STATUS_WORDS)}, {chance.choice(STATUS_WORDS)})",
            lambda: (
                f"dur{chance.choice(['>', '>=', '<', '<=', '=', '!='])}{chance.choice(['1ns', '0.5ns', '1.5ms', '500ms', '3s', '1500us'])}"
            ),
            lambda: f"root={chance.choice(['true', 'false'])}",
            lambda: f"failed={chance.choice(['true', 'false'])}",
            lambda: f"failed={chance.choice(['true', 'false'])}",
            lambda: f"event{equal()}{chance.choice(['exception', 'retry', 'd*', 'none'])}",
            lambda: (
                f"{chance.choice(['event', 'link.trace', 'parent', 'service', 'name', 'scope', 'status.message', attribute])} exists"
            ),
            lambda: f"link.trace={trace_id}",
            lambda: f"id={chance.choice(['0000000000000001', '00*', '*3'])}",
            lambda: f"{attribute}{equal()}{any_value(chance)}",
            lambda: f"{attribute}{equal()}{any_value(chance)}",
            lambda: f"{attribute}{equal()}{any_value(chance)}",
            lambda: f"{attribute} in ({any_value(chance)}, {any_value(chance)})",
            lambda: f"{attribute}{chance.choice(['>', '>=', '<', '<='])}{chance.choice(limits)}",
            lambda: f"{attribute}{chance.choice(['>', '>=', '<', '<='])}{chance.choice(limits)}",
            lambda: (
                f"{attribute} =~ {quoted(chance.choice(['^G', '5', 'b+$', 'a.b', '^NaN$', 'nf', '[.]0$', '^1e.']))}"
            ),
            lambda: chance.choice(["cart", "CART", '"get /p"', "pay", "g*y"]),
            lambda: f"trace.duration{chance.choice(['>', '<=', '='])}{chance.choice(['0ns', '1s', '3s', '1h'])}",
            lambda: (
                f"trace.{chance.choice(['spans', 'errors', 'services'])}{chance.choice(['>', '>=', '<', '<=', '=', '!='])}{chance.choice(['0', '1', '2', '3.5', '4'])}"
            ),
            lambda: f"trace.{chance.choice(['spans', 'errors'])} in ({chance.choice('0123')}, {chance.choice('246')})",
            lambda: (
                f"trace.root.{chance.choice(['service', 'name'])}{equal()}{chance.choice(['cart', '*a*', quoted('')])}"
            ),
            lambda: f"trace.id={chance.choice([trace_id, trace_id[:2] + '*', '1*'])}",
            lambda: f"trace.start>{chance.choice(['now-1m', 'now-1h', 'now-2d'])}",
        ]
    )()


def expression(chance: random.Random, leaf: Callable[[], str], depth: int = 2) -> str:
    if depth == 0 or chance.random() < 0.4:
        return leaf()
    parts = [expression(chance, leaf, depth - 1) for _ in range(2)]
    return chance.choice(
        [f"{parts[0]} {parts[1]}", f"({parts[0]} or {parts[1]})", f"not ({parts[0]})", f"{parts[0]} and not {parts[1]}"]
    )


def drawn(chance: random.Random, ids: list[str]) -> str:
    def one() -> str:
        return condition(chance, chance.choice(ids))

    def braces() -> str:
        return "{" + chance.choice(["", *[expression(chance, one, 1)] * 4]) + "}"

    def outer() -> str:
        of_trace = next(text for text in iter(one, None) if text.startswith("trace."))
        chain = braces() + "".join(
            f" {chance.choice(['>', '>>', '~'])} {braces()}" for _ in range(chance.choice([1, 1, 2]))
        )
        return chance.choice([braces(), braces(), chain, chain, of_trace])

    if chance.random() < 0.5:
        return expression(chance, one)
    while True:
        text = expression(chance, outer, 1)
        if text.count("{") <= 8:
            return text


def times(text: str) -> int:
    number, unit = re.fullmatch(r"now-(\d+)(\w)", text).groups()  # type: ignore[union-attr]
    return NOW - int(number) * {"m": 60, "h": 3600, "d": 86400}[unit] * SECOND
