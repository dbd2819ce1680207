"""Sends the queries of one account: those of each poll at once, slower ones in parallel with the polls."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from exporter.account.background_query import BackgroundQuery
from exporter.account.queries import read
from exporter.binance.errors import ExchangeError, NoResponse, is_unknown_method
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
        settings, refused = self._state.settings, self._state.refused
        queries = [
            query
            for query in self._each_poll
            if query.is_enabled(settings) and (not query.without or self._availability.is_available(query.method))
        ]
        if not refused:
            self._start_background(deadline)
        # All at once; but with a refused key only the first, which shows whether the key is accepted again.
        methods = [query.method for query in queries]
        first_count = 1 if refused else len(methods)
        outcomes = await self._requester.request(*methods[:first_count], deadline=deadline)
        response_or_raise(outcomes[0])
        if refused:
            self._start_background(deadline)
        if rest := methods[first_count:]:
            outcomes += await self._requester.request(*rest, deadline=deadline)
        readings = {query: self._read(query, outcome) for query, outcome in zip(queries, outcomes, strict=True)}
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

    def _read(self, query: Query[Any], outcome: Outcome) -> Reading[Any] | None:
        """Return the reading, None if polls can do without it and the exchange does not offer its method."""
        if query.without:
            self._unanswered[query] = self._unanswered[query] + 1 if isinstance(outcome, NoResponse) else 0
            if isinstance(outcome, ExchangeError) and is_unknown_method(outcome):
                self._availability.mark_unavailable(query, outcome)
                return None
            if isinstance(outcome, NoResponse) and self._unanswered[query] >= _MAX_UNANSWERED:
                self._availability.mark_unavailable(query, outcome, _UNANSWERED_RETRY_SECONDS)
                return None
        reading = read(query, response_or_raise(outcome))
        self._availability.mark_available(query.method)
        return reading
