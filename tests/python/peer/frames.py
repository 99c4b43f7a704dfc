"""Frames: a little-endian length of four bytes, then the body (§1.1)."""

import struct

from .faults import WouldCrash

_LENGTH = struct.Struct("<I")


def frame(body: bytes) -> bytes:
    """The body with its length before it."""
    return _LENGTH.pack(len(body)) + body


class Deframer:
    """Takes bytes as they come and gives whole bodies."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that are complete now."""
        self._buffer += data
        bodies = []
        while (body := self._next()) is not None:
            bodies.append(body)
        return bodies

    def _next(self) -> bytes | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return body

    def finish(self) -> None:
        """The stream ended; it may do so only between frames (§1.4)."""
        # Inside the length the base takes it for an ordinary end.
        if len(self._buffer) >= _LENGTH.size:
            raise WouldCrash(f"closed inside a frame, {len(self._buffer)} bytes of it came")
