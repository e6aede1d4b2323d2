"""The environment variables of this distribution: tables of their names, and how their values are parsed.

An empty value counts as not set. A value that cannot be parsed counts as not set too and is named in one warning per process.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

DEFAULT_ENDPOINT: Final = "http://localhost:4318"

_logger: Final = logging.getLogger("clew")
_named: Final[set[tuple[str, str]]] = set()


def traces_url(endpoint: str) -> str:
    """The address to POST traces to, of a collector's base address. Raises ValueError if it is no http address."""
    parts = urlsplit(endpoint.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"endpoint {endpoint!r} is not an address such as {DEFAULT_ENDPOINT}")
    path = parts.path.rstrip("/")
    if not path.endswith("/v1/traces"):
        path += "/v1/traces"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _exact_url(text: str) -> str:
    # The specification: the variable for traces is the whole address; only a missing path becomes "/".
    traces_url(text)
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("a whole number is wanted")
    return int(text)


def _positive(text: str) -> int:
    if _count(text) == 0:
        raise ValueError("a number above 0 is wanted")
    return int(text)


def _boolean(text: str) -> bool:
    # The specification: whatever is not "true" is false, and worth a warning unless it is "false".
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false is wanted")
    return text.lower() == "true"


def _lower(text: str) -> str:
    return text.lower()


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))


def _compression(text: str) -> str:
    if text.lower() not in ("none", "gzip"):
        raise ValueError("none or gzip are known")
    return text.lower()


def _protocol(text: str) -> str:
    if text.lower() not in ("http/protobuf", "grpc"):
        raise ValueError("http/protobuf and grpc are known")
    return text.lower()


def _readable_file(path: str) -> str:
    with open(path, "rb"):
        return path


def pairs(text: str) -> dict[str, str]:
    """`key=value,key=value`, percent-decoded. Raises ValueError if one of them is no pair."""
    result: dict[str, str] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise ValueError("key=value,key=value is wanted")
        result[unquote(key.strip())] = unquote(value.strip())
    return result


_header_name: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII).fullmatch


def _headers(text: str) -> dict[str, str]:
    result = pairs(text)
    for key, value in result.items():
        if not _header_name(key) or any(ord(char) > 0xFF or char in "\r\n\0" for char in value):
            raise ValueError("one of these cannot be a header")
    return result


_LEVELS: Final = {
    "none": logging.CRITICAL + 1,
    "off": logging.CRITICAL + 1,
    "fatal": logging.CRITICAL,
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "verbose": logging.DEBUG,
    "all": logging.DEBUG,
}


def _level(text: str) -> int:
    if text.lower() not in _LEVELS:
        raise ValueError("debug, info, warn, error or none are known")
    return _LEVELS[text.lower()]


@dataclass(frozen=True)
class Variable:
    """One variable: what it sets, its default as text, and how its text is read (raises ValueError or OSError).

    `traces_name` is its form for traces alone, which wins. A `secret` one is never logged.
    """

    name: str
    meaning: str
    default: str = ""
    parse: Callable[[str], Any] = str
    traces_name: str = ""
    traces_parse: Callable[[str], Any] | None = None
    secret: bool = False


def _otlp(name: str, meaning: str, default: str, parse: Callable[[str], Any], **more: Any) -> Variable:
    return Variable(
        f"OTEL_EXPORTER_OTLP_{name}", meaning, default, parse, traces_name=f"OTEL_EXPORTER_OTLP_TRACES_{name}", **more
    )


