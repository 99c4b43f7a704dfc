"""A tree with a Python root and a Rust child: ``python tree.py <the Rust program>``."""

import sys

import tractor
import trio

import stats


async def start_rust(an: tractor.ActorNursery, program: str) -> tractor.Portal:
    """An actor is started by running ``sys.executable``."""
    python, sys.executable = sys.executable, program
    try:
        return await an.start_actor("rust", enable_modules=["stats"])
    finally:
        sys.executable = python


async def main(program: str) -> None:
    """Calls and streams."""
    async with tractor.open_nursery() as an:
        rust = await start_rust(an, program)
        print(await rust.run(stats.mean, numbers=[1.0, 2.0, 6.0]))
        async with (
            rust.open_context(stats.running_mean) as (ctx, _),
            ctx.open_stream() as stream,
        ):
            for number in (4.0, 2.0, 6.0):
                await stream.send(number)
                print(await stream.receive())
        await rust.cancel_actor()
    print("all gone")


# A Python child runs this file, too, under another name.
if __name__ == "__main__":
    trio.run(main, sys.argv[1])
