"""How a program ends: each way has an exit code of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from .faults import Expected, WouldCrash
from .host import complain

OK = 0
DIFFERENT = 1
"""The other side did not do what was expected of it."""
WOULD_CRASH = 70
"""It did what ends a Python peer."""
INTERRUPTED = 130
TOO_LATE = 75
"""Nothing may hang: each program has a deadline."""
DEADLINE = 60.0


def exit_code(program: Callable[..., Awaitable[Any]], *args: Any) -> int:
    """Runs it, and says how it ended."""
    try:
        code = trio.run(program, *args)
    except BaseException as fault:  # Whatever it is, it is shown as what it means.
        return _explain(fault)
    return code or OK


def _explain(fault: BaseException) -> int:
    found_in = leaves(fault)
    for kind, code, words in (
        (WouldCrash, WOULD_CRASH, "would have crashed"),
        (Expected, DIFFERENT, "expected"),
        (OSError, DIFFERENT, "could not connect"),
        (trio.TooSlowError, TOO_LATE, "too late"),
        (KeyboardInterrupt, INTERRUPTED, "interrupted"),
    ):
        found = next((leaf for leaf in found_in if isinstance(leaf, kind)), None)
        if found is not None:
            complain(f"{words}: {found}")
            return code
    raise fault


def leaves(fault: BaseException) -> list[BaseException]:
    """What an exception is made of."""
    if isinstance(fault, BaseExceptionGroup):
        return [leaf for each in fault.exceptions for leaf in leaves(each)]
    return [fault]
