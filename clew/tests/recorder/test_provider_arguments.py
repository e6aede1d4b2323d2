"""What a provider takes, refuses and forgives; what its end does when a part of it fails; what it is warned of."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource as SdkResource

from clew.recorder import misuse
from clew.recorder.export.exporter import Outcome
from clew.recorder.provider import TracerProvider
from clew.recorder.sampler import AlwaysOn


class Taken:
    """An exporter that takes everything, or fails to close."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.is_closed = False

    def export(self, request: bytes, timeout_s: float) -> Outcome:
        return Outcome("delivered")

    def forget(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True
        if self.failure is not None:
            raise self.failure


class Closing(AlwaysOn):
    """A sampler that is closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("given", [{"service.name": "a"}, SdkResource({"service.name": "a"})], ids=["mapping", "SDK"])
def test_attributes_in_the_place_of_the_sampler_are_refused_with_what_was_meant(given: Any) -> None:
    with pytest.raises(TypeError, match="resource="):
        TracerProvider(given)


def test_what_cannot_sample_is_refused_as_a_sampler() -> None:
    with pytest.raises(TypeError, match="should_sample"):
        TracerProvider("always_on")  # type: ignore[arg-type]


def test_a_flush_takes_none_for_its_usual_patience() -> None:
    provider = TracerProvider(exporter=Taken(), shutdown_on_exit=False)
    provider.get_tracer("t").start_span("s").end()
    assert provider.force_flush(None)
    assert provider.stats()["sent"] == 1
    provider.shutdown()


def test_an_exporter_that_fails_at_the_end_keeps_nobody_else_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace import SpanProcessor

    class Ending(SpanProcessor):
        is_shut_down = False

        def shutdown(self) -> None:
            self.is_shut_down = True

    sampler, processor, exporter = Closing(), Ending(), Taken(OSError("it does not close"))
    provider = TracerProvider(sampler, exporter=exporter, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # under which our own failures are raised
    provider.shutdown()
    assert exporter.is_closed
    assert processor.is_shut_down
    assert sampler.is_closed


def test_the_attributes_of_the_sampler_are_added_and_win() -> None:
    from opentelemetry.sdk.trace.sampling import Decision, SamplingResult, StaticSampler

    class Adding(StaticSampler):
        def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, {"both": "sampler", "added": 1})

    tracer = TracerProvider(Adding(Decision.RECORD_AND_SAMPLE), shutdown_on_exit=False).get_tracer("t")
    span: Any = tracer.start_span("s", attributes={"both": "caller", "own": 2})
    assert dict(span.attributes) == {"both": "sampler", "own": 2, "added": 1}


def test_a_mistake_is_warned_of_for_each_owner_and_again_for_one_that_has_taken_the_place_of_another(
    said_here: Callable[[], list[logging.LogRecord]],
) -> None:
    for _ in range(20):
        # Each is gone before the next is made, which often gets its address.
        tracer: Any = TracerProvider(shutdown_on_exit=False).get_tracer("t")
        for _ in range(2):
            misuse.misuse("a mistake", owner=tracer, level=logging.WARNING)
        del tracer
        gc.collect()
    assert len(said_here()) == 20


MULTIPROCESSING = """
import multiprocessing
from multiprocessing import util
from clew.recorder.provider import TracerProvider
from clew.recorder.export.exporter import OtlpHttpExporter

provider = TracerProvider(exporter=OtlpHttpExporter(os.environ["COLLECTOR"]), shutdown_on_exit=False)

def child():
    names = [str(finalizer) for finalizer in util._finalizer_registry.values()]
    print([name for name in names if "TracerProvider" in name or "shutdown" in name], flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
"""


def test_a_provider_that_is_not_to_shut_down_at_exit_registers_nothing_in_a_multiprocessing_child(life: Any) -> None:
    assert life.run_well(MULTIPROCESSING, begin="import os\n") == "[]\n"
