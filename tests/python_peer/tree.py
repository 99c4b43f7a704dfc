"""A tree whose root is Python: a Python child, a Rust child, and one of each kind below that."""

import os
import socket
import sys
import tempfile

import tractor
import trio

import interop


async def reach(name: str) -> int:
    """Runs in Rust."""


async def reach_from_below(name: str) -> list[int]:
    """Runs in Rust."""


for function in (reach, reach_from_below):
    function.__module__ = "interop"


async def main(program: str, transport: str, directory: str) -> None:
    """All of them find and call each other."""
    registrar = (directory, "registry.sock") if transport == "uds" else ("127.0.0.1", 0)
    if transport == "tcp":
        with socket.create_server(registrar) as free:
            registrar = free.getsockname()
    async with tractor.open_nursery(
        enable_transports=[transport], registry_addrs=[registrar]
    ) as an:
        await an.start_actor("elsewhere", enable_modules=["interop"])
        python, sys.executable = sys.executable, program
        rust = await an.start_actor("rust", enable_modules=["interop"])
        sys.executable = python
        print(await rust.run(interop.add, a=1, b=2))
        print(await rust.run(reach, name="elsewhere"))
        print(await rust.run(reach_from_below, name="elsewhere"))
        await an.cancel()
    print("all gone")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as runtime:
        os.chmod(runtime, 0o700)
        trio.run(main, *sys.argv[1:], runtime)
