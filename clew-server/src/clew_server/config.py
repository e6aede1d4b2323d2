"""What `clew serve` can be told, declared once: options, environment, file and the reference page are made from `OPTIONS`.

Options win over the environment (`CLEW_` + the name), that over the file, that over the default. Everything is checked
before anything starts, and every problem is listed at once. Imports the names of the receivers and nothing else.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from clew_server.receivers import table

_SIZE_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip
_LONGEST_S = 1_000_000 * 86400
_LARGEST_BYTES = 1 << 62
_LEAST_DISK_BYTES = 10 * 10**6
"""What the engine keeps for itself, the log and some merges need so much: below it nothing would be left of the spans."""
_DURATION_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class ConfigurationProblems(Exception):
    """All that is wrong with the configuration, one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def bytes_from_text(text: str) -> int:
    """`20GB`, `512MiB`, `1000` → bytes. Raises ValueError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _SIZE_UNITS:
        raise ValueError("a size like 20GB, 512MiB or a number of bytes")
    size_bytes = float(match[1]) * _SIZE_UNITS[match[2].upper()]
    if size_bytes > _LARGEST_BYTES:
        raise ValueError("a size up to 4000000TB")
    return int(size_bytes)


def _disk_bytes(text: str) -> int:
    size_bytes = bytes_from_text(text)
    if size_bytes < _LEAST_DISK_BYTES:
        raise ValueError(
            f"at least {text_from_bytes(_LEAST_DISK_BYTES)} ({_LEAST_DISK_BYTES} bytes): with less the store cannot keep any span"
        )
    return size_bytes


def seconds_from_text(text: str) -> int:
    """`7d`, `36h`, `90m` → seconds. Raises ValueError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", text)
    if match is None or (seconds := float(match[1]) * _DURATION_UNITS_S[match[2]]) < 1:
        raise ValueError("a length of time like 7d, 36h or 90m")
    if seconds > _LONGEST_S:
        raise ValueError("a length of time up to 1000000d")
    return int(seconds)


def text_from_bytes(size_bytes: int) -> str:
    """The shortest exact-looking form for people: `20 GB`."""
    value, unit = float(size_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.3g} {unit}"


