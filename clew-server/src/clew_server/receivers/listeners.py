"""Opens the listeners that are wanted, each with a state of its own, and closes them."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

from clew_server.collector.intake import Intake
from clew_server.collector.positions import Positions
from clew_server.collector.remembered import Remembered
from clew_server.config import Listening, is_loopback
from clew_server.guard import AsgiApp, Guard, RefusalBody, TokenOf
from clew_server.receivers import table
from clew_server.receivers.contract import Head, ReceiverSpec, ReceiverState
from clew_server.receivers.grpc import GrpcReceiver
from clew_server.receivers.http import HttpReceiver, head_of
from clew_server.receivers.tailing import FileReceiver
from clew_server.receivers.tcp import TcpReceiver
from clew_server.receivers.udp import UdpReceiver
from clew_server.sockets.http2 import Relays
from clew_server.sockets.listening import CannotListen, PortTaken, listen, receive, with_port
from clew_server.sockets.server import serve

_log = logging.getLogger(__name__)

Methods = Mapping[str, Callable[[bytes], bytes]]
"""Functions from request to response, by the full name of their gRPC method."""
NO_METHODS: Methods = MappingProxyType({})


class Beside(NamedTuple):
    """What a listener has to do with beside spans."""

    token: str | None = None
    """What senders must say."""
    other: AsgiApp | None = None
    """Over HTTP: the app for what carries no span."""
    methods: Methods = NO_METHODS
    """Over gRPC: what answers the methods that carry none."""
    remembered: Remembered | None = None
    """Where what agents say of themselves is kept; None only for receivers to which they say nothing."""


NOTHING_BESIDE = Beside()


class Listener(Protocol):
    """One receiver's port: `bind`, `start`, `stop`, `close`, in this order; `close` alone is enough before `start`."""

    def bind(self) -> None:
        """Take the port. Raises PortTaken, CannotListen."""
        ...

    async def start(self, intake: Intake, beside: Beside = NOTHING_BESIDE) -> None:
        """Receive. Raises PortTaken, CannotListen."""
        ...

    async def stop(self) -> None:
        """Take nothing new, finish what is being handled."""
        ...

    def close(self) -> None:
        """Give the port back."""
        ...


class Listeners:
    """All receivers of the table. `bind` takes the ports, before anything else of the server starts; `start` receives.

    A receiver that may fail (`must_open` is false) is a warning and a state; one that must open raises.
    """

    def __init__(self) -> None:
        self._states = {line.name: _state(line) for line in table.RECEIVERS}
        self._bound: dict[str, tuple[Listening, Listener]] = {}
        self._started: list[Listener] = []
        self._stack = ExitStack()

    @property
    def states(self) -> list[ReceiverState]:
        """One for each receiver there is, in the table's order, open or not."""
        return list(self._states.values())

    def address(self, name: str) -> str:
        """Where a receiver listens; empty where it does not."""
        return self._states[name].address

    def bind(self, plan: Sequence[Listening]) -> None:
        """Take the ports of these. Raises PortTaken, CannotListen for one that must open."""
        for wanted in plan:
            line, state = table.BY_NAME[wanted.name], self._states[wanted.name]
            listener = open_listener(line.load(), state, wanted, line.option)
            self._stack.callback(listener.close)
            self._bound[wanted.name] = (wanted, listener)
            try:
                listener.bind()
            except (PortTaken, CannotListen) as error:
                self._failed(wanted, error)

    async def start(
        self,
        intake: Intake,
        *,
        token: str | None,
        others: Mapping[str, AsgiApp],
        methods: Mapping[str, Methods] = MappingProxyType({}),
        remembered: Remembered | None = None,
    ) -> None:
        """Receive at the ports that are bound. `others`: for HTTP receivers, the app for all that is no span, by name;
        `methods`: for gRPC receivers, likewise, functions for the methods that carry none; `remembered`: what agents say of
        themselves."""
        for name, (wanted, listener) in list(self._bound.items()):
            try:
                beside = Beside(token, others.get(name), methods.get(name, NO_METHODS), remembered)
                await listener.start(intake, beside)
            except (PortTaken, CannotListen) as error:
                self._failed(wanted, error)
            else:
                self._started.append(listener)
                self._states[name].state = "open"

    async def stop(self) -> None:
        """Take nothing new and finish what is being handled, all at once: a client that hangs at one port costs no other its time."""
        for name in self._bound:
            self._states[name].state = "off"
        started, self._started = self._started, []
        with self._stack:
            ends = await asyncio.gather(*(listener.stop() for listener in started), return_exceptions=True)
            for end in ends:
                if end is not None:
                    raise end

    def _failed(self, wanted: Listening, error: Exception) -> None:
        state = self._states[wanted.name]
        state.state, state.last_error = "failed", str(error)
        if wanted.must_open:
            raise error
        del self._bound[wanted.name]
        _log.warning("the receiver %s is not open: %s", wanted.name, error)


