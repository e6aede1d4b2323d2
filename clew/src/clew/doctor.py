"""`clew doctor`: checks that a span sent from this machine reaches the server and can be read back, with advice if not."""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from time import monotonic, sleep
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request

from clew import ask, environment, terminal
from clew.ask import DEFAULT_SERVER

_OK, _USAGE, _UNREACHABLE = 0, 2, 7
_TIMEOUT_S: Final = 5.0
_COME_BACK_S: Final = 5.0


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `clew doctor`."""
    parser.add_argument("--server", metavar="URL", help=f"the server's address (CLEW_SERVER, else {DEFAULT_SERVER})")
    parser.add_argument(
        "--endpoint",
        metavar="URL",
        help="where spans are sent (OTEL_EXPORTER_OTLP_ENDPOINT, else what the server says)",
    )
    parser.add_argument("--token-file", metavar="FILE", help="file with the server's token (CLEW_TOKEN_FILE)")
    parser.add_argument("--json", action="store_true", help="print the checks as JSON lines")


class _Report:
    """Prints each check as it is made."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self.all_ok = True

    def say(self, check: str, ok: bool, text: str, advice: str = "") -> None:
        self.all_ok = self.all_ok and ok
        if self._as_json:
            print(terminal.json_line({"check": check, "ok": ok, "text": text, "advice": advice or None}))
        else:
            print(f"{'✓' if ok else '✗'} {text}")
            if advice:
                print(f"    → {advice}")
        sys.stdout.flush()


def run(arguments: Namespace) -> int:
    """Make all checks; returns 0 if they hold, 7 if a span cannot be sent or read back, 2 for options that cannot be meant."""
    logger = logging.getLogger("clew")
    level = logger.level
    # The checks report what the exporter would log.
    logger.setLevel(logging.CRITICAL)
    try:
        return _run(arguments)
    finally:
        logger.setLevel(level)


def _run(arguments: Namespace) -> int:
    report = _Report(arguments.json)
    server = (arguments.server or environment.text("CLEW_SERVER") or DEFAULT_SERVER).rstrip("/")
    try:
        headers = ask.authorization(arguments.token_file or environment.text("CLEW_TOKEN_FILE"))
        ask.check_server(server)
        if arguments.endpoint:
            ask.check_address(arguments.endpoint)
    except ValueError as error:
        print(f"clew doctor: {error}", file=sys.stderr)
        return _USAGE
    _check_recorder(report)
    _check_doubled(report)
    status = _check_server(report, server, headers)
    _check_receivers(report, status)
    trace_id = _check_sending(report, _traces_url(arguments.endpoint, status), headers)
    if trace_id and status is not None:
        _check_coming_back(report, server, headers, trace_id)
    return _OK if report.all_ok else _UNREACHABLE


def _get(url: str, headers: Mapping[str, str], timeout_s: float = _TIMEOUT_S) -> Any:
    """The JSON at `url`. Raises HTTPError for a refusal, another of `ask.FAILURES` where none came."""
    return ask.answer(Request(url, headers=dict(headers)), timeout_s)[0]


def _check_recorder(report: _Report) -> None:
    from clew import __version__
    from clew.recorder import _select

    name, reason = _select.selected.name, _select.reason
    advice = ""
    if name == "pure" and reason != _select.BY_CHOICE:
        advice = "the native recorder costs a fraction: install clew from its sources, with a C compiler and Python's headers"
    report.say("recorder", True, f"clew {__version__}, recorder: {name}, {reason}", advice)


def _check_doubled(report: _Report) -> None:
    from clew import doubled

    installed = doubled.installed()
    if installed:
        report.say(
            "doubled",
            True,
            f"others may trace the same calls: {', '.join(installed)}; the one that begins first makes the span",
            "to have clew's only: " + "; ".join(dict.fromkeys(installed.values())),
        )


