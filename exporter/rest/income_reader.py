"""Reads the income of one account into its ledger; a long read is continued where it was interrupted."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from exporter.binance.errors import BinanceError
from exporter.rest.income_walk import IncomeWalk, request_income

if TYPE_CHECKING:
    from exporter.binance.clock import ExchangeClock
    from exporter.binance.signing import Credentials
    from exporter.rest.client import RestClient
    from exporter.rest.income_ledger import IncomeLedger
    from exporter.rest.income_sums import IncomeBatch

log = structlog.get_logger()

_PAGES_AT_ONCE: Final = 10  # then other accounts have their turn
_MANY_PAGES: Final = 100


class IncomeReader:
    """Reads one account's income.

    Args:
        account: its name, for the log.
        client: sends the requests.
        credentials: the account's, which sign them.
        clock: the endpoint's clock, synchronized.
        ledger: gets what was read.
    """

    def __init__(
        self,
        account: str,
        client: RestClient,
        credentials: Credentials,
        clock: ExchangeClock,
        ledger: IncomeLedger,
    ) -> None:
        self.ledger = ledger
        self._account = account
        self._request = partial(request_income, client, credentials)
        self._clock = clock
        self._has_warned = False
        self._reading: tuple[IncomeBatch, IncomeWalk] | None = None

    async def read(self) -> bool:
        """Read some pages of what is missing until now; return whether that was all.

        Raises:
            BinanceError: a request failed; the next call continues with it.
        """
        was_interrupted = self._reading is not None
        complete = await self._read()
        if complete and was_interrupted:  # it is complete until when it began
            complete = await self._read()
        return complete

    async def _read(self) -> bool:
        if self._reading is None:
            batch = self.ledger.begin(self._clock.milliseconds)
            self._reading = batch, IncomeWalk(self._request, batch.start_ms, batch.end_ms, batch.add)
        batch, walk = self._reading
        try:
            complete = await walk.run(_PAGES_AT_ONCE)
        except BinanceError:
            if not walk.pages:
                self._reading = None
            raise
        if self._clock.milliseconds < batch.end_ms:  # the clock was ahead: there will be more rows until that time
            self._reading = None
            return False
        if complete:
            self._commit(batch, walk)
        elif walk.pages >= _MANY_PAGES and not self._has_warned:
            self._has_warned = True
            log.warning(
                "reading income takes a long time",
                account=self._account,
                pages=walk.pages,
                advice="to read less after a restart, set since: day",
            )
        return complete

    def _commit(self, batch: IncomeBatch, walk: IncomeWalk) -> None:
        self._reading = None
        if vanished := self.ledger.commit(batch, walk.incomplete):
            log.warning(
                "the exchange no longer returns some income; its amounts remain counted",
                account=self._account,
                rows=vanished,
            )
