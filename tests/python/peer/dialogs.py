"""Both ends of a dialog (§6): which messages may be said, and what is said by itself."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from .errors import BAD_TYPE, CANCELLED, OVERRUN, Failure, relay, report
from .faults import Expected
from .functions import Function
from .messages import (
    AnyMessage,
    CancelAck,
    Error,
    Kind,
    Return,
    Start,
    StartAck,
    Started,
    Stop,
    Uid,
    Value,
    Yield,
    pack,
)

if TYPE_CHECKING:
    from .session import Session

FEEDER = 64
"""How many messages may wait unread in a dialog, of whatever kind (§6.7)."""


class Dialog:
    """What the two ends have in common: a feeder that overflows, and a stream."""

    def __init__(self, session: Session, start: Start) -> None:
        self.session = session
        self.start = start
        self.inbox: deque[AnyMessage] = deque()
        self.remote_error: Error | None = None
        self.streaming = False
        self.stop_taken = False
        self.stop_sent = False
        self.over = False

    @property
    def cid(self) -> str:
        """Its name."""
        return self.start.cid

    def hear(self, message: AnyMessage) -> None:
        """Something came for this end. One too many is answered, and lost (§6.7)."""
        if isinstance(message, Error) and self.remote_error is None:
            self.remote_error = message
        if len(self.inbox) < FEEDER:
            self.inbox.append(message)
        else:
            self._overrun()

    def _overrun(self) -> None:
        actor = self.session.actor
        failure = actor.prose(OVERRUN, self)
        self.session.emit(report(failure, actor.uid, self.cid, sender=self.session.peer_uid))

    def take(self) -> AnyMessage | None:
        """The next message that waits."""
        if not self.inbox:
            return None
        message = self.inbox.popleft()
        if isinstance(message, Stop):
            self.stop_taken = True
        return message

    def open_stream(self) -> None:
        """Local only: nothing is said."""
        self.streaming = True

    def send(self, item: Any) -> None:
        """A stream item."""
        self.session.check_open("send a stream item")
        self.session.emit(Yield(self.cid, _payload(item)))

    def leave_stream(self) -> None:
        """``Stop``, unless the other side's was read before (§6.3)."""
        if self.streaming and not self.stop_taken and not self.stop_sent:
            self.stop_sent = True
            self.session.emit(Stop(self.cid))
        self.streaming = False


class Call(Dialog):
    """The caller's end."""

    def __init__(self, session: Session, start: Start) -> None:
        super().__init__(session, start)
        self.kind: Kind | None = None
        self.cancel_asked = False

    def cancel(self, cid: str) -> Call:
        """Asks for the task's end, on the connection it was started on (§6.4)."""
        self.cancel_asked = True
        return self.session.call("self", "_cancel_task", {"cid": self.cid}, cid)

    def absorbs(self, error: Error) -> bool:
        """Whether the failure is the cancellation that we asked for (§6.5)."""
        return (
            self.cancel_asked
            and error.boxed_type_str == CANCELLED
            and error.src_uid == self.session.peer_uid
            and error.canceller == self.session.actor.uid
        )

    def forget(self) -> None:
        """Nobody listens any more: what still comes is dropped."""
        self.over = True
        self.session.calls.pop(self.cid, None)


class Task(Dialog):
    """The callee's end. ``StartAck`` is said when it is made."""

    def __init__(self, session: Session, start: Start, function: Function) -> None:
        super().__init__(session, start)
        self.function = function
        self.started = False
        self.cancelled_by: Uid | None = None
        self._cancel_cids: list[str] = []
        session.emit(StartAck(start.cid, function.kind))

    def hear(self, message: AnyMessage) -> None:
        """As of any end; a complaint of the caller ends the task (§6.3)."""
        complaint = isinstance(message, Error) and self.remote_error is None
        super().hear(message)
        if complaint:
            self.session.actor.host.cancel(self)

    def set_started(self, value: Any) -> None:
        """``Started``, once and before all else of a context (§6.2)."""
        if self.started:
            raise RuntimeError("started twice")
        self.started = True
        self.session.check_open("say that it has started")
        self.session.emit(Started(self.cid, _payload(value)))

    def cancel(self, by: Uid, cid: str | None) -> None:
        """The task is to end; with a cid, that request is acknowledged then (§6.4)."""
        if cid is not None:
            self._cancel_cids.append(cid)
        if self.cancelled_by is None:
            self.cancelled_by = by
            self.session.actor.host.cancel(self)

    def cancel_self(self) -> None:
        """The task cancels its own dialog: nobody is to be acknowledged."""
        self.cancel(self.session.actor.uid, None)

    def leave_stream(self) -> None:
        """As at any end; a generator's ``Stop`` is its end instead."""
        if self.function.kind == "context":
            super().leave_stream()

    def returned(self, value: Any) -> None:
        """The task's result; of a generator, its end."""
        self.leave_stream()
        if self.function.kind == "asyncgen":
            self._end(Stop(self.cid))
        else:
            self._end(Return(self.cid, _payload(value)))

    def failed(self, failure: Failure) -> None:
        """The task's own failure."""
        self.leave_stream()
        self._end(report(failure, self.session.actor.uid, self.cid))

    def failed_by(self, error: Error, traceback: str) -> None:
        """The task died of somebody else's failure."""
        self._end(relay(error, self.session.actor.uid, self.cid, traceback))

    def was_sent_bad(self, message: Yield, failure: Failure) -> None:
        """The task read an item of a type it can't use: its own failure, sent on by itself."""
        self.leave_stream()
        actor = self.session.actor
        local = report(failure, actor.uid, self.cid, bad_msg=message)
        self._end(relay(local, actor.uid, self.cid, failure.traceback))

    def would_send_bad(self, message: Started, failure: Failure) -> None:
        """The task wants to say what it has promised not to: its failure instead."""
        if failure.type_name != BAD_TYPE:
            raise ValueError(failure.type_name)
        self._end(report(failure, self.session.actor.uid, self.cid, bad_msg=message))

    def was_cancelled(self) -> None:
        """The task ended by its cancellation."""
        actor = self.session.actor
        if self.function.kind == "asyncgen":
            self._end(Stop(self.cid))
        elif self.function.kind == "asyncfunc":
            # The base says nothing but the acknowledgement: its callers never ask for this.
            self._end(None)
        elif self.cancelled_by is None and self.remote_error is not None:
            self.failed_by(self.remote_error, actor.prose("relay", self).traceback)
        else:
            self._cancelled_context(self.cancelled_by or actor.uid)

    def _cancelled_context(self, canceller: Uid) -> None:
        self.leave_stream()
        actor = self.session.actor
        failure = actor.prose(CANCELLED, self)
        self._end(report(failure, actor.uid, self.cid, canceller=canceller))

    def never_ends(self) -> None:
        """The reference says nothing any more when a result can't be encoded."""
        self._end(None)

    def _end(self, last: AnyMessage | None) -> None:
        if self.over:
            raise Expected(f"{self.start.func} ended twice")
        self.over = True
        if last is not None and not self.session.broken:
            self.session.emit(last)
        self.session.tasks.pop(self.cid, None)
        for cid in self._cancel_cids:
            self.session.emit(CancelAck(cid, True))
        self.session.actor.task_ended(self)


def _payload(value: Any) -> Value:
    return value if isinstance(value, Value) else pack(value)
