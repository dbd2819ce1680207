"""The catalog of what accounts earned and paid, and of how that is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.binance.errors import Reason
from exporter.metrics.model import Catalog, Family, Group, number, single_row
from exporter.rest.requests import RestPath

if TYPE_CHECKING:
    from exporter.metrics.model import Kind

_PREFIX: Final = "binance_futures_income"
_SOURCE: Final = f"income of {RestPath.INCOME}"


def _own(name: str, description: str, attribute: str, kind: Kind = "gauge") -> Family:
    return Family(f"{_PREFIX}_{name}", description, "", number(attribute), kind)


INCOME: Final = Catalog(
    "account",
    (
        Group(
            ("asset", "income_type", "symbol"),
            lambda state: list(state.figures.items()),
            lambda _, rows: [row[0] for row in rows],
            (
                Family(
                    f"{_PREFIX}_received_total",
                    "Income received since the start of the UTC month, or day with since: day, in units of the asset; "
                    "symbol is empty unless by_symbol is set",
                    _SOURCE,
                    lambda row: float(row[1].received),
                    "counter",
                ),
                Family(
                    f"{_PREFIX}_paid_total",
                    "Income paid since the start of the UTC month, or day with since: day, as a positive number in "
                    "units of the asset; symbol is empty unless by_symbol is set",
                    _SOURCE,
                    lambda row: float(row[1].paid),
                    "counter",
                ),
                Family(
                    f"{_PREFIX}_today",
                    "Income received less income paid since 00:00 UTC in units of the asset; until 00:15 UTC or later "
                    "that of the day before",
                    _SOURCE,
                    lambda row: float(row[1].today),
                ),
            ),
        ),
        single_row(
            _own(
                "since_timestamp_seconds",
                "Unix timestamp of the start of the UTC month, or day with since: day, that the counters cover",
                "since_unix",
            ),
            _own(
                "read_until_timestamp_seconds",
                "Unix timestamp by the exchange's clock at which the last complete read of the account's income began",
                "read_until_unix",
            ),
            _own(
                "interval_seconds",
                "Interval at which the account's income is read, as configured and stretched to fit the request weight",
                "interval_seconds",
            ),
            _own("polls_total", "Reads of the account's income, successful or not", "polls", "counter"),
            _own(
                "incomplete_total",
                "How often the sums of the account's income were found to differ from the exchange's records",
                "incomplete",
                "counter",
            ),
        ),
        Group(
            ("reason",),
            lambda state: [state.failures.get(reason, 0) for reason in Reason],
            lambda *_: [(reason.value,) for reason in Reason],
            (_own("poll_failures_total", "Failed reads of the account's income, by reason", "real", "counter"),),
        ),
    ),
)
