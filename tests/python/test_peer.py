"""The peer against itself: recordings, odd input, and the four roles over TCP and unix sockets.

Run it as ``python -m unittest``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from peer import addresses
from peer.faults import WouldCrash
from peer.frames import Deframer, frame
from peer.messages import Garbage, Ignored, Stop, decode
from peer.registry import Registry, is_valid
from replay.__main__ import try_recording
from replay.recording import RECORDINGS, read

HERE = Path(__file__).resolve().parent


class Recordings(unittest.TestCase):
    """See ``replay``."""

    def test_all(self) -> None:
        for path in sorted(RECORDINGS.glob("*.jsonl")):
            for part, frames in try_recording(read(path)):
                with self.subTest(part):
                    self.assertIsNotNone(frames)


class Input(unittest.TestCase):
    """What is a message, what is skipped, and what ends a Python peer."""

    def decode(self, value: object) -> object:
        return decode(msgspec.msgpack.encode(value))

    def test_lenient(self) -> None:
        stop = self.decode({"new": 1, "cid": "a", "msg_type": "Stop"})
        self.assertEqual(stop, Stop("a"))

    def test_ends_the_peer(self) -> None:
        for value in ([], 1, {}, {"msg_type": "Hello"}, {"msg_type": 5}, {"msg_type": "Stop"}):
            with self.subTest(value=value), self.assertRaises(WouldCrash):
                self.decode(value)

    def test_is_skipped(self) -> None:
        for body in (b"", b"\xc1", b"\xc0\xc0", b"\x81\xa1a"):
            with self.subTest(body=body), self.assertRaises(Garbage):
                decode(body)
        with self.assertRaises(Ignored):
            self.decode({"msg_type": "Stop", "cid": 5})

    def test_frames(self) -> None:
        stream = frame(b"one") + frame(b"") + frame(b"two")
        deframer = Deframer()
        bodies = [body for i in range(len(stream)) for body in deframer.feed(stream[i : i + 1])]
        self.assertEqual(bodies, [b"one", b"", b"two"])
        deframer.feed(b"\x01\x00")
        deframer.finish()
        deframer.feed(b"\x00\x00")
        with self.assertRaises(WouldCrash):
            deframer.finish()


class Discovery(unittest.TestCase):
    """Addresses and the registrar's table."""

    def test_addresses(self) -> None:
        for text in ("/ip4/127.0.0.1/tcp/1616", "/ip6/::1/tcp/1", "/unix/tmp/a.sock"):
            self.assertEqual(addresses.show(addresses.parse(text)), text)

    def test_registry(self) -> None:
        registry = Registry()
        found: list[list[object]] = []
        registry.wait("a", found.append)
        registry.register(("a", "1"), ("h", 1))
        registry.register(("a", "2"), ("h", 2))
        self.assertEqual(found, [[("h", 1)]])
        self.assertEqual(registry.find("a"), [("h", 1)])
        self.assertEqual(registry.find("2"), [("h", 2)])
        registry.register(("b", "3"), ("h", 1))
        self.assertEqual(registry.find("a"), [("h", 2)])

    def test_validity(self) -> None:
        self.assertTrue(is_valid(("10.0.0.1", 5)))
        for addr in (("127.0.0.1", 0), ("0.0.0.0", 5), ("8.8.8.8", 5), ("169.254.0.1", 5)):
            self.assertFalse(is_valid(addr))
        with self.assertRaises(ValueError):
            is_valid(("localhost", 5))


class Roles(unittest.TestCase):
    """Each role against its other one."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.tcp = "/ip4/127.0.0.1/tcp/0"
        self.unix = f"/unix{directory.name}/peer.sock"

    def test_server_and_client(self) -> None:
        for bind in (self.tcp, self.unix):
            with self.subTest(bind=bind), self.server("--name", "reg", "--bind", bind) as addr:
                self.client("--registrar", addr)
                self.client("--registrar", addr, "--find", "reg")

    def test_relay(self) -> None:
        with self.server("--name", "reg", "--bind", self.tcp) as addr:
            with self.server("--name", "mid", "--registrar", addr, "--bind", self.unix):
                call = ["--find", "mid", "--other", "reg", "relay", "cancel_actor"]
                self.client("--registrar", addr, *call)
            self.client("--registrar", addr, "--find", "reg", "cancel_actor")

    def test_parent_and_child(self) -> None:
        for bind in (self.tcp, self.unix):
            with self.subTest(bind=bind):
                self.run_peer("parent", "--exec", sys.executable, "--bind", bind)

    @contextmanager
    def server(self, *options: str) -> Iterator[str]:
        """It must have been cancelled when the block is left."""
        argv = [sys.executable, "-m", "peer", "server", *options]
        with subprocess.Popen(argv, cwd=HERE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield json.loads(process.stdout.readline())["addr"]
                process.communicate(timeout=10)
            finally:
                process.kill()
        self.assertEqual(process.returncode, 0)

    def client(self, *options: str) -> None:
        """Whatever is tried must be as expected."""
        self.run_peer("client", *options)

    def run_peer(self, *argv: str) -> None:
        """A program, to its end."""
        argv = (sys.executable, "-m", "peer", *argv)
        done = subprocess.run(argv, cwd=HERE, capture_output=True, text=True, timeout=90)
        bad = [line for line in done.stdout.splitlines() if '"ok": false' in line]
        self.assertEqual((done.returncode, bad, done.stderr), (0, [], ""))


if __name__ == "__main__":
    unittest.main()
