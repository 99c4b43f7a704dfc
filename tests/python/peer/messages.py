"""The messages, with their keys in the order in which they are written (§3.1).

All fields are always written, unset ones as nil (§2.2). When reading, the order is free, unknown
keys are ignored, and fields with a default may be absent (§2.3).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .faults import WouldCrash

Uid = tuple[str, str]
Address = tuple[str, int | str]
Value = msgspec.Raw
"""A payload: embedded in the message's map, and decoded by whoever needs it (§2.5)."""


class Message(msgspec.Struct, tag_field="msg_type", tag=True, frozen=True):
    """Any message; the tag is the class's name."""


class Aid(Message, tag="Aid"):
    """Who is speaking (§4.1)."""

    name: str
    uuid: str
    pid: int | None = None
    is_registrar: bool | None = None
    is_probe: bool = False

    @property
    def uid(self) -> Uid:
        """The identity."""
        return self.name, self.uuid


class SpawnSpec(Message, tag="SpawnSpec"):
    """What a child is told (§3.2)."""

    main_data: dict[str, Any] = msgspec.field(name="_parent_main_data")
    runtime_vars: dict[str, Any] = msgspec.field(name="_runtime_vars")
    enable_modules: dict[str, str]
    reg_addrs: list[Address]
    bind_addrs: list[Address] | None


class Start(Message, tag="Start"):
    """Run this (§6.1)."""

    cid: str
    ns: str
    func: str
    kwargs: dict[str, Any]
    uid: Uid
    pld_spec: str = "typing.Any"


Kind = Literal["asyncfunc", "asyncgen", "context"]


class StartAck(Message, tag="StartAck"):
    """The task exists (§6.2)."""

    cid: str
    functype: Kind


class Started(Message, tag="Started"):
    """The context is set up (§6.2)."""

    cid: str
    pld: Value


class Yield(Message, tag="Yield"):
    """A stream item."""

    cid: str
    pld: Value


class Stop(Message, tag="Stop"):
    """No more items from this side (§6.3)."""

    cid: str


class Return(Message, tag="Return"):
    """The task's result."""

    cid: str
    pld: Value


class CancelAck(Message, tag="CancelAck"):
    """Answers a cancel request (§6.4)."""

    cid: str
    pld: bool


class Error(Message, tag="Error"):
    """A failure, and the way it came (§3.4)."""

    src_uid: Uid
    src_type_str: str
    boxed_type_str: str
    relay_path: list[Uid]
    message: str | None = None
    tb_str: str = ""
    canceller: Uid | None = None
    sender: Uid | None = None
    cid: str | None = None
    bad_msg: Started | Yield | Return | None = msgspec.field(name="_bad_msg", default=None)
    bad_msg_as_dict: dict[str, Any] | None = msgspec.field(name="_bad_msg_as_dict", default=None)


AnyMessage = (
    Aid | SpawnSpec | Start | StartAck | Started | Yield | Stop | Return | CancelAck | Error
)

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(AnyMessage)
_VALUES = msgspec.msgpack.Decoder()
_REQUIRED = {
    kind.__struct_config__.tag: [
        field.encode_name for field in msgspec.structs.fields(kind) if field.required
    ]
    for kind in Message.__subclasses__()
}


class Ignored(Exception):
    """A body that a Python peer logs and skips."""


class Garbage(Ignored):
    """One that is no MessagePack, or has bytes after its value; few are tolerated."""


def encode(message: Message) -> bytes:
    """The body."""
    return _ENCODER.encode(message)


def decode(body: bytes) -> AnyMessage:
    """The message; raises what its reader would do otherwise."""
    try:
        plain = _VALUES.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Garbage(str(fault)) from fault
    _check_shape(plain)
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as fault:
        raise Ignored(f"{plain['msg_type']}: {fault}") from fault


def _check_shape(plain: Any) -> None:
    if not isinstance(plain, dict):
        raise WouldCrash(f"a body that is no map: {type(plain).__name__}")
    tag = plain.get("msg_type")
    required = _REQUIRED.get(tag) if isinstance(tag, str) else None
    if required is None:
        raise WouldCrash(f"unknown msg_type {tag!r}")
    for key in required:
        if key not in plain:
            raise WouldCrash(f"{tag} without {key}")


def pack(value: Any) -> Value:
    """A value as a payload."""
    return Value(_ENCODER.encode(value))


def unpack(payload: Value) -> Any:
    """What a payload says."""
    return _VALUES.decode(payload)
