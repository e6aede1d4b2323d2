"""Resource detectors that are installed beside clew; imported only when some are asked for, as they bring the SDK."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from threading import Thread
from time import monotonic
from typing import Any, Final

from opentelemetry.context import attach, set_value

from clew import environment
from clew._otel import SUPPRESS_HTTP_INSTRUMENTATION_KEY, SUPPRESS_INSTRUMENTATION_KEY

_GROUP: Final = "opentelemetry_resource_detector"
_VARIABLE: Final = "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"
# resource.py sets the attributes of these already.
_BUILT_IN: Final = frozenset(("otel", "process", "os", "host", "service_instance"))
# For all of them together: some ask a cloud's metadata service, which may not be there.
_TIMEOUT_S: Final = 5.0


def detect(names: Sequence[str]) -> dict[str, Any]:
    """The attributes of the detectors of these names, `*` for all installed; the later wins.

    One that is not installed, fails or takes more than 5 s is named in a warning and left out.
    """
    installed: dict[str, EntryPoint] = {}
    for entry in entry_points(group=_GROUP):
        installed.setdefault(entry.name, entry)
    wanted = [*installed] if "*" in names else list(names)
    runs = []
    for name in wanted:
        if name in _BUILT_IN:
            continue
        if name not in installed:
            known = ", ".join(sorted(_BUILT_IN | set(installed)))
            environment.ignore(_VARIABLE, name, f"no such detector is installed; known are {known}")
            continue
        run = _Run(installed[name])
        run.thread.start()
        runs.append(run)
    until = monotonic() + _TIMEOUT_S
    found: dict[str, Any] = {}
    for run in runs:
        run.thread.join(max(0.0, until - monotonic()))
        if run.thread.is_alive() or run.error:
            environment.ignore(_VARIABLE, run.entry.name, run.error or f"no answer within {_TIMEOUT_S:g} s")
        else:
            found.update(run.found)
    return found


class _Run:
    """One detector on a thread of its own."""

    def __init__(self, entry: EntryPoint) -> None:
        self.entry = entry
        self.found: dict[str, Any] = {}
        self.error = ""
        self.thread = Thread(target=self._detect, name=f"clew-detector-{entry.name}", daemon=True)

    def _detect(self) -> None:
        # What a detector asks over HTTP is no part of the application's traces.
        context = set_value(SUPPRESS_INSTRUMENTATION_KEY, True)
        attach(set_value(SUPPRESS_HTTP_INSTRUMENTATION_KEY, True, context))
        try:
            self.found = dict(self.entry.load()().detect().attributes)
        except Exception as error:
            self.error = repr(error)
