"""Samplers: which spans are recorded. May import OpenTelemetry's API and `clew.guard`, `clew.environment` and `recorder.sdk.seen_as`.

Start reading at `contract.py`; `probability.py` is how a decision is written into the trace state.
"""

from __future__ import annotations

from clew.recorder.sampler.basic import PARENT_BASED_ALWAYS_ON, AlwaysOff, AlwaysOn, ParentBased, TraceIdRatio
from clew.recorder.sampler.contract import Decision, Sampler, SamplingResult
from clew.recorder.sampler.jaeger_remote import JaegerRemote
from clew.recorder.sampler.names import sampler_from_environment, sampler_from_name
from clew.recorder.sampler.rate_limited import RateLimited

__all__ = [
    "PARENT_BASED_ALWAYS_ON",
    "AlwaysOff",
    "AlwaysOn",
    "Decision",
    "JaegerRemote",
    "ParentBased",
    "RateLimited",
    "Sampler",
    "SamplingResult",
    "TraceIdRatio",
    "sampler_from_environment",
    "sampler_from_name",
]
