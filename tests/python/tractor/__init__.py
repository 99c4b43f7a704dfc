"""What an application for the peer imports: the names that it would import from the reference.

So the functions in ``interop.py`` run with the peer and, where it is installed, with the reference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from peer.context import Context
from peer.discovery import open_actor
from peer.functions import context
from peer.host import CURRENT
from peer.remote import Remote

__all__ = ["Context", "Portal", "context", "find_actor"]


class Portal:
    """An actor that can be called."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def run(self, func: Callable[..., Any], **kwargs: Any) -> Any:
        """Calls the function of that name, over there."""
        return await self._remote.run(func.__module__, func.__name__, **kwargs)


@asynccontextmanager
async def find_actor(name: str) -> AsyncIterator[Portal | None]:
    """The actor of that name, for a task of this one's."""
    async with open_actor(CURRENT.get(), name) as remote:
        yield None if remote is None else Portal(remote)
