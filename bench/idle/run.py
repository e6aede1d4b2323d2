"""What a server costs that has little or nothing to do: shares of a core, by 10 spans a second and at rest."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `lib`
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests-e2e"))  # for `harness`: a real server

import httpx

from harness.server import PROTOBUF, Server
from harness.wire import request, span
from lib import measure


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=60, help="length of each measurement")
    options.add_argument("--spans-a-second", type=int, default=10)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        server = Server(Path(folder) / "data").start()
        try:
            measure.wait_quiet(server.pid)
            empty = measure.share_of_core(server.pid, chosen.seconds)
            stop = threading.Event()
            sent = [0]

            def trickle() -> None:
                with httpx.Client() as http:
                    while not stop.wait(1 / chosen.spans_a_second):
                        body = request("trickle", [span()])
                        http.post(
                            f"{server.otlp_http}/v1/traces", content=body, headers={"Content-Type": PROTOBUF}
                        ).raise_for_status()
                        sent[0] += 1

            sender = threading.Thread(target=trickle)
            sender.start()
            stop.wait(5)  # past the first flush
            before = sent[0]
            trickling = measure.share_of_core(server.pid, chosen.seconds)
            rate = (sent[0] - before) / chosen.seconds
            stop.set()
            sender.join()
            server.flush()
            measure.wait_quiet(server.pid)
            rested = measure.share_of_core(server.pid, chosen.seconds)
            assert server.stop() == 0
        finally:
            server.kill()
    print(f"at rest, empty store: {empty * 100:.2f} % of a core over {chosen.seconds} s (budget 1 %)")
    print(f"{rate:.1f} spans/s, a request each: {trickling * 100:.2f} % of a core (budget 10 %)")
    print(f"at rest afterwards: {rested * 100:.2f} % of a core (budget 1 %); load {measure.load()}")


if __name__ == "__main__":
    main()
