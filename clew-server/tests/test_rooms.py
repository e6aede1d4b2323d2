"""Which room may import which. The table is the architecture; a new room must be given its line."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
CLEW = REPOSITORY / "clew/src/clew"
SERVER = REPOSITORY / "clew-server/src/clew_server"

# room -> rooms it may import (its own always). A room is a folder or a module at the top of a distribution.
# `_otel`, the one place with private names of OpenTelemetry's API, may be imported by all of `clew` and by nobody else.
CLEW_ROOMS: dict[str, set[str]] = {
    "__init__": {
        "bridges",
        "configure",
        "decorate",
        "logs",
        "recorder",
        "tracing",
        "middleware",
        "instrumentation",
        "transport",
    },
    "configure": {
        "carriers",
        "recorder",
        "tracing",
        "propagation",
        "instrumentation",
        "environment",
        "logs",
        "guard",
        "replaceable",
    },
    "_otel": set(),
    "environment": set(),
    "recorder": {"doubled", "otlp", "semconv", "guard", "environment", "hooks"},
    "doubled": {"guard", "hooks", "transport"},
    "hooks": {"guard"},
    "otlp": {"semconv"},
    "tracing": {"doubled", "environment", "transport", "middleware", "propagation", "semconv", "carriers", "guard"},
    "propagation": {"carriers", "environment", "ids", "semconv", "guard"},
    "instrumentation": {
        "environment",
        "guard",
        "hooks",
        "tracing",
        "transport",
        "carriers",
        "middleware",
        "propagation",
        "semconv",
    },
    "bridges": {"guard", "recorder", "otlp", "semconv", "tracing"},
    "transport": {"carriers"},
    "carriers": set(),
    "middleware": set(),
    "semconv": set(),
    "ids": set(),
    "decorate": {"tracing", "semconv", "guard"},
    "logs": {"tracing", "environment", "guard"},
    "pytest_plugin": {"testing", "recorder"},
    "cli": {"bash_quotes", "configure", "doctor", "run", "terminal"},
    "bash_quotes": set(),
    "terminal": {"environment"},
    "ask": set(),
    "run": {"startup"},
    "startup": {"configure", "guard", "hooks", "instrumentation"},
    "_startup": {"startup"},
    "replaceable": set(),
    "doctor": {"ask", "configure", "doubled", "environment", "recorder", "terminal"},
    "guard": set(),
    # The kits know the middleware; what records spans for a test is the recorder itself and its bytes, decoded.
    "testing": {"tracing", "transport", "carriers", "middleware", "propagation", "semconv", "recorder", "otlp"},
}
LEAVES = {"errors", "config", "status", "telemetry", "troubles", "durable", "__init__"}
SERVER_ROOMS: dict[str, set[str]] = {
    "__init__": set(),
    "errors": set(),
    "config": {"receivers"},  # their table, to know their names: see test_settings_know_the_receivers_by_name_only
    "status": set(),
    "troubles": {"status"},
    "durable": set(),
    "stopping": set(),
    "datafolder": {"durable"},
    "guard": LEAVES,
    "sockets": LEAVES,
    "model": LEAVES,
    "store": LEAVES | {"model"},
    "receivers": LEAVES
    | {"collector", "guard", "model", "sockets"},  # only some of its files: see test_a_receiver_decodes_without_io
    "collector": LEAVES | {"model", "store"},
    "analysis": {"model"},
    "query": LEAVES | {"model", "store", "analysis"},
    "api": LEAVES | {"query", "model", "store", "analysis", "sockets"},
    # `import` reads files itself, `serve` says why it cannot listen.
    "cli": LEAVES | {"app", "datafolder", "store", "demo", "model", "receivers", "sockets"},
    "demo": LEAVES,
    "testing": LEAVES | {"receivers", "collector", "model"},
    "app": {"*"},
}
# Inside a room only some files may reach further than the room's contract.
ONLY_APP_NAMES = {"store.chdb", "store.clickhouse"}
LISTENERS = {"listeners.py", "decoding.py", "http.py", "grpc.py", "grpc_reading.py", "udp.py", "tcp.py", "tailing.py"}
"""The files of the receivers that do I/O, hand batches to the intake, and are the same for all protocols."""


def imports(path: Path, package: str, root: Path) -> list[str]:
    """Dotted names below `package` that the file imports, module-level and deferred, as `room.module`."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from clew_server import app` imports the room `app`.
            deeper = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name for name in deeper if node.module == package] or [node.module]
        else:
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
            continue
        found += [
            name[len(package) + 1 :]
            for name in names
            if name.startswith(package + ".") and _is_room(root, name.split(".")[1])
        ]
    return found


