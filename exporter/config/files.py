"""Reads configuration, key and certificate files of limited size, and finds out whether they have changed."""

from __future__ import annotations

import codecs
import errno
import os
import select
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exporter.config.document import InvalidValue, Reader, parse_document
from exporter.config.time_limit import NO_RESPONSE, TimeLimit, UnreadableFile
from exporter.config.values import file_name

if TYPE_CHECKING:
    from exporter.config.document import Findings

_PIECE_BYTES: Final = 64 * 1024
_LARGEST_DOCUMENT: Final = 1024 * 1024

# Changes when a file does, or a symbolic link in its path; None if it cannot be read.
Stamp = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file as it was read."""

    content: bytes = field(repr=False)
    readable_by_others: bool


@dataclass(frozen=True, slots=True)
class NamedFile:
    """The content of a file that a configuration names, with its name as written there."""

    name: str
    content: bytes = field(repr=False)


class Files:
    """Reads files, and remembers their stamps to find out later whether they have changed.

    Args:
        folder: the folder that relative names in the configuration refer to.
        limit: shared by the files of one load; by default a new one.
    """

    def __init__(self, folder: Path = Path(), limit: TimeLimit | None = None) -> None:
        self.folder = folder
        self._limit = limit or TimeLimit()
        self._stamps: dict[Path, Stamp] = {}

    def read(self, path: Path, largest: int, *, pipe: bool = False) -> SmallFile:
        """Read a file of at most `largest` bytes.

        Args:
            path: the file.
            largest: the greatest size in bytes.
            pipe: whether it may be a pipe or a device instead of a regular file.

        Raises:
            UnreadableFile: the file cannot be opened or read, or not in time.
            InvalidValue: the path is a directory, or too large or, without `pipe`, not a regular file.
        """
        self._stamps[path] = None
        status = self._limit.run(path, lambda _: path.stat())
        self._stamps[path] = _stamp_of(status)  # before reading: a later change will be noticed
        _check(status, largest, pipe=pipe)
        try:
            return self._limit.run(path, lambda seconds: _read(path, largest, seconds, pipe=pipe))
        except UnreadableFile:
            self._stamps[path] = None  # it may become readable without any change
            raise

    def changed(self) -> dict[Path, Stamp] | None:
        """Return the present stamps of the files, None if no file has changed since it was read.

        Raises:
            InvalidValue: a file could not be examined in time; the text names it.
        """
        limit = TimeLimit()
        stamps: dict[Path, Stamp] = {}
        for path in self._stamps:
            try:
                stamps[path] = limit.run(path, lambda _, path=path: _stamp(path))  # type: ignore[misc]
            except UnreadableFile as error:
                raise InvalidValue(f"{path}: cannot be checked for changes: {error}") from None
        return None if stamps == self._stamps else stamps


def read_document(path: Path, files: Files, findings: Findings) -> Reader | None:
    """Return the mapping in the YAML file at `path`, empty for an empty file; None after a problem."""
    try:
        document = parse_document(files.read(path, _LARGEST_DOCUMENT, pipe=True).content)
    except UnreadableFile as error:
        findings.add_problem(str(path), f"cannot be read: {error}")
    except InvalidValue as error:
        findings.add_problem(str(path), str(error))
    else:
        return Reader(document, f"{path}: ", findings)
    return None


def read_named_file(
    reader: Reader, key: str, files: Files, largest: int, *, is_secret: bool = False, hides_bare_name: bool = False
) -> NamedFile | None:
    """Return the file whose name is the value of `key`; None without a value or after a problem.

    Args:
        reader: the mapping with `key`.
        key: the key.
        files: reads the file.
        largest: the greatest size in bytes.
        is_secret: whether to warn if other users may read the file.
        hides_bare_name: whether an error hides a name without a folder or suffix, since a secret pasted in the place of
            its file's name has neither.
    """
    name = reader.take(key, file_name, None)
    if name is None:
        return None
    try:
        file = files.read(files.folder / name, largest)
    except UnreadableFile as error:
        hidden = hides_bare_name and "/" not in name and "." not in name
        shown = "the file (a name without / or . may be a key and is not shown)" if hidden else name
        reader.add_problem(key, f"cannot read {shown}: {error}")
        return None
    except InvalidValue as error:
        reader.add_problem(key, f"{name} {error}")
        return None
    if not file.content.removeprefix(codecs.BOM_UTF8).strip():
        reader.add_problem(key, f"{name} is empty")
        return None
    if is_secret and file.readable_by_others:
        reader.findings.add_warning(reader.path_of(key), f"{name} is readable by other users; run: chmod 600 {name}")
    return NamedFile(name, file.content)


def _read(path: Path, largest: int, seconds: float, *, pipe: bool) -> SmallFile:
    deadline = time.monotonic() + seconds
    # Without O_NONBLOCK, opening a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)  # of the opened file; the path may have been replaced since
        _check(status, largest, pipe=pipe)
        content = _read_all(descriptor, largest, deadline, is_pipe=stat.S_ISFIFO(status.st_mode))
    finally:
        os.close(descriptor)
    if len(content) > largest:
        raise _too_large(largest)
    return SmallFile(content, bool(status.st_mode & stat.S_IROTH))


def _check(status: os.stat_result, largest: int, *, pipe: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise InvalidValue("is a directory")
    if not stat.S_ISREG(status.st_mode) and not pipe:
        raise InvalidValue("is not a regular file")
    if status.st_size > largest:
        raise _too_large(largest)


def _too_large(largest: int) -> InvalidValue:
    return InvalidValue(
        f"is larger than {largest // 1024} KiB" if largest < 2**20 else f"is larger than {largest >> 20} MiB"
    )


def _read_all(descriptor: int, largest: int, deadline: float, *, is_pipe: bool) -> bytes:
    """Return the content, cut off one byte after `largest`; `deadline` is in monotonic seconds."""
    content = b""
    hung_up = False
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while len(content) <= largest:
        try:
            piece = os.read(descriptor, min(_PIECE_BYTES, largest + 1 - len(content)))
        except BlockingIOError:
            piece = None
        if piece:
            content += piece
            continue
        # Until its first writer opens it, a pipe reads as ended.
        if piece is not None and (content or hung_up or not is_pipe):
            break
        events = poll.poll(max(deadline - time.monotonic(), 0.0) * 1000)
        if not events:
            raise TimeoutError(errno.ETIMEDOUT, NO_RESPONSE)
        hung_up = not events[0][1] & select.POLLIN
    return content


def _stamp(path: Path) -> Stamp:
    try:
        return _stamp_of(path.stat())
    except (OSError, ValueError):
        return None


def _stamp_of(status: os.stat_result) -> Stamp:
    # The status change time: chmod may have made a file readable. The inode: Kubernetes swaps a symbolic link.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
