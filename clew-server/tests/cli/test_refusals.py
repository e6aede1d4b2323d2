"""What the reading commands say of answers that are no success."""

from __future__ import annotations

import argparse
from email.message import Message
from io import BytesIO
from urllib.error import HTTPError

import pytest

from clew_server.cli._client import NOT_REACHABLE, USAGE, Client


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (431, USAGE, "the query is too long for an address (HTTP 431 why)"),
        (414, USAGE, "the query is too long for an address (HTTP 414 why)"),
        (400, NOT_REACHABLE, "what answers at http://localhost:1 is no clew server: HTTP 400 why"),
    ],
)
def test_a_refusal_that_is_not_of_the_api(status: int, code: int, sentence: str) -> None:
    client = Client(argparse.Namespace(server="http://localhost:1", token_file=None))
    failed = client._refused(HTTPError("http://localhost:1/", status, "why", Message(), BytesIO(b"in words")))
    assert (failed.code, str(failed)) == (code, sentence)
