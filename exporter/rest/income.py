"""The income of an account: read at its own interval, and summed in a ledger."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from exporter.binance.errors import BinanceError
from exporter.rest.income_ledger import IncomeLedger
from exporter.rest.income_reader import IncomeReader
from exporter.rest.income_rows import INCOME_WEIGHT
from exporter.rest.reader import Reader, Reading
from exporter.rest.state import IncomeState

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from exporter.binance.clock import ExchangeClock
    from exporter.binance.errors import Reason
    from exporter.binance.signing import Credentials
    from exporter.rest.client import RestClient
    from exporter.rest.state import IncomeSettings


class AccountIncome:
    """Reads the income of one account.

    Args:
        account: its name.
        settings: what to read, and how often.
        credentials: sign the requests.
        client: sends them; used by nothing else.
        clock: the endpoint's clock.
        turn: held while some pages are read: accounts that read at the same time would wait for the same request
            weight until they time out.
        held_assets: returns the assets that the account holds, as far as that is known.
    """

    def __init__(
        self,
        account: str,
        settings: IncomeSettings,
        credentials: Credentials,
        client: RestClient,
        clock: ExchangeClock,
        turn: asyncio.Lock,
        held_assets: Callable[[], Iterable[str]],
    ) -> None:
        self.account = account
        self.client = client
        self._credentials = credentials
        self.planned = INCOME_WEIGHT, settings.interval_seconds
        self._settings = settings
        self._clock = clock
        self._turn = turn
        self._held_assets = held_assets
        self._started_at = clock.host.data_time()
        self._ledger: IncomeLedger | None = None  # before the exchange's time is known
        self._pages: IncomeReader | None = None
        self._polls = 0
        self._failures: Counter[Reason] = Counter()
        self._reader = Reader(
            {"account": account, "read": "income"},
            settings.interval_seconds,
            self._read,
            client.budget,
            clock,
            self._failures,
            settings.stale_after_seconds,
        )

    def take_over(self, other: AccountIncome) -> None:
        """Continue for another one, which sums the same."""
        self._started_at, self._ledger, self._polls = other._started_at, other._ledger, other._polls
        self._failures.update(other._failures)
        self._reader.take_over(other._reader)

    async def run(self) -> None:
        """Read until cancelled."""
        await self._reader.run()

    def state(self) -> IncomeState:
        """Return what may be shown now; to be called only to show it, see `IncomeLedger.figures`."""
        ledger = self._ledger
        shown = ledger if ledger and (ledger.is_turning or self._reader.result) else None
        read_until_ms = ledger.read_until_ms if ledger else None
        figures = shown.figures(self._clock.milliseconds, self._held_assets()) if shown else {}
        return IncomeState(
            account=self.account,
            interval_seconds=self._settings.interval_seconds * self.client.budget.stretch,
            figures=figures,
            since_unix=shown.shown_since_ms / 1000 if shown else None,
            read_until_unix=None if read_until_ms is None else read_until_ms / 1000,
            polls=self._polls,
            failures=dict(self._failures),
            incomplete=ledger.incomplete if ledger else 0,
        )

    async def _read(self) -> Reading[bool] | None:
        """Read some pages; None while there are more, or the exchange's time is unknown."""
        if not self._clock.synchronized:
            return None
        async with self._turn:
            asked_at = self._clock.host.data_time()
            try:
                complete = await self._pages_of(asked_at).read()
            except BinanceError:
                self._polls += 1
                raise
            finally:
                await self.client.close()  # the next request is in minutes, and other accounts have their own
        if not complete:
            return None
        self._polls += 1
        return Reading(True, asked_at)  # noqa: FBT003 - that it was read is the result

    def _pages_of(self, now: float) -> IncomeReader:
        settings, clock = self._settings, self._clock
        if self._ledger is None:
            started_ms = clock.milliseconds - int((now - self._started_at) * 1000)
            self._ledger = IncomeLedger(settings.since, started_ms, by_symbol=settings.by_symbol)
        if self._pages is None:
            self._pages = IncomeReader(self.account, self.client, self._credentials, clock, self._ledger)
        return self._pages
