"""`clew.configure` and the OTEL_* variables, each case in a process of its own, as configuring is once a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from clew.configure import traces_url

_SHOW = """
import json
import clew
{before}
provider = clew.configure({arguments})
{after}
from opentelemetry import propagate, trace
exporter = provider._pipeline and provider._pipeline._exporter
options = provider._pipeline and provider._pipeline._options
print(json.dumps({{
    "resource": dict(provider.resource.attributes),
    "global": trace.get_tracer_provider() is provider,
    "fields": sorted(propagate.get_global_textmap().fields),
    "url": getattr(exporter, "url", None),
    "headers": getattr(exporter, "_headers", None),
    "exporter": type(exporter).__name__,
    "options": vars(options) if options else None,
    "limits": vars(provider._limits),
    "sampled": provider.get_tracer("t").start_span("op").get_span_context().trace_flags.sampled,
}}))
"""


def run(arguments: str = "", environment: dict[str, str] | None = None, before: str = "", after: str = "") -> Any:
    code = _SHOW.format(arguments=arguments, before=before, after=after)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**clean, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def configured(arguments: str = "", environment: dict[str, str] | None = None) -> dict[str, Any]:
    done = run(arguments, environment)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    result["stderr"] = done.stderr
    return result


def test_arguments_make_the_resource_and_values_keep_their_types() -> None:
    made = configured(
        "service_name='user', endpoint='http://127.0.0.1:9/base/', "
        "resource_attributes={'environment': 'development', 'ID': 1}",
        {"OTEL_SERVICE_NAME": "other", "OTEL_RESOURCE_ATTRIBUTES": "environment=test,region=eu%20west"},
    )
    assert made["resource"]["service.name"] == "user"
    assert made["resource"]["ID"] == 1
    assert made["resource"]["environment"] == "development"
    assert made["resource"]["region"] == "eu west"
    assert made["resource"]["telemetry.sdk.language"] == "python"
    assert made["resource"]["process.pid"] > 0
    assert made["url"] == "http://127.0.0.1:9/base/v1/traces"
    assert made["global"]
    assert made["sampled"]
    assert {"traceparent", "tracestate", "baggage", "x-md-service-name"} <= set(made["fields"])
    assert "no name" not in made["stderr"]


def test_the_environment_says_what_arguments_do_not() -> None:
    made = configured(
        "",
        {
            "OTEL_SERVICE_NAME": "from environment",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9/",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc, x=y",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
            "OTEL_PROPAGATORS": "tracecontext,kratos",
            "OTEL_BSP_SCHEDULE_DELAY": "300",
            "OTEL_BSP_MAX_QUEUE_SIZE": "99",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "9",
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5",
            "OTEL_ATTRIBUTE_COUNT_LIMIT": "6",
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "7",
        },
    )
    assert made["resource"]["service.name"] == "from environment"
    assert made["url"] == "http://127.0.0.1:9/v1/traces"
    assert (made["headers"]["authorization"], made["headers"]["x"]) == ("Bearer abc", "y")
    assert made["headers"]["Content-Encoding"] == "gzip"
    options = made["options"]
    assert (options["timeout_s"], options["schedule_delay_s"]) == (2.5, 0.3)
    assert (options["max_queue_spans"], options["max_batch_spans"]) == (99, 9)
    assert not made["sampled"]
    assert set(made["fields"]) == {"traceparent", "tracestate", "x-md-service-name"}
    limits = made["limits"]
    assert (limits["max_span_attributes"], limits["max_event_attributes"]) == (5, 6)
    assert (limits["max_span_attribute_length"], limits["max_attribute_length"]) == (7, 7)


def test_the_address_for_traces_is_taken_as_it_is() -> None:
    made = configured("'s'", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/elsewhere"})
    assert made["url"] == "http://127.0.0.1:9/elsewhere"


def test_bad_values_are_named_once_and_ignored() -> None:
    bad = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_HEADERS": "novalue",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "soon",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "zip",
        "OTEL_TRACES_SAMPLER": "sometimes",
        "OTEL_PROPAGATORS": "pigeons",
        "OTEL_BSP_MAX_QUEUE_SIZE": "0",
        "OTEL_SPAN_LINK_COUNT_LIMIT": "-3",
        "OTEL_RESOURCE_ATTRIBUTES": "a=b,c",
        "OTEL_TRACES_EXPORTER": "telegraph",
    }
    made = configured("'s'", bad)
    assert made["url"] == "http://localhost:4318/v1/traces"
    assert made["options"]["timeout_s"] == 10
    assert made["limits"]["max_links"] == 128
    assert made["sampled"]
    assert "a" not in made["resource"]
    for variable in bad:
        assert made["stderr"].count(variable) == 1, made["stderr"]


def test_a_service_without_a_name_is_warned_about_once() -> None:
    made = configured()
    assert made["resource"]["service.name"] == "unknown_service:python"
    assert made["stderr"].count("has no name") == 1


def test_configuring_twice_is_refused() -> None:
    done = run("service_name='s'", after="clew.configure(service_name='again')")
    assert done.returncode == 1
    assert "RuntimeError: clew.configure() was called before" in done.stderr


@pytest.mark.parametrize("arguments", ["endpoint='localhost:4318'", "propagators=['pigeons']", "compression='zip'"])
def test_an_argument_that_cannot_be_meant_is_refused_and_configuring_is_still_possible(arguments: str) -> None:
    before = f"""
try:
    clew.configure({arguments})
except ValueError as error:
    print(error)
else:
    raise SystemExit("not refused")
"""
    done = run("service_name='s'", before=before)
    assert done.returncode == 0, done.stderr


def test_a_disabled_sdk_records_nothing() -> None:
    made = configured("'s'", {"OTEL_SDK_DISABLED": "true"})
    assert not made["global"]
    assert not made["sampled"]
    assert made["options"] is None
    assert "traceparent" in made["fields"]


def test_the_exporter_can_be_the_console_or_none() -> None:
    assert configured("'s'", {"OTEL_TRACES_EXPORTER": "none"})["options"] is None
    assert configured("'s'", {"OTEL_TRACES_EXPORTER": "console"})["exporter"] == "ConsoleExporter"


def test_names_of_propagators_are_taken() -> None:
    assert set(configured("'s', propagators=['baggage']")["fields"]) == {"baggage"}


def test_shutdown_before_configuring_does_nothing() -> None:
    done = run("'s'", before="clew.shutdown()", after="clew.shutdown(1); clew.shutdown()")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://a:4318", "http://a:4318/v1/traces"),
        ("http://a:4318/", "http://a:4318/v1/traces"),
        ("https://a/otlp/v1/traces", "https://a/otlp/v1/traces"),
        ("https://a/otlp?key=1", "https://a/otlp/v1/traces?key=1"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_the_path_is_appended_unless_it_is_there(endpoint: str, url: str) -> None:
    assert traces_url(endpoint) == url
