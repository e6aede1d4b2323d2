"""What a span costs the application that makes it, against everybody else who makes spans, in one run.

    python bench/span/run.py [--instructions] [--rounds N] [--spans N] [--only PART,…] [--smoke]

Parts: table, gzip, sampled, threads, memory, import, wheel, asgi, latency. The verdict comes last: every budget with its figure.
Exit status 0 either way: a shared machine is no judge.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from functools import partial

import asgi
import footprint
import latency
import table
from budgets import Budget
from stand import Collector, has_valgrind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=10_000, help="spans of the smaller of the two runs compared")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--instructions", action="store_true", help="count instructions too (valgrind; slow)")
    parser.add_argument("--only", default="", help="parts, separated by commas")
    parser.add_argument("--smoke", action="store_true", help="a tiny round of everything that needs no installing")
    options = parser.parse_args()
    if options.instructions and not has_valgrind():
        sys.exit("instructions are counted by valgrind, which is not installed (Debian: apt-get install valgrind)")
    amount = table.Amount(options.spans, options.rounds, options.instructions, may_install=True)
    paces = {"spans": 40_000, "rate": 10_000, "rounds": options.rounds}
    if options.smoke:
        amount = table.Amount(1_000, 1, instructions=False, may_install=False)
        paces = {"spans": 1_000, "rate": 10_000, "rounds": 1}
    say: Callable[[str], None] = partial(print, flush=True)
    say(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}")
    with Collector() as collector:
        parts: dict[str, Callable[[], list[Budget]]] = {
            "table": lambda: table.standard(collector, amount, say, compression="none"),
            "gzip": lambda: table.standard(collector, amount, say, compression="gzip"),
            "sampled": lambda: table.sampled_out(collector, amount, say),
            "threads": lambda: footprint.threads(collector, amount, say),
            "memory": lambda: footprint.memory(collector, amount, say),
            "import": lambda: footprint.imports(amount, say),
            "wheel": lambda: footprint.wheel(say),
            "asgi": lambda: asgi.measure(collector, amount, say),
            "latency": lambda: latency.measure(collector, say=say, brief=options.smoke, **paces),
        }
        if options.smoke:
            del parts["gzip"], parts["wheel"]
        chosen = options.only.split(",") if options.only else list(parts)
        if unknown := set(chosen) - set(parts):
            parser.error(f"no such part: {', '.join(sorted(unknown))}")
        budgets = [budget for part in chosen for budget in parts[part]()]
    say(f"\nBudgets (load average now {os.getloadavg()[0]:.1f})")
    if options.smoke:
        say("a smoke run: it shows that everything runs, its figures mean nothing")
    for budget in budgets:
        say(str(budget))


if __name__ == "__main__":
    main()
