"""A child: connects back, is told what to do, registers, serves, and ends when it is cancelled."""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import trio

from . import addresses
from .discovery import register, unregister
from .ends import DEADLINE, exit_code
from .errors import Failure
from .faults import Expected, WouldCrash
from .functions import Function, functions_of
from .host import Connection, TrioHost, running
from .messages import Address, SpawnSpec

UNREGISTER_TIMEOUT = 0.5
PEERS_TIMEOUT = 3.0


def main(argv: list[str]) -> int:
    """What ``python -m tractor._child`` does."""
    parser = argparse.ArgumentParser(prog="tractor._child")
    parser.add_argument("--uid", type=ast.literal_eval, required=True)
    parser.add_argument("--parent_addr", type=ast.literal_eval, required=True)
    parser.add_argument("--loglevel", default="")
    parser.add_argument("--asyncio", action="store_true")
    options = parser.parse_args(argv)
    return exit_code(_live, options.uid, options.parent_addr)


async def _live(uid: tuple[str, str], parent: Address) -> None:
    with trio.fail_after(DEADLINE):
        async with running(uid, False, {}) as host, host.connect(parent, is_link=True) as link:
            await _obey(host, link)


async def _obey(host: TrioHost, link: Connection) -> None:
    spec = await _instructions(host, link)
    try:
        host.actor.modules = load(spec.enable_modules)
        own = await _bind(host, spec)
        await _register(host, spec, own)
    except (WouldCrash, trio.Cancelled):
        raise
    except Exception as fault:
        # The parent hears of it on its link, and the process ends (§3.1).
        link.session.crash(Failure(type(fault).__name__, "", traceback.format_exc()))
        await link.flush()
        raise
    host.registrars = spec.reg_addrs
    host.actor.serve()
    await _until_cancelled(host, link)
    await link.flush()
    await _leave(host, spec)


async def _instructions(host: TrioHost, link: Connection) -> SpawnSpec:
    await _wait(host.told, "a SpawnSpec", link)
    return host.spec


async def _until_cancelled(host: TrioHost, link: Connection) -> None:
    # The base's child would stay for ever when its link ends; a test is not to leave it behind.
    await _wait(host.cancelled, "a cancel request", link)


async def _wait(event: trio.Event, what: str, link: Connection) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fail_when_ended, what, link)
        await event.wait()
        nursery.cancel_scope.cancel()


async def _fail_when_ended(what: str, link: Connection) -> None:
    await link.ended.wait()
    raise Expected(f"{what}, but the parent closed the link")


async def _bind(host: TrioHost, spec: SpawnSpec) -> list[Address]:
    wanted = spec.bind_addrs
    if wanted is None:
        transports = spec.runtime_vars.get("_enable_tpts") or ["tcp"]
        wanted = [addresses.any_address(each, host.actor.aid.name) for each in transports]
    return [await host.nursery.start(host.listen, addr) for addr in wanted]


async def _register(host: TrioHost, spec: SpawnSpec, own: list[Address]) -> None:
    for registrar in spec.reg_addrs:
        await register(host, registrar, own)


async def _leave(host: TrioHost, spec: SpawnSpec) -> None:
    for registrar in spec.reg_addrs:
        with trio.move_on_after(UNREGISTER_TIMEOUT):
            # The registrar may be gone already.
            with suppress(OSError, Expected, ExceptionGroup):
                await unregister(host, registrar)


def load(modules: dict[str, str]) -> dict[str, dict[str, Function | None]]:
    """Imports what may be called; each path's directory is searched too."""
    loaded = {}
    for name, path in modules.items():
        if name.startswith("tractor."):
            # The base's own debugger, which we don't have.
            continue
        if path and (directory := str(Path(path).parent)) not in sys.path:
            sys.path.append(directory)
        loaded[name] = functions_of(importlib.import_module(name))
    return loaded
