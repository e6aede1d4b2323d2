"""The pytest plugin, in real pytest runs of their own that find it by its entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]
# Those of other packages that happen to be installed; each run would import them first.
FEWER_PLUGINS = "-p no:faker -p no:hypothesispytest"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Where the tests of a test are; their run inherits nothing of this one's."""
    for name in [name for name in os.environ if name.startswith(("PYTEST_", "OTEL_"))]:
        monkeypatch.delenv(name)
    pytester.makeini(f"[pytest]\nfilterwarnings = error\naddopts = --strict-markers -p no:asyncio {FEWER_PLUGINS}\n")
    return pytester


def test_the_entry_point_is_declared() -> None:
    assert {one.value for one in entry_points(group="pytest11") if one.name == "clew"} == {"clew.pytest_plugin"}


def test_the_fixture_has_the_spans_of_its_test_and_of_no_other(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import clew
        import pytest
        from clew.testing import Expect
        from opentelemetry import trace

        tracer = trace.get_tracer("module level")

        @clew.trace
        def checkout():
            with tracer.start_as_current_span("pay"):
                pass

        @pytest.mark.parametrize("turn", [1, 2])
        def test_spans(clew_spans, turn):
            assert not clew_spans
            checkout()
            clew_spans.assert_tree(Expect("checkout", Expect("pay")))

        def test_without_the_fixture():
            assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
            assert not tracer.start_span("nothing").is_recording()

        def test_the_provider_is_there_too(clew_tracer_provider, clew_spans):
            clew_tracer_provider.get_tracer("given").start_span("direct").end()
            assert clew_spans.names == ["direct"]

        @pytest.mark.clew(resource={"service.name": "marked"})
        class TestMarked:
            @pytest.mark.clew(span_limits=None)
            def test_options(self, clew_spans):
                checkout()
                assert clew_spans.one("pay").resource.attributes["service.name"] == "marked"
        """
    )
    run.runpytest_subprocess().assert_outcomes(passed=5)


def test_a_failing_test_reports_its_spans_and_a_passing_one_does_not(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import clew

        @clew.trace("checkout", attributes={"user": 7})
        def checkout():
            clew.trace("pay")(lambda: None)()

        def test_fails(clew_spans):
            checkout()
            assert False

        def test_passes(clew_spans):
            clew.trace("quiet")(lambda: None)()

        def test_fails_before_anything(clew_spans):
            assert False

        def test_fails_without_the_fixture():
            assert False
        """
    )
    result = run.runpytest_subprocess()
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(
        ["*- recorded spans -*", "checkout *ms *user=7", "  pay *ms *", "*- recorded spans -*", "none"]
    )
    assert result.stdout.str().count("recorded spans -") == 2
    result.stdout.no_fnmatch_line("quiet *")


def test_the_report_tells_what_an_assertion_about_spans_missed(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import clew

        def test_fails(clew_spans):
            clew.trace("pay")(lambda: None)()
            clew_spans.one("refund")
        """
    )
    result = run.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * one span refund was expected, 0 found", "E * recorded:", "E *   pay *ms *"])


def test_a_provider_set_by_the_application_is_put_back(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import clew
        from clew.testing import SpanRecorder
        from opentelemetry import trace

        provider = clew.TracerProvider()
        recorder = SpanRecorder(provider)
        trace.set_tracer_provider(provider)

        def test_isolated(clew_spans):
            clew.trace("in the test")(lambda: None)()
            assert clew_spans.names == ["in the test"]

        def test_afterwards():
            assert trace.get_tracer_provider() is provider
            clew.trace("after")(lambda: None)()
            assert [span.name for span in recorder.spans] == ["after"]
        """
    )
    run.runpytest_subprocess().assert_outcomes(passed=2)


ASYNC_TESTS = """
import asyncio
import clew
import pytest

{mark}

@clew.trace
async def fetch(n):
    await asyncio.sleep(0)

@pytest.mark.parametrize("turn", [1, 2])
async def test_spans(clew_spans, turn):
    await asyncio.gather(*map(fetch, range(3)))
    assert clew_spans.names == ["fetch"] * 3
    assert all(span.parent is None for span in clew_spans)
"""


def test_it_works_with_pytest_asyncio(run: pytest.Pytester) -> None:
    run.makeini(
        f"[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\naddopts = {FEWER_PLUGINS}\n"
    )
    run.makepyfile(ASYNC_TESTS.format(mark="pytestmark = pytest.mark.asyncio"))
    run.runpytest_subprocess("-p", "no:anyio").assert_outcomes(passed=2)


def test_it_works_with_anyio(run: pytest.Pytester) -> None:
    run.makepyfile(
        ASYNC_TESTS.format(
            mark="pytestmark = pytest.mark.anyio\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
        )
    )
    run.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=2)


def test_it_works_with_xdist_and_the_report_comes_across(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import clew
        import pytest

        @pytest.mark.parametrize("turn", range(6))
        def test_spans(clew_spans, turn):
            clew.trace(f"turn {turn}")(lambda: None)()
            assert clew_spans.names == [f"turn {turn}"]
            assert turn != 5
        """
    )
    result = run.runpytest_subprocess("-n", "2")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["*- recorded spans -*", "turn 5 *ms *"])


def test_loading_the_plugin_loads_neither_opentelemetry_nor_the_rest_of_clew() -> None:
    program = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import clew.pytest_plugin\n"
        "print(sorted(name for name in set(sys.modules) - before if name.startswith(('clew', 'opentelemetry', 'asyncio'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['clew', 'clew.pytest_plugin']"
