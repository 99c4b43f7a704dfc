"""What the Rust program offers, for Python to name it: the names and the arguments count."""

import tractor


async def mean(numbers: list[float]) -> float:
    """Runs in Rust."""


@tractor.context
async def running_mean(ctx: tractor.Context) -> int:
    """Runs in Rust."""
