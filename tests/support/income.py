"""An income history that is read page by page, and an exporter that reads rows into a ledger."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw

from exporter.rest.client import Response
from exporter.rest.income_ledger import IncomeLedger
from exporter.rest.income_rows import IncomeRow
from exporter.rest.income_sums import ALWAYS_SHOWN, LabelSet
from exporter.rest.income_turn import Since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from random import Random

    from exporter.rest.requests import RestPath


MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
TURN: Final = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)


def as_json(row: IncomeRow) -> dict[str, Any]:
    """Return a row as the exchange sends it."""
    return {
        "symbol": row.symbol,
        "incomeType": row.income_type,
        "income": f"{row.amount:f}",
        "asset": row.asset,
        "info": "",
        "time": row.time_ms,
        "tranId": row.transaction,
        "tradeId": row.trade,
    }


class History:
    """Rows, each of which appears at a moment; a response has the first ones.

    Args:
        rows: rows, and when they appear, in epoch milliseconds.
        now: returns the exchange's time in epoch milliseconds.
        random: shuffles the rows of each response; None: they are in ascending order.
        most: the most rows of a response, whatever limit is requested.
        newest: whether responses have the last rows instead.
    """

    def __init__(
        self,
        rows: Iterable[tuple[IncomeRow, int]],
        now: Callable[[], int],
        random: Random | None = None,
        *,
        most: int = 1000,
        newest: bool = False,
    ) -> None:
        self.rows = sorted(rows)
        self.requests: list[Mapping[str, str | int]] = []
        self.errors: list[Exception | None] = []  # of the next requests
        self._now = now
        self._random = random
        self._most = most
        self._newest = newest

    async def request(self, params: Mapping[str, str | int]) -> Raw:
        """Answer a request, or fail."""
        self.requests.append(params)
        if self.errors and (error := self.errors.pop(0)):
            raise error
        start_ms, end_ms, limit = (int(params[name]) for name in ("startTime", "endTime", "limit"))
        rows = [
            row
            for row, appears_ms in self.rows
            if start_ms <= row.time_ms <= end_ms
            and appears_ms <= self._now()
            and params.get("incomeType") in {None, row.income_type}
        ]
        limit = min(limit, self._most)
        rows = rows[-limit:] if self._newest else rows[:limit]
        if self._random:
            self._random.shuffle(rows)
        return Raw(json.dumps([as_json(row) for row in rows]).encode())

    async def get(
        self, _path: RestPath, _weight: int, params: Mapping[str, str | int], _credentials: object
    ) -> Response:
        """Answer as a client of the exchange does."""
        return Response(await self.request(params), 0.0)


def income_row(
    at_ms: int, amount: str, income_type: str = "TRANSFER", asset: str = "USDT", symbol: str = ""
) -> IncomeRow:
    """Return a row without an id, of the type TRANSFER by default."""
    return IncomeRow(at_ms, income_type, 0, asset, symbol, "", Decimal(amount))


class Exporter:
    """A ledger that reads an exchange's rows, of which a test decides when they appear."""

    def __init__(self, started_ms: int, since: Since = Since.MONTH, *, by_symbol: bool = False) -> None:
        self.ledger = IncomeLedger(since, started_ms, by_symbol=by_symbol)
        self.rows: list[IncomeRow] = []
        self.starts: list[int] = []

    def read(self, at_ms: int, rows: Iterable[IncomeRow] = ()) -> int:
        """Read at a time, after more rows appeared; return how many rows vanished."""
        self.rows.extend(rows)
        batch = self.ledger.begin(at_ms)
        self.starts.append(batch.start_ms)
        batch.add(sorted(each for each in self.rows if batch.start_ms <= each.time_ms <= batch.end_ms))
        return self.ledger.commit(batch)

    def counters(self, at_ms: int, assets: Iterable[str] = ()) -> dict[str, str]:
        """Return what is shown of types without a value for every asset, as text."""
        return {
            ":".join(filter(None, labels)): f"{shown.received}/{shown.paid}"
            for labels, shown in self.ledger.figures(at_ms, assets).items()
            if labels.income_type not in ALWAYS_SHOWN
        }

    def transfers(self, at_ms: int) -> str:
        """Return what is shown as transfers in USDT."""
        return self.counters(at_ms).get("USDT:transfer", "absent")

    def today(self, at_ms: int) -> Decimal | None:
        """Return the gauge of transfers in USDT."""
        shown = self.ledger.figures(at_ms, ()).get(LabelSet("USDT", "transfer", ""))
        return shown and shown.today
