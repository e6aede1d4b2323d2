"""What tracing adds to a unary gRPC call: CPU of the client and the server, with our interceptors and OpenTelemetry's.

    python bench/request/grpc_calls.py [--calls 3000] [--rounds 7] [--smoke]

Client and server share a process and a connection over loopback, so what tracing adds shows in that process's CPU; the
server has one worker. The contestants, each in a process of its own, take turns within each round: nothing, interceptors
that only pass on (what gRPC itself takes for having any), ours, and opentelemetry-instrumentation-grpc over opentelemetry-sdk. Spans go to a collector in another process that answers at once.
CPU is user and system time of `--calls` calls and of sending their spans, after a warm-up; the figure is the median over
rounds of the difference to "nothing" in the same round. `--smoke` leaves out whom it would have to install.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PINS = (
    "opentelemetry-instrumentation-grpc==0.66b1",
    "opentelemetry-sdk==1.45.1",
    "opentelemetry-exporter-otlp-proto-http==1.45.1",
    "grpcio==1.85.1",
)
HOME = Path(__file__).resolve().parents[1] / ".venvs" / "otel-grpc"
WORDS = ("nothing", "pass-through", "clew", "opentelemetry")
SIDES = ("both", "client", "server")
#: What opentelemetry-instrumentation-grpc adds is to be at least so many times what we add.
WANTED_RATIO = 15.0
METHOD = "/bench.v1.Echo/Say"
WARM_UP_CALLS = 300


def collector() -> None:
    """Answers every request with 200 and forgets it; prints its port."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def interceptors(word: str, side: str, port: int) -> tuple[list[Any], list[Any], Any]:
    """For the server, for the channel, and what sends the spans that are left."""
    has_server, has_client = side in ("both", "server"), side in ("both", "client")
    endpoint = f"http://127.0.0.1:{port}"
    if word == "clew":
        import clew

        provider = clew.configure(service_name="bench", endpoint=endpoint)
        return (
            [clew.grpc.server_interceptor()] if has_server else [],
            [clew.grpc.client_interceptor(target="127.0.0.1:1")] if has_client else [],
            provider.force_flush,
        )
    if word == "opentelemetry":
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.grpc import client_interceptor, server_interceptor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        made = TracerProvider(resource=Resource.create({"service.name": "bench"}))
        made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint + "/v1/traces")))
        trace.set_tracer_provider(made)
        return (
            [server_interceptor()] if has_server else [],
            [client_interceptor()] if has_client else [],
            made.force_flush,
        )
    if word == "pass-through":
        import grpc

        class Server(grpc.ServerInterceptor):
            def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
                handler = continuation(handler_call_details)
                return grpc.unary_unary_rpc_method_handler(
                    lambda request, context: handler.unary_unary(request, context)
                )

        class Client(grpc.UnaryUnaryClientInterceptor):
            def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
                return continuation(client_call_details, request)

        return [Server()] if has_server else [], [Client()] if has_client else [], lambda: True
    return [], [], lambda: True


def contestant(word: str, side: str, calls: int, port: int) -> None:
    """Makes the calls; prints the CPU of one in microseconds."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from grpc import intercept_channel

    if word == "opentelemetry":
        # Its interceptors are of a kind of their own.
        from opentelemetry.instrumentation.grpc.grpcext import intercept_channel

    on_server, on_client, flush = interceptors(word, side, port)

    def answer(request: bytes, context: Any) -> bytes:
        return request

    handler = grpc.method_handlers_generic_handler(
        "bench.v1.Echo", {"Say": grpc.unary_unary_rpc_method_handler(answer)}
    )
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, interceptors=on_server)
        server.add_generic_rpc_handlers((handler,))
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        with grpc.insecure_channel(address) as plain:
            channel = intercept_channel(plain, *on_client) if on_client else plain
            call = channel.unary_unary(METHOD)
            for _ in range(WARM_UP_CALLS):
                call(b"x")
            flush()
            before_s = time.process_time()
            for number in range(calls):
                call(b"x")
                if number % 1_000 == 999:
                    # Queues hold 2,048 spans by default.
                    flush()
            flush()
            used_s = time.process_time() - before_s
        server.stop(None).wait()
    print(used_s / calls * 1e6)


def python_of(word: str, *, may_install: bool) -> Path | None:
    """The interpreter of a contestant; makes its virtual environment the first time. None if it may not."""
    if word != "opentelemetry":
        return Path(sys.executable)
    python, stamp = HOME / "bin" / "python", HOME / "pins"
    wanted = "\n".join(PINS)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    if not may_install:
        return None
    print(f"installing {', '.join(PINS)} …", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True)
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        *PINS,
    ]
    subprocess.run(install, check=True, env=os.environ | {"PIP_NO_INPUT": "1"})
    stamp.write_text(wanted)
    return python


@contextmanager
def collecting() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, __file__, "--role", "collector"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--smoke", action="store_true", help="a few calls, and nothing is installed")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "collector":
        collector()
        return
    if options.role is not None:
        contestant(options.role, options.side, options.calls, options.port)
        return
    calls, rounds = (200, 1) if options.smoke else (options.calls, options.rounds)
    pythons = {word: python_of(word, may_install=not options.smoke) for word in WORDS}
    taking_part = [word for word in WORDS if pythons[word] is not None]
    with collecting() as port:
        print(f"a unary call over loopback, {calls} calls a round, {rounds} rounds; CPU of both ends, µs a call")
        print(f"{'traced':8}{'nothing':>10}" + "".join(f"{'+ ' + word:>17}" for word in taking_part[1:]) + "   ratio")
        for side in options.sides:
            seen: dict[str, list[float]] = {word: [] for word in taking_part}
            for number in range(rounds):
                # Everybody once, each time another one first.
                for word in taking_part[number % len(taking_part) :] + taking_part[: number % len(taking_part)]:
                    command = [str(pythons[word]), __file__, "--role", word, "--side", side]
                    command += ["--calls", str(calls), "--port", str(port)]
                    seen[word].append(float(subprocess.run(command, check=True, capture_output=True).stdout))
            added = {
                word: statistics.median(mine - bare for mine, bare in zip(seen[word], seen["nothing"], strict=True))
                for word in taking_part[1:]
            }
            line = f"{side:8}{statistics.median(seen['nothing']):10.1f}"
            line += "".join(f"{added[word]:17.1f}" for word in taking_part[1:])
            if "opentelemetry" in added and added["clew"] > 0:
                line += f"{added['opentelemetry'] / added['clew']:8.1f} (wanted: {WANTED_RATIO:.0f})"
            print(line, flush=True)


if __name__ == "__main__":
    main()
