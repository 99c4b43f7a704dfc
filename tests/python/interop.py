"""The functions that one side of a test offers and the other calls.

Whoever is called by ``peer``'s steps has these in a module ``interop``.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from typing import Any

import trio

import tractor


async def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


async def echo(x: Any) -> Any:
    """What it was given."""
    return x


async def nap(seconds: float) -> float:
    """Returns a little later."""
    await trio.sleep(seconds)
    return seconds


async def fail(kind: str, text: str = "as asked for") -> None:
    """Fails with a builtin exception of that name."""
    raise getattr(builtins, kind)(text)


async def relay(name: str) -> None:
    """Calls ``fail`` of the actor of that name."""
    async with tractor.find_actor(name) as portal:
        await portal.run(fail, kind="ValueError")


async def unencodable() -> Any:
    """Returns what no message can carry."""
    return object()


async def count_to(n: int) -> AsyncIterator[int]:
    """1 to n."""
    for i in range(1, n + 1):
        yield i


async def count_forever() -> AsyncIterator[int]:
    """1, 2, 3, and no end."""
    i = 0
    while True:
        i += 1
        yield i
        await trio.sleep(0.01)


async def count_then_fail(n: int) -> AsyncIterator[int]:
    """1 to n, and a failure."""
    for i in range(1, n + 1):
        yield i
    raise ValueError("counted too far")


@tractor.context
async def give_back(ctx: tractor.Context, first: Any, last: Any) -> Any:
    """Starts with one value and returns another."""
    await ctx.started(first)
    return last


@tractor.context
async def counter(ctx: tractor.Context, start: int = 0) -> int:
    """Adds what it is sent, and sends each sum back."""
    total = start
    await ctx.started(total)
    async with ctx.open_stream() as stream:
        async for step in stream:
            total += step
            await stream.send(total)
    return total


@tractor.context
async def send_items(ctx: tractor.Context, n: int) -> str:
    """Sends 0 to n-1, then stops."""
    await ctx.started(n)
    async with ctx.open_stream() as stream:
        for i in range(n):
            await stream.send(i)
    return "sent"


@tractor.context
async def flood(ctx: tractor.Context, n: int) -> str:
    """Sends n items at once, and keeps its stream until the caller stops."""
    await ctx.started(n)
    async with ctx.open_stream() as stream:
        for i in range(n):
            await stream.send(i)
        async for _ in stream:
            pass
    return "sent"


@tractor.context
async def slow_reader(ctx: tractor.Context, delay: float) -> int:
    """Reads only after a while; returns how many items there were."""
    await ctx.started(None)
    count = 0
    async with ctx.open_stream() as stream:
        await trio.sleep(delay)
        async for _ in stream:
            count += 1
    return count


@tractor.context
async def sleep_until_cancelled(ctx: tractor.Context) -> None:
    """Does nothing for ever."""
    await ctx.started("sleeping")
    await trio.sleep_forever()


@tractor.context
async def stream_until_cancelled(ctx: tractor.Context) -> None:
    """Sends 0, 1, 2 for ever, slowly."""
    await ctx.started(None)
    i = 0
    async with ctx.open_stream() as stream:
        while True:
            await stream.send(i)
            i += 1
            await trio.sleep(0.01)


@tractor.context
async def fail_before(ctx: tractor.Context, kind: str) -> None:
    """Fails before it has started."""
    raise getattr(builtins, kind)("before it has started")


@tractor.context
async def fail_after(ctx: tractor.Context, kind: str) -> None:
    """Fails after it has started."""
    await ctx.started("ok")
    raise getattr(builtins, kind)("after it has started")


@tractor.context
async def fail_streaming(ctx: tractor.Context, kind: str) -> None:
    """Fails while its stream is open."""
    await ctx.started("ok")
    async with ctx.open_stream() as stream:
        await stream.send(1)
        raise getattr(builtins, kind)("while it streams")


@tractor.context
async def cancel_itself(ctx: tractor.Context) -> None:
    """Cancels its own dialog."""
    await ctx.started(None)
    await ctx.cancel()
    await trio.sleep_forever()
