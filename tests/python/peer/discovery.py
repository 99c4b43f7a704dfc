"""A registrar's clients: the connection to it, and what is tried with it (§6.6)."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from .faults import Expected
from .host import TrioHost, new_cid
from .messages import Address, Aid
from .remote import Remote
from .steps import check


@asynccontextmanager
async def open_remote(host: TrioHost, addr: Address) -> AsyncIterator[Remote]:
    """The actor at an address."""
    async with host.connect(addr) as connection:
        yield Remote(host, connection)


async def register(host: TrioHost, registrar: Address, own: list[Address]) -> None:
    """One connection for all addresses, one call for each."""
    async with open_remote(host, registrar) as remote:
        for addr in own:
            call = host.actor.register_at(remote.session, addr, new_cid())
            check(await remote.result(call), None)


async def unregister(host: TrioHost, registrar: Address) -> None:
    """Over a connection of its own."""
    async with open_remote(host, registrar) as remote:
        call = host.actor.unregister_at(remote.session, new_cid())
        check(await remote.result(call), None)


async def find(remote: Remote, name: str) -> Address | None:
    """Where an actor of that name is; the last one of what is found (as the base chooses)."""
    found = await remote.run("self", "find_actor", name=name)
    return tuple(found[-1]) if found else None


@asynccontextmanager
async def open_actor(host: TrioHost, name: str) -> AsyncIterator[Remote | None]:
    """The actor of a name, over a connection of its own."""
    addr = await _find_anywhere(host, name)
    if addr is None:
        yield None
        return
    async with open_remote(host, addr) as remote:
        yield remote


async def _find_anywhere(host: TrioHost, name: str) -> Address | None:
    if host.actor.registry is not None:
        found = host.actor.registry.find(name)
        return found[-1] if found else None
    for registrar in host.registrars:
        async with open_remote(host, registrar) as remote:
            addr = await find(remote, name)
        if addr is not None:
            return addr
    return None


@dataclass
class Lab:
    """What the steps with a registrar need."""

    host: TrioHost
    registrar: Address
    own: Address

    @property
    def key(self) -> str:
        """Our key in the registry's table."""
        return ".".join(self.host.actor.uid)


Step = Callable[[Lab], Awaitable[list[str]]]
ALL: dict[str, Step] = {}


def step(function: Step) -> Step:
    """Makes it known by its name."""
    ALL[function.__name__] = function
    return function


@step
async def probe(lab: Lab) -> list[str]:
    """A probe hears who it is, and is sent away (§4.4)."""
    aid = Aid("registry-probe", str(uuid.uuid4()), os.getpid(), None, True)
    async with lab.host.connect(lab.registrar, aid) as connection:
        peer = connection.session.peer
        if peer.is_registrar is False:
            raise Expected("a registrar")
        await connection.ended.wait()
        return [f"Aid {peer.name} is_registrar={peer.is_registrar}", "closed"]


@step
async def registry(lab: Lab) -> list[str]:
    """We come in, are found by name and by uuid, and go."""
    async with open_remote(lab.host, lab.registrar) as remote:
        await register(lab.host, lab.registrar, [lab.own])
        await _is_found(lab, remote)
        await unregister(lab.host, lab.registrar)
        check(await remote.run("self", "find_actor", name=lab.host.actor.aid.name), None)
        table = await remote.run("self", "get_registry")
        check(lab.key in table, False)
        return remote.trace()


async def _is_found(lab: Lab, remote: Remote) -> None:
    own = [list(lab.own)]
    name, uid = lab.host.actor.uid
    check(await remote.run("self", "find_actor", name=name), own)
    check(await remote.run("self", "find_actor", name=uid), own)
    check(await remote.run("self", "wait_for_actor", name=name), own)
    table = await remote.run("self", "get_registry")
    check(table.get(lab.key), own)


@step
async def unknown(lab: Lab) -> list[str]:
    """Nobody of that name; an address that nobody has; an actor that is not there goes."""
    async with open_remote(lab.host, lab.registrar) as remote:
        check(await remote.run("self", "find_actor", name="nobody"), None)
        check(await remote.run("self", "delete_addr", addr=["127.0.0.1", 1]), None)
        call = lab.host.actor.unregister_at(remote.session, new_cid())
        check(await remote.result(remote.name(call)), None)
        trace = remote.trace()
        verbs = ("find_actor", "delete_addr", "unregister_actor")
        check(trace, [line for verb in verbs for line in _answer(verb)])
        return trace


def _answer(verb: str, value: Any = None) -> list[str]:
    return [f"StartAck {verb} asyncfunc", f"Return {verb} {value!r}"]


@step
async def wait_late(lab: Lab) -> list[str]:
    """Whoever waits is answered when the actor comes."""
    async with open_remote(lab.host, lab.registrar) as remote:
        call = remote.start("self", "wait_for_actor", name=lab.host.actor.aid.name)
        await remote.next(call)
        await trio.sleep(0.1)
        check(len(call.inbox), 0)
        await register(lab.host, lab.registrar, [lab.own])
        check(await remote.result(call), [list(lab.own)])
        await unregister(lab.host, lab.registrar)
        return remote.trace()


@step
async def report_dead(lab: Lab) -> list[str]:
    """An address that can't be connected to is reported, and its record goes."""
    async with open_remote(lab.host, lab.registrar) as remote:
        await register(lab.host, lab.registrar, [lab.own])
        owner = await remote.run("self", "delete_addr", addr=lab.own)
        check(owner, list(lab.host.actor.uid))
        check(await remote.run("self", "find_actor", name=lab.host.actor.aid.name), None)
        return remote.trace()
