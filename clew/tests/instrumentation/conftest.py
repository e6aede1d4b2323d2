"""Every instrumentation is tried on OpenTelemetry's own provider and on ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import opentelemetry.sdk.trace
import pytest

import clew.recorder.provider


@pytest.fixture(
    params=[opentelemetry.sdk.trace.TracerProvider, clew.recorder.provider.TracerProvider], ids=["sdk", "clew"]
)
def tracer_provider(request: pytest.FixtureRequest) -> Iterator[Any]:
    provider = request.param()
    yield provider
    provider.shutdown()