def _is_room(root: Path, name: str) -> bool:
    return (root / f"{name}.py").exists() or (root / name).is_dir()


def room_of(path: Path, root: Path) -> str:
    return path.relative_to(root).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    ("package", "root", "rooms"), [("clew", CLEW, CLEW_ROOMS), ("clew_server", SERVER, SERVER_ROOMS)]
)
def test_every_room_imports_only_what_its_line_allows(package: str, root: Path, rooms: dict[str, set[str]]) -> None:
    wrong = []
    for path in sorted(root.rglob("*.py")):
        room = room_of(path, root)
        assert room in rooms, f"the room {room!r} has no line in the table"
        for name in imports(path, package, root):
            target = name.split(".")[0]
            if target != room and target not in rooms[room] | {"_otel"} and "*" not in rooms[room]:
                wrong.append(f"{path.relative_to(root)} imports {package}.{name}")
    assert wrong == []


def test_clew_never_imports_the_server() -> None:
    for path in CLEW.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not any(name.split(".")[0] == "clew_server" for name in names), path


def test_only_the_app_and_serve_name_an_engine() -> None:
    for path in SERVER.rglob("*.py"):
        if room_of(path, SERVER) in ("store", "app"):
            continue
        assert not ONLY_APP_NAMES & set(imports(path, "clew_server", SERVER)), path


def test_only_serve_imports_the_app() -> None:
    for path in SERVER.rglob("*.py"):
        if path != SERVER / "cli/serve.py":
            assert not any(name == "app" or name.startswith("app.") for name in imports(path, "clew_server", SERVER)), (
                path
            )


def test_a_receiver_decodes_without_io() -> None:
    io = {"asyncio", "socket", "grpc", "uvicorn", "starlette", "threading"}
    for path in (SERVER / "receivers").rglob("*.py"):
        if path.parent == SERVER / "receivers" and path.name in LISTENERS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not io & {name.split(".")[0] for name in names}, f"{path.name} does I/O; sockets live in {LISTENERS}"
            rooms = {f"clew_server.{room}" for room in ("collector", "sockets", "guard")}
            assert not any(name.startswith(room) for name in names for room in rooms), (
                f"{path.name} knows more than a decoder may"
            )


def test_settings_know_the_receivers_by_name_only() -> None:
    assert imports(SERVER / "config.py", "clew_server", SERVER) == ["receivers"]
    assert imports(SERVER / "receivers/table.py", "clew_server", SERVER) == ["receivers.contract"]
    loaded = "import sys, clew_server.config; assert not {'google.protobuf', 'grpc', 'uvicorn'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


def test_no_room_reaches_into_anothers_private_parts() -> None:
    wrong = []
    for package, root in (("clew", CLEW), ("clew_server", SERVER)):
        for path in root.rglob("*.py"):
            for name in imports(path, package, root):
                parts = name.split(".")
                if parts[0] != room_of(path, root) and any(
                    part.startswith("_") and part not in ("__init__", "_otel") for part in parts
                ):
                    wrong.append(f"{path.relative_to(root)} imports {package}.{name}")
    assert wrong == []
