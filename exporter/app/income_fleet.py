"""Creates what reads the income of accounts, and keeps it across reloads."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from exporter.rest.income import AccountIncome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from exporter.account.state import AccountSettings
    from exporter.binance.connection import Connection
    from exporter.binance.dialing import Endpoint
    from exporter.binance.signing import Credentials
    from exporter.binance.weight import WeightBudget
    from exporter.rest.client import RestClient
    from exporter.rest.state import IncomeSettings


class _Source(NamedTuple):
    """Where an account's income is read, and how it is summed."""

    connection: Connection
    credentials: Credentials
    settings: IncomeSettings

    def sums_like(self, other: _Source) -> bool:
        """Whether the sums of another source of the same account are those of this one."""
        return self._summed == other._summed

    @property
    def _summed(self) -> tuple[object, ...]:
        endpoint, api_key = self.connection.endpoint, self.credentials.api_key
        return endpoint, api_key, self.settings.since, self.settings.by_symbol


class IncomeFleet:
    """What reads the income of each account for which that is enabled.

    Args:
        client: returns a new client for a REST URL, with the clock and the pauses of a connection.
        held_assets: returns the assets that an account holds, as far as that is known.
    """

    def __init__(
        self, client: Callable[[str, Connection], RestClient], held_assets: Callable[[str], Iterable[str]]
    ) -> None:
        self._client = client
        self._held_assets = held_assets
        self._incomes: dict[str, tuple[_Source, AccountIncome]] = {}  # by account
        self._turns: defaultdict[WeightBudget, asyncio.Lock] = defaultdict(asyncio.Lock)

    def __iter__(self) -> Iterator[tuple[Endpoint, AccountIncome]]:
        return ((source.connection.endpoint, income) for source, income in self._incomes.values())

    def update(
        self,
        accounts: Iterable[AccountSettings],
        settings: Mapping[str, IncomeSettings],
        connections: Mapping[Endpoint, Connection],
    ) -> None:
        """Read the income of the accounts of which it is enabled; those that have not changed are not disturbed.

        Args:
            accounts: all accounts.
            settings: how income is read, by account.
            connections: the current connections.
        """
        before, self._incomes = self._incomes, {}
        for account in accounts:
            income_settings = settings.get(account.name)
            if income_settings is None or not income_settings.enabled:
                continue
            source = _Source(connections[account.endpoint], account.credentials, income_settings)
            source_before, income = before.get(account.name, (None, None))
            if income is None or source != source_before:
                previous, income = income, self._new(account, source)
                if previous and source_before and source.sums_like(source_before):
                    income.take_over(previous)
            self._incomes[account.name] = source, income

    def _new(self, account: AccountSettings, source: _Source) -> AccountIncome:
        client = self._client(source.settings.url, source.connection)
        return AccountIncome(
            account.name,
            source.settings,
            source.credentials,
            client,
            source.connection.clock,
            self._turns[client.budget],
            partial(self._held_assets, account.name),
        )
