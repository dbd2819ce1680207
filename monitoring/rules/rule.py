"""What a rule is, and the labels that rules tell one exporter, account or position from another by."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent
from typing import Final, Literal

# The scrape job, named as in prometheus.yml: once nothing is scraped, only its name can tell that something is missing.
JOB: Final = "binance-futures"

# Account names are unique within one exporter's configuration: of two exporters, say of testnet and of mainnet, both
# may have a "main". So the job stays in every aggregation, and the namespace, which Prometheus Operator adds (where it
# is no label it does no harm). The instance goes: shards of a job hand accounts over; for a while two show one.
SCOPE: Final = "job, namespace"
ACCOUNT: Final = f"{SCOPE}, account"
POOL: Final = f"{ACCOUNT}, margin_asset"
POSITION: Final = f"{ACCOUNT}, symbol, position_side"
# Weight, bans, clocks and connections are one machine's: two shards are two things to look after.
INSTANCE: Final = f"{SCOPE}, instance"
ENDPOINT: Final = f"{INSTANCE}, endpoint"

# How long something is remembered that is not told any more: while an account is not polled, its figures; after a
# sample that was an exception, what went before.
REMEMBERED: Final = "15m"
RECENTLY: Final = "2m"
# For how long an exporter or account that ran into trouble is still known to have been there.
KNOWN: Final = "1d"

Severity = Literal["warning", "critical"]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule, named `level:metric:operations`."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert rule; two with the same name are the two severities of one alert.

    `summary` holds no labels, so that notifications of many can share it; `description` holds labels and the value.
    """

    name: str
    severity: Severity
    expression: str
    lasting: str  # the rule's `for`
    summary: str
    description: str
    kept: str = ""  # the rule's `keep_firing_for`, where it has one


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, as one instant."""

    name: str
    rules: tuple[Recording | Alert, ...]


def promql(text: str) -> str:
    """Return an expression written as an indented block without the indentation."""
    return dedent(text).strip()
