"""The catalog of an account's configuration: permissions, modes, fee tier and the leverage of symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.account.queries import CONFIGURATION
from exporter.metrics.model import Family, Group, number

if TYPE_CHECKING:
    from exporter.account.queries import Reading
    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.configuration import AccountConfiguration
    from exporter.binance.rows import Position

_SOURCE: Final = f"v1 {CONFIGURATION.method}"


def _readings(snapshot: AccountSnapshot) -> tuple[Reading[AccountConfiguration], ...]:
    reading = snapshot.reading(CONFIGURATION)
    return (reading,) if reading else ()


def _leverages(snapshot: AccountSnapshot) -> list[tuple[Position, int]]:
    """Return the rows whose symbol has a known leverage, each with it."""
    return [
        (row, leverage)
        for reading in _readings(snapshot)
        for row in snapshot.positions
        if (leverage := reading.result.leverages.get(row.symbol)) is not None
    ]


def _family(name: str, description: str, source: str) -> Family:
    return Family(f"binance_futures_account_{name}", description, f"{source} of {_SOURCE}", number(f"result.{name}"))


CONFIGURATION_GROUPS: Final = (
    Group(
        (),
        _readings,
        lambda _, readings: [() for _ in readings],
        (
            _family("fee_tier", "Fee tier of the account", "feeTier"),
            _family("can_trade", "Whether the account may trade (1) or not (0)", "canTrade"),
            _family("can_deposit", "Whether the account may deposit (1) or not (0)", "canDeposit"),
            _family("can_withdraw", "Whether the account may withdraw (1) or not (0)", "canWithdraw"),
            _family(
                "hedge_mode",
                "Whether the account is in hedge mode (1) or one-way mode (0)",
                "positionSide of positions[]",
            ),
            Family(
                "binance_futures_account_configuration_timestamp_seconds",
                "Unix timestamp of the last response with the account's configuration, by this host's clock; it is "
                "requested once an hour",
                f"arrival of {_SOURCE}",
                lambda reading: reading.answered_unix,
            ),
        ),
    ),
    Group(
        ("position_side", "symbol"),
        _leverages,
        lambda _, rows: [(row.position_side, row.symbol) for row, _ in rows],
        (
            Family(
                "binance_futures_position_leverage",
                "Leverage configured for the symbol, requested once an hour; not the effective leverage",
                f"leverage of positions[] of {_SOURCE}",
                lambda row: float(row[1]),
            ),
        ),
    ),
)
