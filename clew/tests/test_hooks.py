"""Hooks on imports: called once a module is complete, whoever finds it, and without a trace in the module."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from clew.hooks import when_imported


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "hooked").mkdir()
    (tmp_path / "hooked" / "__init__.py").write_text("before = 1\nfrom hooked import inner\nafter = inner.value\n")
    (tmp_path / "hooked" / "inner.py").write_text("value = 7\n")
    (tmp_path / "hooked" / "broken.py").write_text("raise ValueError('no tea')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "hooked"]:
        del sys.modules[name]


def test_a_hook_sees_the_complete_module_and_its_parent_knows_it(folder: Path) -> None:
    seen: list[tuple[str, bool]] = []

    def note(module: ModuleType) -> None:
        # As an instrumentation does that says `import hooked.inner`.
        seen.append((module.__name__, hasattr(sys.modules["hooked"], "inner") and hasattr(module, "__name__")))

    when_imported("hooked", note)
    when_imported("hooked.inner", note)
    hooked = importlib.import_module("hooked")
    assert seen == [("hooked.inner", True), ("hooked", True)]
    assert hooked.after == 7
    assert type(hooked.__loader__).__module__ == "_frozen_importlib_external"
    assert hooked.__spec__.loader is hooked.__loader__
    when_imported("hooked", note)
    assert len(seen) == 3
    importlib.reload(hooked)
    assert len(seen) == 3


def test_what_a_hook_raises_and_what_a_module_raises_stay_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def fail(module: ModuleType) -> None:
        called.append(module.__name__)
        raise RuntimeError("ours")

    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    when_imported("hooked.broken", fail)
    with pytest.raises(ValueError, match="no tea"):
        importlib.import_module("hooked.broken")
    assert called == []
    when_imported("hooked.inner", fail)
    assert importlib.import_module("hooked.inner").value == 7
    assert called == ["hooked.inner"]


def test_a_module_that_is_missing_or_only_looked_for_changes_nothing(folder: Path) -> None:
    called: list[str] = []
    forget = when_imported("hooked.inner", lambda module: called.append(module.__name__))
    when_imported("hooked.missing", lambda module: called.append(module.__name__))
    assert importlib.util.find_spec("hooked.inner") is not None
    assert importlib.util.find_spec("hooked.missing") is None
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'hooked\.missing'"):
        importlib.import_module("hooked.missing")
    forget()
    assert called == ["hooked.inner"]
