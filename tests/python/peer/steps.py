"""What a client tries with an actor that has the functions of ``interop``, and what must come back.

Each step fails with :class:`Expected`. The order of the messages on the connection is a part of
what is expected; the actor must keep the base's order (§6.4).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from .dialogs import FEEDER, Call
from .errors import CANCELLED, OVERRUN, RELAYED, RemoteError
from .faults import Expected
from .messages import CancelAck, Error, Return, Stop
from .remote import Remote

Step = Callable[[Remote], Awaitable[list[str]]]
ALL: dict[str, Step] = {}

_VALUES: list[Any] = [
    None, True, False, 0, -1, 127, 128, -32, -33, 2**63 - 1, 2**64 - 1, -(2**63), 1.5, 2.0,
    "", "h\u00e9llo", "s" * 300, b"", b"\x00\xff", b"b" * 300,
    [], [1, [2, [None]]], list(range(20)), {}, {"a": {"b": [1]}},
]  # fmt: skip


def step(function: Step) -> Step:
    """Makes it known by its name."""
    ALL[function.__name__] = function
    return function


def check(seen: Any, wanted: Any) -> None:
    """Both are the same, or the step has failed."""
    if seen != wanted:
        raise Expected(f"{wanted!r}, not {seen!r}")


async def _fails(remote: Remote, work: Awaitable[Any]) -> Error:
    try:
        value = await work
    except RemoteError as fault:
        error = fault.error
    else:
        raise Expected(f"a failure, not {value!r}")
    check(error.src_uid, remote.uid)
    check(error.relay_path, [remote.uid])
    check(error.src_type_str, error.boxed_type_str)
    return error


async def _refused(remote: Remote, type_name: str, ns: str, func: str, **kwargs: Any) -> list[str]:
    error = await _fails(remote, remote.run(ns, func, **kwargs))
    check(error.boxed_type_str, type_name)
    trace = remote.trace()
    check(trace, [f"Error {func} {type_name}"])
    return trace


@step
async def add(remote: Remote) -> list[str]:
    """A call."""
    check(await remote.run(remote.ns, "add", a=2, b=3), 5)
    trace = remote.trace()
    check(trace, ["StartAck add asyncfunc", "Return add 5"])
    return trace


@step
async def echo(remote: Remote) -> list[str]:
    """Values of all kinds come back as they were."""
    for value in _VALUES:
        back = await remote.run(remote.ns, "echo", x=value)
        check(back, value)
        check(type(back), type(value))
    return remote.trace()


@step
async def large(remote: Remote) -> list[str]:
    """A frame that does not fit into a socket's buffer."""
    check(await remote.run(remote.ns, "echo", x=b"x" * 3_000_000), b"x" * 3_000_000)
    return remote.trace()


@step
async def many(remote: Remote) -> list[str]:
    """Calls that overlap."""
    calls = [remote.start(remote.ns, "nap", seconds=0.01 * (i % 3)) for i in range(30)]
    for i, call in enumerate(calls):
        check(await remote.result(call), 0.01 * (i % 3))
    return [f"{len(remote.trace())} messages"]


@step
async def fail(remote: Remote) -> list[str]:
    """A call that fails."""
    error = await _fails(remote, remote.run(remote.ns, "fail", kind="ValueError"))
    check(error.canceller, None)
    trace = remote.trace()
    check(trace, ["StartAck fail asyncfunc", f"Error fail {error.boxed_type_str}"])
    return trace


@step
async def no_function(remote: Remote) -> list[str]:
    """Refused, and not acknowledged."""
    return await _refused(remote, "AttributeError", remote.ns, "nope")


@step
async def no_module(remote: Remote) -> list[str]:
    """Refused, and not acknowledged."""
    return await _refused(remote, "ModuleNotExposed", "os", "getpid")


@step
async def bad_arguments(remote: Remote) -> list[str]:
    """Refused, and not acknowledged."""
    return await _refused(remote, "TypeError", remote.ns, "add", zzz=1)


async def _leave_generator(remote: Remote, call: Call, is_read: bool) -> None:
    # The base always cancels what it has generated from, also when that has ended.
    if not is_read:
        call.open_stream()
        call.leave_stream()
    check(await remote.result(remote.cancel(call)), True)
    call.forget()


@step
async def count(remote: Remote) -> list[str]:
    """A generator to its end."""
    call = remote.start(remote.ns, "count_to", n=3)
    while not isinstance(await remote.next(call), (Stop, Error)):
        pass
    await _leave_generator(remote, call, is_read=True)
    trace = remote.trace()
    yields = [f"Yield count_to {i}" for i in (1, 2, 3)]
    ends = ["Stop count_to", "StartAck _cancel_task asyncfunc", "CancelAck _cancel_task True"]
    check(trace, ["StartAck count_to asyncgen", *yields, *ends])
    return trace


