"""The calling side: dialogs with one actor over one connection, and what was seen of them."""

from __future__ import annotations

from typing import Any

from .dialogs import Call
from .errors import RemoteError
from .faults import Expected
from .host import Connection, TrioHost, new_cid
from .messages import (
    AnyMessage,
    CancelAck,
    Error,
    Return,
    StartAck,
    Started,
    Stop,
    Uid,
    Yield,
    unpack,
)


class Remote:
    """The actor on the other end of a connection."""

    ns = "interop"
    """Where the functions are that ``steps`` call."""
    other: str | None = None
    """The name of one more actor with them."""

    def __init__(self, host: TrioHost, connection: Connection) -> None:
        self.host = host
        self.connection = connection
        self.session = connection.session
        self._names: dict[str, str] = {}
        # Of the handshake nobody wants to hear again.
        connection.trace.clear()

    @property
    def uid(self) -> Uid:
        """Who it is."""
        return self.session.peer_uid

    def start(self, ns: str, func: str, **kwargs: Any) -> Call:
        """Begins a dialog."""
        return self.name(self.session.call(ns, func, kwargs, new_cid()))

    def name(self, call: Call) -> Call:
        """Names a dialog for ``trace``."""
        self._names[call.cid] = call.start.func
        return call

    def cancel(self, call: Call) -> Call:
        """Asks for the end of a dialog's task."""
        return self.name(call.cancel(new_cid()))

    async def next(self, call: Call) -> AnyMessage:
        """The next message of a dialog."""
        return await self.host.next(call)

    async def run(self, ns: str, func: str, **kwargs: Any) -> Any:
        """A call, and its result."""
        return await self.result(self.start(ns, func, **kwargs))

    async def result(self, call: Call) -> Any:
        """What a call or a cancel request comes to."""
        while True:
            message = await self.next(call)
            if isinstance(message, Return):
                call.forget()
                return unpack(message.pld)
            if isinstance(message, CancelAck):
                call.forget()
                return message.pld
            if isinstance(message, Error):
                raise RemoteError(message)

    async def item(self, call: Call) -> Any:
        """A stream item."""
        message = await self.next(call)
        if not isinstance(message, Yield):
            raise Expected(f"Yield, not {self.label(message)}")
        return unpack(message.pld)

    async def failure(self, call: Call) -> Error:
        """How a dialog failed; items before that are skipped."""
        while not isinstance(message := await self.next(call), Error):
            if not isinstance(message, (Yield, Stop)):
                raise Expected(f"Error, not {self.label(message)}")
        return message

    async def started(self, call: Call) -> Any:
        """The first value of a context."""
        ack = await self.next(call)
        if isinstance(ack, Error):
            raise RemoteError(ack)
        if not isinstance(ack, StartAck) or ack.functype != "context":
            raise Expected(f"StartAck context, not {self.label(ack)}")
        first = await self.next(call)
        if isinstance(first, Error):
            raise RemoteError(first)
        if not isinstance(first, Started):
            raise Expected(f"Started, not {self.label(first)}")
        return unpack(first.pld)

    def trace(self) -> list[str]:
        """What came since it was asked last, one text a message, in order."""
        seen, self.connection.trace[:] = list(self.connection.trace), []
        return [self.label(message) for message in seen]

    def label(self, message: Any) -> str:
        """A message in a few words."""
        name = self._names.get(getattr(message, "cid", None) or "", "?")
        words = [type(message).__name__, name]
        if isinstance(message, StartAck):
            words.append(message.functype)
        elif isinstance(message, (Started, Yield, Return)):
            words.append(_short(unpack(message.pld)))
        elif isinstance(message, CancelAck):
            words.append(_short(message.pld))
        elif isinstance(message, Error):
            words.append(_how(message))
        elif not isinstance(message, Stop):
            words.pop()
        return " ".join(words)


def _how(error: Error) -> str:
    boxed, source = error.boxed_type_str, error.src_type_str
    return boxed if boxed == source else f"{boxed} of {source}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text)})"