def _state(line: table.Line) -> ReceiverState:
    option = line.option or f"--receive {line.name}{'@FOLDER' if line.transport == 'file' else ''}"
    return ReceiverState(line.name, line.transport, option=option, point_at=line.point_at)


def open_listener(spec: ReceiverSpec, state: ReceiverState, wanted: Listening, option: str = "") -> Listener:
    """The listener of a receiver at an address, not bound yet. `option` moves it; without one, `--receive` does."""
    return _KINDS[spec.transport](spec, state, wanted, option or f"--receive {spec.name}@HOST:PORT")


class _Http:
    def __init__(self, spec: ReceiverSpec, state: ReceiverState, wanted: Listening, move: str) -> None:
        self._spec, self._state, self._wanted, self._move = spec, state, wanted, move
        self._listener: socket.socket | None = None
        self._stop: Callable[[], Awaitable[None]] | None = None
        self._receiver: HttpReceiver | None = None
        self._grpc: _GrpcBehind | None = None

    def bind(self) -> None:
        self._listener = listen(self._wanted.host, self._wanted.port, self._move, named_by=self._wanted.named_by)
        self._state.address = f"http://{with_port(self._wanted.host, self._listener.getsockname()[1])}"

    async def start(self, intake: Intake, beside: Beside = NOTHING_BESIDE) -> None:
        assert self._listener is not None
        self._receiver = HttpReceiver(self._spec, intake, self._state, other=beside.other, remembered=beside.remembered)
        app = Guard(
            self._receiver,
            token=beside.token,
            loopback=is_loopback(self._wanted.host),
            refusal_body=_refusal_body(self._spec),
            token_of=_token_of(self._spec),
        )
        limits = self._spec.limits
        if self._spec.grpc is not None:
            self._grpc = _GrpcBehind(self._spec.grpc, intake, self._state, beside)
        self._stop = await serve(
            app,
            self._listener,
            connections=limits.connections,
            keep_alive_s=limits.idle_s,
            repair=self._spec.repair,
            http2=None if self._grpc is None else self._grpc.relays,
        )

    async def stop(self) -> None:
        if self._stop is not None and self._receiver is not None:
            await self._stop()
            if self._grpc is not None:
                await self._grpc.stop()
            self._receiver.close()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()


