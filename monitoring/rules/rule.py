"""The types of rules, and the labels and windows that the rules' expressions share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from monitoring.promql import Labels, open_positions

# The scrape job, named as in prometheus.yml. If no target is left, only this name shows that one is missing.
JOB: Final = "binance-futures"

# Account names are unique only within one exporter's configuration: a testnet and a mainnet exporter may both have an
# account "main". Every aggregation therefore keeps the job and the namespace, a label that Prometheus Operator adds (it
# does no harm where it is missing). The instance is dropped, because accounts move between the shards of a job, and for
# a while two shards expose the same account.
SCOPE: Final = "job, namespace"
# Weight, bans, clocks and connections belong to one machine.
INSTANCE: Final = f"{SCOPE}, instance"
ENDPOINT: Final = f"{INSTANCE}, endpoint"
LABELS: Final = Labels(exporter=INSTANCE, account=f"{SCOPE}, account")
ACCOUNT: Final = LABELS.account
POOL: Final = LABELS.pool
POSITION: Final = LABELS.position
OPEN_POSITION: Final = open_positions(LABELS)

# How long the last value is held while an account is not polled.
HOLD: Final = "15m"
# The window in which a condition counts, so that a single sample neither ends an alert nor restarts its `for`.
RECENT: Final = "2m"
# How long an exporter or account is expected after it was last seen.
EXPECTED: Final = "1d"

# Assets worth about a dollar (USDT, USDC, FDUSD, BFUSD, USD1, LDUSDT, RWUSD, and in multi-assets mode USD), and assets
# worth thousands: rules cannot rely on prices, which may not be enabled.
DOLLARS: Final = ".*USD.?|BNFCR"
COINS: Final = ".*BTC|.*ETH"

Severity = Literal["warning", "critical"]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule, named `level:metric:operations`."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert rule; two with the same name are the two severities of one alert.

    `summary` has no labels, so that a grouped notification can show it once; `description` has labels and the value.
    """

    name: str
    severity: Severity
    expression: str
    for_: str
    summary: str
    description: str
    keep_firing_for: str = ""


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated in order, all at the same timestamp."""

    name: str
    rules: tuple[Recording | Alert, ...]
