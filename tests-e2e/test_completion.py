"""Completion in a real bash and a real zsh: what a user gets who presses Tab behind a part of a command line."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from harness.answers import wait_until
from harness.server import Server, clew_command
from harness.wire import fresh_name, new_trace_id, request, span

# What bash does when Tab is pressed, since no terminal is needed for it: the words of the line, and the function that was set.
TAB = """
source /dev/stdin <<< "$(clew completion bash)"
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
read -ra COMP_WORDS <<< "$1"
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_python_argcomplete clew "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""

# A zsh that writes the line as it stands to a file by Ctrl-X, which it does after what was typed before, so no screen is read.
ZSHRC = """
autoload -U compinit
compinit -D -u
source <(clew completion zsh)
unsetopt list_beep
show() { print -r -- "$BUFFER" >> $ZDOTDIR/shown }
zle -N show
bindkey '^X' show
bindkey '^U' kill-whole-line
print ready >> $ZDOTDIR/shown
"""
MARKED = "it's a $deal!"


@dataclass
class Shop:
    service: str
    key: str
    trace_id: str
    marked: str


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    service, key, trace_id = fresh_name("shop"), fresh_name("bank.").replace("-", "_"), new_trace_id()
    marked = fresh_name("slogan.").replace("-", "_")
    root = span(trace_id, name="POST /pay", failed=True, values={key: "north", marked: MARKED})
    failed = span(trace_id, parent_id=root.span_id, name="=HYPERLINK(1)", failed=True, values={key: "south"})
    server.export(request(service, [root, failed]))
    server.flush()
    return Shop(service, key, trace_id.hex(), marked)


def shell_variables(server: Server) -> dict[str, str]:
    folder = str(Path(clew_command()[0]).parent)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "CLEW_SERVER": server.http}


def tab(server: Server, line: str) -> list[str]:
    done = subprocess.run(
        ["bash", "-c", TAB, "bash", line], capture_output=True, text=True, env=shell_variables(server), check=False
    )
    assert done.returncode == 0, done.stderr
    return [one.strip() for one in done.stdout.splitlines() if one.strip()]


def test_commands_options_and_choices_are_completed(server: Server) -> None:
    assert {"search", "serve", "run", "doctor", "completion"} <= set(tab(server, "clew "))
    assert tab(server, "clew completion z") == ["zsh"]
    assert {"--server", "--sort"} <= set(tab(server, "clew search --s"))


def test_keys_and_values_of_a_query_are_completed_from_what_the_server_has(server: Server, shop: Shop) -> None:
    assert tab(server, f"clew search {shop.key[:-2]}") == [f"{shop.key}="]
    assert set(tab(server, f"clew search service={shop.service} {shop.key}=")) == {"north", "south"}
    # Only what occurs together with the conditions before it.
    assert tab(server, f"clew search service={shop.service} name=POST* {shop.key}=") == ["north"]
    assert tab(server, f"clew search service={shop.service}x {shop.key}=") == []
    assert tab(server, f"clew keys --of {shop.key[:-2]}") == [shop.key]
    assert tab(server, f"clew stats --by {shop.key[:-2]}") == [shop.key]
    for command in ("stats", "tail", "export"):
        assert tab(server, f"clew {command} service={shop.service} {shop.key}=n") == ["north"]
    assert tab(server, f"clew search --columns service,{shop.key[:-2]}") == [f"service,{shop.key}"]


