"""The table of variables: how each is read, what is said of bad ones, and that the documentation has it."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew import environment
from clew.environment import VARIABLES, pairs

REFERENCE = Path(__file__).parents[2] / "docs/reference/python.md"
NAMES = {name for variable in VARIABLES for name in (variable.name, variable.traces_name) if name}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(environment, "_named", set())


def rows() -> list[str]:
    return [
        f"| `{variable.name}`{f', `{variable.traces_name}`' if variable.traces_name else ''} "
        f"| {variable.default} | {variable.meaning} |"
        for variable in VARIABLES
    ]


def test_the_documentation_has_every_variable_with_its_default_and_meaning() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    section = text.split("## Variables", 1)[1].split("\n## ", 1)[0]
    assert [line for line in section.splitlines() if line.startswith(("| `OTEL_", "| `CLEW_"))] == rows()
    for name in environment.UNSUPPORTED:
        assert name in section


def test_the_table_has_every_variable_that_the_sdk_reads_for_tracing() -> None:
    from opentelemetry.environment_variables import OTEL_PROPAGATORS, OTEL_TRACES_EXPORTER
    from opentelemetry.sdk import environment_variables as sdk

    other = re.compile("METRIC|LOGS|BLRP|LOGRECORD|PROMETHEUS|ZIPKIN|METER|LOGGER|INTERNAL_METRICS")
    wanted = {name for name in vars(sdk) if name.startswith("OTEL_") and not other.search(name)}
    wanted |= {OTEL_PROPAGATORS, OTEL_TRACES_EXPORTER}
    assert wanted - NAMES - set(environment.UNSUPPORTED) == set()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("OTEL_SDK_DISABLED", "TRUE", True),
        ("OTEL_SDK_DISABLED", "false", False),
        ("OTEL_TRACES_EXPORTER", "OTLP, console,otlp,", ["otlp", "console"]),
        ("OTEL_BSP_SCHEDULE_DELAY", "0", 0),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a/x", "http://a/x"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a/x", "http://a/x/v1/traces"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c, d = e=f ,", {"a": "b c", "d": "e=f"}),
        ("OTEL_LOG_LEVEL", "Debug", logging.DEBUG),
        ("OTEL_SERVICE_NAME", "  ", None),
        ("OTEL_SERVICE_NAME", " s ", "s"),
    ],
)
def test_values_are_read_as_the_specification_says(
    name: str, text: str, value: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, text)
    assert environment.read(name) == value
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1e3"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "٣"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[half"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file.pem"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%0d%0ac"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
        ("OTEL_LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_value_is_named_once_and_counts_as_none(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, text)
    assert environment.read(name) is None
    assert environment.read(name) is None
    assert caplog.text.count(name) == 1


def test_headers_are_never_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization hunter2")
    assert environment.headers_from_environment() == {}
    assert "OTEL_EXPORTER_OTLP_TRACES_HEADERS" in caplog.text
    assert "hunter2" not in caplog.text


def test_the_form_for_traces_wins_where_it_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000")
    assert environment.read_otlp("TIMEOUT") == 2000
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "soon")
    assert environment.read_otlp("TIMEOUT") == 1000


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_TRACE_SAMPLER", "OTEL_TRACES_SAMPLER"),
        ("OTEL_EXPORTER_OLTP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_SERVICENAME", "OTEL_SERVICE_NAME"),
        ("OTEL_RESOURCE_ATTRIBUTE", "OTEL_RESOURCE_ATTRIBUTES"),
        ("OTEL_EXPORTER_OTLP_TRACE_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
    ],
)
def test_a_misspelt_name_is_named_with_the_one_that_may_be_meant(
    name: str, meant: str, caplog: pytest.LogCaptureFixture
) -> None:
    environment.name_the_unknown({name: "secret"})
    environment.name_the_unknown({name: "secret"})
    assert caplog.text.count(f"{name}=") == 1
    assert f"{meant} may be meant" in caplog.text
    assert "secret" not in caplog.text


def test_names_of_other_signals_languages_and_instrumentations_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    from opentelemetry.sdk import environment_variables as sdk

    theirs = {name: "x" for name in vars(sdk) if name.startswith("OTEL_") and name not in environment.UNSUPPORTED}
    ours = {
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "redis",
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "x",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
        "OTEL_JAVAAGENT_ENABLED": "true",
        "OTEL_DEPLOYMENT_ENVIRONMENT": "x",
        "OTEL_TRACE_SAMPLER": "",
        "PATH": "x",
    }
    environment.name_the_unknown({**theirs, **ours})
    assert caplog.text == ""


def test_what_the_sdk_reads_and_clew_does_not_is_said(caplog: pytest.LogCaptureFixture) -> None:
    environment.name_the_unknown({"OTEL_CONFIG_FILE": "x.yaml"})
    assert "OTEL_CONFIG_FILE=x.yaml is ignored: configuration files are not read" in caplog.text


@given(st.text(max_size=60))
def test_no_text_breaks_a_reader(text: str) -> None:
    for variable in VARIABLES:
        for parse in filter(None, (variable.parse, variable.traces_parse)):
            try:
                parse(text)
            except (ValueError, OSError):
                pass


@given(st.dictionaries(st.text(min_size=1, max_size=9).filter(str.strip), st.text(max_size=9), min_size=1, max_size=4))
def test_percent_encoded_pairs_come_back(values: dict[str, str]) -> None:
    from urllib.parse import quote

    try:
        text = ",".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in values.items())
    except UnicodeEncodeError:
        return
    assert pairs(text) == values


# Who may touch os.environ beside the table, and why.
TOUCH_THE_ENVIRONMENT = {
    "environment.py": "the tables",
    "run.py": "writes the environment of the program it starts",
    "instrumentation/auto.py": "runs in every process before anything may be imported",
    "startup.py": "runs in every process before anything may be imported",
    "_startup/sitecustomize.py": "runs in every process before anything may be imported",
    "guard.py": "is imported by what runs in every process",
    "cli.py": "is asked by a shell that completes a command line, in argcomplete's variables",
    "testing/kits/doubles.py": "hides pytest's own variable",
    "testing/kits/sameness.py": "hides pytest's own variable",
}


def test_nothing_else_reads_the_environment() -> None:
    sources = Path(environment.__file__).parent
    touching = {
        path.relative_to(sources).as_posix()
        for path in sources.rglob("*.py*")
        if path.suffix in (".py", ".pyx")
        and re.search(r"\bos\.(environ|getenv|putenv)\b|from os import .*\b(environ|getenv)\b", path.read_text("utf-8"))
    }
    assert touching == TOUCH_THE_ENVIRONMENT.keys()


def test_a_variable_of_no_table_cannot_be_asked_for() -> None:
    with pytest.raises(KeyError):
        environment.text("CLEW_NO_SUCH_THING")
    assert set(environment.OTHERS).isdisjoint(NAMES)


def test_a_hidden_variable_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PROPAGATORS", "b3")
    with environment.without("OTEL_PROPAGATORS"):
        assert "OTEL_PROPAGATORS" not in os.environ
    assert os.environ["OTEL_PROPAGATORS"] == "b3"
    with environment.without("NO_SUCH_THING"):
        pass
    assert "NO_SUCH_THING" not in os.environ
