"""The programs of the command line: server, client, parent."""

from __future__ import annotations

import signal
import uuid
from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from . import addresses, discovery, steps
from .child import load
from .discovery import Lab, find, open_remote, register, unregister
from .ends import DIFFERENT, OK, leaves
from .faults import Expected, WouldCrash
from .host import TrioHost, running, say
from .messages import Address, Uid
from .remote import Remote
from .spawn import LOCK_MODULE, root_vars, spawn_spec

LAST = "cancel_actor"
"""The step after which there is nobody left to try."""
STEP_TIMEOUT = 10.0
EXIT_TIMEOUT = 5.0


def _new_uid(name: str) -> Uid:
    return name, str(uuid.uuid4())


# A server.


async def server(options: Namespace) -> int:
    """Serves until it is cancelled, then goes from the registry."""
    modules = load({name: "" for name in options.module})
    with trio.fail_after(options.deadline):
        async with running(_new_uid(options.name), options.registrar is None, modules) as host:
            host.on_event = say
            await _serve(host, options)
    return OK


async def _serve(host: TrioHost, options: Namespace) -> None:
    own = await host.nursery.start(host.listen, options.bind)
    if options.registrar is None:
        host.actor.registry.register(host.actor.uid, own)
    else:
        host.registrars = [options.registrar]
        await register(host, options.registrar, [own])
    say("ready", uid=host.actor.uid, addr=addresses.show(own))
    await host.cancelled.wait()
    await host.flush_all()
    if options.registrar is not None:
        await unregister(host, options.registrar)
    say("cancelled")


# A client.


async def client(options: Namespace) -> int:
    """Tries what can be tried with a registrar, and with the actor of a name."""
    with trio.fail_after(options.deadline):
        async with running(_new_uid(options.name), False, {}) as host:
            host.on_event = say
            if options.find is None:
                return await _try_registrar(host, options)
            return await _try_actor(host, options)


async def _try_registrar(host: TrioHost, options: Namespace) -> int:
    own = await host.nursery.start(host.listen, options.bind)
    lab = Lab(host, options.registrar, own)
    return await try_steps(discovery.ALL, options.steps or list(discovery.ALL), lab)


async def _try_actor(host: TrioHost, options: Namespace) -> int:
    # As the base does it: the registrar's connection stays open meanwhile.
    async with open_remote(host, options.registrar) as registrar:
        addr = await _look_for(registrar, options)
        say("found", name=options.find, addr=addresses.show(addr))
        async with open_remote(host, addr) as remote:
            remote.ns, remote.other = options.ns, options.other
            return await try_steps(steps.ALL, options.steps or list(steps.ALL), remote)


async def _look_for(registrar: Remote, options: Namespace) -> Address:
    if options.wait:
        found = await registrar.run("self", "wait_for_actor", name=options.find)
        return tuple(found[-1])
    addr = await find(registrar, options.find)
    if addr is None:
        raise Expected(f"an actor {options.find!r} in the registry")
    return addr


async def try_steps(
    known: dict[str, Callable[[Any], Awaitable[list[str]]]], names: list[str], what: Any
) -> int:
    """One after the other; each says a line. A failed one does not end the others."""
    if strange := [name for name in names if name not in known]:
        raise Expected(f"steps of {', '.join(known)}, not {', '.join(strange)}")
    code = OK
    for name in names:
        if not await _try_step(name, known[name], what):
            code = DIFFERENT
    return code


async def _try_step(name: str, step: Callable[[Any], Awaitable[list[str]]], what: Any) -> bool:
    if isinstance(what, Remote):
        what.trace()
    try:
        with trio.fail_after(STEP_TIMEOUT):
            saw = await step(what)
    except Exception as fault:
        why = leaves(fault)
        if any(isinstance(each, WouldCrash) for each in why):
            raise
        saw = what.trace() if isinstance(what, Remote) else []
        say("step", name=name, ok=False, why=[repr(each) for each in why], saw=saw)
        return False
    say("step", name=name, ok=True, saw=saw)
    return True


# A parent.


async def parent(options: Namespace) -> int:
    """Starts a program as its child, tries it, cancels it, and waits for its end."""
    uid = _new_uid(options.name)
    with trio.fail_after(options.deadline):
        async with running(uid, True, {}) as host:
            host.on_event = say
            own = await host.nursery.start(host.listen, options.bind)
            host.actor.registry.register(uid, own)
            return await _raise_child(host, own, options)


async def _raise_child(host: TrioHost, own: Address, options: Namespace) -> int:
    child = _new_uid(options.child)
    argv = [
        *options.exec, "-m", "tractor._child", "--uid", str(child),
        "--parent_addr", str(tuple(own)), "--loglevel", "ERROR",
    ]  # fmt: skip
    process = await trio.lowlevel.open_process(argv)
    try:
        return await _watch(host, own, child, process, options)
    finally:
        if process.poll() is None:
            process.kill()


async def _watch(
    host: TrioHost, own: Address, uid: Uid, process: trio.Process, options: Namespace
) -> int:
    remote = await _await_child(host, uid, process)
    remote.ns, remote.other = options.ns, options.other
    remote.session.emit(spawn_spec(root_vars(own, [own]), [own], _modules(options)))
    names = options.steps or list(steps.ALL)
    last = [name for name in names if name == LAST]
    code = await try_steps(steps.ALL, [name for name in names if name != LAST], remote)
    say("registry", table=host.actor.registry.table())
    code |= await try_steps(steps.ALL, last, remote)
    return code | await _reap(host, uid, process, remote)


def _modules(options: Namespace) -> dict[str, str]:
    return {options.ns: "", LOCK_MODULE: ""}


async def _await_child(host: TrioHost, uid: Uid, process: trio.Process) -> Remote:
    while (connection := host.connection_of(uid)) is None:
        if process.poll() is not None:
            raise Expected(f"a child that connects, but it exited with {process.returncode}")
        await trio.sleep(0.01)
    say("child", uid=uid, pid=connection.session.peer.pid)
    return Remote(host, connection)


async def _reap(host: TrioHost, uid: Uid, process: trio.Process, remote: Remote) -> int:
    if not remote.connection.ended.is_set():
        call = remote.start("self", "cancel")
        steps.check(await remote.result(call), True)
    with trio.move_on_after(EXIT_TIMEOUT):
        await process.wait()
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        raise Expected("a child that exits when it is cancelled")
    gone = ".".join(uid) not in host.actor.registry.table()
    say("exit", code=process.returncode, unregistered=gone)
    return OK if process.returncode == 0 else DIFFERENT
