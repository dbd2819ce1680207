"""Finds the assets that an account does not use, which most rows of a response are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.binance.rows import FIGURES

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot

# In multi-assets mode those of an unused asset are the whole account's, in units of the asset.
_ACCOUNT_WIDE: Final = {"available_balance", "max_withdraw_amount"}
_OWN_FIGURES: Final = tuple(name for name in FIGURES if name not in _ACCOUNT_WIDE)


class ZeroAssets:
    """Remembers which of an account's assets have had a non-zero figure since the start."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def find(self, snapshot: AccountSnapshot) -> frozenset[str]:
        """Return the assets whose figures have been 0 since the start, and in which no position is held.

        A missing figure is not 0.
        """
        rows = {row.asset: row for row in snapshot.assets}
        # A response that contradicts itself must not hide the margin ratio of a position.
        self._used.update(position.margin_asset for position in snapshot.held if position.margin_asset)
        unused = rows.keys() - self._used
        self._used.update(name for name in unused if any(getattr(rows[name], figure) != 0 for figure in _OWN_FIGURES))
        return frozenset(rows.keys() - self._used)
