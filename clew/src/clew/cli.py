"""The `clew` command: `run`, `doctor` and `version`, and what other distributions add by the entry-point group `clew.commands`."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "clew.commands"
OK, USAGE, UNREACHABLE, INTERRUPTED = 0, 2, 7, 130

# Commands of distribution clew-server, so that their absence can be explained.
_SERVER_COMMANDS: Final = {
    "serve": "run the server: collector, store, query API and UI",
    "demo": "run a server and two traced services to look at",
    "search": "find traces",
    "show": "print one trace as a waterfall",
}


class Command(NamedTuple):
    """One sub-command: an entry point of group `clew.commands`, named like the command, refers to an instance.

    `add_arguments` fills the command's own parser; `run` gets what was parsed and returns the exit code.
    Its module is loaded for `clew --help` and for the command itself, so it imports what is heavy in `run`.
    """

    name: str
    help: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 usage or an output that cannot be written, 130 interrupted, or the command's own."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    is_program = False  # from there on streams, and how it ends, are the program's
    try:
        chosen = _chosen(words)
        if isinstance(chosen, int):
            code = chosen
        else:
            command, parsed = chosen
            is_program = command.name == "run"
            code = command.run(parsed)
        if not is_program:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        from clew import terminal

        if is_program or not terminal.is_of_output(error):
            raise
        terminal.drop_output()
        # A reader that has closed the pipe (`head`, a pager) has what it wants.
        if isinstance(error, BrokenPipeError):
            return OK
        name = "".join(f" {word}" for word in words[:1] if not word.startswith("-"))
        print(f"clew{name}: the output cannot be written: {error.strerror or error}", file=sys.stderr)
        return USAGE


class _Parser(ArgumentParser):
    def print_help(self, file: Any = None) -> None:
        """Argparse's own leaves out what cannot be written, and exits with 0."""
        print(self.format_help(), end="", file=file or sys.stdout)


def _chosen(words: list[str]) -> int | tuple[Command, Namespace]:
    """The command to run, with its arguments; the exit code where there is nothing to run."""
    name = words[0] if words else "--help"
    # No entry points are looked up for `run`, since the program would pay for what is imported here.
    plugins = {} if name == "run" else _plugins()
    if name != "run":
        from clew import terminal

        terminal.prepare()
    if name in ("-h", "--help", "help"):
        print(_overview(plugins))
        return OK if words else USAGE
    if name in ("-V", "--version"):
        name = "version"
    command = _BUILT_IN.get(name)
    if command is None and name in plugins:
        try:
            command = _load(plugins[name])
        except Exception as error:
            return _fail(f"command {name!r} cannot be loaded: {_one_line(error)}")
    if command is None:
        if name in _SERVER_COMMANDS:
            return _fail(f"{name!r} belongs to the server: install clew-server")
        if name.startswith("-"):
            return _fail(f"no option {name!r} here; see clew --help")
        return _fail(f"no command {name!r}; see clew --help")
    parser = _Parser(prog=f"clew {command.name}", description=_sentence(command.help))
    command.add_arguments(parser)
    try:
        parsed = parser.parse_args(_values_joined(parser, words[1:]))
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else USAGE
    return command, parsed


def _values_joined(parser: ArgumentParser, words: list[str]) -> list[str]:
    """`--sort -dur` as `--sort=-dur`: argparse takes a value that begins with a hyphen for an option."""
    joined: list[str] = []
    for at, word in enumerate(words):
        if word == "--":
            return joined + words[at:]
        option = parser._option_string_actions.get(joined[-1]) if joined else None
        if word.startswith("-") and option is not None and word in (option.choices or ()):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _complete() -> None:
    """Answer a shell that completes a command line (`clew completion`), and exit; nothing where argcomplete is not installed.

    Only the command that stands in the line is loaded.
    """
    try:
        from argcomplete.finders import CompletionFinder

        from clew.bash_quotes import BashFinder
    except ImportError:
        return
    plugins = _plugins()
    parser = ArgumentParser(prog="clew")
    commands = parser.add_subparsers()
    line = os.environ.get("COMP_LINE", "").split()
    for name in {*plugins, *_BUILT_IN}:
        of_command = commands.add_parser(name)
        if name in line:
            # Completion has no place for an error; the command itself says it.
            with suppress(Exception):
                (_BUILT_IN.get(name) or _load(plugins[name])).add_arguments(of_command)
    finder = BashFinder() if os.environ.get("_ARGCOMPLETE_SHELL") == "bash" else CompletionFinder()
    finder(parser, always_complete_options=False)


def _plugins() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(entry: EntryPoint) -> Command:
    command = entry.load()
    if not isinstance(command, Command):
        raise TypeError(f"{entry.value} is not a clew.cli.Command")
    return command


def _overview(plugins: dict[str, EntryPoint]) -> str:
    lines = ["usage: clew COMMAND [OPTION ...]", "", "Distributed tracing for Python services.", "", "commands:"]
    rows: list[tuple[str, str]] = []
    for name in sorted({*plugins, *_BUILT_IN, *_SERVER_COMMANDS}, key=_order):
        if name in _BUILT_IN:
            rows.append((name, _BUILT_IN[name].help))
        elif name in plugins:
            try:
                rows.append((name, _load(plugins[name]).help))
            except Exception as error:
                rows.append((name, f"(cannot be loaded: {_one_line(error)})"))
        else:
            rows.append((name, f"{_SERVER_COMMANDS[name]} (in clew-server, not installed)"))
    width = max(len(name) for name, _ in rows)
    lines += [f"  {name:<{width}}  {text}" for name, text in rows]
    lines += ["", "clew COMMAND --help tells more about one of them."]
    return "\n".join(lines)


def _order(name: str) -> tuple[int, str]:
    """The order in the help: the server, commands that look at traces, other installed ones, the built-in ones."""
    first = list(_SERVER_COMMANDS)
    if name in first:
        return first.index(name), name
    return (len(first) + (name in _BUILT_IN), name)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _fail(sentence: str) -> int:
    print(f"clew: {sentence}", file=sys.stderr)
    return USAGE


# -- version ------------------------------------------------------------------------------------------------------------


def _version_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _version(arguments: Namespace) -> int:
    import json
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {}
    for distribution in ("clew", "clew-server", "opentelemetry-api"):
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError:
            continue
    found["python"] = ".".join(map(str, sys.version_info[:3]))
    print(json.dumps(found) if arguments.json else "\n".join(f"{name} {number}" for name, number in found.items()))
    return OK


# -- doctor -------------------------------------------------------------------------------------------------------------


def _doctor_arguments(parser: ArgumentParser) -> None:
    from clew.doctor import add_arguments

    add_arguments(parser)


def _doctor(arguments: Namespace) -> int:
    from clew.doctor import run

    return run(arguments)


# -- run ----------------------------------------------------------------------------------------------------------------


def _run_arguments(parser: ArgumentParser) -> None:
    from clew.run import add_arguments

    add_arguments(parser)


def _run(arguments: Namespace) -> int:
    from clew.run import run

    return run(arguments)


_BUILT_IN: Final = {
    "run": Command("run", "run a program with tracing, without a change to it", _run_arguments, _run),
    "doctor": Command(
        "doctor", "check that spans of this machine reach the server and come back", _doctor_arguments, _doctor
    ),
    "version": Command("version", "print versions", _version_arguments, _version),
}


if __name__ == "__main__":
    # Run as `__main__`, this module's `Command` is not the class that the commands derive from.
    from clew.cli import main as imported_main

    sys.exit(imported_main())
