"""Files that are read again when they change: each look at one is remembered, and what was wrong with it is said."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from exporter.config.document import Invalid

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST_BYTES: Final = 1024 * 1024

# What changes with a file, or with the symbolic link before it; None where there is nothing.
Stamp = tuple[int, ...] | None


def stamp_of(path: Path) -> Stamp:
    """Return what tells one content of a file from the next, without reading it."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    # Kubernetes swaps a symbolic link: then the inode is another.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Files:
    """Reads files, and remembers what they were like just before."""

    def __init__(self) -> None:
        self.stamps: dict[Path, Stamp] = {}

    def note(self, path: Path) -> None:
        """Remember what a file is like before somebody reads it."""
        # Not after: a change in between would never be seen.
        self.stamps[path] = stamp_of(path)

    def read(self, path: Path, shown: str) -> bytes:
        """Return the content of a file that the user calls `shown`.

        Raises:
            Invalid: it cannot be read, is no regular file, is empty or larger than 1 MiB.
        """
        self.note(path)
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                raise Invalid(f"{shown} is a directory")
            # Opening a pipe would wait for its writer for ever.
            if not stat.S_ISREG(status.st_mode):
                raise Invalid(f"{shown} is not a regular file")
            if status.st_size > _LARGEST_BYTES:
                raise Invalid(f"{shown} is larger than 1 MiB")
            content = path.read_bytes()
        except OSError as error:
            raise Invalid(f"cannot read {shown}: {error.strerror}") from None
        if not content.strip():
            raise Invalid(f"{shown} is empty")
        return content

    def changed(self) -> dict[Path, Stamp] | None:
        """Return what the files are like now, None if they are as they were read."""
        now = {path: stamp_of(path) for path in self.stamps}
        return None if now == self.stamps else now
