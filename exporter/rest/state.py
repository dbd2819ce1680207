"""What was read over REST for an endpoint or an API key, at one moment, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.rest.income_turn import Since

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.binance.errors import Reason
    from exporter.binance.histogram import Histogram
    from exporter.rest.income_ledger import IncomeFigures
    from exporter.rest.income_sums import LabelSet
    from exporter.rest.requests import Funding, KeyPermissions, RestPath


@dataclass(frozen=True, slots=True, kw_only=True)
class RestSettings:
    """What is requested over REST, as configured; None: not at all."""

    weight_share: float = 0.1  # of the IP's limit for REST
    funding_interval_seconds: float | None = None
    prices_interval_seconds: float | None = None

    @property
    def enabled(self) -> bool:
        """Whether funding or prices are read."""
        return self.funding_interval_seconds is not None or self.prices_interval_seconds is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomeSettings:
    """How the income of an account is read, as configured."""

    url: str  # of the REST API, without a path
    enabled: bool  # whether the exporter reads it; if not, only its history can be written
    interval_seconds: float = 300.0
    stale_after_seconds: float = 3600.0
    since: Since = Since.MONTH
    by_symbol: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RestState:
    """The REST side of an endpoint; a value that is not known or not read is absent."""

    label: str
    funding: Mapping[str, Funding] = field(default_factory=dict)  # by symbol
    funding_hours: Mapping[str, int] = field(default_factory=dict)  # between fundings, by symbol
    prices: Mapping[str, float] = field(default_factory=dict)  # in USD, by asset
    failures: Mapping[Reason, int] = field(default_factory=dict)
    durations: Mapping[RestPath, Histogram] = field(default_factory=dict)
    paused: Reason | None = None
    weight_used: int | None = None
    weight_limit: int | None = None
    weight_spent: int | None = None  # since the start


@dataclass(frozen=True, slots=True)
class KeyState:
    """What the API key of an account may do."""

    account: str
    permissions: KeyPermissions


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomeState:
    """The income of an account, and how it was read."""

    account: str
    interval_seconds: float  # as configured, stretched to fit the request weight
    figures: Mapping[LabelSet, IncomeFigures]  # empty before the first complete read, and if it is too old
    since_unix: float | None = None  # from when on the figures sum, the start of a UTC day or month; None without them
    read_until_unix: float | None = None  # when the last complete read began, by the exchange's clock
    polls: int = 0
    failures: Mapping[Reason, int] = field(default_factory=dict)
    incomplete: int = 0  # how often rows are known to be missing in the figures
