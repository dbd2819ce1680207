"""Sends the queries of one account: those of each poll at once, slower ones in parallel with the polls."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from exporter.account.background_query import BackgroundQuery
from exporter.account.queries import read
from exporter.binance.errors import BinanceError, ConnectionLost, ExchangeError, NoResponse, is_unknown_method
from exporter.binance.request_sender import response_or_raise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.account.availability import MethodAvailability
    from exporter.account.queries import Query, Reading
    from exporter.account.requester import Requester
    from exporter.account.state import AccountState
    from exporter.binance.request_sender import Outcome

_MAX_UNANSWERED: Final = 3
_UNANSWERED_RETRY_SECONDS: Final = 300.0

Readings = dict["Query[Any]", "Reading[Any]"]


class QueryRunner:
    """Sends the queries of one account that are due.

    Args:
        queries: what is requested; the first one is sent with each poll and shows whether the key is accepted.
        state: the account's state, for its settings, which may change.
        requester: sends the account's requests.
        availability: which methods the endpoint offers.
    """

    def __init__(
        self,
        queries: Iterable[Query[Any]],
        state: AccountState,
        requester: Requester,
        availability: MethodAvailability,
    ) -> None:
        queries = tuple(queries)
        self.background: dict[Query[Any], BackgroundQuery[Any]] = {
            query: BackgroundQuery(query, state, requester, availability)
            for query in queries
            if query.interval_seconds is not None
        }
        self._each_poll = [query for query in queries if query.interval_seconds is None]
        self._state = state
        self._requester = requester
        self._availability = availability
        self._unanswered: Counter[Query[Any]] = Counter()  # requests in a row without a response

    async def request(self, deadline: float) -> Readings:
        """Send the queries of one poll, and start slower ones that are due; `deadline` is in monotonic seconds.

        Returns:
            The readings of the poll's queries, without those whose method the exchange does not offer.

        Raises:
            BinanceError: one of them could not be sent, failed or cannot be decoded.
        """
        refused = self._state.refused
        first, *others = [query for query in self._each_poll if query.is_enabled(self._state.settings)]
        if not refused:
            self._start_background(deadline)
        # All at once; but with a refused key only the first, which shows whether the key is accepted again.
        outcomes = await self._send([first], [] if refused else others, deadline)
        response_or_raise(outcomes[first])
        if refused:
            self._start_background(deadline)
            outcomes |= await self._send([], others, deadline)
        readings = {query: self._read(query, outcome) for query, outcome in outcomes.items()}
        return {query: reading for query, reading in readings.items() if reading}

    def background_readings(self) -> Readings:
        """Return the last readings of the slower queries, without those that are too old or not shown."""
        settings = self._state.settings
        readings = {
            query: background.fresh_reading for query, background in self.background.items() if query.is_shown(settings)
        }
        return {query: reading for query, reading in readings.items() if reading}

    def stop(self) -> None:
        """Cancel outstanding requests of the slower queries."""
        for background in self.background.values():
            background.stop()

    def _start_background(self, deadline: float) -> None:
        for background in self.background.values():
            background.start_if_due(deadline)

    async def _send(
        self, required: list[Query[Any]], optional: list[Query[Any]], deadline: float
    ) -> dict[Query[Any], Outcome]:
        """Send queries at once, without those whose method the exchange does not offer."""
        claimed = [query for query in optional if not query.without or self._availability.claim(query.method)]
        queries = [*required, *claimed]
        if not queries:
            return {}
        try:
            outcomes = await self._requester.request(*(query.method for query in queries), deadline=deadline)
        except BinanceError:
            for query in claimed:
                self._availability.release(query.method)
            raise
        return dict(zip(queries, outcomes, strict=True))

    def _read(self, query: Query[Any], outcome: Outcome) -> Reading[Any] | None:
        """Return the reading, None if polls can do without it and the exchange does not offer its method."""
        if query.without:
            is_recheck = not self._availability.offers(query.method)
            self._unanswered[query] = self._unanswered[query] + 1 if isinstance(outcome, NoResponse) else 0
            if isinstance(outcome, ExchangeError) and is_unknown_method(outcome):
                self._availability.mark_unavailable(query, outcome)
                return None
            if isinstance(outcome, NoResponse) and (is_recheck or self._unanswered[query] >= _MAX_UNANSWERED):
                self._availability.mark_unavailable(query, outcome, _UNANSWERED_RETRY_SECONDS)
                return None
            if isinstance(outcome, ConnectionLost):
                self._availability.release(query.method)
        reading = read(query, response_or_raise(outcome))
        self._availability.mark_available(query.method)
        return reading
