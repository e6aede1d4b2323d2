"""How reading commands ask a running server: HTTP, one sentence for each thing that can go wrong, exit codes of the contract."""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

DEFAULT_SERVER = "http://127.0.0.1:16686"
FOUND, NOT_FOUND, USAGE, NOT_REACHABLE = 0, 1, 2, 7


class CommandFailed(Exception):
    """Ends the command with `code` and one sentence on stderr."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server",
        metavar="URL",
        default=os.environ.get("CLEW_SERVER", DEFAULT_SERVER),
        help=f"where clew serve answers (CLEW_SERVER, default {DEFAULT_SERVER})",
    )
    parser.add_argument(
        "--token-file", metavar="FILE", default=os.environ.get("CLEW_TOKEN_FILE"), help="file with the server's token"
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines in the API's shapes")


class Client:
    """One server. Every failure is a CommandFailed."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.server: str = arguments.server.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if not self.server.startswith(("http://", "https://")):
            raise CommandFailed(USAGE, f"--server {arguments.server}: wants a URL like {DEFAULT_SERVER}")
        if arguments.token_file:
            try:
                self._headers["Authorization"] = (
                    "Bearer " + Path(arguments.token_file).read_text(encoding="ascii").strip()
                )
            except (OSError, UnicodeDecodeError) as error:
                raise CommandFailed(USAGE, f"--token-file {arguments.token_file}: {error}") from error

    def get(self, path: str, parameters: list[tuple[str, str]] | None = None) -> Any:
        """The JSON answer of `GET path`."""
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        return self._ask(urllib.request.Request(self.server + path + query, headers=self._headers))

    def post(self, path: str, body: Any) -> Any:
        headers = {**self._headers, "Content-Type": "application/json"}
        return self._ask(urllib.request.Request(self.server + path, data=json.dumps(body).encode(), headers=headers))

    def _ask(self, request: urllib.request.Request) -> Any:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise CommandFailed(
                NOT_REACHABLE, f"no clew answers at {self.server} ({reason}); start one with: clew serve"
            ) from error

    def _refused(self, error: urllib.error.HTTPError) -> CommandFailed:
        try:
            message = json.load(error)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            message = f"status {error.code}"
        if error.code == 404:
            return CommandFailed(NOT_FOUND, message)
        if error.code == 401:
            return CommandFailed(USAGE, f"{message}: --token-file FILE")
        if error.code >= 500:
            return CommandFailed(NOT_REACHABLE, f"{self.server} cannot answer now: {message}")
        return CommandFailed(USAGE, message)


def run_reading(name: str, work: Any, arguments: argparse.Namespace) -> int:
    """Run `work(client, arguments) -> exit code`; failures become one sentence, a closed pipe is no failure."""
    try:
        return int(work(Client(arguments), arguments))
    except CommandFailed as error:
        print(f"clew {name}: {error}", file=sys.stderr)
        return error.code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FOUND
