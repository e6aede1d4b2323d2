"""What the server's process holds of the engine's Python package, and of numpy until a large trace is read."""

from __future__ import annotations

import subprocess
import sys

LOOKS = """
import sys
from clew_server.store.connections import _import_engine
assert _import_engine() is sys.modules["chdb"] is _import_engine()
from clew_server.model.trace import trace_from_spans
assert len(trace_from_spans([])) == 0
assert "pyarrow" not in sys.modules and "numpy" not in sys.modules
try:
    import pyarrow
except ModuleNotFoundError:
    pass  # not installed: nothing that could be hidden
else:
    assert pyarrow.__version__
"""


def test_the_engine_and_small_traces_need_neither_pyarrow_nor_numpy_which_others_may_import_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", LOOKS], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
