"""One connection as one of its two actors sees it: handshake, then dialogs in both directions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .dialogs import Call, Task
from .errors import Failure, report
from .faults import Expected, NotAid, WouldCrash
from .frames import Deframer, frame
from .functions import Function
from .messages import (
    Aid,
    AnyMessage,
    CancelAck,
    Garbage,
    Ignored,
    Message,
    SpawnSpec,
    Start,
    StartAck,
    Started,
    Uid,
    Yield,
    decode,
    encode,
)
from .registry import Registry

if TYPE_CHECKING:
    from .actor import Actor

_VERB = Function("asyncfunc", lambda: None)
GARBAGE_MAX = 4
"""So many frames of nonsense a Python peer skips; the next one ends it."""


class Session:
    """A connection. What it has to say is in ``outbox``, frame by frame."""

    def __init__(self, actor: Actor, aid: Aid) -> None:
        self.actor = actor
        self.aid = aid
        self.peer: Aid | None = None
        self.is_link = False
        self.outbox: deque[bytes] = deque()
        self.calls: dict[str, Call] = {}
        self.tasks: dict[str, Task] = {}
        self.closed = False
        self.broken = False
        self.answers = True
        self._queued: list[Start] = []
        self._deframer = Deframer()
        self._garbage = 0
        self._told = False

    def begin_talking(self) -> None:
        """Neither side waits for the other's ``Aid`` (§4.1)."""
        self.emit(self.aid)

    @property
    def peer_uid(self) -> Uid:
        """Who is on the other end."""
        if self.peer is None:
            raise Expected("the peer has not introduced itself")
        return self.peer.uid

    def emit(self, message: Message) -> None:
        """One more frame to be written."""
        self.outbox.append(frame(encode(message)))
        self.actor.host.has_output(self)

    def check_open(self, what: str) -> None:
        """A Python peer dies when it streams to someone who has gone away."""
        if self.broken:
            raise WouldCrash(f"the connection was closed while a task wanted to {what}")

    def check_lost(self, written: bytes) -> None:
        """A frame could not be written: what a task of a context says itself is its end."""
        if isinstance(decode(written[4:]), (Started, Yield)):
            self.check_open("say something to its caller")

    def bodies(self, data: bytes) -> list[bytes]:
        """Bytes came: the messages that are whole now."""
        return self._deframer.feed(data)

    def feed(self, data: bytes) -> None:
        """Bytes came, and all that is whole is taken in at once."""
        for body in self.bodies(data):
            message = self.decoded(body)
            if message is not None:
                self.receive(message)

    def finish(self) -> None:
        """The other side closed."""
        self.closed = True
        self._deframer.finish()
        self.actor.host.has_ended(self)

    def call(self, ns: str, func: str, kwargs: dict[str, Any], cid: str) -> Call:
        """Starts a dialog."""
        call = Call(self, Start(cid, ns, func, kwargs, self.actor.uid))
        self.calls[cid] = call
        self.emit(call.start)
        return call

    def serve(self) -> None:
        """The actor has booted: what was asked meanwhile is done now (§6.1)."""
        queued, self._queued = self._queued, []
        for start in queued:
            self._start(start)

    def decoded(self, body: bytes) -> AnyMessage | None:
        """The message that this is, unless it is to be ignored."""
        try:
            return decode(body)
        except Garbage as fault:
            self._garbage += 1
            if self._garbage > GARBAGE_MAX:
                raise WouldCrash(f"too many undecodable frames: {fault}") from fault
            self.actor.host.ignored(self, str(fault))
        except Ignored as fault:
            self.actor.host.ignored(self, str(fault))
        return None

    def receive(self, message: AnyMessage) -> None:
        """A message came."""
        self.actor.host.received(self, message)
        if self.peer is None:
            self._introduce(message)
        elif isinstance(message, Aid):
            raise WouldCrash(f"a second Aid, of {message.name}")
        elif isinstance(message, SpawnSpec):
            self._be_told(message)
        elif isinstance(message, Start):
            self._be_asked(message)
        else:
            self._route(message)

    def _introduce(self, message: AnyMessage) -> None:
        if not isinstance(message, Aid):
            raise NotAid(type(message).__name__)
        self.peer = message
        self.actor.host.met(self)

    def _be_told(self, spec: SpawnSpec) -> None:
        if not self.is_link or self._told:
            raise WouldCrash("a SpawnSpec that is not the second message of a child's link")
        self._told = True
        self.actor.be_told(self, spec)

    def _be_asked(self, start: Start) -> None:
        if start.uid != self.peer_uid:
            raise WouldCrash(f"Start.uid is {start.uid}, but the Aid said {self.peer_uid}")
        if not self.actor.serving:
            self._queued.append(start)
        elif self.answers:
            self._start(start)

    def _route(self, message: Any) -> None:
        if message.cid is None:
            self.actor.host.ignored(self, "an Error without a cid")
            return
        dialog = self.calls.get(message.cid) or self.tasks.get(message.cid)
        if dialog is None:
            self.actor.host.ignored(self, f"{type(message).__name__} for an unknown cid")
            return
        if isinstance(message, StartAck) and isinstance(dialog, Call):
            dialog.kind = message.functype
        dialog.hear(message)
        self.actor.host.heard(dialog)

    # What the other side asks for.

    def _start(self, start: Start) -> None:
        if start.ns == "self":
            self.actor.asked(self, start)
            return
        function, fault = self.actor.look_up(start)
        if fault is not None:
            self.emit_refusal(start, fault)
            return
        task = self.begin_task(start, function)
        self.actor.host.begin(task)

    def begin_task(self, start: Start, function: Function) -> Task:
        """A task of the other side's, running here."""
        former = self.tasks.get(start.cid)
        task = Task(self, start, function)
        if former is not None:
            # The base takes both for one context, which has started already.
            task.started = former.started
        self.tasks[start.cid] = task
        return task

    def emit_refusal(self, start: Start, fault: str) -> None:
        """Before anything runs: no ``StartAck`` (§6.1)."""
        self.emit(report(self.actor.prose(fault, start), self.actor.uid, start.cid))

    def answer(self, start: Start, work: Callable[[], Any]) -> None:
        """A request to the runtime that is done at once: it is answered as a call is (§3.3)."""
        task = self.begin_task(start, _VERB)
        try:
            task.returned(work())
        except Exception as fault:  # Whatever it is, it is the caller's.
            task.failed(self.actor.prose(type(fault).__name__, start))

    def wait_for(self, start: Start, registry: Registry) -> None:
        """``wait_for_actor``: answered once there is one (§6.6)."""
        task = self.begin_task(start, _VERB)
        self.actor.host.waits(task)
        registry.wait(
            start.kwargs["name"], lambda found: None if task.over else task.returned(found)
        )

    def cancel_task(self, start: Start) -> None:
        """``_cancel_task`` (§6.4)."""
        self.emit(StartAck(start.cid, "asyncfunc"))
        task = self.tasks.get(start.kwargs["cid"])
        if task is None:
            self.emit(CancelAck(start.cid, True))
        else:
            task.cancel(self.peer_uid, start.cid)

    def crash(self, failure: Failure) -> None:
        """The runtime's own failure (§3.1)."""
        self.emit(report(failure, self.actor.uid, None))
