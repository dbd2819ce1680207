"""Creates and runs what is read over REST: funding and prices of each endpoint, income, and permissions of API keys.

It shares nothing with the polls but the endpoint's clock and its pauses.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from exporter.app.income_fleet import IncomeFleet
from exporter.binance.errors import BinanceError
from exporter.binance.histogram import Histogram
from exporter.binance.weight import WeightBudget
from exporter.rest.client import RestClient
from exporter.rest.keys import KeyCheck
from exporter.rest.market import Market
from exporter.rest.state import RestState
from exporter.supervision import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountSettings
    from exporter.app.fleet import Fleet
    from exporter.binance.connection import Connection
    from exporter.binance.dialing import Endpoint
    from exporter.binance.errors import Reason
    from exporter.binance.signing import Secret
    from exporter.config.exporter_yml import Config
    from exporter.rest.income import AccountIncome
    from exporter.rest.requests import KeyPermissions, RestPath
    from exporter.rest.state import IncomeSettings, IncomeState, KeyState, RestSettings

_Worker: TypeAlias = "Market | KeyCheck | AccountIncome"
_CheckKey: TypeAlias = "tuple[str | None, str | None, Secret]"  # REST host, proxy and API key

# Other programs trade over REST: they may need half of the limit.
_YIELD_FRACTION: Final = 0.5
_MIN_ALLOWANCE: Final = 30
_ROTATED_KEYS_SECONDS: Final = 10.0  # between looks for API keys that were replaced in their files


@dataclass(frozen=True, slots=True)
class _Counts:
    """What is counted for an endpoint as long as the process lives."""

    failures: Counter[Reason] = field(default_factory=Counter)
    durations: defaultdict[RestPath, Histogram] = field(default_factory=lambda: defaultdict(Histogram))


class _BoundCheck(NamedTuple):
    """A check of an API key, and the connection whose clock and pauses it uses."""

    check: KeyCheck
    connection: Connection


class RestFleet:
    """What is read over REST; create and use it in the event loop.

    Args:
        fleet: the polling side, to which the configuration has been applied.
        config: what to read.
        snapshot_of: returns the snapshot of an account that may be shown now, None if there is none.
    """

    def __init__(self, fleet: Fleet, config: Config, snapshot_of: Callable[[str], AccountSnapshot | None]) -> None:
        self._fleet = fleet
        self._snapshot_of = snapshot_of
        self._names: defaultdict[str, list[str]] = defaultdict(list)  # of the accounts on each endpoint, by its label
        self._settings: RestSettings = config.rest
        self._markets: dict[Endpoint, Market] = {}
        # Never removed: pauses, used weight and what keys may do must outlast an account that is removed and added.
        self._budgets: dict[tuple[str, str | None], WeightBudget] = {}
        self._key_checks: dict[_CheckKey, _BoundCheck] = {}
        self._counts: defaultdict[str, _Counts] = defaultdict(_Counts)  # by the endpoint's label
        self._incomes = IncomeFleet(self.client, self._assets_of)
        self._income_settings: Mapping[str, IncomeSettings] = {}
        self._workers = Workers[_Worker]()
        self._tls: ssl.SSLContext | None = None
        self._running = False
        self.apply(config)

    @property
    def markets(self) -> list[RestState]:
        """The current states of the endpoints for which REST is used."""
        workers: defaultdict[Endpoint, list[_Worker]] = defaultdict(list)
        for endpoint, income in self._incomes:
            workers[endpoint].append(income)
        for settings, check in self._checks():
            workers[settings.endpoint].append(check)
        endpoints = [connection.endpoint for connection in self._fleet.connections]
        return [state for endpoint in endpoints if (state := self._state_of(endpoint, workers[endpoint]))]

    @property
    def api_keys(self) -> list[KeyState]:
        """What the API keys may do, of the accounts of which that is known."""
        return [state for settings, check in self._checks() if (state := check.state_of(settings.name))]

    @property
    def incomes(self) -> list[IncomeState]:
        """The income of the accounts for which it is read; see `AccountIncome.state`."""
        return [income.state() for _, income in self._incomes]

    async def check_keys(self) -> dict[str, KeyPermissions | str]:
        """Request once what each API key may do; return it by account, or why it is unknown.

        Accounts of endpoints whose time is unknown, since they are not connected, are left out.
        """

        async def check(key_check: KeyCheck) -> KeyPermissions | str | None:
            try:
                reading = await key_check.read()
            except BinanceError as error:
                return str(error)
            return reading.result if reading else None

        accounts = {settings.name: key_check for settings, key_check in self._checks()}
        checks = list(dict.fromkeys(accounts.values()))
        results = dict(zip(checks, await asyncio.gather(*map(check, checks)), strict=True))
        return {account: result for account, key_check in accounts.items() if (result := results[key_check])}

    def apply(self, config: Config) -> None:
        """Read according to `config`, which has been applied to the polling side, from now on."""
        settings = config.rest
        urls = {account.endpoint: account.endpoint.rest_url for account in config.accounts if settings.enabled}
        for endpoint, market in list(self._markets.items()):
            if settings != self._settings or urls.get(endpoint) != market.client.url:
                del self._markets[endpoint]
        self._settings, self._income_settings = settings, config.income
        self._tls = None  # the system's certificates may have changed
        self._names.clear()
        for state in self._fleet.states:
            self._names[state.settings.endpoint.label].append(state.settings.name)
        for budget in self._budgets.values():
            budget.share = settings.weight_share
        for connection in self._fleet.connections:
            url = urls.get(connection.endpoint)
            if url is not None and connection.endpoint not in self._markets:
                self._markets[connection.endpoint] = self._market(url, connection)
        self._start()
        planned: defaultdict[WeightBudget, list[tuple[int, float]]] = defaultdict(list)
        for market in self._markets.values():
            planned[market.client.budget] += market.planned
        for _, income in self._incomes:
            planned[income.client.budget].append(income.planned)
        for budget in self._budgets.values():
            budget.plan(planned[budget])

    async def run(self) -> None:
        """Read until cancelled."""
        self._running = True
        try:
            while True:
                self._start()
                await asyncio.sleep(_ROTATED_KEYS_SECONDS)
        finally:
            self._running = False
            await self._workers.end_all()

    def _start(self) -> None:
        """Start what is not running yet, and end what is not needed any more."""
        connections = {connection.endpoint: connection for connection in self._fleet.connections}
        accounts = [state.settings for state in self._fleet.states]
        self._update_checks(accounts, connections)
        self._incomes.update(accounts, self._income_settings, connections)
        workers: dict[_Worker, str] = {market: f"REST of {market.label}" for market in self._markets.values()}
        workers |= {check: f"key check of {settings.name}" for settings, check in self._checks()}
        workers |= {income: f"income of {income.account}" for _, income in self._incomes}
        for worker in self._workers:
            if worker not in workers:
                self._workers.end(worker)
        for worker, name in workers.items() if self._running else ():
            self._workers.start(name, worker)

    def _checks(self) -> Iterator[tuple[AccountSettings, KeyCheck]]:
        """Yield the settings of each account whose API key is checked, and the check."""
        for state in self._fleet.states:
            if bound := self._key_checks.get(_check_key(state.settings)):
                yield state.settings, bound.check

    def _update_checks(self, accounts: Iterable[AccountSettings], connections: Mapping[Endpoint, Connection]) -> None:
        """Create the checks that are missing, and those whose connection has been replaced."""
        live = set(connections.values())
        for settings in accounts:
            url, credentials, key = settings.key_check_url, settings.credentials, _check_key(settings)
            if url is None:
                continue
            before = self._key_checks.get(key)
            if before is None or before.connection not in live:
                connection = connections[settings.endpoint]
                failures = self._counts[settings.endpoint.label].failures
                client = self.client(url, connection)
                check = KeyCheck(settings.name, credentials, client, connection.clock, failures)
                if before:
                    check.reader.take_over(before.check.reader)
                self._key_checks[key] = _BoundCheck(check, connection)
            self._key_checks[key].check.credentials = credentials

    def _market(self, url: str, connection: Connection) -> Market:
        label = connection.endpoint.label
        return Market(
            label,
            self.client(url, connection),
            connection.clock,
            self._settings,
            lambda: self._held_symbols(label),
            lambda: self._held_assets(label),
            self._counts[label].failures,
        )

    def client(self, url: str, connection: Connection) -> RestClient:
        """Return a new client of a host, with the clock and the pauses of a connection."""
        proxy = connection.endpoint.proxy
        if (url, proxy) not in self._budgets:
            self._budgets[url, proxy] = WeightBudget(
                self._settings.weight_share,
                connection.clock,
                yield_fraction=_YIELD_FRACTION,
                unplanned_weight=0,
                min_allowance=_MIN_ALLOWANCE,
            )
        return RestClient(
            url,
            proxy,
            self._budgets[url, proxy],
            connection.clock,
            connection.budget.raise_if_paused,  # a ban of the WebSocket API is one of this IP
            connection.resync_clock,
            self._counts[connection.endpoint.label].durations,
            tls=self._tls_context,
        )

    def _tls_context(self) -> ssl.SSLContext:
        """Return the context that all clients share: to load it takes 60 ms, during which nothing is polled."""
        self._tls = self._tls or ssl.create_default_context()
        return self._tls

    def _state_of(self, endpoint: Endpoint, workers: Iterable[_Worker]) -> RestState | None:
        """Return the state of an endpoint, None if nothing is read over REST for it.

        Args:
            endpoint: the endpoint.
            workers: what reads income and permissions of API keys for it.
        """
        market, counts = self._markets.get(endpoint), self._counts[endpoint.label]
        every = [worker for worker in (market, *workers) if worker]
        if not every:
            return None
        paused = next((worker.client.budget.paused for worker in every if worker.client.budget.paused), None)
        state = RestState(
            label=endpoint.label,
            failures=dict(counts.failures),
            durations={path: durations.copy() for path, durations in counts.durations.items()},
            paused=paused,
        )
        # That of the futures API, not of the host that is asked what keys may do.
        budget = next((worker.client.budget for worker in every if not isinstance(worker, KeyCheck)), None)
        if budget:
            state = replace(state, weight_used=budget.used, weight_limit=budget.limit, weight_spent=budget.spent_total)
        if market is None:
            return state
        funding = market.funding
        hours = {symbol: hours for symbol in funding if (hours := market.funding_hours(symbol)) is not None}
        return replace(state, funding=funding, funding_hours=hours, prices=market.prices)

    def _held_symbols(self, label: str) -> set[str]:
        return {position.row.symbol for snapshot in self._snapshots_on(label) for position in snapshot.held}

    def _held_assets(self, label: str) -> set[str]:
        rows = (row for snapshot in self._snapshots_on(label) for row in snapshot.assets)
        return {row.asset for row in rows if row.wallet_balance or row.margin_balance}

    def _assets_of(self, account: str) -> tuple[str, ...]:
        snapshot = self._snapshot_of(account)
        return tuple(row.asset for row in snapshot.assets if row.wallet_balance) if snapshot else ()

    def _snapshots_on(self, label: str) -> list[AccountSnapshot]:
        return [snapshot for name in self._names[label] if (snapshot := self._snapshot_of(name))]


def _check_key(settings: AccountSettings) -> _CheckKey:
    return settings.key_check_url, settings.endpoint.proxy, settings.credentials.api_key
