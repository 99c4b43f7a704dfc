"""What the Rust program calls."""

from collections.abc import AsyncIterator


async def lengths(text: str) -> dict[str, int]:
    """How long each word is."""
    return {word: len(word) for word in text.split()}


async def backwards(text: str) -> AsyncIterator[str]:
    """The words, the last first."""
    for word in reversed(text.split()):
        yield word
