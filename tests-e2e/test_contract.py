"""The API against its own description: whatever is asked, it answers as described, and says nothing of how it is made.

Few questions of each operation here, the same ones each time; `make fuzz` asks CLEW_CONTRACT_EXAMPLES of each.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from clew_server.api.openapi import DOCUMENT
from harness import wire
from harness.server import Server

EXAMPLES = int(os.environ.get("CLEW_CONTRACT_EXAMPLES", "2"))
ENDLESS = "/api/v1/tail"
DESCRIBED = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {
    f"{operation.method.upper()} {operation.path}": operation
    for operation in (found.ok() for found in DESCRIBED.get_all_operations())
    if operation.path != ENDLESS
}
INSIDES = re.compile(
    r"DB::|Code: \d+\.|Traceback|File \"|\.py\b|site-packages|clew_server/|chdb|JSONCompactEachRow|unhex\(|toFixedString|max_execution_time|FROM (spans|traces|red)\b"
)
"""What stands in the engine's and Python's messages, and in our statements, and in no question that is asked here."""
INJECTIONS = [
    "' OR 1=1 --",
    "') UNION ALL SELECT name FROM system.tables --",
    "\\'; DROP TABLE spans; --",
    "\\",
    "'",
    '"',
    "{text0:String}",
    "{from_ns:Int64}",
    "SPAN_WINDOW",
    "TRACE_SETS) OR (1",
    "SPANS_AGAIN",
    "file('/etc/passwd')",
    "../../../../etc/passwd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "\x00",
    "a\x00b\r\nX-Injected: 1",
    "\t\n\\N",
    "${jndi:ldap://localhost/a}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "(((((((((((((((((((((((((((((((((((((((((((((((((",
    "(a{1000}){1000}",
    "99999999999999999999999999999999999999",
    "-9223372036854775809",
    "1e400",
    "NaN",
    "𝕏\u202e\ufffe",
    "x" * 5_000,
]
IN_A_QUERY = [
    "{0}",
    'name="{1}"',
    'name=~"{1}"',
    '"{1}"="{1}"',
    '{{event="{1}"}} >> {{"{1}" exists}}',
    'dur>"{1}"',
    'n in ("{1}", 1)',
]


@pytest.fixture(scope="module")
def asked(server: Server) -> Iterator[tuple[Server, requests.Session, str]]:
    """The server with a trace in it, whose id is given."""
    trace_id = wire.new_trace_id()
    root = wire.span(trace_id=trace_id, name="GET /contract", values={"it's": "\\'"})
    child = wire.span(trace_id=trace_id, parent_id=root.span_id, name="SELECT", kind=3, values={"n": "1"})
    server.export(wire.request("contract", [root, child]))
    server.flush()
    with requests.Session() as session:
        yield server, session, trace_id.hex()
    assert server.is_running()
    assert server.get_json(f"/api/v1/traces/{trace_id.hex()}")


def check_inside(server: Server, answer: requests.Response) -> None:
    """No failure of the server's (but one: no time on a busy machine), and nothing of its insides, in no header either."""
    text = answer.text + repr(dict(answer.headers))
    assert answer.status_code < 500 or (answer.status_code == 503 and "stopped after" in text), (answer.url, text[:500])
    found = INSIDES.search(text) if answer.headers.get("Content-Type", "").startswith("application/json") else None
    assert found is None, (answer.url, found)
    assert str(server.data_dir) not in text, answer.url
    assert "X-Injected" not in answer.headers


def asked_of(mode: GenerationMode) -> list[Any]:
    """Of the operations that take texts only, or a file, nothing is wrong by the description."""
    takes_more = [
        name
        for name, one in OPERATIONS.items()
        if one.query or any(body.media_type == "application/json" for body in one.body)
    ]
    names = list(OPERATIONS) if mode is GenerationMode.POSITIVE else takes_more
    return [pytest.param(name, mode, id=f"{mode.value} {name}") for name in names]


