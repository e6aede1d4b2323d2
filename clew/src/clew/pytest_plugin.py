"""The pytest plugin: fixtures that record a test's spans, and those spans in the report of a test that fails.

Loaded by every pytest in whose environment clew is installed, so it imports nothing until a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from clew.recorder.provider import TracerProvider
    from clew.testing import Recording

_KEY: Final = pytest.StashKey["Recording"]()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", "clew(**options): arguments of clew.TracerProvider for the fixture clew_spans of this test"
    )


@pytest.fixture
def clew_spans(request: pytest.FixtureRequest) -> Iterator[Recording]:
    """The spans this test ends, as `clew.testing.Spans`; the global tracer provider is the test's own meanwhile."""
    from clew.testing import recording

    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("clew"))):
        options.update(marker.kwargs)
    with recording(**options) as spans:
        request.node.stash[_KEY] = spans
        yield spans


@pytest.fixture
def clew_tracer_provider(clew_spans: Recording) -> TracerProvider:
    """The tracer provider of `clew_spans`, for code that wants to be given one."""
    return clew_spans.tracer_provider


@pytest.hookimpl(hookwrapper=True)  # the older form of hooks, so that any version of pytest can load this
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Show the recorded spans where a test fails."""
    report: pytest.TestReport = (yield).get_result()
    if report.when == "call" and report.failed:
        spans = item.stash.get(_KEY, None)
        if spans is not None:
            report.sections.append(("recorded spans", spans.tree() or "none"))
