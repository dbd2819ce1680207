"""Reads all rows of an account's income between two times, page by page.

Binance has no page numbers for income, only times, both inclusive. A page may end within a millisecond, so the next one
starts at that millisecond again, and the rows of it that were seen are dropped.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from exporter.binance.errors import DecodeError
from exporter.rest.income_rows import INCOME_TYPES, MAX_INCOME_ROWS, IncomeRow, decode_income

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from msgspec import Raw

_WINDOW_MS: Final = 7 * 86_400_000  # the longest time between startTime and endTime


class IncomeWalk:
    """The rows of one account from `start_ms` to `end_ms`, both inclusive, in epoch milliseconds of the exchange.

    An error does not end it: the next run requests the page that failed again.

    Args:
        request: sends a request for income with these parameters, and returns the response; raises BinanceError.
        start_ms: the time of the first rows.
        end_ms: the time of the last rows.
        accept: receives the rows of each page that were not on an earlier one, in ascending order.
    """

    def __init__(
        self,
        request: Callable[[Mapping[str, str | int]], Awaitable[Raw]],
        start_ms: int,
        end_ms: int,
        accept: Callable[[list[IncomeRow]], None],
    ) -> None:
        self.pages = 0
        self.incomplete = 0  # milliseconds and types of which there are more rows than a response may contain
        self._request = request
        self._next_ms = start_ms
        self._end_ms = end_ms
        self._accept = accept
        self._seen: Counter[IncomeRow] = Counter()  # only rows that the next page may contain again
        self._types: list[str] = []  # still to be requested for the millisecond `_next_ms`

    async def run(self, max_pages: int) -> bool:
        """Read up to `max_pages` more pages, and return whether that was all.

        Raises:
            BinanceError: a request failed, or a response contains rows of another time.
        """
        for _ in range(max_pages):
            if self._next_ms > self._end_ms:
                break
            await (self._read_type() if self._types else self._read_page())
        return self._next_ms > self._end_ms

    async def _read_page(self) -> None:
        end_ms = min(self._next_ms + _WINDOW_MS - 1, self._end_ms)
        rows = await self._read(end_ms)
        last_ms = max((row.time_ms for row in rows), default=end_ms)  # the order of rows is not documented
        if len(rows) < MAX_INCOME_ROWS:
            self._move_to(end_ms + 1)
        elif last_ms > self._next_ms:
            self._move_to(last_ms)
        else:
            self._types = sorted({*INCOME_TYPES, *(row.income_type for row in rows)})

    async def _read_type(self) -> None:
        rows = await self._read(self._next_ms, {"incomeType": self._types[-1]})
        self._types.pop()
        self.incomplete += len(rows) >= MAX_INCOME_ROWS
        if not self._types:
            self._move_to(self._next_ms + 1)

    async def _read(self, end_ms: int, params: Mapping[str, str] | None = None) -> list[IncomeRow]:
        times = {"startTime": self._next_ms, "endTime": end_ms, "limit": MAX_INCOME_ROWS}
        rows = decode_income(await self._request({**(params or {}), **times}))
        if not all(self._next_ms <= row.time_ms <= end_ms for row in rows):
            raise DecodeError("response", "contains income of a time that was not requested")
        self.pages += 1
        self._accept(self._unseen(rows))
        return rows

    def _unseen(self, rows: list[IncomeRow]) -> list[IncomeRow]:
        """Return the rows that were not seen, and remember them; equal transfers as often as one page has them."""
        unseen: list[IncomeRow] = []
        for row, count in sorted(Counter(rows).items()):
            copies = count if row.transaction == 0 else 1
            unseen += [row] * (copies - self._seen[row])
            self._seen[row] = max(copies, self._seen[row])
        return unseen

    def _move_to(self, next_ms: int) -> None:
        self._next_ms = next_ms
        self._seen = Counter({row: copies for row, copies in self._seen.items() if row.time_ms >= next_ms})