def text_from_seconds(seconds: int) -> str:
    """`604800` → `7 days`; the largest unit that divides it."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds % length == 0 and seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{seconds} s"


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise ValueError("a port from 0 (any free one) to 65535")
    return int(text)


class Listening(NamedTuple):
    """A receiver that shall be open."""

    name: str
    host: str = ""
    """Empty in what `--receive` says without an address, never in a Config."""
    port: int = 0
    must_open: bool = True
    """Whether the server does not start without it."""
    named_by: str = ""
    """What named the address, for a sentence about it; empty for `--host`."""
    folders: tuple[str, ...] = ()
    """Of a receiver that follows files, instead of an address."""


def _receive(text: str) -> tuple[Listening, ...]:
    found: dict[str, Listening] = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        name, at, address = item.partition("@")
        lines = table.named(name)
        if name == "none" and not at:
            continue
        if not lines and name != "all":
            raise ValueError(f"receivers of this version ({table.names()}), none or all: there is no {name!r}")
        if lines and lines[0].transport == "file":
            folders = found[name].folders if name in found else ()
            found[name] = Listening(name, folders=(*folders, _folder(name, address)))
            continue
        if at and name != lines[0].name:
            raise ValueError(f"an address for one receiver only: {lines[0].name}@HOST:PORT")
        host, port = _address(address) if at else ("", 0)
        for line in lines:
            known = found.get(line.name)
            if known is None or not known.host:
                found[line.name] = Listening(line.name, host, port if at else line.default_port)
            elif at:
                raise ValueError(f"{line.name} once only")
    return tuple(found[line.name] for line in table.RECEIVERS if line.name in found)


def _folder(name: str, text: str) -> str:
    if not text:
        raise ValueError(f"a folder to follow: {name}@FOLDER")
    return str(Path(text).expanduser().absolute())


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host:
        raise ValueError(f"an address like 127.0.0.1:9411 behind @, not {text!r}")
    return host, _port(port)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise ValueError("a number of traces a second above 0, like 1 or 0.2")
    return rate


def _flag(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("1", "true", "yes", "0", "false", "no", ""):
        raise ValueError("true or false")
    return lowered in ("1", "true", "yes")


def _log_format(text: str) -> str:
    if text not in ("text", "json"):
        raise ValueError("text or json")
    return text


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/clew`, else `~/.local/share/clew`."""
    base = environ.get("XDG_DATA_HOME") or os.path.join(
        environ.get("HOME") or os.path.expanduser("~"), ".local", "share"
    )
    return Path(base) / "clew"


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. `default` is text, in the form a person would write."""

    name: str
    parse: Callable[[str], Any]
    default: str
    metavar: str
    help: str
    is_flag: bool = False

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        return "CLEW_" + self.key.upper()


OPTIONS = (
    Option("data-dir", Path, "", "DIR", "folder for everything clew keeps (default: $XDG_DATA_HOME/clew, else ~/.local/share/clew)"),
    Option("host", str, "127.0.0.1", "HOST", "address to listen on; anything but loopback wants --token-file or --insecure"),
    Option("otlp-grpc-port", _port, "4317", "PORT", "OTLP over gRPC; 0 takes a free port"),
    Option("otlp-http-port", _port, "4318", "PORT", "OTLP over HTTP, protobuf and JSON; 0 takes a free port"),
    Option("http-port", _port, "16686", "PORT", "the UI and the API; 0 takes a free port"),
    Option("jaeger-query-port", _port, "", "PORT", "Jaeger's query API (api_v3) over gRPC, 16685 by custom; 0 takes a free port (default: off)"),
    Option("tempo-port", _port, "", "PORT", "Tempo's query API for Grafana, 3200 by custom; 0 takes a free port (default: off)"),
    Option("retention", seconds_from_text, "7d", "TIME", "arrival days older than this are dropped"),
    Option("max-disk", _disk_bytes, "20GB", "SIZE", "over this, the oldest arrivals give way to new ones; at least 10MB"),
    Option("max-backlog", bytes_from_text, "2GB", "SIZE", "what the log may hold that is not stored yet, at most half of --max-disk; beyond it senders get 503"),
    Option("receive", _receive, table.by_default(), "LIST", "receivers beside OTLP by name, each with @HOST:PORT or not; none, all; those named here must open"),
    Option("jaeger-sampling-file", Path, "", "FILE", "sampling strategies for Jaeger's clients, in the format of Jaeger's own file; read again when it changes"),
    Option("jaeger-sampling-target", _rate, "", "RATE", "traces a second that Jaeger's clients shall record of each operation of each service; sampling probabilities then follow the traffic, for services that the file does not name"),
    Option("token-file", Path, "", "FILE", "file with the token that every port then wants as 'Authorization: Bearer'"),
    Option("insecure", _flag, "false", "", "allow listening on other addresses than loopback without a token", is_flag=True),
    Option("log-format", _log_format, "text", "text|json", "how log lines on stderr look"),
    Option("ready-file", Path, "", "FILE", "write the real addresses there as JSON once ready"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force. Ports may be 0 (any free one)."""

    data_dir: Path
    host: str = "127.0.0.1"
    otlp_grpc_port: int = 4317
    otlp_http_port: int = 4318
    http_port: int = 16686
    jaeger_query_port: int | None = None
    """None: not open."""
    tempo_port: int | None = None
    """None: Tempo's API is off."""
    retention_s: int = 7 * 86400
    max_disk_bytes: int = 20 * 10**9
    max_backlog_bytes: int = 2 * 10**9
    receive: tuple[Listening, ...] = ()
    jaeger_sampling_file: Path | None = None
    jaeger_sampling_target: float | None = None
    """Traces a second of each operation; None: probabilities do not follow the traffic."""
    token: str | None = None
    insecure: bool = False
    log_format: str = "text"
    ready_file: Path | None = None

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def listening(self) -> tuple[Listening, ...]:
        """Every receiver that shall be open, OTLP first."""
        return (
            Listening("otlp-grpc", self.host, self.otlp_grpc_port),
            Listening("otlp-http", self.host, self.otlp_http_port),
            *self.receive,
        )


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add every option to a command; values stay text until `load` checks them together."""
    for option in OPTIONS:
        if option.is_flag:
            parser.add_argument(
                f"--{option.name}", dest=option.key, action="store_const", const="true", help=option.help
            )
            continue
        suffix = f" (default: {option.default})" if option.default else ""
        parser.add_argument(f"--{option.name}", dest=option.key, metavar=option.metavar, help=option.help + suffix)
    parser.add_argument(
        "--config", metavar="FILE.toml", help="read settings from this file; options and CLEW_* variables win"
    )


def _file_values(path: str, problems: list[str]) -> dict[str, str]:
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"--config {path}: {error.strerror or error}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"--config {path}: {error}")
        return {}
    known = {option.key for option in OPTIONS}
    values: dict[str, str] = {}
    for name, value in table.items():
        key = name.replace("-", "_")
        if key not in known:
            problems.append(f"--config {path}: {name!r} is not a setting of clew")
        elif isinstance(value, bool):
            values[key] = "true" if value else "false"
        elif isinstance(value, list):
            values[key] = ",".join(str(item) for item in value)
        elif isinstance(value, dict):
            problems.append(f"--config {path}: {name!r} wants one value, not a table")
        else:
            values[key] = str(value)
    return values


def load(arguments: Mapping[str, str | None], environ: Mapping[str, str]) -> Config:
    """Settings from options, environment, file and defaults. Raises ConfigurationProblems with everything that is wrong."""
    problems: list[str] = []
    config_file = arguments.get("config") or environ.get("CLEW_CONFIG")
    from_file = _file_values(config_file, problems) if config_file else {}
    values: dict[str, Any] = {}
    defaults: set[str] = set()
    for option in OPTIONS:
        text, where = arguments.get(option.key), f"--{option.name}"
        if text is None and option.variable in environ:
            text, where = environ[option.variable], option.variable
        if text is None and option.key in from_file:
            text, where = from_file[option.key], f"{option.key} in {config_file}"
        if text is None:
            text, where = option.default, f"--{option.name}"
            defaults.add(option.key)
        try:
            values[option.key] = option.parse(text) if text else None
        except ValueError as error:
            problems.append(f"{where} {text!r}: wants {error}")
            values[option.key] = option.parse(option.default) if option.default else None
    token = _token(values["token_file"], problems)
    if (
        not is_loopback(values["host"] or "")
        and token is None
        and not values["insecure"]
        and values["token_file"] is None
    ):
        problems.append(
            f"--host {values['host']}: others could reach clew without a password; add --token-file FILE, or --insecure if the network is trusted"
        )
    is_open_to_all = bool(values["insecure"])
    receive = [
        _placed(one, values["host"] or "", "receive" in defaults, is_open_to_all, token, problems)
        for one in values["receive"] or ()
    ]
    data_dir = (values["data_dir"] or default_data_dir(environ)).expanduser().absolute()
    ready_file = values["ready_file"].absolute() if values["ready_file"] else None
    if ready_file is not None:
        _check_ready_file(ready_file, data_dir, problems)
    if problems:
        raise ConfigurationProblems(problems)
    return Config(
        data_dir=data_dir,
        host=values["host"],
        otlp_grpc_port=values["otlp_grpc_port"],
        otlp_http_port=values["otlp_http_port"],
        http_port=values["http_port"],
        jaeger_query_port=values["jaeger_query_port"],
        tempo_port=values["tempo_port"],
        retention_s=values["retention"],
        max_disk_bytes=values["max_disk"],
        max_backlog_bytes=values["max_backlog"],
        receive=tuple(receive),
        jaeger_sampling_file=values["jaeger_sampling_file"],
        jaeger_sampling_target=values["jaeger_sampling_target"],
        token=token,
        insecure=bool(values["insecure"]),
        log_format=values["log_format"],
        ready_file=ready_file,
    )


def _placed(
    one: Listening, host: str, by_default: bool, insecure: bool, token: str | None, problems: list[str]
) -> Listening:
    """A receiver of `--receive` with the address it listens at; one that would be open to all is a problem.

    Without an address of its own it listens where the others do. What nobody named, and a protocol that cannot carry the
    token, stays on loopback.
    """
    if one.folders:
        return one  # no address: it cannot be reached from outside
    carries_token = table.BY_NAME[one.name].transport in ("http", "grpc")
    named_by = f"--receive {one.name}@{one.host}" if one.host else ""
    if one.host and not is_loopback(one.host) and not insecure:
        if token is None:
            problems.append(
                f"{named_by}: others could reach clew without a password; add --token-file FILE, or --insecure if the network is trusted"
            )
        elif not carries_token:
            problems.append(
                f"{named_by}: this protocol cannot carry a token; name a loopback address, or add --insecure if the network is trusted"
            )
    if not one.host:
        stays = not is_loopback(host) and (by_default or not (carries_token or insecure))
        one = one._replace(host="127.0.0.1" if stays else host)
    return one._replace(must_open=not by_default, named_by=named_by)


def _check_ready_file(path: Path, data_dir: Path, problems: list[str]) -> None:
    """Checked now and not after the start: a process that waits for the file would wait for ever."""
    folder = path.parent
    if path.is_dir():
        problems.append(f"--ready-file {path}: is a folder; name a file")
    elif folder == data_dir and not folder.exists():
        return  # made before the file is written
    elif not folder.is_dir():
        problems.append(f"--ready-file {path}: there is no folder {folder}; make it, or name a file elsewhere")
    elif not os.access(folder, os.W_OK | os.X_OK):
        problems.append(f"--ready-file {path}: {folder} cannot be written; name a file elsewhere")


def _token(path: Path | None, problems: list[str]) -> str | None:
    if path is None:
        return None
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        problems.append(f"--token-file {path}: {error.strerror or error}")
        return None
    except UnicodeDecodeError:
        problems.append(f"--token-file {path}: the token may hold ASCII characters only")
        return None
    if not token or any(character.isspace() for character in token):
        problems.append(f"--token-file {path}: wants one token on one line")
        return None
    return token


def reference_page() -> str:
    """The options and the receivers as Markdown tables, for docs/reference/configuration.md."""
    lines = [
        "# Settings of `clew serve`",
        "",
        "Options win over the environment, the environment over `--config FILE.toml` (the same names, `-` or `_`), the file over the default.",
        "",
        "| option | variable | default | what it does |",
        "| --- | --- | --- | --- |",
    ]
    for option in OPTIONS:
        value = f"`{option.default}`" if option.default else "–"
        shown = f"--{option.name}" + (f" {option.metavar}" if option.metavar else "")
        shown = shown.replace("|", "\\|")
        lines.append(f"| `{shown}` | `{option.variable}` | {value} | {option.help} |")
    lines += [
        "",
        "## Receivers",
        "",
        "OTLP is always open. `--receive` names what is open beside it: names of this table, or the beginning they share (`jaeger`",
        "stands for all `jaeger-…`), separated by commas; `none`, `all`. `NAME@HOST:PORT` opens one at another address. A receiver",
        "that is named must open, or the server ends with exit code 3; of the default ones a taken port is a warning, and they stay",
        "on loopback whatever `--host` is. A protocol that cannot carry a token stays on loopback too, unless with `--insecure`.",
        "`NAME@FOLDER` follows files of a folder and of those in it, as often as there are folders; `all` does not stand for it.",
        "`clew receivers` shows them all.",
        "",
        "| receiver | transport | port | how to point an agent at it |",
        "| --- | --- | --- | --- |",
    ]
    for line in table.RECEIVERS:
        lines.append(
            f"| `{line.name}` | {line.transport} | {line.default_port or '–'} | `{table.pointed(line, '127.0.0.1')}` |"
        )
    return "\n".join(lines) + "\n"
