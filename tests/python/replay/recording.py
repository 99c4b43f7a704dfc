"""The recordings, as they are kept for all tests."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peer.messages import Aid, AnyMessage, Uid, decode

RECORDINGS = Path(__file__).resolve().parents[3] / "core" / "tests" / "transcripts"


@dataclass
class Step:
    """A recorded frame, or an event of a connection."""

    seq: int
    conn: str
    event: str
    by: str
    frame: bytes = b""
    message: AnyMessage | None = None
    sent: bool = True


@dataclass
class Recording:
    """One scenario."""

    name: str
    steps: list[Step] = field(default_factory=list)
    ends: dict[str, dict[str, Uid]] = field(default_factory=lambda: defaultdict(dict))
    aids: dict[Uid, Aid] = field(default_factory=dict)
    children: set[str] = field(default_factory=set)
    main: dict[str, str] | None = None

    def frames(self) -> Iterator[Step]:
        """Without the events."""
        return (step for step in self.steps if step.event == "frame")


def read(path: Path) -> Recording:
    """A recording from its file."""
    recording = Recording(path.stem)
    for line in path.read_text(encoding="utf-8").splitlines():
        _read_line(recording, json.loads(line))
    return recording


def _read_line(recording: Recording, line: dict[str, Any]) -> None:
    event = line.get("event")
    if "hex" in line:
        raw = bytes.fromhex(line["hex"])
        message = decode(raw[4:])
        step = Step(line["seq"], line["conn"], "frame", line["from"], raw, message)
        recording.steps.append(step)
        if isinstance(message, Aid):
            recording.ends[step.conn][step.by] = message.uid
            recording.aids[message.uid] = message
    elif event == "tx_err":
        # What was written last did not get onto the wire.
        recording.steps[-1].sent = False
    elif event in ("eof", "rx_err", "close"):
        recording.steps.append(Step(line["seq"], line["conn"], event, line["by"]))
    elif event == "proc_start" and "--uid" in line["orig_argv"]:
        argv = line["orig_argv"]
        recording.children.add(argv[argv.index("--uid") + 1].split("'")[3])
