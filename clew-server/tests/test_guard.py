from __future__ import annotations

import asyncio

import httpx
import pytest
from google.rpc.status_pb2 import Status

from clew_server.guard import Guard, Receive, Scope, Send
from clew_server.receivers.status import refusal_body


async def _hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def ask(
    guard: Guard, *, method: str = "GET", path: str = "/api/v1/status", host: str = "127.0.0.1:16686", **headers: str
) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url=f"http://{host}") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(run())


@pytest.mark.parametrize("host", ["127.0.0.1:16686", "localhost", "localhost:1", "[::1]:16686", "127.8.9.1"])
def test_loopback_names_are_answered(host: str) -> None:
    assert ask(Guard(_hello, token=None, loopback=True), host=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1"])
def test_another_name_that_points_here_is_refused(host: str) -> None:
    answer = ask(Guard(_hello, token=None, loopback=True), host=host)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "host"


def test_a_refusal_can_be_written_in_the_protocol_behind_the_guard() -> None:
    guard = Guard(_hello, token="secret", loopback=True, refusal_body=refusal_body)
    for media in ("application/x-protobuf", "application/protobuf; a=b"):
        answer = ask(guard, method="POST", **{"content-type": media})
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/x-protobuf")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert Status.FromString(answer.content).code == 16
    answer = ask(guard, host="evil.example", **{"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"], answer.json()["code"]) == (403, "application/json", 7)
    assert "evil.example" in answer.json()["message"]


def test_a_write_from_a_page_of_another_origin_is_refused() -> None:
    guard = Guard(_hello, token=None, loopback=True)
    assert ask(guard, method="POST", origin="http://evil.example").status_code == 403
    assert ask(guard, method="POST", origin="http://127.0.0.1:16686").status_code == 200


def test_the_browsers_word_on_the_origin_counts_behind_a_proxy_that_changes_the_host() -> None:
    guard = Guard(_hello, token=None, loopback=True)
    own = {"origin": "https://traces.example", "sec-fetch-site": "same-origin"}
    foreign = {"origin": "http://127.0.0.1:16686", "sec-fetch-site": "cross-site"}
    assert ask(guard, method="POST", **own).status_code == 200
    assert ask(guard, method="POST", **foreign).status_code == 403


def test_with_a_token_everything_but_health_and_the_uis_files_wants_it() -> None:
    guard = Guard(_hello, token="secret", loopback=False, is_open=lambda path: path == "/search")
    assert ask(guard).status_code == 401
    assert ask(guard).headers["www-authenticate"] == "Bearer"
    assert ask(guard, authorization="Bearer wrong").status_code == 401
    assert ask(guard, authorization="bearer secret").status_code == 200
    assert ask(guard, path="/healthz").status_code == 200
    assert ask(guard, path="/search").status_code == 200


def test_every_answer_forbids_framing_sniffing_and_other_origins() -> None:
    headers = ask(Guard(_hello, token=None, loopback=True)).headers
    assert headers["content-security-policy"] == "default-src 'self'; base-uri 'self'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in headers
