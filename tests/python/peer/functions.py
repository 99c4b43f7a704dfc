"""What an actor lets others call: its modules' functions, and of what kind each is (§6.2)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .messages import Kind

_MARK = "_is_context"


@dataclass(frozen=True)
class Function:
    """One that can be called."""

    kind: Kind
    call: Callable[..., Any]

    def check(self, kwargs: dict[str, Any]) -> None:
        """Raises ``TypeError`` for arguments that don't fit."""
        first = [None] if self.kind == "context" else []
        inspect.signature(self.call).bind(*first, **kwargs)


def context(call: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a function as one of a context."""
    setattr(call, _MARK, True)
    return call


def describe(call: Any) -> Function | None:
    """What can be called so; ``None`` for what is no asynchronous function."""
    if getattr(call, _MARK, False):
        return Function("context", call)
    if inspect.isasyncgenfunction(call):
        return Function("asyncgen", call)
    if inspect.iscoroutinefunction(call):
        return Function("asyncfunc", call)
    return None


def functions_of(module: ModuleType) -> dict[str, Function | None]:
    """By name; ``None`` is what there is, but can't be called."""
    return {name: describe(what) for name, what in vars(module).items() if name[0] != "_"}
