"""Samplers by the names of `OTEL_TRACES_SAMPLER`."""

from __future__ import annotations

from typing import Final

from clew import environment
from clew.recorder.sampler.basic import AlwaysOff, AlwaysOn, ParentBased, TraceIdRatio
from clew.recorder.sampler.contract import Sampler
from clew.recorder.sampler.jaeger_remote import DEFAULT_ENDPOINT, JaegerRemote
from clew.recorder.sampler.rate_limited import RateLimited

_GROUP: Final = "opentelemetry_traces_sampler"
_PLAIN: Final = ("always_on", "always_off", "traceidratio", "rate_limited", "jaeger_remote")
NAMES: Final = (*_PLAIN, *[f"parentbased_{name}" for name in _PLAIN])


def sampler_from_name(name: str, argument: str = "", service_name: str = "") -> Sampler | None:
    """A sampler by its name in `OTEL_TRACES_SAMPLER`; `None` stands for `parentbased_always_on`, built in.

    Beside the specification's names, `rate_limited` takes traces per second, and what is installed under the entry
    point `opentelemetry_traces_sampler` is called with `argument`. `service_name` is for Jaeger remote sampling.
    Raises ValueError for an unknown name or an argument that makes no sense.
    """
    if name not in NAMES:
        return _installed(name, argument)
    parent_based = name.startswith("parentbased_")
    plain = name.removeprefix("parentbased_")
    sampler: Sampler
    if plain == "always_on":
        if parent_based:
            return None
        sampler = AlwaysOn()
    elif plain == "always_off":
        sampler = AlwaysOff()
    elif plain == "traceidratio":
        sampler = TraceIdRatio(_number(argument) if argument else 1.0)
    elif plain == "rate_limited":
        sampler = RateLimited(_number(argument))
    else:
        sampler = _jaeger_remote(argument, service_name)
    return ParentBased(sampler) if parent_based else sampler


def sampler_from_environment(service_name: str = "") -> Sampler | None:
    """The sampler that `OTEL_TRACES_SAMPLER` and its argument name; `None` where they name none, or none there is."""
    name = environment.read("OTEL_TRACES_SAMPLER")
    if not name:
        return None
    argument = environment.read("OTEL_TRACES_SAMPLER_ARG") or ""
    try:
        return sampler_from_name(name, argument, service_name)
    except ValueError as error:
        environment.ignore("OTEL_TRACES_SAMPLER", f"{name} {argument}".strip(), str(error))
        return None


def _jaeger_remote(argument: str, service_name: str) -> JaegerRemote:
    # The specification: endpoint=http://localhost:5778,pollingIntervalMs=5000,initialSamplingRate=0.25
    values: dict[str, str] = {}
    for item in filter(None, map(str.strip, argument.split(","))):
        key, equals, value = item.partition("=")
        key = key.strip()
        if not equals or key not in ("endpoint", "pollingIntervalMs", "initialSamplingRate"):
            raise ValueError(f"{item!r} is none of endpoint=, pollingIntervalMs=, initialSamplingRate=")
        values[key] = value.strip()
    return JaegerRemote(
        service_name,
        values.get("endpoint", DEFAULT_ENDPOINT),
        polling_interval_s=_number(values.get("pollingIntervalMs", "60000")) / 1000,
        initial_sampling_rate=_number(values.get("initialSamplingRate", "0.001")),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None


def _installed(name: str, argument: str) -> Sampler:
    from importlib.metadata import entry_points  # a fifth of what importing the recorder takes, and rarely needed

    found = entry_points(group=_GROUP)
    for entry in found:
        if entry.name == name:
            try:
                sampler: Sampler = entry.load()(argument)
            except Exception as error:
                raise ValueError(f"{entry.value} failed: {error!r}") from error
            if not callable(getattr(sampler, "should_sample", None)):
                raise ValueError(f"{entry.value} made no sampler")
            return sampler
    known = sorted({*NAMES, *(entry.name for entry in found)})
    raise ValueError(f"no sampler is called {name!r}; known are {', '.join(known)}")
