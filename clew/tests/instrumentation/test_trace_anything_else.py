"""The instrumentation that the page *Trace anything else* writes in 40 lines, and its kit, over a socket to pymongo itself."""

from __future__ import annotations

import re
import socketserver
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest

PAGE = Path(__file__).parents[3] / "docs/how-to/trace-anything-else.md"
_OP_QUERY, _OP_MSG, _OP_REPLY = 2004, 2013, 1
_HELLO = {
    "ok": 1,
    "isWritablePrimary": True,
    "ismaster": True,
    "helloOk": True,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "maxBsonObjectSize": 16_777_216,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
}


class MongoWire(socketserver.StreamRequestHandler):
    """Enough of MongoDB's wire protocol to greet a driver and answer a find: empty, or a refusal of what makes no sense."""

    def handle(self) -> None:
        while head := self.rfile.read(16):
            size, request_id, _, code = struct.unpack("<iiii", head)
            body = self.rfile.read(size - 16)
            if code == _OP_QUERY:
                start = body.index(b"\0", 4) + 9
                self.reply(
                    request_id, _OP_REPLY, struct.pack("<iqii", 0, 0, 0, 1), self.answer(bson.decode(body[start:]))
                )
            else:
                self.reply(request_id, _OP_MSG, struct.pack("<ib", 0, 0), self.answer(bson.decode(body[5:])))

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        if "find" not in command:
            return _HELLO
        if "$nonsense" in command["filter"]:
            return {"ok": 0, "code": 2, "codeName": "BadValue", "errmsg": "unknown top level operator: $nonsense"}
        return {"ok": 1, "cursor": {"id": 0, "ns": "shop.orders", "firstBatch": []}}

    def reply(self, request_id: int, code: int, start: bytes, document: dict[str, Any]) -> None:
        body = start + bson.encode(document)
        self.wfile.write(struct.pack("<iiii", 16 + len(body), 0, request_id, code) + body)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def blocks() -> dict[str, Any]:
    """What the page's section defines."""
    section = PAGE.read_text(encoding="utf-8").partition("## An instrumentation in 40 lines")[2].partition("\n## ")[0]
    space: dict[str, Any] = {}
    exec("import clew\nfrom opentelemetry.trace import SpanKind", space)
    for block in re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), space)
    return space


_space = blocks()


class TestCommandsOfThePage(_space["TestCommands"]):  # type: ignore[misc]
    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with Server(("127.0.0.1", 0), MongoWire) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            _space["ADDRESS"] = f"mongodb://127.0.0.1:{server.server_address[1]}/?directConnection=true"
            try:
                yield
            finally:
                server.shutdown()
                thread.join()


def test_the_page_keeps_its_word() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## An instrumentation in 40 lines")[2]
    first = section.partition("```python\n")[2].partition("```")[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 40