@contextmanager
def zsh(server: Server, folder: Path) -> Iterator[Callable[[str], str]]:
    """What stands in the line of a zsh after a text was typed and Tab pressed."""
    assert shutil.which("zsh"), "zsh is missing: apt-get install zsh"
    (folder / ".zshrc").write_text(ZSHRC)
    shown = folder / "shown"
    variables = {**shell_variables(server), "ZDOTDIR": str(folder), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["zsh", "-d", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=variables,
        cwd=folder,
        start_new_session=True,
    )
    os.close(theirs)

    def lines() -> list[str]:
        while select.select([ours], [], [], 0)[0]:  # or it would wait for a reader
            os.read(ours, 65536)
        return shown.read_text().splitlines() if shown.exists() else []

    def typed(text: str) -> str:
        before = len(lines())
        os.write(ours, f"\x15{text}\t\x18".encode())
        wait_until(lambda: len(lines()) > before)
        return lines()[-1].rstrip()

    try:
        wait_until(lambda: bool(lines()))
        yield typed
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_in_zsh_values_are_completed_wherever_the_command_stands_and_however_they_are_quoted(
    server: Server, shop: Shop, tmp_path: Path
) -> None:
    begun = f"clew search {shop.key}=no"
    with zsh(server, tmp_path) as typed:
        assert typed(f"clew search {shop.key[:-2]}") == f"clew search {shop.key}="
        for before in ("", "true && ", "X=1 ", "cd /; clew version; "):
            assert typed(f"{before}{begun}") == f"{before}{begun}rth"
        # As a shell reads the line, the value is the one that the span has.
        for begun in (f"{shop.marked}=it\\'", f'"{shop.marked}=it', f"{shop.marked}=\"it's a", f"'{shop.marked}=\"it"):
            line = typed(f"clew search {begun}").replace("\\!", "!")  # as it is where zsh is interactive
            words = subprocess.run(["zsh", "-fc", f"print -rl -- {line}"], capture_output=True, text=True, check=True)
            _, _, condition = words.stdout.splitlines()
            assert condition in (f"{shop.marked}={MARKED}", f'{shop.marked}="{MARKED}"'), line


def test_in_bash_an_exclamation_mark_between_double_quotes_stays_as_it_is(server: Server, shop: Shop) -> None:
    (suggested,) = tab(server, f'clew search "{shop.marked}=it')
    words = subprocess.run(["bash", "-c", f'printf %s "{suggested}'], capture_output=True, text=True, check=True)
    assert words.stdout == f"{shop.marked}={MARKED}"


def test_without_a_server_nothing_is_suggested_and_nothing_is_printed(server: Server) -> None:
    assert tab(server, "clew search --server http://127.0.0.1:9 serv") == []


def search(server: Server, *words: str) -> str:
    done = subprocess.run(
        [*clew_command(), "search", "--server", server.http, *words], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_a_search_prints_columns_as_text_json_and_csv(server: Server, shop: Shop) -> None:
    asked = (f"service={shop.service}", "--columns", f"{shop.key}, no.such")
    assert search(server, *asked).splitlines()[1:] == [f"    {shop.key}: north, south", "    no.such: -"]
    (as_json,) = map(json.loads, search(server, *asked, "--json").splitlines())
    assert (as_json["trace_id"], as_json["values"]) == (shop.trace_id, {shop.key: ["north", "south"], "no.such": []})
    (row,) = csv.DictReader(io.StringIO(search(server, *asked, "--csv")))
    assert (row["trace_id"], row["spans"], row[shop.key], row["no.such"]) == (shop.trace_id, "2", "north; south", "")
    assert (row["failed_service"], row["failed_operation"]) == (shop.service, "'=HYPERLINK(1)")
    assert row["time_went"] == shop.service
    # An order that begins with a hyphen is no option.
    assert search(server, asked[0], "--sort", "-dur").startswith(shop.trace_id)


def test_a_trace_is_marked_as_failed_as_the_language_says_it(server: Server) -> None:
    service, other = fresh_name("shop"), new_trace_id()
    by_code = span(kind=Span.SPAN_KIND_SERVER, values={"http.response.status_code": 503})
    server.export(request(service, [by_code, span(other)]))
    server.flush()
    marks = {line.split()[0]: line.split()[5] for line in search(server, f"service={service}").splitlines()}
    assert marks == {by_code.trace_id.hex(): "✖", other.hex(): "✓"}
    # Of a long page it is asked for otherwise.
    server.export(request(service, [span() for _ in range(120)]))
    server.flush()
    for sort in ("-start", "-dur"):
        lines = search(server, f"service={service}", "--limit", "0", "--sort", sort).splitlines()
        assert len(lines) == 122
        assert [line.split()[0] for line in lines if "✖" in line] == [by_code.trace_id.hex()]


def test_where_nothing_matches_the_condition_that_excludes_most_is_named(server: Server, shop: Shop) -> None:
    words = [f"service={shop.service.upper()}", f'"{shop.key}"=north']
    done = subprocess.run(
        [*clew_command(), "search", "--server", server.http, *words], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().strip() == (
        f"clew search: no trace matches; without {words[0]} 1 trace does; there is the value {shop.service}"
    )
