"""The demo's exchange, and an exporter configuration for any simulated exchange."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

import yaml

from exporter.simulator.past import add_past
from exporter.simulator.scenario import Scenario, demo_accounts
from exporter.simulator.server import SimulatedExchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from exporter.simulator.ledger import SimulatedAccount

# Eight of them fit a whole number of times into a round, so that rounds are the same.
_FUNDING_HOUR_SECONDS: Final = 25.0
_MARK: Final = "# Written by the simulated exchange for its own accounts.\n"


def demo_exchange(
    seed: int | None = None, *, speed: float = 1.0, clock: Callable[[], float] = time.time
) -> SimulatedExchange:
    """Return the demo's exchange with its accounts, their income of 90 days and its scenario, not yet started."""
    accounts = demo_accounts(seed)
    for account in accounts:
        add_past(account, seed or 0, int(clock() * 1000))
    return SimulatedExchange(
        accounts,
        seed=seed or 0,
        clock=clock,
        speed=speed,
        scenario=Scenario(),
        funding_hour_seconds=_FUNDING_HOUR_SECONDS,
    )


def write_configuration(
    exchange_url: str, accounts: Iterable[SimulatedAccount], directory: Path, rest_url: str | None = None
) -> Path:
    """Write `exporter.yml` and the key files it names into a directory; only the owner can read the keys.

    Args:
        exchange_url: the exchange's WebSocket URL.
        accounts: the accounts to poll.
        directory: where to write.
        rest_url: the exchange's REST URL; if given, all that is read over REST is enabled.

    Raises:
        FileExistsError: the directory contains a configuration or keys that were not written by this function.
    """
    keys = directory / "keys"
    path = directory / "exporter.yml"
    # A user's own files are likely to have the same names.
    written_here = path.exists() and path.read_text(encoding="utf-8").startswith(_MARK)
    if not written_here and (path.exists() or keys.exists()):
        raise FileExistsError(f"{directory} already contains exporter.yml or keys: choose another directory")
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    entries: list[dict[str, Any]] = []
    for account in accounts:
        entry = {"name": account.name, "api_key_file": f"keys/{account.name}.key"}
        _write_secret(directory / entry["api_key_file"], account.api_key)
        if account.secret_key is not None:
            entry["secret_key_file"] = f"keys/{account.name}.secret"
            _write_secret(directory / entry["secret_key_file"], account.secret_key)
        else:
            assert account.private_key_pem is not None
            entry["private_key_file"] = f"keys/{account.name}.pem"
            _write_secret(directory / entry["private_key_file"], account.private_key_pem)
        entries.append(entry)
    document: dict[str, Any] = {"binance": {"endpoint": exchange_url, "proxy": "none"}, "accounts": entries}
    if rest_url:
        document["binance"] |= {"rest_endpoint": rest_url, "rest_weight_share": 0.5}  # no other program uses it
        document |= {name: {"enabled": True} for name in ("funding", "prices", "key_check")}
        document["income"] = {"enabled": True, "interval": "30s"}
    path.write_text(_MARK + yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text.rstrip("\n") + "\n")
