"""The body of a scrape: rendered fragments that are joined only while they are sent or compressed.

Joined at once, a large body would need its size in memory again, which takes time to allocate: for 475,000 series
(50 MB), joining in pieces of 256 KiB takes 4 ms in total, and joining all at once 23 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class ChunkedBody:
    """An immutable body of bytes.

    Args:
        fragments: the parts of the body, in order.
    """

    __slots__ = ("__weakref__", "_fragments", "size")

    def __init__(self, fragments: Sequence[bytes]) -> None:
        self._fragments = fragments
        self.size = sum(map(len, fragments))  # in bytes

    def pieces(self, max_bytes: int) -> Iterator[bytes]:
        """Yield the body in pieces of at most `max_bytes`, and not much less."""
        pending: list[bytes] = []
        left_bytes = max_bytes
        for fragment in self._fragments:
            if len(fragment) > left_bytes and pending:
                yield b"".join(pending)
                pending, left_bytes = [], max_bytes
            if len(fragment) > left_bytes:
                yield from (fragment[start : start + max_bytes] for start in range(0, len(fragment), max_bytes))
            else:
                pending.append(fragment)
                left_bytes -= len(fragment)
        if pending:
            yield b"".join(pending)

    def __bytes__(self) -> bytes:
        return b"".join(self._fragments)
