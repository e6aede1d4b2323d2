"""Puts the package `clew` back where pytest's importlib mode takes the folder `clew/` of this repository for it."""

from __future__ import annotations

import importlib
import sys

if getattr(sys.modules.get("clew"), "__file__", None) is None:
    sys.modules.pop("clew", None)
    importlib.import_module("clew")
