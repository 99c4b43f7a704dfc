"""An actor on trio: its sockets, and the tasks of its functions."""

from __future__ import annotations

import json
import os
import sys
import traceback
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from typing import Any

import trio

from . import addresses
from .actor import Actor
from .context import Context
from .dialogs import Dialog, Task
from .errors import CANCELLED, OVERRUN, Failure, RemoteError
from .faults import Expected, NotAid, WouldCrash
from .functions import Function
from .messages import Address, Aid, AnyMessage, Error, SpawnSpec, Start, Uid
from .session import Session

CURRENT: ContextVar[TrioHost] = ContextVar("host")
"""The actor whose task is running."""
HANDSHAKE_TIMEOUT = 10
"""How long a server waits for an ``Aid`` (§4.2; the base waits longer)."""
_CHUNK = 65536
_TURNS = 2
"""Turns of the loop that a message takes: one for its length, one for the rest."""
_REQUEST_TURNS = 20
"""Those of a request, which is a task of its own. The base's and its readers' are half of ours."""


def new_cid() -> str:
    """A name for a dialog."""
    return str(uuid.uuid4())


def say(event: str, **facts: Any) -> None:
    """A line for whoever drives this program."""
    print(json.dumps({"event": event, **facts}, default=str), flush=True)


def complain(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


class Connection:
    """A socket and its session."""

    def __init__(self, stream: trio.SocketStream, session: Session) -> None:
        self.stream = stream
        self.session = session
        self.met = trio.Event()
        self.ended = trio.Event()
        self.trace: list[AnyMessage] = []
        self._output = trio.Event()
        self._flushed = trio.Event()

    def wake(self) -> None:
        """There is something to write."""
        self._flushed = trio.Event()
        self._output.set()

    async def flush(self) -> None:
        """Waits until all that was said is written."""
        if self.session.outbox and not self.session.broken:
            await self._flushed.wait()
        else:
            await trio.lowlevel.checkpoint()

    async def write(self) -> None:
        """Frames go out whole, so that none is cut when we close (§1.4)."""
        while True:
            await self._output.wait()
            self._output = trio.Event()
            while self.session.outbox:
                with trio.CancelScope(shield=True):
                    await self._send(self.session.outbox.popleft())
            self._flushed.set()

    async def _send(self, frame: bytes) -> None:
        # One frame at a time: as the base does, and it notices that nobody listens any more.
        if self.session.broken:
            return
        try:
            await self.stream.send_all(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.session.broken = True
            self.session.check_lost(frame)

    async def read(self) -> None:
        """Until the other side closes."""
        while True:
            try:
                data = await self.stream.receive_some(_CHUNK)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                # Reset: there is no saying whether a frame was cut.
                self.session.closed = True
                return
            if not data:
                self.session.finish()
                return
            for body in self.session.bodies(data):
                message = self.session.decoded(body)
                # Readers have their turns meanwhile, as in the base.
                for _ in range(_REQUEST_TURNS if isinstance(message, Start) else _TURNS):
                    await trio.lowlevel.checkpoint()
                if message is not None:
                    self.session.receive(message)


class TrioHost:
    """What surrounds an actor that really runs."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.actor: Actor
        self.told = trio.Event()
        self.spec: SpawnSpec | None = None
        self.cancelled = trio.Event()
        self.registrars: list[Address] = []
        self.on_event: Callable[..., None] = lambda event, **facts: None
        self._connections: dict[Session, Connection] = {}
        self._news: dict[Dialog, trio.Event] = {}
        self._scopes: dict[Task, trio.CancelScope] = {}

    # Connections.

    @asynccontextmanager
    async def connect(
        self, addr: Address, aid: Aid | None = None, is_link: bool = False
    ) -> AsyncIterator[Connection]:
        """A connection that we make; it is closed behind what was said on it."""
        stream = await addresses.connect(addr)
        connection = self._adopt(stream, aid)
        connection.session.is_link = is_link
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run, connection)
            await connection.met.wait()
            if connection.session.peer is None:
                raise Expected("an Aid, but the connection was closed")
            yield connection
            await connection.flush()
            await connection.stream.aclose()
            nursery.cancel_scope.cancel()

    async def listen(
        self, addr: Address, task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accepts until it is cancelled."""
        listener, bound = await addresses.listen(addr)
        task_status.started(bound)
        try:
            await trio.serve_listeners(self._accept, [listener], handler_nursery=self.nursery)
        finally:
            addresses.remove(bound)

    async def _accept(self, stream: trio.SocketStream) -> None:
        connection = self._adopt(stream, None)
        self.nursery.start_soon(self._time_out, connection)
        await self._run(connection)

    async def _time_out(self, connection: Connection) -> None:
        with trio.move_on_after(HANDSHAKE_TIMEOUT):
            await connection.met.wait()
            return
        await connection.stream.aclose()

    def _adopt(self, stream: trio.SocketStream, aid: Aid | None) -> Connection:
        session = Session(self.actor, aid or self.actor.aid)
        connection = self._connections[session] = Connection(stream, session)
        self.actor.add(session)
        return connection

    async def _run(self, connection: Connection) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.write)
                await self._read(connection)
                await connection.flush()
                nursery.cancel_scope.cancel()
        finally:
            connection.session.closed = connection.session.broken = True
            connection.ended.set()
            connection.met.set()
            self._wake_dialogs(connection.session)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await connection.stream.aclose()

    async def _read(self, connection: Connection) -> None:
        try:
            await connection.read()
        except NotAid as fault:
            self.on_event("not-aid", got=str(fault))
        except WouldCrash as fault:
            self.actor.crash(connection.session, Failure("RuntimeError", "", str(fault)))
            await self.flush_all()
            raise

    async def flush(self, session: Session) -> None:
        """Waits until the session's frames are written."""
        await self._connections[session].flush()

    async def flush_all(self) -> None:
        """Waits until everything is written, but not for long."""
        with trio.move_on_after(1, shield=True):
            for connection in list(self._connections.values()):
                if not connection.ended.is_set():
                    await connection.flush()

    async def next(self, dialog: Dialog) -> AnyMessage:
        """The next message of a dialog. A callee waits for ever when its caller is gone."""
        while (message := dialog.take()) is None:
            if dialog.session.closed and not isinstance(dialog, Task):
                raise Expected(f"the connection was closed during {dialog.start.func}")
            news = self._news[dialog] = trio.Event()
            await news.wait()
        await trio.lowlevel.checkpoint()
        return message

    def _wake_dialogs(self, session: Session) -> None:
        for dialog in [*session.calls.values(), *session.tasks.values()]:
            self.heard(dialog)

    def connection_of(self, uid: Uid) -> Connection | None:
        """The first one of that peer's."""
        for connection in self._connections.values():
            peer = connection.session.peer
            if peer is not None and peer.uid == uid:
                return connection
        return None

    # What the actor asks for.

    def has_output(self, session: Session) -> None:
        """Wakes the writer."""
        if session in self._connections:
            self._connections[session].wake()

    def has_ended(self, session: Session) -> None:
        """The other side closed."""

    def received(self, session: Session, message: AnyMessage) -> None:
        """For those who check the order of messages."""
        self._connections[session].trace.append(message)

    def met(self, session: Session) -> None:
        """A probe only wanted to know who we are (§4.4)."""
        self._connections[session].met.set()
        if session.peer is not None and session.peer.is_probe:
            self.nursery.start_soon(self._dismiss, self._connections[session])

    async def _dismiss(self, connection: Connection) -> None:
        await connection.flush()
        await connection.stream.aclose()

    def heard(self, dialog: Dialog) -> None:
        """Wakes whoever reads the dialog."""
        news = self._news.pop(dialog, None)
        if news is not None:
            news.set()

    def ignored(self, session: Session, why: str) -> None:
        """Said, as a Python peer would log it."""
        self.on_event("ignored", why=why)

    def booting(self, spec: SpawnSpec) -> None:
        """The child's program goes on."""
        self.spec = spec
        self.told.set()

    def must_end(self) -> None:
        """The program ends."""
        self.cancelled.set()

    def waits(self, task: Task) -> None:
        """A task of the runtime's: it can only be cancelled."""
        self._scopes[task] = scope = trio.CancelScope()
        self.nursery.start_soon(self._run_waiter, task, scope)

    async def _run_waiter(self, task: Task, scope: trio.CancelScope) -> None:
        with scope:
            await trio.sleep_forever()
        if not task.over:
            task.was_cancelled()

    def begin(self, task: Task) -> None:
        """The application's function runs."""
        self._scopes[task] = scope = trio.CancelScope()
        self.on_event("begin", func=task.start.func, cid=task.cid)
        self.nursery.start_soon(self._run_task, task, scope)

    def cancel(self, task: Task) -> None:
        """What runs it ends, and says so."""
        if task in self._scopes:
            self._scopes[task].cancel()

    def prose(self, kind: str, about: Any) -> Failure:
        """Texts in our own words."""
        message = f"{kind} in {_describe(about)}\n" if kind in (CANCELLED, OVERRUN) else ""
        return Failure(kind, message, f"{kind}: {_describe(about)}\n")

    # Tasks.

    async def _run_task(self, task: Task, scope: trio.CancelScope) -> None:
        CURRENT.set(self)
        with scope:
            await self._apply(task)
        if not task.over and scope.cancelled_caught:
            task.was_cancelled()
        self._scopes.pop(task, None)
        self.on_event("end", func=task.start.func, cid=task.cid)

    async def _apply(self, task: Task) -> None:
        try:
            value = await self._invoke(task)
        except (WouldCrash, trio.Cancelled):
            raise
        except Exception as fault:  # Any failure of the application is its caller's.
            remote = _remote_error(fault)
            if remote is not None:
                task.failed_by(remote, traceback.format_exc())
                return
            message = fault.message if isinstance(fault, ExceptionGroup) else ""
            task.failed(Failure(type(fault).__name__, message, traceback.format_exc()))
        else:
            self._return(task, value)

    def _return(self, task: Task, value: Any) -> None:
        try:
            task.returned(value)
        except OverflowError as fault:
            task.failed(Failure("OverflowError", "", f"OverflowError: {fault}\n"))
        except (TypeError, NotImplementedError):
            # The reference says nothing then, and its caller waits for ever.
            task.never_ends()

    async def _invoke(self, task: Task) -> Any:
        kwargs = task.start.kwargs
        function = task.function
        if function.kind == "context":
            return await function.call(Context(self, task), **kwargs)
        if function.kind == "asyncfunc":
            return await function.call(**kwargs)
        async with aclosing(function.call(**kwargs)) as items:
            async for item in items:
                task.send(item)
                await self.flush(task.session)
        return None


def _remote_error(fault: Exception) -> Error | None:
    """Alone in its group it counts as itself: trio's nurseries wrap it."""
    while isinstance(fault, ExceptionGroup) and len(fault.exceptions) == 1:
        fault = fault.exceptions[0]
    return fault.error if isinstance(fault, RemoteError) else None


def _describe(about: Any) -> str:
    start = getattr(about, "start", about)
    return f"{start.ns}:{start.func}()"


@asynccontextmanager
async def running(
    uid: Uid, is_registrar: bool, modules: dict[str, dict[str, Function | None]]
) -> AsyncIterator[TrioHost]:
    """An actor that runs until the block is left; what then still runs is dropped."""
    async with trio.open_nursery() as nursery:
        host = TrioHost(nursery)
        aid = Aid(*uid, os.getpid(), is_registrar, False)
        host.actor = Actor(aid, host, modules)
        yield host
        await host.flush_all()
        nursery.cancel_scope.cancel()
