"""An income history that is read page by page, with every trap of the exchange's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from exporter.rest.client import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from random import Random

    from exporter.rest.income_rows import IncomeRow
    from exporter.rest.requests import RestPath


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
    """

    def __init__(
        self, rows: Iterable[tuple[IncomeRow, int]], now: Callable[[], int], random: Random | None = None
    ) -> None:
        self.rows = sorted(rows)
        self.requests: list[Mapping[str, str | int]] = []
        self.errors: list[Exception | None] = []  # of the next requests
        self._now = now
        self._random = random

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
        ][:limit]
        if self._random:
            self._random.shuffle(rows)
        return Raw(json.dumps([as_json(row) for row in rows]).encode())

    async def get(
        self, _path: RestPath, _weight: int, params: Mapping[str, str | int], _credentials: object
    ) -> Response:
        """Answer as a client of the exchange does."""
        return Response(await self.request(params), 0.0)
