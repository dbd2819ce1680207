"""Whether a password is right: bcrypt beside the loop, one at a time, each question answered once.

Right passwords are remembered apart from wrong ones, so that no flood of wrong ones makes a scrape wait for bcrypt.
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

_LONGEST_PASSWORD: Final = 72  # bytes; bcrypt looks at no more
_WRONG_REMEMBERED: Final = 1024
_MOST_WAITING: Final = 256
_MOST_WAITING_OF_CLIENT: Final = 16


class Busy(Exception):
    """Too many passwords wait to be checked."""


class Passwords:
    """Checks names and passwords against bcrypt hashes, and remembers the verdicts, but no password."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)  # what is remembered tells nothing without it
        self._right: dict[bytes, bytes] = {}  # one for each user
        self._wrong: dict[bytes, None] = {}  # the latest last
        self._under_way: dict[bytes, asyncio.Task[bool]] = {}
        self._waiting: Counter[str] = Counter()
        # One core is all that a flood of wrong passwords gets.
        self._turn = asyncio.Semaphore(1)

    async def are_right(self, users: Mapping[bytes, bytes], name: bytes, password: bytes, client: str) -> bool:
        """Tell whether `password` is that of `name`; it takes an unknown name as long as a wrong password.

        Args:
            users: names and their hashes, at least one.
            name: who claims to ask.
            password: what is to prove it.
            client: the address that asks, which may have only so many checks waiting.

        Raises:
            Busy: too many checks wait already.
        """
        if len(password) > _LONGEST_PASSWORD:
            return False
        stored = users.get(name)
        hashed = stored or self._decoy(users, name)
        question = self._digest(name, password, hashed)
        if hmac.compare_digest(self._right.get(name, b""), question):
            return True
        if question in self._wrong:
            self._wrong[question] = self._wrong.pop(question)
            return False
        if question not in self._under_way:
            if self._waiting[client] >= _MOST_WAITING_OF_CLIENT or len(self._under_way) >= _MOST_WAITING:
                raise Busy
            self._waiting[client] += 1
            check = self._check(question, name if stored else None, password, hashed, client)
            self._under_way[question] = asyncio.create_task(check)
        # Shielded: one client that goes away must not cancel what others wait for.
        return await asyncio.shield(self._under_way[question])

    async def _check(self, question: bytes, name: bytes | None, password: bytes, hashed: bytes, client: str) -> bool:
        try:
            async with self._turn:
                right = await run_in_thread_or_loop(bcrypt.checkpw, password, hashed)
        finally:
            del self._under_way[question]
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]
        if right and name is not None:
            self._right[name] = question
            return True
        self._wrong[question] = None
        if len(self._wrong) > _WRONG_REMEMBERED:
            del self._wrong[next(iter(self._wrong))]
        return False

    def _decoy(self, users: Mapping[bytes, bytes], name: bytes) -> bytes:
        """Return a hash that no password has, as costly as some user's, for the same name always that of the same."""
        hashes = sorted(users.values())
        like = hashes[int.from_bytes(self._digest(name)) % len(hashes)]
        return like[: len("$2b$10$")] + b"." * 53

    def _digest(self, *parts: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._key)
        for part in parts:
            digest.update(len(part).to_bytes(8) + part)
        return digest.digest()
