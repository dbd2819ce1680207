"""Verifies passwords with bcrypt in a thread, one at a time, and caches the results.

Right passwords are cached apart from wrong ones: a flood of wrong ones must not make a scrape wait for bcrypt.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Final

import bcrypt

from exporter.threads import run_in_thread_or_loop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.web.limits import Limits

_LONGEST_PASSWORD: Final = 72  # bytes; bcrypt ignores the rest


class Busy(Exception):
    """Too many passwords wait to be checked."""


class Passwords:
    """Checks names and passwords against bcrypt hashes, and caches the results without the passwords.

    Args:
        limits: the limits of waiting checks and of the cache.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._key = secrets.token_bytes(32)  # without it, nothing can be learnt from the cached digests
        self._right: dict[bytes, bytes] = {}  # one for each user
        self._wrong: dict[bytes, None] = {}  # the latest last
        self._running: dict[bytes, asyncio.Task[bool]] = {}
        self._waiting: Counter[str] = Counter()
        # A flood of wrong passwords gets no more than one core.
        self._turn = asyncio.Semaphore(1)

    async def verify(self, users: Mapping[bytes, bytes], name: bytes, password: bytes, client: str) -> bool:
        """Return whether `password` is that of `name`; an unknown name takes as long as a wrong password.

        Args:
            users: names and their hashes, at least one.
            name: the user's name.
            password: the password to check.
            client: the client's address, which limits how many of its checks may wait.

        Raises:
            Busy: too many checks are waiting already.
        """
        if len(password) > _LONGEST_PASSWORD:
            return False
        stored = users.get(name)
        hashed = stored or self._decoy(users, name)
        digest = self._digest(name, password, hashed)
        if hmac.compare_digest(self._right.get(name, b""), digest):
            return True
        if digest in self._wrong:
            self._wrong[digest] = self._wrong.pop(digest)
            return False
        if digest not in self._running:
            if self._waiting[client] >= self._limits.checks_of_client or len(self._running) >= self._limits.checks:
                raise Busy
            self._waiting[client] += 1
            check = self._check(digest, name if stored else None, password, hashed, client)
            self._running[digest] = asyncio.create_task(check)
        # Shielded: a client that disconnects must not cancel what others wait for.
        return await asyncio.shield(self._running[digest])

    async def _check(self, digest: bytes, name: bytes | None, password: bytes, hashed: bytes, client: str) -> bool:
        try:
            async with self._turn:
                is_right = await run_in_thread_or_loop(bcrypt.checkpw, password, hashed)
        finally:
            del self._running[digest]
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]
        if is_right and name is not None:
            self._right[name] = digest
            return True
        self._wrong[digest] = None
        if len(self._wrong) > self._limits.wrong_passwords:
            del self._wrong[next(iter(self._wrong))]
        return False

    def _decoy(self, users: Mapping[bytes, bytes], name: bytes) -> bytes:
        """Return a hash that no password has, with the cost of a user's hash, always the same for the same name."""
        hashes = sorted(users.values())
        model = hashes[int.from_bytes(self._digest(name)) % len(hashes)]
        return model[: len("$2b$10$")] + b"." * 53

    def _digest(self, *parts: bytes) -> bytes:
        blake2b = hashlib.blake2b(key=self._key)
        for part in parts:
            blake2b.update(len(part).to_bytes(8) + part)
        return blake2b.digest()