@step
async def count_and_leave(remote: Remote) -> list[str]:
    """A generator that is left early stops, and says no error."""
    call = remote.start(remote.ns, "count_forever")
    for _ in range(4):
        await remote.next(call)
    await _leave_generator(remote, call, is_read=False)
    trace = remote.trace()
    check(trace[0], "StartAck count_forever asyncgen")
    _check_cancelled(trace, ["Stop count_forever"])
    return trace


@step
async def count_and_fail(remote: Remote) -> list[str]:
    """A generator that fails says no ``Stop``."""
    call = remote.start(remote.ns, "count_then_fail", n=2)
    while not isinstance(message := await remote.next(call), (Stop, Error)):
        pass
    check(type(message), Error)
    await _leave_generator(remote, call, is_read=False)
    trace = remote.trace()
    check(trace[1:3], ["Yield count_then_fail 1", "Yield count_then_fail 2"])
    check(trace[4:], ["StartAck _cancel_task asyncfunc", "CancelAck _cancel_task True"])
    return trace


@step
async def context(remote: Remote) -> list[str]:
    """A context without a stream."""
    call = remote.start(remote.ns, "give_back", first=[1], last={"r": 2})
    check(await remote.started(call), [1])
    check(await remote.result(call), {"r": 2})
    trace = remote.trace()
    started = ["StartAck give_back context", "Started give_back [1]"]
    check(trace, [*started, "Return give_back {'r': 2}"])
    return trace


@step
async def stream(remote: Remote) -> list[str]:
    """Both directions; we stop first, so the callee says no ``Stop``."""
    call = remote.start(remote.ns, "counter", start=10)
    check(await remote.started(call), 10)
    call.open_stream()
    for item, total in ((1, 11), (2, 13), (-3, 10)):
        call.send(item)
        check(await remote.item(call), total)
    call.leave_stream()
    check(await remote.result(call), 10)
    trace = remote.trace()
    check(
        trace[2:], ["Yield counter 11", "Yield counter 13", "Yield counter 10", "Return counter 10"]
    )
    return trace


@step
async def callee_stops(remote: Remote) -> list[str]:
    """The callee stops first: then it returns."""
    call = remote.start(remote.ns, "send_items", n=3)
    check(await remote.started(call), 3)
    check(await remote.result(call), "sent")
    trace = remote.trace()
    items = [f"Yield send_items {i}" for i in range(3)]
    check(trace[2:], [*items, "Stop send_items", "Return send_items 'sent'"])
    return trace


@step
async def cancel(remote: Remote) -> list[str]:
    """A context is cancelled, without a stream."""
    call = remote.start(remote.ns, "sleep_until_cancelled")
    check(await remote.started(call), "sleeping")
    await _cancel(remote, call)
    trace = remote.trace()
    _check_cancelled(trace, [f"Error sleep_until_cancelled {CANCELLED}"])
    return trace


@step
async def cancel_stream(remote: Remote) -> list[str]:
    """A context is cancelled while it streams: it stops before its error."""
    call = remote.start(remote.ns, "stream_until_cancelled")
    check(await remote.started(call), None)
    check(await remote.item(call), 0)
    await _cancel(remote, call)
    trace = remote.trace()
    name = "stream_until_cancelled"
    _check_cancelled(trace, [f"Stop {name}", f"Error {name} {CANCELLED}"])
    return trace


async def _cancel(remote: Remote, call: Call) -> None:
    check(await remote.result(remote.cancel(call)), True)
    error = await remote.failure(call)
    if not call.absorbs(error):
        raise Expected(f"our own cancellation, not {error}")
    call.forget()


def _check_cancelled(trace: list[str], between: list[str]) -> None:
    """The order of §6.4; items may still come until the task has ended."""
    at = trace.index("StartAck _cancel_task asyncfunc")
    rest = [line for line in trace[at + 1 :] if not line.startswith("Yield")]
    check(rest, [*between, "CancelAck _cancel_task True"])


@step
async def cancel_call(remote: Remote) -> list[str]:
    """A plain call is cancelled: the base's own never do so, but it can be asked for."""
    call = remote.start(remote.ns, "nap", seconds=60)
    await remote.next(call)
    check(await remote.result(remote.cancel(call)), True)
    return remote.trace()


@step
async def cancel_unknown(remote: Remote) -> list[str]:
    """Nothing there to cancel."""
    check(await remote.run("self", "_cancel_task", cid="nope"), True)
    trace = remote.trace()
    check(trace, ["StartAck _cancel_task asyncfunc", "CancelAck _cancel_task True"])
    return trace


@step
async def fail_before(remote: Remote) -> list[str]:
    """A context fails before ``Started``: the base still cancels it."""
    call = remote.start(remote.ns, "fail_before", kind="ValueError")
    await _fails(remote, remote.started(call))
    check(await remote.result(remote.cancel(call)), True)
    return remote.trace()


