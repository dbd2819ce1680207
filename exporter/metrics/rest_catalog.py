"""The catalogs of what is requested over REST: funding, prices of assets, API keys, and the requests themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.binance.errors import Reason
from exporter.metrics.model import Catalog, Family, Group, Kind, number, single_row
from exporter.rest.requests import RestPath

if TYPE_CHECKING:
    from exporter.rest.state import RestState

_HOUR_SECONDS: Final = 3600.0


def _own(name: str, description: str, attribute: str, kind: Kind = "gauge") -> Family:
    return Family(f"binance_futures_rest_{name}", description, "", number(attribute), kind)


def _funding(state: RestState) -> list[tuple[str, float, float, float | None]]:
    """Return the symbol, rate, time and interval in seconds of each funding."""
    return [
        (
            symbol,
            funding.rate,
            funding.next_unix,
            state.funding_hours[symbol] * _HOUR_SECONDS if symbol in state.funding_hours else None,
        )
        for symbol, funding in state.funding.items()
    ]


MARKETS: Final = Catalog(
    "endpoint",
    (
        Group(
            ("symbol",),
            _funding,
            lambda _, rows: [(row[0],) for row in rows],
            (
                Family(
                    "binance_futures_funding_rate",
                    "Funding rate of the next settlement as it stands now, per interval; long positions pay if it is "
                    "positive; only symbols that an account holds",
                    f"lastFundingRate of {RestPath.PREMIUM_INDEX}",
                    lambda row: row[1],
                ),
                Family(
                    "binance_futures_funding_next_timestamp_seconds",
                    "Unix timestamp of the next funding settlement of the symbol",
                    f"nextFundingTime of {RestPath.PREMIUM_INDEX}",
                    lambda row: row[2],
                ),
                Family(
                    "binance_futures_funding_interval_seconds",
                    "Time between two funding settlements of the symbol in seconds",
                    f"fundingIntervalHours of {RestPath.FUNDING_INFO}, or 8 hours",
                    lambda row: row[3],
                ),
            ),
        ),
        Group(
            ("asset",),
            lambda state: list(state.prices.items()),
            lambda _, rows: [(row[0],) for row in rows],
            (
                Family(
                    "binance_futures_asset_index_price",
                    "Price of the asset in USD at which multi-assets mode values it; only assets that an account holds",
                    f"index of {RestPath.ASSET_INDEX}",
                    lambda row: row[1],
                ),
            ),
        ),
        single_row(
            _own(
                "request_weight_used",
                "Request weight used in the current minute by all programs behind this IP over REST "
                "(X-MBX-USED-WEIGHT-1M); absent until a response reports it in this minute",
                "weight_used",
            ),
            _own(
                "request_weight_limit",
                "Request weight allowed per minute over REST to all programs behind this IP",
                "weight_limit",
            ),
            _own(
                "request_weight_spent_total",
                "Request weight spent by this exporter over REST",
                "weight_spent",
                "counter",
            ),
        ),
        Group(
            ("reason",),
            lambda state: [state.failures.get(reason, 0) for reason in Reason],
            lambda *_: [(reason.value,) for reason in Reason],
            (
                _own(
                    "request_failures_total",
                    "Failed reads of funding, prices and API key permissions over REST, by reason",
                    "real",
                    "counter",
                ),
            ),
        ),
        Group(
            ("reason",),
            lambda state: [state.paused is reason for reason in (Reason.BANNED, Reason.RATE_LIMITED)],
            lambda *_: [(reason.value,) for reason in (Reason.BANNED, Reason.RATE_LIMITED)],
            (
                _own(
                    "paused",
                    "Whether REST requests are paused because the exchange banned this IP, or rate-limited or "
                    "otherwise rejected it (1), or not (0), by reason",
                    "real",
                ),
            ),
        ),
    ),
)


KEYS: Final = Catalog(
    "account",
    (
        Group(
            ("permission",),
            lambda key: list(key.permissions.permissions.items()),
            lambda _, rows: [(row[0],) for row in rows],
            (
                Family(
                    "binance_futures_key_permission",
                    "Whether the account's API key has the permission (1) or not (0), read once a day",
                    f"enable… and permits… of {RestPath.API_RESTRICTIONS}",
                    lambda row: float(row[1]),
                ),
            ),
        ),
        single_row(
            Family(
                "binance_futures_key_ip_restricted",
                "Whether the account's API key can only be used from certain IPs (1) or from everywhere (0)",
                f"ipRestrict of {RestPath.API_RESTRICTIONS}",
                number("permissions.ip_restricted"),
            ),
            Family(
                "binance_futures_key_created_timestamp_seconds",
                "Unix timestamp of the creation of the account's API key",
                f"createTime of {RestPath.API_RESTRICTIONS}",
                number("permissions.created_unix"),
            ),
        ),
    ),
)
