"""Puts the package `clew` back where pytest's importlib mode takes the folder `clew/` of this repository for it."""

from __future__ import annotations

import importlib
import os
import sys

# Everything is on this machine: a proxy of whoever runs the tests leads to none of it.
for _name in [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")]:
    del os.environ[_name]
os.environ.pop("COLUMNS", None)  # tables have the width that a test says
os.unsetenv("COLUMNS")  # readline, which pytest loads, sets it for all children, past `os.environ`

if getattr(sys.modules.get("clew"), "__file__", None) is None:
    sys.modules.pop("clew", None)
    importlib.import_module("clew")

# A span is waited for 5 s by itself; on a busy machine the thread that ends it may stand still for longer.
importlib.import_module("clew.testing").SpanRecorder.one.__kwdefaults__["timeout_s"] = 100.0
