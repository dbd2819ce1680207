"""The types of rules, and the labels and windows that the rules' expressions share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from monitoring.promql import Labels

# The scrape job, named as in prometheus.yml. Where no target is left, only this name shows that one is missing.
JOB: Final = "binance-futures"

# Account names are unique only within one exporter's configuration: an exporter of testnet and one of mainnet may both
# have a "main". So every aggregation keeps the job, and the namespace, which Prometheus Operator adds (where there is
# no such label it does no harm). The instance is dropped: accounts move between the shards of a job, and for a while
# two shards show the same account.
SCOPE: Final = "job, namespace"
# Weight, bans, clocks and connections belong to one machine.
INSTANCE: Final = f"{SCOPE}, instance"
ENDPOINT: Final = f"{INSTANCE}, endpoint"
LABELS: Final = Labels(exporter=INSTANCE, account=f"{SCOPE}, account")
ACCOUNT: Final = LABELS.account
POOL: Final = LABELS.pool
POSITION: Final = LABELS.position
OPEN_POSITION: Final = f"max by ({POSITION}) (abs(binance_futures_position_amount)) > 0"

# How long the last value is held while an account is not polled.
HOLD: Final = "15m"
# How far back a condition is looked for, so that a single sample neither ends an alert nor restarts its `for`.
RECENT: Final = "2m"
# How long an exporter or account is expected after it was last seen.
EXPECTED: Final = "1d"

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
    for_: str
    summary: str
    description: str
    keep_firing_for: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, as one instant."""

    name: str
    rules: tuple[Recording | Alert, ...]
