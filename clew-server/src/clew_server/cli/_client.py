"""HTTP requests of the reading commands to a running server, with one error message for each failure, and exit codes."""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from clew import ask
from clew.ask import DEFAULT_SERVER
from clew.terminal import columns, typed
from clew_server.cli._text import pointed_at

_TIMEOUT_S = 30.0
FOUND, NOT_FOUND, USAGE, NOT_REACHABLE = 0, 1, 2, 7


class CommandFailed(Exception):
    """Ends the command with `code` and one sentence on stderr, of a query with the place below it."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def add_server_arguments(parser: argparse.ArgumentParser, *, with_json: bool = True) -> None:
    parser.add_argument(
        "--server",
        metavar="URL",
        default=os.environ.get("CLEW_SERVER", DEFAULT_SERVER),
        help=f"where clew serve answers (CLEW_SERVER, default {DEFAULT_SERVER})",
    )
    parser.add_argument(
        "--token-file", metavar="FILE", default=os.environ.get("CLEW_TOKEN_FILE"), help="file with the server's token"
    )
    if with_json:
        parser.add_argument("--json", action="store_true", help="print JSON lines in the API's shapes")


class Client:
    """One server. Every failure is a CommandFailed."""

    def __init__(self, arguments: argparse.Namespace, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self.server: str = arguments.server.rstrip("/")
        self._headers = {"Accept": "application/json"}
        self.incomplete: str | None = None
        """What the last answer said to be missing in it."""
        try:
            ask.check_server(self.server)
            self._headers |= ask.authorization(arguments.token_file)
        except ValueError as error:
            raise CommandFailed(USAGE, str(error)) from error
        self._token_file: str | None = arguments.token_file
        proxy = ask.proxy_of(self.server)
        self._where = self.server if proxy is None else f"{self.server} through the proxy {proxy}"

    def get(self, path: str, parameters: list[tuple[str, str]] | None = None, *, wants: str) -> Any:
        """The JSON answer of `GET path`, an object that has `wants`."""
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        return self._ask(urllib.request.Request(self.server + path + query, headers=self._headers), wants)

    def post(self, path: str, body: Any, *, wants: str) -> Any:
        headers = {**self._headers, "Content-Type": "application/json"}
        return self._ask(
            urllib.request.Request(self.server + path, data=json.dumps(body).encode(), headers=headers), wants
        )

    def opened(self, path: str, accept: str, headers: Mapping[str, str] | None = None) -> Any:
        """The answer of `GET path` in this form, to be read piece by piece and closed."""
        request = urllib.request.Request(
            self.server + path, headers={**self._headers, "Accept": accept, **(headers or {})}
        )
        try:
            answer = ask.opened(request, self._timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from error
        except ask.FAILURES as error:
            raise self.gone(error) from error
        form = answer.headers.get_content_type()
        if form != accept:  # a page of another program, or of a proxy
            answer.close()
            raise self._no_clew(f"its answer is {form}, not {accept}")
        self.incomplete = answer.headers.get("clew-incomplete")
        return answer

    def otlp_url(self) -> str | None:
        """The base address at which the server takes OTLP over HTTP, as it is reached from here; None where it takes none."""
        status = self.get("/api/v1/status", wants="receivers")
        for receiver in status["receivers"]:
            if receiver["name"] == "otlp-http" and receiver["state"] == "open":
                return reached_from_here(receiver["address"], self.server)
        return None

    def gone(self, error: BaseException) -> CommandFailed:
        """What ends the command where no answer comes, or where it breaks off."""
        return CommandFailed(
            NOT_REACHABLE, f"no clew answers at {self._where} ({ask.reason(error)}); start one with: clew serve"
        )

    def _ask(self, request: urllib.request.Request, wants: str) -> Any:
        try:
            found, headers = ask.answer(request, self._timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from error
        except ValueError as error:
            raise self._no_clew(str(error)) from error
        except ask.FAILURES as error:
            raise self.gone(error) from error
        if not isinstance(found, dict) or wants not in found:
            raise self._no_clew(f"its answer has no {wants!r}")
        self.incomplete = headers.get("clew-incomplete")
        return found

    def _no_clew(self, why: str) -> CommandFailed:
        return CommandFailed(NOT_REACHABLE, f"what answers at {self._where} is no clew server: {why}")

    def _refused(self, error: urllib.error.HTTPError) -> CommandFailed:
        ours = ask.refusal(error)
        message = ours.message if ours is not None else ask.reason(error)
        if error.code == 401 and self._token_file:
            return CommandFailed(USAGE, f"the token in {self._token_file} is not the one of {self.server}")
        if error.code in (401, 403):
            return CommandFailed(USAGE, f"{message}: --token-file FILE" if error.code == 401 else message)
        if ours is not None and ours.code == "damaged":
            return CommandFailed(NOT_REACHABLE, message)
        if error.code >= 500:
            return CommandFailed(NOT_REACHABLE, f"{self._where} cannot answer now: {message}")
        if ours is None and error.code in (414, 431):
            return CommandFailed(USAGE, f"the query is too long for an address ({message})")
        if ours is None:
            return self._no_clew(message)
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(error.url or "").query)
        if ours.code == "bad_query" and ours.position is not None and "q" in asked:
            message += "\n" + pointed_at(asked["q"][0], ours.position, columns())
        return CommandFailed(NOT_FOUND if error.code == 404 else USAGE, message)


def reached_from_here(address: str, server: str) -> str:
    """The URL of a receiver. One that names only the server's own machine, or all its addresses, is at the server's host."""
    parts = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
    host = parts.hostname or ""
    if host in ("", "0.0.0.0", "::") or ask.is_local(parts.geturl()):
        host = urllib.parse.urlsplit(server).hostname or host
    return f"http://{f'[{host}]' if ':' in host else host}:{parts.port}"


def quoted_id(text: str) -> str:
    """A trace id of the command line, as it stands in an address. A text that is none is a CommandFailed."""
    try:
        return urllib.parse.quote(typed(text.strip()), safe="")
    except ValueError as error:
        raise CommandFailed(USAGE, str(error)) from error


def run_reading(name: str, work: Any, arguments: argparse.Namespace) -> int:
    """Run `work(client, arguments) -> exit code`; failures become one sentence."""
    try:
        return int(work(Client(arguments), arguments))
    except CommandFailed as error:
        print(f"clew {name}: {error}", file=sys.stderr)
        return error.code
