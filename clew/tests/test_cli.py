"""The `clew` command: its own commands, those of others, and how it fails."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from importlib.metadata import EntryPoint, EntryPoints
from types import ModuleType

import pytest

from clew import cli


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--number", type=int, default=1)


def _run(arguments: Namespace) -> int:
    if arguments.number == 0:
        raise KeyboardInterrupt
    if arguments.number < 0:
        raise FileNotFoundError(2, "No such file", "a file")
    for _ in range(arguments.number):
        print("number", arguments.number)
    return int(arguments.number)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("clew_test_plugin")
    module.command = cli.Command("count", "count something", _add_arguments, _run)  # type: ignore[attr-defined]
    module.text = "no command"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "clew_test_plugin", module)
    install(
        monkeypatch,
        [
            ("count", "clew_test_plugin:command"),
            ("broken", "clew_test_absent:command"),
            ("odd", "clew_test_plugin:text"),
        ],
    )


def install(monkeypatch: pytest.MonkeyPatch, entries: Iterable[tuple[str, str]]) -> None:
    found = EntryPoints(EntryPoint(name, value, cli.GROUP) for name, value in entries)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found.select(group=group))


@pytest.mark.usefixtures("plugins")
def test_help_lists_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "  count    count something\n" in text
    assert "  doctor   check" in text
    assert "  serve    " in text
    assert "in clew-server, not installed" in text
    assert "(cannot be loaded: ModuleNotFoundError: No module named 'clew_test_absent')" in text


def test_without_a_command_help_is_shown_and_usage_returned(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "usage: clew COMMAND" in capsys.readouterr().out


@pytest.mark.usefixtures("plugins")
def test_a_command_of_another_distribution_runs_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", "--number", "5"]) == 5
    assert capsys.readouterr().out == "number 5\n" * 5
    assert cli.main(["count", "--number", "five"]) == 2
    assert cli.main(["count", "--help"]) == 0
    assert "Count something." in capsys.readouterr().out


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(("name", "sentence"), [("broken", "No module named"), ("odd", "is not a clew.cli.Command")])
def test_a_broken_command_gives_one_sentence(capsys: pytest.CaptureFixture[str], name: str, sentence: str) -> None:
    assert cli.main([name]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("plugins")
def test_an_interrupt_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", "--number", "0"]) == 130
    assert capsys.readouterr() == ("", "")


_PRINTING = [
    ([], "clew"), (["--help"], "clew"), (["version"], "clew version"), (["doctor", "--help"], "clew doctor"),
    (["run", "--help"], "clew run"), (["count"], "clew count"), (["count", "--number", "10000"], "clew count"),
]  # fmt: skip


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(("words", "name"), _PRINTING)
def test_a_full_disk_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], name: str
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert cli.main(words) == 2
    assert capsys.readouterr().err == f"{name}: the output cannot be written: No space left on device\n"


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("words", [words for words, _ in _PRINTING])
def test_a_closed_pipe_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr("sys.stdout", out)
        assert cli.main(words) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("plugins")
def test_closed_streams_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    assert cli.main(["count"]) == 1
    assert cli.main(["nothing"]) == 2
    for stream in (sys.stdout, sys.stderr):
        stream.close()


@pytest.mark.usefixtures("plugins")
def test_an_error_of_a_file_is_not_taken_for_one_of_the_output() -> None:
    with pytest.raises(FileNotFoundError):
        cli.main(["count", "--number", "-1"])


@pytest.mark.parametrize("name", ["serve", "demo", "search", "show"])
def test_a_server_command_without_the_server_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    install(monkeypatch, [])
    assert cli.main([name]) == 2
    assert ": install clew-server" in capsys.readouterr().err


def test_only_the_chosen_command_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [("other", "clew_test_absent:command")])
    assert cli.main(["version"]) == 0


@pytest.mark.parametrize("words", [["nothing"], ["--nothing"]])
def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert cli.main(words) == 2
    assert "see clew --help" in capsys.readouterr().err


def test_versions_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("clew 0.")
    assert cli.main(["version", "--json"]) == 0
    assert {"clew", "opentelemetry-api", "python"} <= json.loads(capsys.readouterr().out).keys()


def test_a_value_that_begins_with_a_hyphen_belongs_to_its_option() -> None:
    parser = ArgumentParser()
    parser.add_argument("--sort", choices=("-start", "start"))
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("q", nargs="*")
    joined = cli._values_joined(parser, ["a", "--sort", "-start", "--dry", "-start", "--", "--sort", "-start"])
    assert joined == ["a", "--sort=-start", "--dry", "-start", "--", "--sort", "-start"]
    assert parser.parse_args(["x", "--sort=-start"]).sort == "-start"
    assert cli._values_joined(parser, ["--sort"]) == ["--sort"]