class _GrpcBehind:
    """A gRPC server on a port of loopback that nobody is told, for what comes over HTTP/2 to an HTTP receiver's port. It starts
    with the first such connection: most ports never have one."""

    def __init__(self, spec: ReceiverSpec, intake: Intake, state: ReceiverState, beside: Beside) -> None:
        self.relays = Relays(self._address, most=spec.limits.connections // _PART_FOR_HTTP2)
        self._receiver = GrpcReceiver(
            spec,
            intake,
            state,
            host=_LOOPBACK,
            port=0,
            token=beside.token,
            remembered=beside.remembered,
            client=self.relays.client,
        )
        self._port = 0
        self._starting = asyncio.Lock()

    async def _address(self) -> tuple[str, int]:
        async with self._starting:
            self._port = self._port or await self._receiver.start()
        return _LOOPBACK, self._port

    async def stop(self) -> None:
        async with self._starting:
            await self._receiver.stop()
        self.relays.close()


_LOOPBACK = "127.0.0.1"
_PART_FOR_HTTP2 = 4
"""A connection that is handed on has three descriptors."""


def _refusal_body(spec: ReceiverSpec) -> RefusalBody:
    def refusal(status: int, code: str, message: str, content_type: str) -> tuple[str, bytes]:
        answer = spec.answers.refused(status, message, Head(content_type=content_type))
        return answer.media, answer.body

    return refusal


def _token_of(spec: ReceiverSpec) -> TokenOf | None:
    find = spec.token_of
    return None if find is None else lambda scope: find(head_of(scope))


class _Grpc:
    def __init__(self, spec: ReceiverSpec, state: ReceiverState, wanted: Listening, move: str) -> None:
        self._spec, self._state, self._wanted, self._move = spec, state, wanted, move
        self._receiver: GrpcReceiver | None = None

    def bind(self) -> None:
        pass  # grpc takes and serves a port in one step

    async def start(self, intake: Intake, beside: Beside = NOTHING_BESIDE) -> None:
        wanted = self._wanted
        self._receiver = GrpcReceiver(
            self._spec,
            intake,
            self._state,
            host=wanted.host,
            port=wanted.port,
            token=beside.token,
            other=beside.methods,
            remembered=beside.remembered,
        )
        try:
            await self._receiver.start()
        except OSError as error:
            raise PortTaken(wanted.host, int(error.filename or wanted.port), self._move) from None

    async def stop(self) -> None:
        if self._receiver is not None:
            await self._receiver.stop()

    def close(self) -> None:
        pass


class _Socket:
    """A receiver that reads a socket of its own: datagrams or TCP."""

    def __init__(self, spec: ReceiverSpec, state: ReceiverState, wanted: Listening, move: str) -> None:
        self._spec, self._state, self._wanted, self._move = spec, state, wanted, move
        self._socket: socket.socket | None = None
        self._receiver: UdpReceiver | TcpReceiver | None = None

    def bind(self) -> None:
        take = receive if self._spec.transport == "udp" else listen
        self._socket = take(self._wanted.host, self._wanted.port, self._move, named_by=self._wanted.named_by)
        self._state.address = with_port(self._wanted.host, self._socket.getsockname()[1])

    async def start(self, intake: Intake, beside: Beside = NOTHING_BESIDE) -> None:
        assert self._socket is not None
        kind = UdpReceiver if self._spec.transport == "udp" else TcpReceiver
        self._receiver = kind(self._spec, intake, self._state, self._socket)
        self._receiver.start()

    async def stop(self) -> None:
        if self._receiver is not None:
            await self._receiver.stop()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class _Files:
    """A receiver that follows files; where it is in them is kept beside what agents say of themselves."""

    def __init__(self, spec: ReceiverSpec, state: ReceiverState, wanted: Listening, move: str) -> None:
        self._spec, self._state, self._wanted = spec, state, wanted
        self._receiver: FileReceiver | None = None
        self._positions: Positions | None = None

    def bind(self) -> None:
        for folder in self._wanted.folders:
            if Path(folder).exists() and not Path(folder).is_dir():
                raise CannotListen(f"--receive {self._spec.name}@{folder}: is not a folder")
        self._state.address = ", ".join(self._wanted.folders)

    async def start(self, intake: Intake, beside: Beside = NOTHING_BESIDE) -> None:
        remembered = beside.remembered
        assert remembered is not None
        self._positions = Positions(remembered.folder)
        try:
            self._positions.open()
        except OSError as error:
            raise CannotListen(f"{error.filename or remembered.folder}: {error.strerror or error}") from error
        folders = [Path(folder) for folder in self._wanted.folders]
        self._receiver = FileReceiver(self._spec, intake, self._state, folders, self._positions)
        self._receiver.start()

    async def stop(self) -> None:
        if self._receiver is not None:
            await self._receiver.stop()

    def close(self) -> None:
        if self._positions is not None:
            self._positions.close()


_KINDS: dict[str, Callable[[ReceiverSpec, ReceiverState, Listening, str], Listener]] = {
    "http": _Http,
    "grpc": _Grpc,
    "udp": _Socket,
    "tcp": _Socket,
    "file": _Files,
}
