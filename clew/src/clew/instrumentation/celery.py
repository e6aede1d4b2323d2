"""Celery: a PRODUCER span for each task sent, a CONSUMER span for each run of one, in one trace.

    clew.celery.traced(app)   # in the sender and in the worker

Tasks in a worker are traced through Celery's signals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar, Unpack

from celery import signals
from celery.app.base import Celery
from opentelemetry.trace import TracerProvider

from clew import guard, semconv
from clew.instrumentation import _messages
from clew.instrumentation._messages import HeadersCarrier, MessageTracing, MessageTransport
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.options import MessagingOptions
from clew.tracing.scope import Scope
from clew.transport import Outcome

OPTIONS: Final = _messages.OPTIONS
SYSTEM: Final = "celery"
COMPONENT: Final = "Celery"
_MARK: Final = "_clew_tracing"
_RUN: Final = "_clew_run"
_numbers: Final = count()
App = TypeVar("App", bound=Celery)


class _TaskTransport(MessageTransport):
    """A task that is sent or run, with its name on the span."""

    __slots__ = ("_task",)

    def __init__(self, what: Any, task: str, destination: str | None, carrier: Any, **details: Any) -> None:
        super().__init__(SYSTEM, COMPONENT, what, what, destination, carrier, shown_destination=task, **details)
        self._task = task

    def attributes(self) -> Any:
        """Those of messaging, and the task."""
        return {**super().attributes(), "celery.task_name": self._task}

    def outcome(self, reply: Any, error: BaseException | None) -> Outcome | None:
        """The id that Celery has given to a task that was sent without one."""
        sent = getattr(reply, "id", None)
        return Outcome({semconv.MESSAGING_MESSAGE_ID: sent}, reply=reply) if isinstance(sent, str) else None


class _Run:
    """A task that is being run."""

    __slots__ = ("error", "is_expected", "scope", "state")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        #: Whether the task says in its `throws` that it may raise this.
        self.is_expected = False
        self.error: BaseException | None = None
        self.state: str | None = None


class _Celery:
    """Handlers of Celery's signals for one application, or for all."""

    def __init__(self, tracing: MessageTracing, app: Celery | None) -> None:
        self._tracing = tracing
        self._app = app

    # -- sending --------------------------------------------------------------------------------------------------------

    def send_task(self, app: Any, original: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        if not self._tracing.is_on:
            return original(*args, **options)
        name, given = args[0] if args else options.get("name"), options.get("headers") or {}
        if not (isinstance(name, str) and isinstance(given, Mapping)):
            return original(*args, **options)  # which refuses it
        call: _TaskTransport | None = None
        try:
            # Beside those of the caller; a worker finds them on the task's request.
            headers = dict(given)
            queue = options.get("queue") or options.get("routing_key") or app.conf.task_default_queue
            destination = getattr(queue, "name", queue)
            call = _TaskTransport(
                "send", name, str(destination), HeadersCarrier(headers), message_id=options.get("task_id")
            )
        except Exception as failure:
            guard.swallow("reading a task of Celery", failure)
        if call is None:
            return original(*args, **options)
        return self._tracing.send(call, original, *args, **{**options, "headers": headers})

    # -- running --------------------------------------------------------------------------------------------------------

    def prerun(self, task: Any = None, task_id: str | None = None, **_: Any) -> None:
        """A task is about to be run, in this thread."""
        if not self._tracing.is_on or task is None or not self._is_ours(task):
            return
        try:
            request = task.request
            if getattr(request, _RUN, None) is not None:
                return
            delivery = request.delivery_info or {}
            # What is run on the spot has no message, and belongs where it was called.
            carrier = None if request.is_eager else HeadersCarrier(dict(vars(request)))
            call = _TaskTransport(
                "process",
                task.name,
                delivery.get("routing_key"),
                carrier,
                message_id=task_id,
                conversation_id=request.correlation_id,
            )
            scope = self._tracing.handling(call)
            scope.enter()
            setattr(request, _RUN, _Run(scope))
        except Exception as failure:
            guard.swallow("tracing a task of Celery", failure)

    def failed(self, sender: Any = None, exception: BaseException | None = None, **_: Any) -> None:
        """The task has raised, for the last time."""
        run = self._run_of(sender)
        if run is not None:
            run.error = exception
            expected = getattr(sender, "throws", None) or ()
            run.is_expected = isinstance(exception, expected)

    def retried(self, sender: Any = None, request: Any = None, **_: Any) -> None:
        """The task has asked to be run again later, which is no error yet."""
        run = getattr(request, _RUN, None) or self._run_of(sender)
        if run is not None:
            run.state = "RETRY"

    def postrun(self, task: Any = None, state: str | None = None, **_: Any) -> None:
        """The task has been run."""
        request = getattr(task, "request", None)
        run: _Run | None = self._run_of(task)
        if run is None:
            return
        try:
            setattr(request, _RUN, None)
            run.scope.leave()
            outcome = Outcome({"celery.state": str(run.state or state or "")}, handled=run.is_expected)
            run.scope.finish(outcome, run.error)
        except Exception as failure:
            guard.swallow("ending a task of Celery", failure)

    def _run_of(self, task: Any) -> _Run | None:
        run: _Run | None = getattr(getattr(task, "request", None), _RUN, None)
        return run

    def _is_ours(self, task: Any) -> bool:
        app = getattr(task, "app", None)
        # An application that is traced by hand is not traced by the patch as well.
        return app is self._app if self._app is not None else _MARK not in vars(app)

    def connect(self) -> Undo:
        """Connect to the signals of tasks; returns an undo function."""
        heard = (
            (signals.task_prerun, self.prerun),
            (signals.task_failure, self.failed),
            (signals.task_retry, self.retried),
            (signals.task_postrun, self.postrun),
        )
        # By a name of its own: Celery takes the same method of two objects for one receiver.
        own = f"clew {next(_numbers)}"
        for signal, function in heard:
            signal.connect(function, weak=False, dispatch_uid=own)

        def undo() -> None:
            for signal, _ in heard:
                signal.disconnect(dispatch_uid=own)

        return undo


def traced(app: App, **options: Unpack[MessagingOptions]) -> App:
    """The same application, whose tasks are traced from now on, where they are sent and where they are run.

    Raises TypeError for what is no application of Celery, ValueError for an unknown convention.
    """
    own: Any = app
    if not isinstance(app, Celery):
        raise TypeError(f"not an application of Celery: {type(app).__name__}")
    if _MARK not in vars(own):
        tracing = _Celery(MessageTracing(options, "clew.celery"), app)
        setattr(own, _MARK, tracing)
        own.send_task = partial(tracing.send_task, own, own.send_task)
        tracing.connect()
    return app


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every application, made before or after; returns an undo function."""
    tracing = MessageTracing({"tracer_provider": tracer_provider, **options}, "clew.celery")
    heard = _Celery(tracing, None)

    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def send_task(self: Any, /, *args: Any, **choices: Any) -> Any:
            if not switch.on or _MARK in vars(self):
                return original(self, *args, **choices)
            return heard.send_task(self, partial(original, self), *args, **choices)

        return send_task

    undos = [replace(Celery, "send_task", make), heard.connect()]

    def undo() -> None:
        tracing.is_on = False
        for one in undos:
            one()

    return undo
