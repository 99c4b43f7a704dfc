"""Failures: as a message, as an exception, and as they are sent on (§3.4)."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

import msgspec

from .messages import Error, Uid

RELAYED = "RemoteActorError"
CANCELLED = "ContextCancelled"
OVERRUN = "StreamOverrun"
BAD_TYPE = "MsgTypeError"
_RUNTIME_TYPES = {CANCELLED, OVERRUN, BAD_TYPE, "ModuleNotExposed", "TransportClosed", "BdbQuit"}


@dataclass(frozen=True)
class Failure:
    """What a task died of: a type's name and its texts."""

    type_name: str
    message: str = ""
    traceback: str = ""


class RemoteError(Exception):
    """A failure of the other side."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"{error.boxed_type_str} of {error.src_uid[0]}")
        self.error = error


def report(failure: Failure, uid: Uid, cid: str | None, **more: Any) -> Error:
    """A failure of our own."""
    return Error(
        src_uid=uid,
        src_type_str=failure.type_name,
        boxed_type_str=failure.type_name,
        relay_path=[uid],
        message=failure.message,
        tb_str=failure.traceback,
        cid=cid,
        **more,
    )


def relay(error: Error, uid: Uid, cid: str | None, traceback: str) -> Error:
    """Somebody else's failure, that became ours.

    The type is boxed. A type that is unknown here, and every box in a box, makes the base forget
    the source. Cancellations and messages of a wrong type are kept as they are.
    """
    changes: dict[str, Any] = {
        "relay_path": [*error.relay_path, uid],
        "message": f"remote task raised a '{error.boxed_type_str}'\n",
        "tb_str": traceback,
        "cid": cid,
    }
    if error.boxed_type_str == CANCELLED:
        changes |= {"src_uid": uid}
    elif error.boxed_type_str != BAD_TYPE:
        changes |= {"boxed_type_str": RELAYED}
        if not _is_known(error.boxed_type_str):
            changes |= {"src_uid": uid, "src_type_str": RELAYED}
    return msgspec.structs.replace(error, **changes)


def _is_known(type_name: str) -> bool:
    return type_name in _RUNTIME_TYPES or hasattr(builtins, type_name)
