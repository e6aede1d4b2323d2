"""The files of the log's folder: which are ours, how one is written durably, and where damage is kept."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from clew_server.durable import write_durably

KEY = "hash.key"
_SEGMENT = r"\d{20}-[0-9a-f]{8}"
_OURS = re.compile(rf"({_SEGMENT}\.(otlp|marks|damaged|split)|{KEY})")
_LEFTOVER = re.compile(rf"({_SEGMENT}\..*|{KEY}\.)(tmp|part)")
_ENDINGS = (".otlp", ".marks", ".damaged", ".tmp", ".part", ".split", ".key")


class LogUnusable(Exception):
    """The log's folder cannot be used as it is; the message says which entry, and what to do."""


@dataclass(slots=True)
class Found:
    """What the folder of a log holds. Lists are sorted by name, which for segments is by age."""

    segments: list[Path] = field(default_factory=list)
    marks: list[Path] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    """Files that an earlier process was still writing: nothing in them was acknowledged."""
    foreign: list[Path] = field(default_factory=list)
    """Not written by clew: neither read nor deleted."""
    last_name_ns: int = 0
    """The highest number in a segment's name."""


def look(folder: Path) -> Found:
    """Sort the entries of the folder, made if it is not there.

    Raises LogUnusable for an entry that is named like a file of the log but is none (a folder, a link to nothing, a pipe):
    it may stand for acknowledged spans that are elsewhere now, so it is not passed over.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise unusable(folder, error) from error
    found = Found()
    for path in entries:
        name = path.name
        if name.endswith(_ENDINGS) and (what := _not_a_file(path)):
            raise LogUnusable(
                f"{path} is {what}, where clew keeps files of its log; move it out of this folder and start again"
            )
        if _LEFTOVER.fullmatch(name):
            found.leftovers.append(path)
        elif not _OURS.fullmatch(name):
            found.foreign.append(path)
        elif name != KEY:
            number = int(name[:20])
            if number < 1 << 63:  # no clock of ours made a higher one, and the next must still have 20 digits
                found.last_name_ns = max(found.last_name_ns, number)
            if path.suffix == ".otlp":
                found.segments.append(path)
            elif path.suffix == ".marks":
                found.marks.append(path)
    return found


def _not_a_file(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:
        raise unusable(path, error) from error
    if stat.S_ISREG(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "not a file"


def unusable(path: Path, error: OSError) -> LogUnusable:
    """What a failure of the system means for the start: a sentence with the name of the file."""
    at = error.filename if isinstance(error.filename, str) else path
    return LogUnusable(
        f"{at}: {error.strerror or error}; clew must be able to read and write it, or choose another folder with --data-dir"
    )


def damage_kept_for(segment: Path) -> Path:
    """Where damaged bytes of a segment are kept."""
    return segment.with_suffix(".damaged")


def keep_damage(segment: Path, lost: bytes) -> None:
    """Add bytes that could not be read to the segment's `.damaged` file. The same bytes again are not added twice."""
    kept = damage_kept_for(segment)
    try:
        before = kept.read_bytes()
    except FileNotFoundError:
        before = b""
    if not before.endswith(lost):
        write_durably(kept, before + lost)


def damage(folder: Path) -> tuple[int, int]:
    """(files, bytes) of damage that is kept in the folder. What a person removes is no longer counted."""
    files = size_bytes = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".damaged") and _OURS.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    size_bytes += entry.stat().st_size
                    files += 1
    return files, size_bytes
