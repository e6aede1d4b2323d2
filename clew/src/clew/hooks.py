"""Calls functions when a module has been imported, so that a library is patched without being imported by clew.

    when_imported("billiard.pool", watch_pool)

A module that is there already is handed over at once. Otherwise a finder, first in `sys.meta_path`, lets the others find
the module and runs it by its own loader; the function is called when its body is done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from threading import RLock, local
from types import ModuleType
from typing import Any, Final

from clew import guard

Hook = Callable[[ModuleType], None]

_hooks: Final[dict[str, list[Hook]]] = {}
_lock: Final = RLock()
_finding: Final = local()


def when_imported(name: str, hook: Hook) -> Callable[[], None]:
    """Call `hook` with the module of this name once it is imported, now if it is; returns a function that removes it.

    What `hook` raises is logged and does not disturb the import.
    """
    with _lock:
        module = sys.modules.get(name)
        if module is None or _is_being_imported(module):
            _hooks.setdefault(name, []).append(hook)
            _install()
            module = None
    if module is not None:
        _call(hook, module)

    def forget() -> None:
        with _lock:
            waiting = _hooks.get(name, [])
            if hook in waiting:
                waiting.remove(hook)

    return forget


def _install() -> None:
    # Other finders are put first too, and a restored copy of the list may lack this one.
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def _is_being_imported(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _call(hook: Hook, module: ModuleType) -> None:
    try:
        hook(module)
    except Exception as failure:
        guard.swallow(f"a hook on {module.__name__}", failure)


class _Finder:
    """Finds only modules that have a hook, by asking all other finders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _hooks.get(name):
            return None
        looked_for: set[str] = _finding.__dict__.setdefault("names", set())
        if name in looked_for:
            return None
        looked_for.add(name)
        try:
            spec = find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None  # the others say so themselves
        finally:
            looked_for.discard(name)
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return spec  # a namespace package has no body
        spec.loader = _CallingLoader(spec.loader)  # type: ignore[assignment]
        return spec


class _CallingLoader:
    """Wraps the module's own loader and calls the waiting functions afterwards. The module itself sees its own loader."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> ModuleType | None:
        spec.loader = self._loader
        module: ModuleType | None = self._loader.create_module(spec)
        spec.loader = self
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        # The import itself does so only afterwards, and an instrumentation may say `import package.module`.
        above, _, name = module.__name__.rpartition(".")
        if above in sys.modules:
            setattr(sys.modules[above], name, module)
        for hook in _hooks.pop(module.__name__, []):
            _call(hook, module)


_finder: Final = _Finder()
