"""`clew demo`: the server, two services that call each other, and a little load, with one command."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from clew import ask
from clew.cli import Command
from clew_server.cli._client import USAGE, Client, CommandFailed
from clew_server.config import OPTIONS
from clew_server.demo import ports

if TYPE_CHECKING:
    from clew_server.demo.run import Found, Running

FAILED, PORT_TAKEN = 1, 3

# A port without a default is of a server that is off unless it is asked for: not in the demo.
SERVER_PORTS = {
    option.name: int(option.default) for option in OPTIONS if option.name.endswith("-port") and option.default
}
SERVICE_PORTS = {"user-port": 8000, "message-port": 9000}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="keep the spans there (default: a temporary folder)"
    )
    for name, usual in (SERVICE_PORTS | SERVER_PORTS).items():
        parser.add_argument(
            f"--{name}", type=_port, metavar="PORT", help=f"default: {usual}, or a free one where that is taken; 0 takes a free one"
        )  # fmt: skip
    parser.add_argument(
        "--server", metavar="URL", help="send the services' spans to the clew that runs there, and start none"
    )
    parser.add_argument("--token-file", metavar="FILE", help="file with the token of that server")
    parser.add_argument(
        "--duration", type=_seconds, metavar="S", help="stop after so many seconds of load (default: Ctrl+C)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="decides the order of the requests (default: 1)"
    )
    parser.add_argument(
        "--open", action=argparse.BooleanOptionalAction, help="open the failing trace in a browser (default: from a terminal)"
    )  # fmt: skip


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: wants a port from 0 (any free one) to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: wants a number of seconds above 0")
    return seconds


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, so that `clew --help` does not load an HTTP client.
    from clew_server.demo.children import ChildEnded
    from clew_server.demo.run import Plan, TimeOver, run

    try:
        with _stopping_on_signals():
            server = _running_server(arguments)
            plan = Plan(
                data_dir=arguments.data_dir and arguments.data_dir.expanduser().absolute(),
                duration_s=arguments.duration,
                seed=arguments.seed,
                server=server,
                **_choose_ports(arguments),
            )
            _say(f"starting {'' if server else 'clew, '}user and message; Ctrl+C stops them")
            run(plan, say=_say, found=_Shown(arguments.open))
    except KeyboardInterrupt:
        _say("stopped")
    except CommandFailed as error:
        return _fail(error.code, str(error))
    except _PortTaken as error:
        return _fail(PORT_TAKEN, str(error))
    except ChildEnded as error:
        return _fail(error.exit_code if error.exit_code > 0 else FAILED, str(error))
    except TimeOver as error:
        return _fail(FAILED, str(error))
    return 0


class _PortTaken(Exception):
    """Another program listens on a port that was asked for by name."""


def _running_server(arguments: argparse.Namespace) -> Running | None:
    """The server of `--server`, None without that option. Raises CommandFailed where none answers or it takes no OTLP over HTTP."""
    from clew_server.demo.run import Running

    if arguments.server is None:
        if arguments.token_file is not None:
            raise CommandFailed(USAGE, "--token-file goes with --server URL: the demo's own server wants no token")
        return None
    for name in ("data-dir", *SERVER_PORTS):
        if getattr(arguments, name.replace("-", "_")) is not None:
            raise CommandFailed(USAGE, f"--{name} is for a server that the demo starts; with --server it starts none")
    client = Client(arguments)
    otlp_url = client.otlp_url()
    if otlp_url is not None:
        return Running(client.server, otlp_url, ask.authorization(arguments.token_file))
    raise CommandFailed(FAILED, f"{client.server} takes no OTLP over HTTP now: its receiver otlp-http is not open")


def _choose_ports(arguments: argparse.Namespace) -> dict[str, Any]:
    """The ports of a Plan. A usual port that is taken becomes a free one, and that is said; a chosen one must be free."""
    chosen: dict[str, int] = {}
    wanted = SERVICE_PORTS if arguments.server is not None else SERVICE_PORTS | SERVER_PORTS
    for name, usual in wanted.items():
        asked: int | None = getattr(arguments, name.replace("-", "_"))
        port = usual if asked is None else asked
        if port and (port in chosen.values() or not ports.is_free(port)):
            if asked is not None:
                raise _PortTaken(f"--{name} {port}: that port is taken; another one, or 0 for any free one, will do")
            port = 0
        if not port:
            port = ports.free_port(set(chosen.values()))
            if asked is None:
                _say(f"port {usual} is taken: --{name} is {port}")
        chosen[name] = port
    return {
        "user_port": chosen["user-port"],
        "message_port": chosen["message-port"],
        "server_ports": {name: chosen[name] for name in SERVER_PORTS if name in chosen},
    }


class _Shown:
    """Prints a trace that was found; opens the failed one in a browser if that is wanted, or by default where there is a screen."""

    def __init__(self, wants_browser: bool | None) -> None:
        has_screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
        self._opens = sys.stdout.isatty() and has_screen if wants_browser is None else wants_browser

    def __call__(self, trace: Found) -> None:
        _say(f"trace {trace.url}  {trace.why}")
        if self._opens and trace.why.startswith("failed"):
            webbrowser.open(trace.url)


@contextlib.contextmanager
def _stopping_on_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt once; later ones are ignored while the children stop."""
    from clew_server.demo.interrupts import interrupt

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        interrupt()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    print(line, flush=True)


def _fail(code: int, sentence: str) -> int:
    print(f"clew demo: {sentence}", file=sys.stderr)
    return code


command = Command(
    name="demo",
    help="start a server (or use --server URL), two services that call each other and a little load; print two traces",
    add_arguments=_add_arguments,
    run=_run,
)
