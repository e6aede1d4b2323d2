"""Real databases and brokers for instrumentation stories: each a process on loopback, on a free port, in a folder of its own.

What cannot be had here raises `Absent` with the reason, which the fixtures turn into a skip.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.server import free_port

HERE = Path(__file__).resolve().parent
# What is built or fetched once for all runs of a checkout.
KEPT = HERE.parents[1] / "artifacts" / "backends"
START_TIMEOUT_S = 120.0
BUILD_TIMEOUT_S = 200.0


class Absent(Exception):
    """This machine cannot give the server; the message says why."""


@dataclass(frozen=True)
class Backend:
    """A running server."""

    host: str
    port: int
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"


@contextlib.contextmanager
def redis() -> Iterator[Backend]:
    """redis-server without persistence."""
    program = _program("redis-server")
    with _folder("redis") as folder:
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with _running(command, folder, port) as backend:
            yield backend


@contextlib.contextmanager
def redis_cluster() -> Iterator[Backend]:
    """A Redis cluster of one node, which has all slots."""
    program = _program("redis-server")
    with _folder("redis-cluster") as folder:
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--dir", str(folder)]
        with _running(command, folder, port) as backend:
            asks = [_program("redis-cli"), "-h", "127.0.0.1", "-p", str(port), "cluster"]
            _done([*asks, "addslotsrange", "0", "16383"], folder, user=None)
            is_up = [*asks, "info"]
            _until(
                lambda: b"cluster_state:ok" in subprocess.run(is_up, check=False, capture_output=True).stdout,
                backend.process,
                folder,
            )
            yield backend


@contextlib.contextmanager
def postgresql() -> Iterator[Backend]:
    """PostgreSQL with the superuser `postgres`, no password, database `postgres`."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    program = Path(shutil.which("postgres") or (versions[-1] if versions else "")).resolve()
    if not program.is_file():
        raise Absent("PostgreSQL is not installed (Debian: postgresql)")
    with _folder("postgresql") as folder:
        user = _unprivileged("postgres", folder)
        data = folder / "data"
        initdb = [str(program.parent / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"]
        _done(initdb, folder, user=user)
        port = free_port()
        command = [
            str(program),
            "-D",
            str(data),
            "-p",
            str(port),
            "-h",
            "127.0.0.1",
            "-k",
            "",
        ]  # no Unix socket: below a long TMPDIR its path would be too long
        with _running([*command, "-c", "fsync=off"], folder, port, user=user, stop=signal.SIGINT) as backend:
            # It listens before it takes anybody in.
            asks = [str(program.parent / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            _until(lambda: subprocess.run(asks, check=False).returncode == 0, backend.process, folder)
            yield backend


@contextlib.contextmanager
def rabbitmq() -> Iterator[Backend]:
    """RabbitMQ with the user `guest`, password `guest`; its port mapper is stopped with it."""
    program = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not program.exists():
        raise Absent("RabbitMQ is not installed (Debian: rabbitmq-server)")
    with _folder("rabbitmq") as folder:
        user = _unprivileged("rabbitmq", folder)
        port, distribution, mapper = free_port(), free_port(), free_port()
        (folder / "plugins").write_text("[].\n")
        environment = {
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"clew{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "HOME": str(folder),
            # The port that nodes talk to each other by would listen on every address.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        try:
            with _running([str(program)], folder, port, user=user, environment=environment) as backend:
                _until(lambda: _speaks_amqp(port), backend.process, folder)
                yield backend
        finally:
            stop = shutil.which("epmd")
            if stop:
                subprocess.run(
                    [stop, "-port", str(mapper), "-kill"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )


@contextlib.contextmanager
def mongodb() -> Iterator[Backend]:
    """FerretDB over SQLite, built here with Go: it speaks MongoDB's protocol."""
    program = build_go("mongo", HERE / "mongo")
    with _folder("mongo") as folder:
        port = free_port()
        (folder / "data").mkdir()
        command = [str(program), "-listen", f"127.0.0.1:{port}", "-dir", str(folder / "data")]
        with _running(command, folder, port) as backend:
            yield backend


@contextlib.contextmanager
def kafka() -> Iterator[Backend]:
    """One Kafka broker that is its own controller, from Maven Central."""
    java, jars = _program("java"), fetch_kafka()
    with _folder("kafka") as folder:
        port, controller = free_port(), free_port()
        settings = folder / "server.properties"
        text = (HERE / "kafka" / "server.properties").read_text()
        for name, value in (("PORT", port), ("CONTROLLER", controller), ("LOGS", folder / "logs")):
            text = text.replace(f"@{name}@", str(value))
        settings.write_text(text)
        start = [java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]
        format_ = [*start, "kafka.tools.StorageTool", "format", "--standalone", "-t", "aaaaaaaaaaaaaaaaaaaaaQ"]
        _done([*format_, "-c", str(settings)], folder)
        with _running([*start, "kafka.Kafka", str(settings)], folder, port) as backend:
            yield backend


def fetch_kafka() -> Path:
    """The folder with the jars of a Kafka broker, fetched once."""
    _program("java")
    maven = _program("mvn")
    jars = KEPT / "kafka"
    if not any(jars.glob("kafka_*.jar")):
        fetch = [maven, "-q", "-B", "-f", str(HERE / "kafka" / "pom.xml"), "dependency:copy-dependencies"]
        _built([*fetch, f"-DoutputDirectory={jars}"], HERE / "kafka")
    return jars


def fetch_jar(folder: str, artifact: str, name: str) -> Path:
    """One jar without what it depends on, fetched once. `artifact` as Maven names it, `name` that of the file."""
    kept = KEPT / folder
    if not (kept / name).exists():
        copy = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy"
        _built([_program("mvn"), "-q", "-B", copy, f"-Dartifact={artifact}", f"-DoutputDirectory={kept}"], HERE)
    return kept / name


def build_go(name: str, source: Path) -> Path:
    """The program that the Go module in `source` is, built once and again when a file of it is newer."""
    go = shutil.which("go") or next((str(path) for path in [Path("/usr/local/go/bin/go")] if path.exists()), None)
    if go is None:
        raise Absent("Go is not installed")
    program = KEPT / name
    newest = max(path.stat().st_mtime for path in source.iterdir())
    if not program.exists() or program.stat().st_mtime < newest:
        _built([go, "build", "-trimpath", "-ldflags=-s", "-o", str(program), "."], source)
    return program


ZIPKIN_VERSION = "3.6.1"


def zipkin_jar() -> Path:
    """The jar of Zipkin's server, which has its UI inside."""
    artifact = f"io.zipkin:zipkin-server:{ZIPKIN_VERSION}:jar:exec"
    return fetch_jar("zipkin", artifact, f"zipkin-server-{ZIPKIN_VERSION}-exec.jar")


@contextlib.contextmanager
def zipkin() -> Iterator[Backend]:
    """Zipkin's own server, which keeps spans in memory."""
    command = [_program("java"), "-Xmx256m", "-jar", str(zipkin_jar())]
    with _folder("zipkin") as folder:
        port = free_port()
        environment = {"QUERY_PORT": str(port), "STORAGE_TYPE": "mem"}
        with _running(command, folder, port, environment=environment) as backend:
            yield backend


@contextlib.contextmanager
def jaeger() -> Iterator[Backend]:
    """Jaeger's own query server over its store in memory, built here with Go; it takes spans at `/batch`."""
    program = build_go("jaeger-query", HERE.parent / "jaeger" / "query")
    with _folder("jaeger") as folder:
        port = free_port()
        with _running([str(program), f"127.0.0.1:{port}"], folder, port) as backend:
            yield backend


@contextlib.contextmanager
def otel_collector(files: Path) -> Iterator[Backend]:
    """An OpenTelemetry collector that takes OTLP over HTTP and writes it to `files` in three forms; built here with Go."""
    program = build_collector()
    with _folder("otelcol") as folder:
        port = free_port()
        command = [str(program), "--config", str(HERE.parent / "otelcol" / "collector.yaml")]
        with _running(command, folder, port, environment={"HPORT": str(port), "DIR": str(files)}) as backend:
            yield backend


def build_collector() -> Path:
    """The collector with the receiver and the exporter that `otelcol/builder.yaml` names, built once."""
    go = shutil.which("go") or next((str(path) for path in [Path("/usr/local/go/bin/go")] if path.exists()), None)
    if go is None:
        raise Absent("Go is not installed")
    settings = HERE.parent / "otelcol" / "builder.yaml"
    built = KEPT / "otelcol"
    program = built / "otelcol"
    if not program.exists() or program.stat().st_mtime < settings.stat().st_mtime:
        built.mkdir(parents=True, exist_ok=True)
        text = settings.read_text().replace("output_path: ./out", f"output_path: {built}")
        (built / "builder.yaml").write_text(text)
        builder = "go.opentelemetry.io/collector/cmd/builder@v0.145.0"
        _built([go, "run", builder, "--config", str(built / "builder.yaml")], built)
    return program


# -- processes ----------------------------------------------------------------------------------------------------------


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Absent(f"{name} is not installed")
    return found


def _built(command: Sequence[str], folder: Path) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise Absent(f"{command[0]} took more than {BUILD_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise Absent(f"{Path(command[0]).name} failed, most likely without a way to its registry: {last}")


@contextlib.contextmanager
def _folder(name: str) -> Iterator[Path]:
    """Short, since sockets have short paths, and open to other users, since some servers refuse to be root."""
    with tempfile.TemporaryDirectory(prefix=f"clew-{name}-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def _unprivileged(name: str, folder: Path) -> str | None:
    """The user who may run the server: ourselves, or where we are root the package's own, who then owns the folder."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise Absent(f"there is no user {name} to run it") from None
    shutil.chown(folder, user=name)
    return name


def _done(command: Sequence[str], folder: Path, user: str | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, user=user, timeout=100, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr or done.stdout}")


@contextlib.contextmanager
def _running(
    command: Sequence[str],
    folder: Path,
    port: int,
    *,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
    stop: int = signal.SIGTERM,
) -> Iterator[Backend]:
    with (folder / "printed").open("wb") as printed:
        process = subprocess.Popen(
            command,
            cwd=folder,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            env={**os.environ, **(environment or {})},
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _until(lambda: _listens(port), process, folder)
            yield Backend("127.0.0.1", port, process, folder)
        finally:
            # The whole group: servers leave helpers behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, stop)
            try:
                process.wait(100)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _until(is_there: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_there():
        if process.poll() is not None or time.monotonic() > deadline:
            said = (folder / "printed").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{process.args!r} did not start (exit {process.poll()}):\n{said}")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _speaks_amqp(port: int) -> bool:
    """RabbitMQ listens before it answers."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.settimeout(2)
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        return connection.recv(1) == b"\x01"
    return False
