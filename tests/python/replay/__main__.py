"""Every recording, or those that are named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from peer.faults import WouldCrash
from peer.frames import frame
from peer.messages import Return, Started, Yield, encode, pack, unpack

from .player import Player, Wrong
from .recording import RECORDINGS, Recording, Step, read


def rewrite(recording: Recording) -> int:
    """Every frame, read and written again."""
    count = 0
    for step in recording.frames():
        again = frame(encode(step.message))
        if again != step.frame:
            raise Wrong(f"seq {step.seq}: written again as {again.hex()}")
        _rewrite_payload(step)
        count += 1
    return count


def _rewrite_payload(step: Step) -> None:
    """Payloads are opaque to a message, so they are tried too."""
    if not isinstance(step.message, (Started, Yield, Return)):
        return
    payload = step.message.pld
    if bytes(pack(unpack(payload))) != bytes(payload):
        raise Wrong(f"seq {step.seq}: its payload is written otherwise")


def main(names: list[str]) -> int:
    """All recordings, or some; fails when anything was not the same, or nothing was played."""
    tries = [
        result
        for path in sorted(RECORDINGS.glob("*.jsonl"))
        if not names or path.stem in names
        for result in try_recording(read(path))
    ]
    for line, _ in tries:
        print(line)
    failures = [line for line, frames in tries if frames is None]
    total = sum(frames or 0 for _, frames in tries)
    print(f"{len(tries)} parts played, {total} frames compared, {len(failures)} failures")
    return 1 if failures or not tries else 0


def try_recording(recording: Recording) -> Iterator[tuple[str, int | None]]:
    """What there is to say of each part, and how many frames were the same if all were."""
    yield _try(f"{recording.name}, frame by frame", lambda: rewrite(recording), "frames")
    for uid in recording.aids:
        yield _try(f"{recording.name} as {uid[0]}", Player(recording, uid).play, "frames said")


def _try(part: str, work: Callable[[], int], what: str) -> tuple[str, int | None]:
    try:
        count = work()
    except (Wrong, WouldCrash) as wrong:
        return f"FAIL {part}: {wrong}", None
    return f"ok   {part}: {count} {what}", count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
