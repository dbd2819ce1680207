"""Reads all rows of an account's income between two times, page by page.

Binance has no page numbers for income, only times, both inclusive. A page may end within a millisecond, so the next one
starts at that millisecond again, and the rows of it that were seen are dropped. A millisecond with more rows than fit
into a page is read again by type; there, rows of types that are neither known nor on a page so far are missed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from exporter.binance.errors import DecodeError
from exporter.rest.income_rows import INCOME_TYPES, INCOME_WEIGHT, MAX_INCOME_ROWS, IncomeRow, decode_income
from exporter.rest.requests import RestPath

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from msgspec import Raw

    from exporter.binance.signing import Credentials
    from exporter.rest.client import RestClient

_MULTIPLE: Final = 100  # of which any limit of rows is one
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
        self.incomplete = 0  # how often rows are known to be missing
        self._request = request
        self.next_ms = start_ms  # the time of the first rows that have not been read
        self._end_ms = end_ms
        self._accept = accept
        self._seen: Counter[IncomeRow] = Counter()  # only rows that the next page may contain again
        self._types = set(INCOME_TYPES)  # known or seen
        self._types_to_read: list[str] = []  # of the millisecond `next_ms`
        self._full_page: tuple[int, int, int] | None = None  # the last one: start, time of the first row, end
        self._has_oldest_rows = False  # whether full pages were found to contain the oldest rows

    async def run(self, max_pages: int) -> bool:
        """Read up to `max_pages` more pages, and return whether that was all.

        Raises:
            BinanceError: a request failed, or a response contains rows of another time.
        """
        for _ in range(max_pages):
            if self.next_ms > self._end_ms:
                break
            await (self._read_type() if self._types_to_read else self._read_page())
        return self.next_ms > self._end_ms

    async def _read_page(self) -> None:
        end_ms = min(self.next_ms + _WINDOW_MS - 1, self._end_ms)
        rows = await self._read(self.next_ms, end_ms)
        times_ms = [row.time_ms for row in rows]  # in any order
        if self._full_page and not self._has_oldest_rows:
            await self._check(*self._full_page, times_ms)
        if not _may_be_full(rows):
            self._move_to(end_ms + 1)
        elif (last_ms := max(times_ms)) > self.next_ms:
            self._full_page = self.next_ms, min(times_ms), end_ms
            self._move_to(last_ms)
        elif len(rows) < MAX_INCOME_ROWS:
            self._move_to(self.next_ms + 1)
        else:
            self._types_to_read = sorted(self._types)

    async def _check(self, start_ms: int, first_ms: int, end_ms: int, next_times_ms: list[int]) -> None:
        """Count a full page as incomplete if it had the newest rows instead of the oldest: older ones were skipped.

        It had the oldest if the page after it has newer rows of its time. Otherwise, it takes a request to find out.
        """
        if first_ms > start_ms and not any(self.next_ms < time_ms <= end_ms for time_ms in next_times_ms):
            self.incomplete += bool(await self._read(start_ms, first_ms - 1))
        self._has_oldest_rows = True

    async def _read_type(self) -> None:
        rows = await self._read(self.next_ms, self.next_ms, {"incomeType": self._types_to_read[-1]})
        self._types_to_read.pop()
        self.incomplete += len(rows) >= MAX_INCOME_ROWS
        if not self._types_to_read:
            self._move_to(self.next_ms + 1)

    async def _read(self, start_ms: int, end_ms: int, params: Mapping[str, str] | None = None) -> list[IncomeRow]:
        times = {"startTime": start_ms, "endTime": end_ms, "limit": MAX_INCOME_ROWS}
        rows = decode_income(await self._request({**(params or {}), **times}))
        if not all(start_ms <= row.time_ms <= end_ms for row in rows):
            raise DecodeError("response", "contains income of a time that was not requested")
        self.pages += 1
        self._types.update(row.income_type for row in rows)
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
        self.next_ms = next_ms
        self._seen = Counter({row: copies for row, copies in self._seen.items() if row.time_ms >= next_ms})


async def request_income(client: RestClient, credentials: Credentials, params: Mapping[str, str | int]) -> Raw:
    """Send a request for income with these parameters, and return the response; raises BinanceError."""
    return (await client.get(RestPath.INCOME, INCOME_WEIGHT, params, credentials)).body


def _may_be_full(rows: list[IncomeRow]) -> bool:
    """Whether there may be more rows: also if the exchange ignores the limit that is sent, for 100 or 500 rows."""
    return len(rows) >= MAX_INCOME_ROWS or (bool(rows) and len(rows) % _MULTIPLE == 0)