@pytest.mark.parametrize(("name", "mode"), [*asked_of(GenerationMode.POSITIVE), *asked_of(GenerationMode.NEGATIVE)])
def test_each_answer_is_one_that_is_described(asked: Any, name: str, mode: GenerationMode) -> None:
    server, session, _ = asked
    operation = OPERATIONS[name]

    @seed(19)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode))
    def ask(case: schemathesis.Case) -> None:
        answer = case.call(base_url=server.http, session=session, timeout=100)
        text = answer.text
        assert answer.status_code < 500 or (answer.status_code == 503 and "stopped after" in text), text[:500]
        assert str(server.data_dir) not in text
        case.validate_response(
            answer, checks=[status_code_conformance, content_type_conformance, response_schema_conformance]
        )

    ask()


def parameters() -> list[tuple[str, str]]:
    return [
        (name, parameter["name"])
        for name in OPERATIONS
        for parameter in DOCUMENT["paths"][name.split()[1]][name.split()[0].lower()].get("parameters", [])
    ]


@pytest.mark.parametrize(("name", "parameter"), parameters(), ids=lambda one: one)
def test_what_is_written_into_a_parameter_stays_a_text(asked: Any, name: str, parameter: str) -> None:
    server, session, trace_id = asked
    method, path = name.split()
    operation = DOCUMENT["paths"][path][method.lower()]
    # The same ones each time for each parameter, others for the next.
    first = sum(map(ord, name + parameter))
    texts = [INJECTIONS[(first + number) % len(INJECTIONS)] for number in range(min(EXAMPLES, len(INJECTIONS)))]
    usual = {"key": "name", "service": "contract", "operation": "GET /contract", "q": "", "text": "a"}
    for number, text in enumerate(texts):
        values = {
            one["name"]: usual.get(one["name"], "1") for one in operation.get("parameters", []) if one.get("required")
        }
        values["trace_id"] = trace_id
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        forms = IN_A_QUERY if parameter in ("q", "by", "key") else ["{0}"]
        if len(INJECTIONS) > EXAMPLES:
            forms = [forms[(first + number) % len(forms)]]
        for form in forms:
            values[parameter] = form.format(text, escaped)
            url = server.http + path.replace("{trace_id}", requests.utils.quote(values["trace_id"], safe=""))
            query = {key: value for key, value in values.items() if key != "trace_id"}
            body = {"json": {"trace_ids": [values["trace_id"]], "span_ids": []}} if method == "POST" else {}
            answer = session.request(method, url, params=query, timeout=100, **body)  # type: ignore[arg-type]
            check_inside(server, answer)
            if answer.headers.get("Content-Type", "").startswith("application/json"):
                schema = operation["responses"].get(str(answer.status_code))
                assert schema is not None or answer.status_code == 404, (
                    answer.url,
                    answer.status_code,
                    answer.text[:300],
                )
                if schema is not None:
                    one = schema["content"]["application/json"]["schema"]
                    errors = Draft202012Validator({**one, "components": DOCUMENT["components"]}).iter_errors(
                        answer.json()
                    )
                    assert [error.message for error in errors] == [], answer.url


@pytest.mark.parametrize("path", ["/api/v1/traces/answers", "/api/v1/traces/{trace_id}/spans", "/api/v1/decode"])
def test_what_is_written_into_a_body_stays_a_text(asked: Any, path: str) -> None:
    server, session, trace_id = asked
    url = server.http + path.replace("{trace_id}", trace_id)
    bodies: list[Any] = [
        None,
        [],
        {},
        "",
        1,
        {"trace_ids": "x"},
        {"trace_ids": [1]},
        {"span_ids": [None]},
        {"trace_ids": [[]]},
    ]
    bodies += [{"trace_ids": [text], "span_ids": [text], "columns": [text]} for text in INJECTIONS[: 2 * EXAMPLES]]
    bodies += [{"trace_ids": [trace_id], "columns": [text]} for text in INJECTIONS[: 2 * EXAMPLES]]
    raw = [json.dumps(body).encode() for body in bodies]
    raw += [b"", b"{", b"\xff\xfe", b"[" * 5_000, b'{"trace_ids": ' + b"[" * 5_000, secrets.token_bytes(200)]
    for body in raw:
        answer = session.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=100)
        check_inside(server, answer)
        assert answer.status_code in (200, 400, 404, 413, 415), (body[:200], answer.text[:300])
