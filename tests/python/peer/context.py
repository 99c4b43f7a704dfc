"""What an application's function sees of its dialog."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from .dialogs import Dialog, Task
from .messages import Return, Started, Stop, Yield, unpack

if TYPE_CHECKING:
    from .host import TrioHost


class Stream:
    """One end of a stream: it is read until the other side stops."""

    def __init__(self, host: TrioHost, dialog: Dialog) -> None:
        self._host = host
        self._dialog = dialog

    async def send(self, item: Any) -> None:
        """An item; waits until it has been handed to the kernel."""
        self._dialog.send(item)
        await self._host.flush(self._dialog.session)

    async def receive(self) -> Any:
        """The next item."""
        if self._dialog.stop_taken:
            raise trio.EndOfChannel
        message = await self._host.next(self._dialog)
        if isinstance(message, (Yield, Return, Started)):
            # A caller says only the first; the base takes all three for items.
            return unpack(message.pld)
        if isinstance(message, Stop):
            raise trio.EndOfChannel
        # An Error of the caller's: the task is being cancelled for it.
        await trio.sleep_forever()
        return None

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None


class Context:
    """The callee's end of a context."""

    def __init__(self, host: TrioHost, task: Task) -> None:
        self._host = host
        self._task = task

    async def started(self, value: Any = None) -> None:
        """The context is set up."""
        self._task.set_started(value)
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def open_stream(self) -> AsyncIterator[Stream]:
        """Leaving it stops this direction, unless the task dies of the other side's failure."""
        self._task.open_stream()
        yield Stream(self._host, self._task)
        self._task.leave_stream()

    async def cancel(self) -> None:
        """Ends the dialog by a cancellation of its own."""
        self._task.cancel_self()
        await trio.lowlevel.checkpoint()
