"""Which accounts a shard polls: decided by a hash of the account's name, without any state shared between shards."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from exporter.config.exporter_yml import Config


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `total` processes among which the accounts are divided, 0 <= index < total."""

    index: int = 0
    total: int = 1

    def owns(self, account: str) -> bool:
        """Whether this shard polls the account: SHA-256 of its UTF-8 name, first 8 bytes big-endian, mod total."""
        return int.from_bytes(hashlib.sha256(account.encode()).digest()[:8]) % self.total == self.index

    def select(self, config: Config) -> Config:
        """Return `config` with only this shard's accounts, perhaps none."""
        return replace(config, accounts=tuple(settings for settings in config.accounts if self.owns(settings.name)))


WHOLE: Final = Shard()  # all accounts


def shard_index(text: str) -> int:
    """Read a shard's index, or the number at the end of a pod's name: ``exporter-3`` is 3.

    Raises:
        ValueError: `text` does not end in a number.
    """
    match = re.search(r"(?:^|[^-]-)(\d{1,6})$", text, re.ASCII)
    if not match:
        raise ValueError(f"{text!r} is neither a number nor a pod name that ends in one, such as exporter-0")
    return int(match[1])
