"""Addresses: as text (multiaddrs), on the wire (§2.4), and as sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import trio

from .messages import Address

_BACKLOG = 128


def parse(text: str) -> Address:
    """``/ip4/127.0.0.1/tcp/1616``, ``/ip6/::1/tcp/1616`` or ``/unix/directory/file``."""
    parts = text.split("/")
    if len(parts) == 5 and parts[1] in ("ip4", "ip6") and parts[3] == "tcp":
        return parts[2], int(parts[4])
    if parts[:2] == ["", "unix"] and len(parts) > 2:
        path = Path("/", *parts[2:])
        return str(path.parent), path.name
    raise ValueError(f"no address: {text!r}")


def show(addr: Address) -> str:
    """The same, back."""
    host, rest = addr
    if isinstance(rest, str):
        return f"/unix{Path(host) / rest}"
    return f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{rest}"


def any_address(transport: str, name: str) -> Address:
    """Where an actor of that name listens when nobody says where."""
    if transport == "tcp":
        return "127.0.0.1", 0
    return str(_runtime_dir()), f"{name}@{os.getpid()}.sock"


def _runtime_dir() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/runtime-{os.getuid()}"
    path = Path(base) / "tractor"
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(stat.S_IRWXU)
    return path


async def connect(addr: Address) -> trio.SocketStream:
    """A stream to whoever listens there."""
    host, rest = addr
    if isinstance(rest, str):
        return await trio.open_unix_socket(str(Path(host) / rest))
    return await trio.open_tcp_stream(host, rest)


async def listen(addr: Address) -> tuple[trio.SocketListener, Address]:
    """A listener, and where it really is."""
    host, rest = addr
    if isinstance(rest, int):
        (listener,) = await trio.open_tcp_listeners(rest, host=host, backlog=_BACKLOG)
        return listener, listener.socket.getsockname()[:2]
    sock = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await sock.bind(str(Path(host) / rest))
    sock.listen(_BACKLOG)
    return trio.SocketListener(sock), addr


def remove(addr: Address) -> None:
    """A unix socket's file goes with its listener."""
    host, rest = addr
    if isinstance(rest, str):
        (Path(host) / rest).unlink(missing_ok=True)
