"""Output of commands on any terminal: characters that it cannot show, its width, its colours."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import sys
from typing import Any, Final

from clew import environment

_HANDLER: Final = "clew.terminal"
# One character each, so that columns stay aligned.
_PLAIN: Final = {
    "✓": "+", "✗": "x", "✖": "x", "⊗": "*", "█": "#", "▏": "|", "┈": ".", "…": "~", "→": ">", "·": "-",
    "µ": "u", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "\N{REPLACEMENT CHARACTER}": "?",
    "×": "x", "−": "-", "›": ">",
}  # fmt: skip


def _shown_plainly(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: marks of ours become ASCII, anything else a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


def prepare() -> None:
    """Let stdout and stderr print any text, whatever their encoding: what it does not have is shown plainly.

    One that is closed (`>&-`) takes everything, and shows nothing.
    """
    codecs.register_error(_HANDLER, _shown_plainly)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  as long as the process
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_HANDLER)


def is_of_output(error: OSError) -> bool:
    """Whether an error that a command left to its caller is one of stdout: those of files have names, those of sockets classes."""
    return type(error) in (OSError, BrokenPipeError) and error.filename is None


def drop_output() -> None:
    """Give up what is still to be written to stdout, or writing it would fail again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def json_line(value: Any) -> str:
    """The value as JSON for stdout: readable where the encoding has its characters, escaped and so without loss elsewhere."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def columns() -> int | None:
    """Columns of the terminal: `COLUMNS`, else what it says itself; None where stdout is no terminal."""
    return shutil.get_terminal_size((0, 0)).columns or None


def has_colours() -> bool:
    """Whether to print colours: on a terminal, unless `NO_COLOR` is set to something or `TERM` is `dumb`."""
    return (
        sys.stdout is not None
        and sys.stdout.isatty()
        and not environment.text("NO_COLOR")
        and environment.text("TERM") != "dumb"
    )


def typed(text: str) -> str:
    """An argument of the command line as text; one that the locale could not read is taken as UTF-8.

    Raises ValueError where it is no text at all.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        try:
            return os.fsencode(text).decode("utf-8")
        except UnicodeError:
            raise ValueError(
                f"{os.fsencode(text)!r} is no text: neither in the terminal's encoding nor UTF-8"
            ) from None
    return text
