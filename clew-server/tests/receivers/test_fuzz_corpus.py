"""What the coverage-guided fuzzer kept and found (`make fuzz`) is decoded again, and some changes of it."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))  # importlib mode adds no path

from targets import CORPUS, FOUND, TARGETS, inputs

CHANGES = int(os.environ.get("CLEW_FUZZ_CHANGES", "150"))
"""Of inputs of each target, at random."""
MOST_CORPUS_BYTES = 200_000
_PATTERNS = (
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\0" * 4,
    b"\x80" * 4,
    b'"',
    b"[[[[",
    b"{",
    b"null",
    b"1e999",
    b"\xed\xa0\x80",
)


def changed(body: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """The bytes with some of them flipped, cut, doubled, overwritten, or taken from another input."""
    made = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(made))
        size = chance.randint(1, 16)
        match chance.randrange(5):
            case 0 if at < len(made):
                made[at] ^= 1 << chance.randrange(8)
            case 1:
                del made[at : at + size]
            case 2:
                made[at:at] = made[at : at + size]
            case 3:
                pattern = chance.choice(_PATTERNS)
                made[at : at + len(pattern)] = pattern
            case _:
                other = chance.choice(others)
                from_ = chance.randint(0, len(other))
                made[at : at + size] = other[from_ : from_ + size]
    return bytes(made)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_decoder_takes_or_refuses_what_the_fuzzer_kept_and_changes_of_it(name: str) -> None:
    target = TARGETS[name]
    known = [b"", *inputs(CORPUS, name), *inputs(FOUND, name)]
    for body in known:
        target(body)
    chance = random.Random(name)
    for _ in range(CHANGES):
        body = changed(chance.choice(known), chance, known)
        try:
            target(body)
        except BaseException as error:
            error.add_note(f"fuzz target {name}, input {body.hex()}")
            raise


def test_every_kept_input_belongs_to_a_target_and_the_corpora_stay_small() -> None:
    files = [*CORPUS.glob("*.txt"), *FOUND.glob("*.txt")]
    assert {path.stem for path in files} <= set(TARGETS)
    assert sum(path.stat().st_size for path in files) < MOST_CORPUS_BYTES
