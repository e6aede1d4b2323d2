"""`clew.trace`: a span for each call of a function, coroutine function or generator, on any tracer provider.

Everything about the function is determined when it is decorated; a call only starts a span, runs, and ends it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, NamedTuple, TypeVar, overload

from opentelemetry import trace as api
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import (
    INVALID_SPAN,
    NoOpTracerProvider,
    ProxyTracerProvider,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    TracerProvider,
    get_tracer_provider,
)
from opentelemetry.util.types import AttributeValue

from clew import guard, semconv
from clew._otel import GLOBAL_PROVIDER, SPAN_KEY
from clew.tracing.failures import message_of, record
from clew.tracing.outcome import is_cancellation, type_name

#: What can be decorated; the decorator gives back the same type.
F = TypeVar("F", bound="Callable[..., Any] | staticmethod[..., Any] | classmethod[Any, ..., Any]")

_SCOPE: Final = "clew"
_MISSING: Final = object()
_NO_CONTEXT: Final = Context()
_set_item: Final = dict.__setitem__
_IDLE: Final = (NoOpTracerProvider, ProxyTracerProvider)
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
# Exceptions that are no failures: the end of an iterator, and the end of a program without an error.
_ORDINARY_ENDS: Final = (StopIteration, StopAsyncIteration)


@overload
def trace(function: F, /) -> F: ...


@overload
def trace(
    name: str | None = None,
    /,
    *,
    kind: SpanKind = ...,
    attributes: Mapping[str, AttributeValue] | None = ...,
    arguments: Sequence[str] | Mapping[str, str] = ...,
    tracer_provider: TracerProvider | None = ...,
    record_exception: bool = ...,
) -> Callable[[F], F]: ...


def trace(
    target: Any = None,
    /,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
    arguments: Sequence[str] | Mapping[str, str] = (),
    tracer_provider: TracerProvider | None = None,
    record_exception: bool = True,
) -> Any:
    """Give each call of the decorated function a span: `@clew.trace`, or `@clew.trace("name", kind=…)`.

    The span's name is the function's qualified name without its module, `Cart.checkout`, unless one is given;
    `code.function.name` has the module too. The span is current while the function's own code runs: of a
    generator, sync or async, the span lasts from the first step to the end, and is not current in the consumer's code
    between steps. An exception passes untouched, is recorded unless `record_exception` is False, and makes the
    status ERROR; a cancellation, and a generator closed early, is no error and is marked `clew.cancelled`.

    `attributes` are set on every span. Arguments are recorded only if `arguments` names them, under the
    parameter's name or, given a mapping, under the name it says; what is no attribute value as its text. Without a
    `tracer_provider` the global one of the moment of each call is used, so decorating before `configure` works.

    Raises TypeError for what is no function, ValueError for an argument the function has not.
    """
    if isinstance(arguments, str):
        raise TypeError(f"arguments is a sequence of names, ({arguments!r},) is meant")
    if target is not None and not isinstance(target, str):
        return _decorated(target, None, kind, attributes, arguments, tracer_provider, record_exception)

    def decorate(function: F) -> F:
        decorated: F = _decorated(function, target, kind, attributes, arguments, tracer_provider, record_exception)
        return decorated

    return decorate


def _decorated(function: Any, name: str | None, *options: Any) -> Any:
    if isinstance(function, staticmethod | classmethod):
        return type(function)(_decorated(function.__func__, name, *options))
    if isinstance(function, type) or not callable(function):
        described = f"the class {function.__qualname__}" if isinstance(function, type) else repr(function)
        raise TypeError(f"clew.trace takes a function or method, not {described}")
    called = function
    while isinstance(called, functools.partial):
        called = called.func
    named = called
    if not inspect.isroutine(called):
        named, called = type(called), type(called).__call__
    qualname: str = getattr(named, "__qualname__", type(named).__qualname__)
    module: str | None = getattr(named, "__module__", None)
    code_name = f"{module}.{qualname}" if module else qualname
    plan = _Plan(function, name or qualname.rpartition("<locals>.")[2], code_name, *options)
    wrapper = _wrapper_for(called)(plan, function)
    # Attributes set on a function belong to its name (marks of test tools); those of an object are its own.
    copied = functools.WRAPPER_UPDATES if inspect.isroutine(function) else ()
    functools.update_wrapper(wrapper, function, updated=copied)
    if not hasattr(function, "__qualname__"):
        wrapper.__name__, wrapper.__qualname__ = qualname.rpartition(".")[2], qualname
    return wrapper


def _wrapper_for(called: Callable[..., Any]) -> Callable[[_Plan, Callable[..., Any]], Callable[..., Any]]:
    if inspect.iscoroutinefunction(called):
        return _coroutine
    if inspect.isgeneratorfunction(called):
        return _generator
    if inspect.isasyncgenfunction(called):
        return _async_generator
    innermost = inspect.unwrap(called)
    if (
        inspect.iscoroutinefunction(innermost)
        or inspect.isgeneratorfunction(innermost)
        or inspect.isasyncgenfunction(innermost)
    ):
        return _undecided
    return _function


class _Argument(NamedTuple):
    """A parameter to record: where a call may have put it."""

    key: str
    parameter: str
    position: int | None
    default: Any


class _Plan:
    """The properties of a decorated function, determined once."""

    __slots__ = ("_arguments", "_attributes", "_is_fixed", "_kind", "_name", "_provider", "_record", "_tracer", "idle")

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        code_name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
        arguments: Sequence[str] | Mapping[str, str],
        tracer_provider: TracerProvider | None,
        record_exception: bool,
    ) -> None:
        self._name = name
        self._kind = kind
        self._attributes: dict[str, AttributeValue] = {semconv.CODE_FUNCTION_NAME: code_name, **(attributes or {})}
        self._arguments = _arguments_of(function, arguments) if arguments else ()
        self._record = record_exception
        self._is_fixed = tracer_provider is not None
        # Marks a global provider that is known to record nothing; calls are then passed through.
        self.idle: object = _MISSING
        self._provider: object = _MISSING
        self._tracer: Tracer | None = None
        if tracer_provider is not None:
            self._use(tracer_provider)

    def _use(self, provider: TracerProvider) -> Tracer | None:
        # The API's own stand-ins record nothing and change nothing.
        self._tracer = None if isinstance(provider, _IDLE) else provider.get_tracer(_SCOPE)
        return self._tracer

    def _current_tracer(self) -> Tracer | None:
        if self._is_fixed:
            return self._tracer
        # The global provider may be set, or set anew, at any time. _MISSING would be an API that keeps it elsewhere.
        found = getattr(api, GLOBAL_PROVIDER, _MISSING)
        if found is self._provider and found is not _MISSING:
            return self._tracer
        tracer = self._use(get_tracer_provider())  # asked even for None: the environment may name one to load
        self._provider = found
        if tracer is None:
            self.idle = found
        return tracer

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Span]:
        """A span started and made current, and what to `leave`: None where nothing is traced."""
        try:
            tracer = self._current_tracer()
            if tracer is None:
                return None, INVALID_SPAN
            # Errors are recorded here, so the provider must not record them as well.
            current = tracer.start_as_current_span(
                self._name,
                None,
                self._kind,
                self._attributes,
                record_exception=False,
                set_status_on_exception=False,
            )
            span = current.__enter__()
        except Exception as failure:
            guard.swallow("starting a span", failure)
            return None, INVALID_SPAN
        if self._arguments:
            self._note_arguments(span, args, kwargs)
        return current, span

    def leave(self, current: Any) -> None:
        """End what `enter` began."""
        if current is not None:
            try:
                current.__exit__(None, None, None)
            except Exception as failure:
                guard.swallow("ending a span", failure)

    def start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Span | None:
        """A span started and not made current; None where nothing is traced."""
        try:
            tracer = self._current_tracer()
            if tracer is None:
                return None
            span = tracer.start_span(self._name, None, self._kind, self._attributes)
        except Exception as failure:
            guard.swallow("starting a span", failure)
            return None
        if self._arguments:
            self._note_arguments(span, args, kwargs)
        return span

    def end(self, span: Span | None) -> None:
        """End what `start` began."""
        if span is not None:
            try:
                span.end()
            except Exception as failure:
                guard.swallow("ending a span", failure)

    def failed(self, span: Span | None, error: BaseException) -> None:
        """Record `error` on the span: exception event, status, cancellation."""
        if span is None or isinstance(error, _ORDINARY_ENDS):
            return
        try:
            if not span.is_recording() or (isinstance(error, SystemExit) and not error.code):
                return
            if is_cancellation(error):
                span.set_attribute(semconv.CANCELLED, True)
                return
            span.set_status(StatusCode.ERROR, message_of(error) or None)
            span.set_attribute(semconv.ERROR_TYPE, type_name(error))
            if self._record:
                record(span, error)
        except Exception as failure:
            guard.swallow("describing the end of a call", failure)

    def _note_arguments(self, span: Span, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            if not span.is_recording():
                return
            for key, parameter, position, default in self._arguments:
                if position is not None and position < len(args):
                    value = args[position]
                else:
                    value = kwargs.get(parameter, default)
                if value is not None and value is not _MISSING:
                    span.set_attribute(key, _attribute_value(value))
        except Exception as failure:  # the application's own __str__, or a provider's failure
            guard.swallow("recording an argument", failure)


def _arguments_of(function: Callable[..., Any], wanted: Sequence[str] | Mapping[str, str]) -> tuple[_Argument, ...]:
    keys = wanted if isinstance(wanted, Mapping) else {name: name for name in wanted}
    found: list[_Argument] = []
    parameters = inspect.signature(function).parameters
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    positions = {name: at for at, (name, one) in enumerate(parameters.items()) if one.kind in _POSITIONAL}
    for name, key in keys.items():
        parameter = parameters.get(name)
        if parameter is None or parameter.kind in _VARIADIC:
            if not takes_any:
                raise ValueError(f"{getattr(function, '__qualname__', function)} has no argument {name!r} to record")
            found.append(_Argument(key, name, None, _MISSING))
            continue
        default = _MISSING if parameter.default is inspect.Parameter.empty else parameter.default
        found.append(_Argument(key, name, positions.get(name), default))
    return tuple(found)


def _attribute_value(value: Any) -> AttributeValue:
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple) and value:
        first = type(value[0])
        if first in (str, bool, int, float) and all(type(item) is first for item in value):
            return value
    return str(value)


# -- sync and async wrappers ----------------------------------------------------------------------------------------------


# The sync twin of `_coroutine`, written by scripts/sync_twins.py.
def _function(plan: _Plan, function: Callable[..., Any]) -> Callable[..., Any]:
    def traced(*args: Any, **kwargs: Any) -> Any:
        if getattr(api, GLOBAL_PROVIDER, None) is plan.idle:
            return function(*args, **kwargs)
        current, span = plan.enter(args, kwargs)
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            plan.failed(span, error)
            raise
        finally:
            plan.leave(current)

    return traced


def _coroutine(plan: _Plan, function: Callable[..., Any]) -> Callable[..., Any]:
    async def traced(*args: Any, **kwargs: Any) -> Any:
        if getattr(api, GLOBAL_PROVIDER, None) is plan.idle:
            return await function(*args, **kwargs)
        current, span = plan.enter(args, kwargs)
        try:
            return await function(*args, **kwargs)
        except BaseException as error:
            plan.failed(span, error)
            raise
        finally:
            plan.leave(current)

    return traced


def _begun_coroutine(plan: _Plan, function: Callable[..., Any], span: Span) -> Callable[..., Any]:
    # Not the wrapper above: the code that awaits may be in another context than the caller.
    async def traced() -> Any:
        token = attach(_context_of(span))
        try:
            return await function()
        except BaseException as error:
            plan.failed(span, error)
            raise
        finally:
            detach(token)
            plan.end(span)

    return traced


def _generator(plan: _Plan, function: Callable[..., Any], started: Span | None = None) -> Callable[..., Any]:
    def traced(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        if getattr(api, GLOBAL_PROVIDER, None) is plan.idle:
            return (yield from function(*args, **kwargs))
        body: Generator[Any, Any, Any] = function(*args, **kwargs)
        span = started or plan.start(args, kwargs)
        if span is None:
            return (yield from body)
        del args, kwargs
        # The body has a context of its own: what it makes current is kept between its steps and not visible outside.
        inside = _context_of(span)
        step: Callable[[Any], Any] = body.send
        given: Any = None
        try:
            while True:
                token = attach(inside)
                try:
                    item = step(given)
                except StopIteration as stop:
                    return stop.value
                finally:
                    inside = get_current()
                    detach(token)
                given = None
                try:
                    given = yield item
                    step = body.send
                except BaseException as error:  # GeneratorExit too; the body decides what happens then
                    given = error
                    step = body.throw
        except BaseException as error:
            plan.failed(span, error)
            raise
        finally:
            given = None
            plan.end(span)

    return traced


def _async_generator(plan: _Plan, function: Callable[..., Any], started: Span | None = None) -> Callable[..., Any]:
    async def traced(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        body: AsyncGenerator[Any, Any] = function(*args, **kwargs)
        span = started or plan.start(args, kwargs)
        del args, kwargs
        inside = _NO_CONTEXT if span is None else _context_of(span)
        step: Callable[[Any], Any] = body.asend
        given: Any = None
        try:
            while True:
                token = None if span is None else attach(inside)
                try:
                    item = await step(given)
                except StopAsyncIteration:
                    return
                finally:
                    if token is not None:
                        inside = get_current()
                        detach(token)
                given = None
                try:
                    given = yield item
                    step = body.asend
                except BaseException as error:
                    given = error
                    step = body.athrow
        except BaseException as error:
            plan.failed(span, error)
            raise
        finally:
            given = None
            plan.end(span)

    return traced


def _undecided(plan: _Plan, function: Callable[..., Any]) -> Callable[..., Any]:
    """For a plain function around a coroutine function or generator: only its result says which it is."""

    def traced(*args: Any, **kwargs: Any) -> Any:
        if getattr(api, GLOBAL_PROVIDER, None) is plan.idle:
            return function(*args, **kwargs)
        span = plan.start(args, kwargs)
        if span is None:
            return function(*args, **kwargs)
        token = attach(_context_of(span))
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            plan.failed(span, error)
            plan.end(span)
            raise
        finally:
            detach(token)
        continued = _CONTINUED.get(type(result))
        if continued is None:
            plan.end(span)
            return result
        return continued(plan, lambda: result, span)()

    return traced


_CONTINUED: Final[dict[type, Callable[[_Plan, Callable[..., Any], Span], Callable[..., Any]]]] = {
    CoroutineType: _begun_coroutine,
    GeneratorType: _generator,
    AsyncGeneratorType: _async_generator,
}


def _context_of(span: Span) -> Context:
    context = Context(get_current())
    # `Context` forbids item assignment; this one is new and not shared yet, so it may be changed.
    _set_item(context, SPAN_KEY, span)
    return context
