"""An actor without its sockets and tasks: all of its connections, and what it answers by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from .dialogs import Call, Dialog, Task
from .errors import Failure
from .faults import WouldCrash
from .functions import Function
from .messages import (
    Address,
    Aid,
    AnyMessage,
    CancelAck,
    SpawnSpec,
    Start,
    StartAck,
    Uid,
)
from .registry import Registry, is_valid
from .session import Session


class Host(Protocol):
    """What surrounds an actor: sockets and trio tasks, or a recording."""

    def has_output(self, session: Session) -> None:
        """There is something to write."""

    def has_ended(self, session: Session) -> None:
        """The other side closed."""

    def received(self, session: Session, message: AnyMessage) -> None:
        """A message came, before anything is made of it."""

    def met(self, session: Session) -> None:
        """The peer introduced itself."""

    def heard(self, dialog: Dialog) -> None:
        """Something came for a dialog."""

    def ignored(self, session: Session, why: str) -> None:
        """Something was skipped."""

    def begin(self, task: Task) -> None:
        """A task is to run."""

    def cancel(self, task: Task) -> None:
        """A task is to end; whoever runs it says so by ``was_cancelled``."""

    def waits(self, task: Task) -> None:
        """A task of the runtime's waits, and can be cancelled."""

    def booting(self, spec: SpawnSpec) -> None:
        """The parent gave its instructions."""

    def must_end(self) -> None:
        """The actor was cancelled, and has said all it has to say."""

    def prose(self, kind: str, about: Any) -> Failure:
        """The texts of a failure: they are nobody's business but a reader's."""


class Actor:
    """An identity, what it lets others call, and the registry if it keeps one."""

    def __init__(
        self, aid: Aid, host: Host, modules: dict[str, dict[str, Function | None]]
    ) -> None:
        self.aid = aid
        self.host = host
        self.modules = modules
        self.registry = Registry() if aid.is_registrar else None
        self.serving = True
        self.sessions: list[Session] = []
        self._ending_by: Uid | None = None
        self._end_acks: list[tuple[Session, str]] = []

    @property
    def uid(self) -> Uid:
        """The identity."""
        return self.aid.uid

    def prose(self, kind: str, about: Any) -> Failure:
        """Texts for a failure."""
        return self.host.prose(kind, about)

    def add(self, session: Session) -> None:
        """A connection begins, whoever made it: both ends say the same (§4.1)."""
        self.sessions.append(session)
        session.begin_talking()

    def look_up(self, start: Start) -> tuple[Function | None, str | None]:
        """The function that is asked for, or the name of what is wrong (§6.1)."""
        module = self.modules.get(start.ns)
        if module is None:
            return None, "ModuleNotExposed"
        if start.func not in module:
            return None, "AttributeError"
        function = module[start.func]
        if function is None:
            raise WouldCrash(f"{start.ns}.{start.func} is not an asynchronous function")
        return (function, None) if _fits(function, start) else (None, "TypeError")

    # The parent's instructions.

    def be_told(self, link: Session, spec: SpawnSpec) -> None:
        """A child's second message. Its calls wait until it has registered (§6.1)."""
        for key in ("_debug_mode", "_is_infected_aio"):
            if key not in spec.runtime_vars:
                raise WouldCrash(f"_runtime_vars without {key}")
        self.serving = False
        self.host.booting(spec)

    def register_at(self, session: Session, addr: Address, cid: str) -> Call:
        """Tells a registrar where we are (§6.6)."""
        return session.call("self", "register_actor", {"uid": self.uid, "addr": addr}, cid)

    def unregister_at(self, session: Session, cid: str) -> Call:
        """Tells a registrar that we go away."""
        return session.call("self", "unregister_actor", {"uid": self.uid}, cid)

    def serve(self) -> None:
        """Booted."""
        self.serving = True
        for session in list(self.sessions):
            session.serve()

    def crash(self, session: Session, failure: Failure) -> None:
        """The runtime fails: the parent is told, once more when it caused that itself (§3.1)."""
        if session.is_link:
            session.crash(failure)
        for link in self.sessions:
            if link.is_link:
                link.crash(failure)

    # What can be asked of the runtime (§3.3).

    def asked(self, session: Session, start: Start) -> None:
        """A ``Start`` in the namespace ``self``."""
        verb = self._verbs(session, start).get(start.func)
        if verb is None:
            raise WouldCrash(f"the runtime has no asynchronous method {start.func!r}")
        check, answer = verb
        if not _fits(Function("asyncfunc", check), start):
            if start.func in ("cancel", "_cancel_task"):
                # It closes the connection unanswered, or dies.
                raise WouldCrash(f"self.{start.func} with the arguments {start.kwargs}")
            session.emit_refusal(start, "TypeError")
            return
        answer()

    def _verbs(self, session: Session, start: Start) -> dict[str, tuple[Callable, Callable]]:
        # The signature, then what is done; kwargs were checked when it is.
        kwargs = start.kwargs
        registry = self.registry
        answer = partial(session.answer, start)
        verbs: dict[str, tuple[Callable, Callable]] = {
            "cancel": (lambda: 0, lambda: self._cancel(session, start)),
            "_cancel_task": (lambda cid: 0, lambda: session.cancel_task(start)),
        }
        if registry is None:
            return verbs
        return verbs | {
            "register_actor": (lambda uid, addr: 0, lambda: self._register(session, start)),
            "unregister_actor": (
                lambda uid: 0,
                lambda: answer(lambda: registry.unregister(_uid(kwargs["uid"]))),
            ),
            "find_actor": (lambda name: 0, lambda: answer(lambda: registry.find(kwargs["name"]))),
            "wait_for_actor": (lambda name: 0, lambda: session.wait_for(start, registry)),
            "get_registry": (lambda: 0, lambda: answer(registry.table)),
            "delete_addr": (
                lambda addr: 0,
                lambda: answer(lambda: registry.delete_addr(_addr(kwargs["addr"]))),
            ),
        }

    def _register(self, session: Session, start: Start) -> None:
        def register() -> None:
            addr = _addr(start.kwargs["addr"])
            if not is_valid(addr):
                # The reference opens its debugger there, which has no terminal.
                raise BdbQuit(f"registered {addr}")
            self.registry.register(_uid(start.kwargs["uid"]), addr)

        session.answer(start, register)

    def _cancel(self, session: Session, start: Start) -> None:
        """Cancels every task for whoever asked; acknowledges once all have ended (§6.4)."""
        session.emit(StartAck(start.cid, "asyncfunc"))
        self._end_acks.append((session, start.cid))
        self._ending_by = session.peer_uid
        for each in list(self.sessions):
            for task in list(each.tasks.values()):
                task.cancel(self._ending_by, None)
        self._acknowledge_end()

    def task_ended(self, _task: Task) -> None:
        """One less to wait for."""
        if self._ending_by is not None:
            self._acknowledge_end()

    def _acknowledge_end(self) -> None:
        if any(session.tasks for session in self.sessions):
            return
        for session, cid in self._end_acks:
            session.emit(CancelAck(cid, True))
            # Later requests on that connection are never answered.
            session.answers = False
        if self._end_acks:
            self._end_acks = []
            self.host.must_end()


class BdbQuit(Exception):
    """What a registrar of the reference answers to an address it can't take."""


def _fits(function: Function, start: Start) -> bool:
    try:
        function.check(start.kwargs)
    except TypeError:
        return False
    return True


def _uid(value: Any) -> Uid:
    name, uuid = value
    return name, uuid


def _addr(value: Any) -> Address:
    host, port = value
    return host, port
