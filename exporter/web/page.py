"""The status page at /: accounts and endpoints as HTML, rendered by a pure function from one template.

It shows the state of polling and the risk of accounts and positions, but no balances, position sizes, keys or URLs: the
template does not get them.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from exporter.account import risk
from exporter.account.presentation import AT_LEVEL
from exporter.account.risk import WORST_FIRST
from exporter.account.risk_level import RiskLevel
from exporter.binance.advice import WRONG_CLOCK_ADVICE
from exporter.formatting import escape_unprintable, format_percent, pluralize
from exporter.web.accounts import STATES, account_rows, failure_rows
from exporter.web.endpoints import EndpointRow, endpoint_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jinja2 import Template

    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState
    from exporter.binance.endpoint_state import EndpointState
    from exporter.web.accounts import AccountRow

_NO_SNAPSHOTS: Final[Mapping[str, AccountSnapshot]] = MappingProxyType({})
_THRESHOLDS: Final = {
    "ratio_warning": risk.MARGIN_RATIO_WARNING,
    "ratio_critical": risk.MARGIN_RATIO_CRITICAL,
    "distance_warning": risk.LIQUIDATION_DISTANCE_WARNING,
    "distance_critical": risk.LIQUIDATION_DISTANCE_CRITICAL,
    "distance_ratio": risk.LIQUIDATION_MARGIN_RATIO,
}
_MAX_UNFOLDED: Final = 20  # accounts
_MAX_NAMED: Final = 3  # accounts below the headline
_TEMPLATES: Final = "templates"

# What the page loads, by its path: its content and media type. Files, since the content security policy allows neither
# inline scripts nor inline styles.
STATIC_FILES: Final = {
    f"/-/{name}": (files("exporter.web").joinpath(_TEMPLATES, name).read_bytes(), media_type)
    for name, media_type in (("status.css", "text/css"), ("status.js", "text/javascript"))
}


@cache
def load_template() -> Template:
    """Return the template; the first call takes 0.2 s and 4 MiB, which most installations can do without."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    return Environment(
        loader=PackageLoader("exporter.web", _TEMPLATES),
        autoescape=True,
        # Escapes control and bidi characters in every string. Macros return Markup, whose parts have been escaped
        # already.
        finalize=lambda value: escape_unprintable(value) if type(value) is str else value,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("index.html")


def render_page(
    states: Iterable[AccountState],
    endpoints: Iterable[EndpointState],
    now: float,
    telemetry_path: str,
    version: str,
    snapshots: Mapping[str, AccountSnapshot] = _NO_SNAPSHOTS,
) -> str:
    """Return the page.

    Args:
        states: the accounts, in the order of the configuration.
        endpoints: the states of the endpoints.
        now: the current time, in monotonic seconds.
        telemetry_path: the path of the metrics.
        version: the exporter's version.
        snapshots: the last snapshots, by account; stale ones are not shown.
    """
    states = tuple(states)
    accounts = account_rows(states, now, snapshots)
    at_risk = [row for row in accounts if row.level is not RiskLevel.NORMAL and row.state != "waiting"]
    endpoint_rows = sorted(map(endpoint_row, endpoints), key=lambda row: row.usable)
    failures, omitted_failures = failure_rows(states, now)
    return load_template().render(
        headline=_headline(accounts),
        headline_style=_headline_style(accounts),
        worst=at_risk[:_MAX_NAMED],
        further_at_risk=len(at_risk[_MAX_NAMED:]),
        problems=_problems(accounts, endpoint_rows),
        accounts_first=any(row.level is RiskLevel.CRITICAL for row in accounts),
        accounts=_fold(accounts),
        failures=failures,
        omitted_failures=omitted_failures,
        listed=_fold([account for account in accounts if account.is_listed]),
        endpoints=endpoint_rows,
        thresholds={name: format_percent(value, 0) for name, value in _THRESHOLDS.items()},
        ratio_warning=risk.MARGIN_RATIO_WARNING,
        ratio_critical=risk.MARGIN_RATIO_CRITICAL,
        wrong_clock_advice=WRONG_CLOCK_ADVICE,
        telemetry_path=telemetry_path,
        version=version,
    )


def _fold(accounts: Sequence[AccountRow]) -> tuple[Sequence[AccountRow], Sequence[AccountRow], str]:
    """Return the accounts to list, those to fold away if there are many, and a label for the latter."""
    if len(accounts) <= _MAX_UNFOLDED:
        return accounts, (), ""
    troubled = sum(account.is_troubled for account in accounts)
    shown = min(troubled, _MAX_UNFOLDED)
    folded = accounts[shown:]
    if shown == troubled:
        return accounts[:shown], folded, f"{len(folded):,} accounts up, risk normal"
    counts = Counter(account.level for account in folded)
    levels = ", ".join(f"{counts[level]:,} {level}" for level in WORST_FIRST if counts[level])
    return accounts[:shown], folded, f"{len(folded):,} more accounts: {levels}"


def _headline(accounts: Sequence[AccountRow]) -> list[str]:
    """Return the parts of the headline: how many accounts are at which level of risk, worst first, and how many up."""
    # Before the first poll of an account, there is nothing to be alarmed about.
    counts = Counter(account.level for account in accounts if account.state != "waiting")
    parts = [
        f"{counts[level]:,} {pluralize('account', counts[level])} {text}"
        for level, text in AT_LEVEL.items()
        if counts[level]
    ]
    if accounts and counts[RiskLevel.NORMAL] == len(accounts):
        parts.append("Risk normal")
    up = sum(account.state == "up" for account in accounts)
    return [*parts, f"{up:,} of {len(accounts):,} accounts up"]


def _headline_style(accounts: Sequence[AccountRow]) -> str:
    """Return the worst level of risk, or the worst state of polling if all risk that can be known is normal."""
    levels = {account.level for account in accounts if account.state != "waiting"}
    worst = min(levels, key=WORST_FIRST.index, default=RiskLevel.NORMAL)
    if worst is not RiskLevel.NORMAL:
        return worst
    return min((account.state for account in accounts), key=STATES.index, default="waiting")


def _problems(accounts: Sequence[AccountRow], endpoints: Sequence[EndpointRow]) -> list[tuple[str, str]]:
    """Return a style and a text for each kind of polling problem, for the top of the page."""
    counts = Counter(account.state for account in accounts)
    problems = [(state, f"{counts[state]:,} {state}") for state in STATES if state != "up" and counts[state]]
    if unusable := sum(not endpoint.usable for endpoint in endpoints):
        problems.append(("down", f"{unusable:,} of {len(endpoints):,} endpoints disconnected or paused"))
    if any(endpoint.clock_is_wrong for endpoint in endpoints):
        problems.append(("wrong", "the clock of this host is wrong"))
    return problems