#: In the order of the documentation, which a test compares with this.
VARIABLES: Final = (
    Variable("OTEL_SDK_DISABLED", "`true` records nothing; propagation works on", "`false`", _boolean),
    Variable("OTEL_SERVICE_NAME", "`service.name` of the resource", "`unknown_service:python`"),
    Variable("OTEL_RESOURCE_ATTRIBUTES", "more of the resource: `key=value,key=value`, percent-encoded", "", pairs),
    Variable(
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",
        "installed resource detectors to ask as well, `*` for all; `otel`, `process`, `os`, `host` and "
        "`service_instance` are built in",
        "`otel`",
        _names,
    ),
    Variable(
        "OTEL_PROPAGATORS", "formats of the context in headers, or `none`", "`tracecontext,baggage,kratos`", _names
    ),
    Variable("OTEL_TRACES_SAMPLER", "which spans are recorded", "`parentbased_always_on`", _lower),
    Variable("OTEL_TRACES_SAMPLER_ARG", "the sampler's argument"),
    Variable(
        "OTEL_TRACES_EXPORTER",
        "`otlp`, `otlp/stdout` (OTLP JSON, a line a batch), `console`, `none`, an installed one; several with commas",
        "`otlp`",
        _names,
    ),
    _otlp(
        "ENDPOINT",
        "the collector's base address; the form for traces is the whole address",
        "`http://localhost:4318`",
        traces_url,
        traces_parse=_exact_url,
    ),
    _otlp("PROTOCOL", "`http/protobuf`, or `grpc` by the SDK's exporter", "`http/protobuf`", _protocol),
    _otlp("HEADERS", "sent with each request: `key=value,key=value`, percent-encoded", "", _headers, secret=True),
    _otlp("COMPRESSION", "`none` or `gzip`", "`none`", _compression),
    _otlp("TIMEOUT", "of one request, in ms", "`10000`", _positive),
    _otlp("CERTIFICATE", "file of the authorities to trust, PEM", "the system's", _readable_file),
    _otlp("CLIENT_CERTIFICATE", "file of the client's certificate chain, PEM", "", _readable_file),
    _otlp("CLIENT_KEY", "file of its private key, PEM", "", _readable_file),
    _otlp("INSECURE", "gRPC without TLS; HTTP goes by the address", "`false`", _boolean),
    Variable("OTEL_BSP_SCHEDULE_DELAY", "between two batches, in ms", "`1000`", _count),
    Variable("OTEL_BSP_EXPORT_TIMEOUT", "for one batch, all its tries together, in ms", "`60000`", _positive),
    Variable("OTEL_BSP_MAX_QUEUE_SIZE", "spans that may wait", "`16384`", _positive),
    Variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "spans in one request", "`4096`", _positive),
    Variable("OTEL_ATTRIBUTE_COUNT_LIMIT", "attributes of a span, an event, a link each", "`128`", _count),
    Variable("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "characters of a value", "no limit", _count),
    Variable("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "attributes of a span", "`128`", _count),
    Variable("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "characters of a span's value", "no limit", _count),
    Variable("OTEL_SPAN_EVENT_COUNT_LIMIT", "events of a span", "`128`", _count),
    Variable("OTEL_SPAN_LINK_COUNT_LIMIT", "links of a span", "`128`", _count),
    Variable("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "attributes of an event", "`128`", _count),
    Variable("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "attributes of a link", "`128`", _count),
    Variable(
        "CLEW_DISABLED_INSTRUMENTATIONS",
        "libraries that `clew.instrument()` and `clew run` leave alone: `redis,httpx`",
        "",
        _names,
    ),
    Variable("OTEL_PYTHON_ID_GENERATOR", "an installed id generator", "`random`", _lower),
    Variable("OTEL_ID_GENERATOR", "the same, where that is not set", "", _lower),
    Variable(
        "OTEL_LOG_LEVEL",
        "of the logger `clew`, unless it has one: `debug`, `info`, `warn`, `error`, `none`",
        "",
        _level,
    ),
    Variable(
        "OTEL_PYTHON_LOG_CORRELATION", "`true` puts the current span's ids into every log record", "`false`", _boolean
    ),
    Variable("OTEL_PYTHON_LOG_FORMAT", "with it: the format of the root logger, unless it has a handler"),
    Variable("OTEL_PYTHON_LOG_LEVEL", "with it: the level of the root logger, unless it has a handler", "", _level),
)

#: Read as text, by `text()`: where each stands in the documentation is another page than that of `VARIABLES`.
OTHERS: Final = {
    "CLEW_RECORDER": "`native` or `pure`: what records spans",
    "CLEW_SERVER": "the server's address for commands",
    "CLEW_TOKEN_FILE": "file with the server's token for commands",
    "NO_COLOR": "anything: no colours",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST": "names of headers that become attributes",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE": "names of headers that become attributes",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS": "names of headers whose values are hidden",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "names of headers that become attributes",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": "names of headers that become attributes",
    "OTEL_PYTHON_EXCLUDED_URLS": "regular expressions of addresses that are not traced",
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "`true` counts spans as they start, `false` no metrics at all",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "`rpc` or `rpc/dup`: the newer names of RPC attributes",
    "TERM": "`dumb`: no colours",
}

#: What the SDK for Python reads for tracing and clew does not, with what to do instead.
UNSUPPORTED: Final = {
    "OTEL_CONFIG_FILE": "configuration files are not read; use the variables or clew.configure()",
    "OTEL_PYTHON_TRACER_CONFIGURATOR": "single tracers are not configured",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "the exporter uses no requests.Session; give it headers",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER": "the exporter uses no requests.Session; give it headers",
}

_BY_NAME: Final = {
    **{variable.name: (variable, variable.parse) for variable in VARIABLES},
    **{
        variable.traces_name: (variable, variable.traces_parse or variable.parse)
        for variable in VARIABLES
        if variable.traces_name
    },
}
# Names of other signals, of instrumentations and of other languages are no misspelling of ours.
_elsewhere: Final = re.compile(
    r"OTEL_(PYTHON|INSTRUMENTATION|JAVA|JAVAAGENT|NODE|GO|DOTNET|PHP|RUBY|CPP|SEMCONV|COLLECTOR|EXPERIMENTAL|LOGS|METRICS?|BLRP|LOGRECORD"
    r"|PROFILES|ENTITIES|EXPORTER_(PROMETHEUS|ZIPKIN|JAEGER|OTLP_(LOGS|METRICS|PROFILES)))_.*"
).fullmatch


def read(name: str) -> Any:
    """The value of one variable of the table, `None` where it is not set, empty or cannot be read."""
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    variable, parse = _BY_NAME[name]
    try:
        return parse(text)
    except (ValueError, OSError) as error:
        ignore(name, "***" if variable.secret else text, str(error))
        return None


def text(name: str) -> str | None:
    """One variable's text as it stands there, None where it is not set. Raises KeyError for one that no table has."""
    if name not in OTHERS:
        _BY_NAME[name]
    return os.environ.get(name)


def proxies() -> set[str]:
    """The variables that name proxies and are set, in lower case: `http_proxy` and the like."""
    return {name.lower() for name in os.environ if name.lower().endswith("_proxy")}


@contextmanager
def without(name: str) -> Iterator[None]:
    """Remove a variable while other code runs that would read it, and restore it."""
    value = os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value


def read_otlp(name: str) -> Any:
    """The value of `OTEL_EXPORTER_OTLP_TRACES_<name>`, else that of `OTEL_EXPORTER_OTLP_<name>`."""
    value = read(f"OTEL_EXPORTER_OTLP_TRACES_{name}")
    return value if value is not None else read(f"OTEL_EXPORTER_OTLP_{name}")


def traces_url_from_environment() -> str:
    """The address to POST traces to as `OTEL_EXPORTER_OTLP_*ENDPOINT` say; this machine by default."""
    return read_otlp("ENDPOINT") or traces_url(DEFAULT_ENDPOINT)


def headers_from_environment() -> dict[str, str]:
    """Headers as `OTEL_EXPORTER_OTLP_TRACES_HEADERS` says, or `OTEL_EXPORTER_OTLP_HEADERS`."""
    return dict(read_otlp("HEADERS") or {})


def ignore(name: str, value: object, reason: str) -> None:
    """Say that a variable's value is ignored, and why; once a process."""
    if (name, str(value)) not in _named:
        _named.add((name, str(value)))
        _logger.warning("clew: %s=%s is ignored: %s", name, value, reason)


def name_the_unknown(environment: Mapping[str, str] | None = None) -> None:
    """Warn of variables that are set and not supported, and of names that look like one of the table misspelt."""
    names = os.environ if environment is None else environment
    for name in names:
        if not name.startswith("OTEL_") or name in _BY_NAME or not names[name].strip():
            continue
        if name in UNSUPPORTED:
            ignore(name, names[name], UNSUPPORTED[name])
        elif not _elsewhere(name):
            meant = _nearest(name)
            if meant:
                ignore(name, "…", f"there is no such variable; {meant} may be meant")


def _nearest(name: str) -> str | None:
    # Imported here because it is needed only where an unknown name is set.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, _BY_NAME, 1, 0.89)), None)
