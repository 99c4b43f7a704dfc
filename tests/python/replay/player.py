"""One actor in its recorded place."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

from peer.actor import Actor
from peer.dialogs import Call, Dialog, Task
from peer.errors import BAD_TYPE, CANCELLED, Failure
from peer.faults import WouldCrash
from peer.messages import (
    Aid,
    AnyMessage,
    CancelAck,
    Error,
    Return,
    SpawnSpec,
    Start,
    StartAck,
    Started,
    Stop,
    Uid,
    Yield,
    decode,
)
from peer.session import Session
from peer.spawn import root_vars, spawn_spec

from .application import DEAF, MODULES, SILENT, STREAMING
from .recording import Recording, Step


class Wrong(Exception):
    """The peer said something else than the recorded actor."""


class Player:
    """One actor in its recorded place; what surrounds it is the recording."""

    def __init__(self, recording: Recording, uid: Uid) -> None:
        self.recording = recording
        recorded = recording.aids[uid]
        probe = recorded.is_probe
        registrar = uid[1] not in recording.children and recorded.is_registrar
        aid = Aid(*uid, recorded.pid, None if probe else registrar, probe)
        self.sessions: dict[str, Session] = {}
        self.actor = Actor(aid, self, MODULES)
        self.spec: SpawnSpec | None = None
        self.to_register = 0
        self.crashed = False
        self.step: Step | None = None
        self.errors = self._own_errors()
        self.heard_errors: list[Error] = []
        self.calls_made: dict[tuple[str, bool], int] = defaultdict(int)
        self.deaf: set[str] = set()
        self.compared = 0

    def _own_errors(self) -> dict[str | None, deque[Error]]:
        errors: dict[str | None, deque[Error]] = defaultdict(deque)
        for step in self.recording.frames():
            if self._is_ours(step) and isinstance(step.message, Error):
                errors[step.message.cid].append(step.message)
        return errors

    def _is_ours(self, step: Step) -> bool:
        return self.recording.ends[step.conn].get(step.by) == self.actor.uid

    def _takes_part(self, step: Step) -> bool:
        return self.actor.uid in self.recording.ends[step.conn].values()

    def play(self) -> int:
        """From the first step to the last; how many frames were compared."""
        for step in filter(self._takes_part, self.recording.steps):
            self.step = step
            session = self._session(step.conn)
            if self.step.event != "frame":
                self._ended(session)
            elif self._is_ours(self.step):
                self._expect(session)
            elif self.step.sent:
                self._read(session)
        for conn, session in self.sessions.items():
            if session.outbox:
                said = decode(session.outbox[0][4:])
                raise Wrong(f"at the end, on {conn}: says {said}, the recorded one doesn't")
        return self.compared

    def _session(self, conn: str) -> Session:
        if conn not in self.sessions:
            self.sessions[conn] = Session(self.actor, self.actor.aid)
            self.actor.add(self.sessions[conn])
        return self.sessions[conn]

    def _ended(self, session: Session) -> None:
        if self.step.event != "close" and self._is_ours(self.step) and not session.closed:
            session.finish()

    def _read(self, session: Session) -> None:
        if isinstance(self.step.message, SpawnSpec):
            session.is_link = True
            self._enable(self.step.message)
        try:
            session.feed(self.step.frame)
        except WouldCrash:
            # The recorded one must have died of it too: its last words are looked for.
            self.crashed = True
            self.actor.crash(session, self._texts(None))
        if session.is_link and self.to_register and session.outbox:
            raise Wrong(f"seq {self.step.seq}: answered before it has registered")
        if isinstance(self.step.message, Error):
            self.heard_errors.append(self.step.message)

    def _enable(self, spec: SpawnSpec) -> None:
        self.actor.modules = {
            name: functions for name, functions in MODULES.items() if name in spec.enable_modules
        }

    def _expect(self, session: Session) -> None:
        if not session.outbox:
            self._prompt(session, self.step.message)
        said = session.outbox.popleft() if session.outbox else b""
        if said != self.step.frame:
            shown = decode(said[4:]) if said else None
            raise Wrong(f"seq {self.step.seq}: says {shown}, recorded is {self.step.message}")
        self.compared += 1
        session.broken = session.broken or not self.step.sent
        self._silence(session, getattr(self.step.message, "cid", None))

    def _silence(self, session: Session, cid: str | None) -> None:
        """A task that can't say its last word is gone all the same."""
        task = session.tasks.get(cid)
        if self.recording.name in SILENT and task and not self._has_more_to_say(cid):
            task.never_ends()

    def _has_more_to_say(self, cid: str) -> bool:
        return any(
            self._is_ours(step) and step.seq > self.step.seq and step.message.cid == cid
            for step in self.recording.frames()
            if not isinstance(step.message, (Aid, SpawnSpec))
        )

    # What the application or the process decides.

    def _prompt(self, session: Session, wanted: AnyMessage) -> None:
        if isinstance(wanted, (Aid, StartAck, CancelAck)):
            raise Wrong(f"seq {self.step.seq}: does not say {wanted} by itself")
        if isinstance(wanted, SpawnSpec):
            session.emit(self._spec(wanted))
        elif isinstance(wanted, Start):
            self._call(session, wanted)
        elif isinstance(wanted, Error) and wanted.cid is None and not self.crashed:
            session.crash(self._failure(wanted))
        else:
            dialog = session.calls.get(wanted.cid) or session.tasks.get(wanted.cid)
            if dialog is None or self.crashed:
                raise Wrong(f"seq {self.step.seq}: has no dialog for {wanted}")
            self._act(dialog, wanted)

    def _spec(self, wanted: SpawnSpec) -> SpawnSpec:
        given = wanted.runtime_vars
        known = (
            self.spec.runtime_vars
            if self.spec
            else root_vars(given["_root_mailbox"], wanted.reg_addrs, given["_debug_mode"])
        )
        return spawn_spec(known, wanted.reg_addrs, wanted.enable_modules, wanted.main_data)

    def _call(self, session: Session, wanted: Start) -> None:
        if wanted.func == "register_actor" and tuple(wanted.kwargs["uid"]) == self.actor.uid:
            self.actor.register_at(session, wanted.kwargs["addr"], wanted.cid)
        elif wanted.func == "unregister_actor":
            self.actor.unregister_at(session, wanted.cid)
        elif wanted.func == "_cancel_task" and wanted.kwargs["cid"] in session.calls:
            session.calls[wanted.kwargs["cid"]].cancel(wanted.cid)
        else:
            session.call(wanted.ns, wanted.func, wanted.kwargs, wanted.cid)
            self._note(wanted, is_caller=True)

    def _act(self, dialog: Dialog, wanted: AnyMessage) -> None:
        if isinstance(wanted, Yield):
            if isinstance(dialog, Call):
                dialog.open_stream()
            dialog.send(wanted.pld)
        elif isinstance(wanted, Stop) and isinstance(dialog, Call):
            dialog.open_stream()
            dialog.leave_stream()
        elif isinstance(dialog, Task):
            self._act_as_task(dialog, wanted)
        else:
            raise Wrong(f"seq {self.step.seq}: a caller that says {wanted}")

    def _act_as_task(self, task: Task, wanted: AnyMessage) -> None:
        if isinstance(wanted, Started):
            task.set_started(wanted.pld)
            if task.start.func in STREAMING:
                task.open_stream()
        elif isinstance(wanted, Stop) and task.function.kind == "context":
            task.leave_stream()
        elif isinstance(wanted, Stop):
            task.returned(None)
        elif isinstance(wanted, Return):
            task.returned(wanted.pld)
        else:
            self._fail(task, wanted)

    def _fail(self, task: Task, wanted: Error) -> None:
        if wanted.boxed_type_str == CANCELLED and wanted.canceller == self.actor.uid:
            task.cancel_self()
            return
        failure = self._texts(wanted.cid)
        cause = self._cause(wanted)
        if isinstance(wanted.bad_msg, Started):
            task.would_send_bad(wanted.bad_msg, failure)
        elif wanted.boxed_type_str == BAD_TYPE:
            # The item it dies of is the one that it was sent.
            task.was_sent_bad(self._last_item(task), failure)
        elif cause is not None:
            task.failed_by(cause, failure.traceback)
        else:
            task.failed(Failure(wanted.src_type_str, failure.message, failure.traceback))

    def _cause(self, wanted: Error) -> Error | None:
        path = wanted.relay_path[:-1]
        return next(
            (error for error in reversed(self.heard_errors) if error.relay_path == path), None
        )

    def _last_item(self, task: Task) -> Yield:
        return next(
            step.message
            for step in reversed(self.recording.steps)
            if isinstance(step.message, Yield)
            and step.message.cid == task.cid
            and not self._is_ours(step)
        )

    def _failure(self, wanted: Error) -> Failure:
        self._texts(wanted.cid)
        return Failure(wanted.src_type_str, wanted.message, wanted.tb_str)

    def _texts(self, cid: str | None) -> Failure:
        if not self.errors[cid]:
            raise Wrong(f"after seq {self.step.seq}: an Error for {cid} that was not recorded")
        error = self.errors[cid].popleft()
        return Failure(error.src_type_str, error.message, error.tb_str)

    def _note(self, start: Start, is_caller: bool) -> None:
        self.calls_made[start.func, is_caller] += 1
        which = self.calls_made[start.func, is_caller]
        if (self.recording.name, start.func, is_caller, which) in DEAF:
            self.deaf.add(start.cid)

    # What the actor asks of its surroundings.

    def prose(self, kind: str, about: Any) -> Failure:
        """As recorded, but the type is the peer's."""
        texts = self._texts(about.cid)
        return Failure(kind, texts.message, texts.traceback)

    def begin(self, task: Task) -> None:
        """The application's task: it does what was recorded, when it was."""
        self._note(task.start, is_caller=False)

    def heard(self, dialog: Dialog) -> None:
        """An application that reads does so at once."""
        while self._reads(dialog) and (message := dialog.take()) is not None:
            if isinstance(message, Return) and dialog.start.func == "register_actor":
                self._registered()

    def _reads(self, dialog: Dialog) -> bool:
        beginning = dialog.inbox and isinstance(dialog.inbox[0], (StartAck, Started))
        return bool(beginning) or dialog.cid not in self.deaf

    def _registered(self) -> None:
        if self.to_register:
            self.to_register -= 1
            if self.to_register == 0:
                self.actor.serve()

    def booting(self, spec: SpawnSpec) -> None:
        """It registers at each registrar before it serves."""
        self.spec = spec
        self.to_register = len(spec.reg_addrs)

    def cancel(self, task: Task) -> None:
        """A recorded task ends at once."""
        task.was_cancelled()

    def met(self, session: Session) -> None:
        """A registrar has registered itself before anybody comes."""
        if self.actor.registry is not None and not self.actor.registry.table():
            self.actor.registry.register(self.actor.uid, self._own_address())

    def _own_address(self) -> tuple[str, int | str]:
        """Where it was connected to: from what it told its children, or from its own table."""
        for step in self.recording.frames():
            if isinstance(step.message, SpawnSpec) and step.message.reg_addrs:
                return step.message.reg_addrs[0]
        return "127.0.0.1", 0

    def received(self, session: Session, message: AnyMessage) -> None:
        """Nobody watches."""

    def ignored(self, session: Session, why: str) -> None:
        """As the reference does."""

    def has_output(self, session: Session) -> None:
        """It is taken when it is expected."""

    def has_ended(self, session: Session) -> None:
        """Nobody is told (the base tells nobody)."""

    def waits(self, task: Task) -> None:
        """Nobody cancels it here."""

    def must_end(self) -> None:
        """It does so as recorded."""
