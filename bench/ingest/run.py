"""What a span costs the server, from OTLP/HTTP to durable and searchable, with DuckDB beside it in the same run."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `lib`
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests-e2e"))  # for `harness`: a real server

from harness.server import Server
from lib import measure, stand
from lib.duck import Duck


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--spans", type=int, default=200_000)
    options.add_argument("--runs", type=int, default=1)
    options.add_argument("--senders", type=int, default=2, help="connections that send at the same time")
    options.add_argument(
        "--minutes", type=int, default=60, help="the starts of the spans lie within so many minutes before now"
    )
    options.add_argument("--no-duckdb", action="store_true", help="leave the yardstick out")
    chosen = options.parse_args()
    made = stand.make(chosen.spans, minutes=chosen.minutes)
    print(
        f"{made.spans:,} spans in {len(made.bodies):,} requests, {made.wire_bytes / made.spans:.0f} wire bytes a span,"
        f" starts within {chosen.minutes} minutes, {chosen.senders} senders, load {measure.load()}"
    )
    clew_cpu = []
    for number in range(chosen.runs):
        with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
            server = Server(Path(folder) / "data", options=["--max-disk", "50GB", "--max-backlog", "2GB"]).start()
            try:
                filled = stand.fill(server, made, senders=chosen.senders)
                stored = server.status()["stored_spans"]
                assert server.stop() == 0
            finally:
                server.kill()
            assert stored == made.spans, f"{stored} of {made.spans} spans are stored"
            tables = stand.stored_bytes(server.data_dir)
        per_span = 1e6 / filled.spans
        clew_cpu.append(filled.server_cpu_s * per_span)
        disk = sum(size for size, _, _ in tables.values()) / filled.spans
        print(
            f"clew run {number + 1}: {filled.server_cpu_s * per_span:.1f} µs CPU a span, merges drained"
            f" ({filled.acknowledged_cpu_s * per_span:.1f} until the last acknowledgement);"
            f" {filled.spans / filled.wall_s:,.0f} spans/s acknowledged, {filled.spans / filled.searchable_s:,.0f} spans/s searchable;"
            f" generator {filled.generator_cpu_s * per_span:.1f} µs a span; {filled.refused} × 503;"
            f" {disk:.1f} bytes a span on disk; peak {filled.peak_rss_bytes / 2**20:,.0f} MiB; load {measure.load()}"
        )
        for table, (size, rows, parts) in tables.items():
            print(f"    {table:16} {size / filled.spans:7.2f} bytes a span  {rows:>12,} rows  {parts:>3} parts")
    clew_us = measure.median(clew_cpu)
    print(f"clew: median {clew_us:.1f} µs CPU a span of {len(clew_cpu)} runs")
    if not chosen.no_duckdb:
        with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
            duck = Duck(Path(folder) / "spans.duckdb")
            duck.fill(made)
            duck_us, disk = duck.cpu_s * 1e6 / duck.spans, duck.disk_bytes() / duck.spans
            duck.close()
        print(
            f"DuckDB: {duck_us:.1f} µs CPU a span for rows that are already decoded, one table, no index, no rollups;"
            f" {disk:.1f} bytes a span on disk"
        )
        print(f"ratio: clew, all in all, costs {clew_us / duck_us:.2f} × DuckDB's insert")


if __name__ == "__main__":
    main()