@step
async def fail_after(remote: Remote) -> list[str]:
    """A context fails after ``Started``."""
    call = remote.start(remote.ns, "fail_after", kind="ValueError")
    check(await remote.started(call), "ok")
    await _fails(remote, remote.result(call))
    return remote.trace()


@step
async def fail_streaming(remote: Remote) -> list[str]:
    """A context fails while its stream is open."""
    call = remote.start(remote.ns, "fail_streaming", kind="ValueError")
    check(await remote.started(call), "ok")
    await _fails(remote, remote.result(call))
    return remote.trace()


@step
async def cancel_itself(remote: Remote) -> list[str]:
    """A context that cancels itself is not absorbed."""
    call = remote.start(remote.ns, "cancel_itself")
    await remote.started(call)
    error = await _fails(remote, remote.result(call))
    check(error.boxed_type_str, CANCELLED)
    check(error.canceller, remote.uid)
    if call.absorbs(error):
        raise Expected("a cancellation that is not ours")
    return remote.trace()


@step
async def relay(remote: Remote) -> list[str]:
    """The actor calls another, whose failure becomes its own (§3.4)."""
    if remote.other is None:
        return ["nobody to call, without --other"]
    try:
        value = await remote.run(remote.ns, "relay", name=remote.other)
    except RemoteError as fault:
        error = fault.error
    else:
        raise Expected(f"a failure, not {value!r}")
    check(error.src_uid[0], remote.other)
    check(error.relay_path, [error.src_uid, remote.uid])
    check((error.src_type_str, error.boxed_type_str), ("ValueError", RELAYED))
    return remote.trace()


@step
async def overrun_here(remote: Remote) -> list[str]:
    """We read too slowly: the callee's task fails with our complaint (§6.7)."""
    call = remote.start(remote.ns, "flood", n=FEEDER + 36)
    check(await remote.started(call), FEEDER + 36)
    call.open_stream()
    while call.remote_error is None:
        await trio.sleep(0.01)
    error = call.remote_error
    check((error.src_type_str, error.boxed_type_str), (OVERRUN, RELAYED))
    check(error.relay_path, [remote.session.actor.uid, remote.uid])
    check(error.sender, remote.uid)
    call.leave_stream()
    call.forget()
    return _without_items(remote.trace())


@step
async def overrun_there(remote: Remote) -> list[str]:
    """We send too fast: that is said, and names us (§6.7). Once, or for each item."""
    call = remote.start(remote.ns, "slow_reader", delay=2.0)
    await remote.started(call)
    call.open_stream()
    for i in range(FEEDER + 16):
        call.send(i)
    error = await remote.failure(call)
    check(error.boxed_type_str, OVERRUN)
    check(error.sender, remote.session.actor.uid)
    check(await remote.result(remote.cancel(call)), True)
    call.forget()
    return remote.trace()


@step
async def in_band(remote: Remote) -> list[str]:
    """As many items as may wait are never too many."""
    call = remote.start(remote.ns, "slow_reader", delay=0.3)
    await remote.started(call)
    call.open_stream()
    for i in range(FEEDER - 2):
        call.send(i)
    await trio.sleep(0.6)
    call.leave_stream()
    check(await remote.result(call), FEEDER - 2)
    return remote.trace()


@step
async def late_messages(remote: Remote) -> list[str]:
    """What comes for a dialog that has ended is not answered (§6.9)."""
    call = remote.start(remote.ns, "give_back", first=1, last=2)
    await remote.started(call)
    while not isinstance(await remote.next(call), Return):
        pass
    call.open_stream()
    call.send("late")
    call.leave_stream()
    call.forget()
    remote.trace()
    return await add(remote)


@step
async def cancel_actor(remote: Remote) -> list[str]:
    """The actor is cancelled: every context of it ends first, then it acknowledges, and closes."""
    call = remote.start(remote.ns, "sleep_until_cancelled")
    await remote.started(call)
    remote.trace()
    request = remote.start("self", "cancel")
    await _await_ack(remote, request)
    await remote.connection.ended.wait()
    trace = remote.trace()
    error = f"Error sleep_until_cancelled {CANCELLED}"
    check(trace, ["StartAck cancel asyncfunc", error, "CancelAck cancel True"])
    check((await remote.failure(call)).canceller, remote.session.actor.uid)
    return trace


async def _await_ack(remote: Remote, request: Call) -> None:
    while not isinstance(message := await remote.next(request), CancelAck):
        if isinstance(message, Error):
            raise RemoteError(message)
    check(message.pld, True)


def _without_items(trace: list[str]) -> list[str]:
    return [line for line in trace if not line.startswith("Yield")]