def _check_server(report: _Report, server: str, headers: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        status = _get(f"{server}/api/v1/status", headers)
        if not isinstance(status, dict) or "accepted_spans" not in status:
            raise ValueError("its answer is no status")
    except HTTPError as error:
        with error:
            if error.code in (401, 403):
                advice = "give --token-file"
            else:
                advice = (
                    "look at its log" if ask.refusal(error) else "this is no clew server: give another --server URL"
                )
            report.say("server", False, f"server {server}: {ask.reason(error)}", advice)
        return None
    except ValueError as error:
        report.say("server", False, f"server {server} is no clew server: {error}", "give another --server URL")
        return None
    except ask.FAILURES as error:
        report.say(
            "server",
            False,
            f"server {server}: {ask.reason(error)}",
            "start one with `clew serve`, or give --server URL",
        )
        return None
    text = f"server {server}, version {status.get('version', '?')}: {status.get('accepted_spans', 0)} spans accepted"
    rejected = sum(n for n in _mapping(status.get("rejected_spans")).values() if isinstance(n, int))
    dead = status.get("dead_letter_spans") or 0
    extra = [f"{rejected} rejected"] if rejected else []
    extra += [f"{dead} put aside as unreadable"] if dead else []
    report.say("server", True, ", ".join([text, *extra]))
    return status


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _receivers(status: dict[str, Any] | None) -> list[dict[str, Any]]:
    found = (status or {}).get("receivers")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _check_receivers(report: _Report, status: dict[str, Any] | None) -> None:
    for receiver in _receivers(status):
        name, state, address = receiver.get("name"), receiver.get("state"), receiver.get("address") or ""
        if state == "off":
            continue
        error = receiver.get("last_error")
        text = f"receiver {name} {state} {address}: {receiver.get('spans') or 0} spans"
        if state == "failed":
            report.say(f"receiver {name}", False, f"receiver {name} is not open: {error or 'no reason given'}")
        elif error:
            client = receiver.get("last_client")
            # An error of the past is reported, but is not a failed check.
            report.say(f"receiver {name}", True, text, f"last error: {error}" + (f" (from {client})" if client else ""))
        else:
            report.say(f"receiver {name}", True, text)


def _traces_url(endpoint: str | None, status: dict[str, Any] | None) -> str:
    from clew.configure import traces_url, traces_url_from_environment

    if endpoint:
        return traces_url(endpoint)
    if not any((environment.text(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") or "").strip() for kind in ("", "TRACES_")):
        for receiver in _receivers(status):
            address = receiver.get("address")
            if receiver.get("name") == "otlp-http" and receiver.get("state") == "open" and address:
                text = str(address)
                try:
                    return traces_url(text if "://" in text else f"http://{text}")
                except ValueError:
                    break
    return traces_url_from_environment()


def _check_sending(report: _Report, url: str, headers: Mapping[str, str]) -> str | None:
    """Send one span through a provider as an application has it; returns its trace id if it was taken."""
    from clew.configure import headers_from_environment
    from clew.recorder.export.exporter import OtlpHttpExporter, Outcome
    from clew.recorder.export.pipeline import BatchOptions
    from clew.recorder.provider import TracerProvider
    from clew.recorder.resource import default_resource

    class Watched(OtlpHttpExporter):
        """Keeps the endpoint's responses."""

        last: Outcome | None = None

        def export(self, request: bytes, timeout_s: float) -> Outcome:
            self.last = super().export(request, timeout_s)
            return self.last

    exporter = Watched(url, headers={**headers_from_environment(), **headers})
    provider = TracerProvider(
        resource=default_resource("clew-doctor"), exporter=exporter, batch=BatchOptions(timeout_s=_TIMEOUT_S)
    )
    span = provider.get_tracer("clew.doctor").start_span("clew doctor")
    span.end()
    provider.shutdown(_TIMEOUT_S)
    stats = provider.stats()
    if stats["sent"] == 1:
        report.say("endpoint", True, f"endpoint {url}: took a span")
        return f"{span.get_span_context().trace_id:032x}"
    answer = exporter.last
    reason = answer.detail if answer is not None and answer.detail else ", ".join(stats["dropped"]) or "no answer"
    refused = answer is not None and answer.reason.startswith("http_4")
    advice = "is this an OTLP/HTTP address, and the token right?" if refused else "is the server up, the port right?"
    if ask.is_local(url) and environment.proxies() & {"http_proxy", "all_proxy"}:
        advice += " An exporter obeys http_proxy for this machine too: name it in no_proxy"
    report.say("endpoint", False, f"endpoint {url}: {reason.removeprefix(f'{url}: ')}", advice)
    return None


def _check_coming_back(report: _Report, server: str, headers: Mapping[str, str], trace_id: str) -> None:
    started = monotonic()
    reason = ""
    while monotonic() - started < _COME_BACK_S:
        try:
            _get(f"{server}/api/v1/traces/{trace_id}", headers)
            report.say("read back", True, f"trace {trace_id} came back after {(monotonic() - started) * 1000:.0f} ms")
            return
        except HTTPError as error:
            with error:
                reason = ask.reason(error)
            if error.code != 404:
                break
        except ask.FAILURES as error:
            reason = ask.reason(error)
        sleep(0.05)
    report.say(
        "read back",
        False,
        f"trace {trace_id} was taken and cannot be read: {reason}",
        "does the endpoint belong to this server? See its log and /readyz",
    )
