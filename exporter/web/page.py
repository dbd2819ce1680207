"""The status page at /: accounts and endpoints as HTML, rendered by a pure function from one template.

It shows the state of polling and the distance to liquidation, but no balances, position sizes, keys or URLs: the
template does not get them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from exporter.account.margin import cross_pools, isolated_pools, worst_ratio
from exporter.account.presentation import rank_pools
from exporter.account.risk import MARGIN_RATIO_CRITICAL, MARGIN_RATIO_WARNING, assess, ratio_level
from exporter.formatting import escape_unprintable, format_duration, format_percent, format_price
from exporter.web.endpoints import EndpointRow, endpoint_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exporter.account.presentation import PoolRow
    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState, Failure
    from exporter.binance.endpoint_state import EndpointState

_NONE: Final = "none"
_UNKNOWN: Final = "unknown"
_NO_PRICE: Final = (_NONE, _UNKNOWN)
# Worst first, the order in which accounts are listed.
_STATES: Final = ("down", "stale", "failing", "waiting", "up")
_MARKS: Final = {"down": "✕", "stale": "■", "failing": "▲", "waiting": "○", "up": "●"}
# Risk levels are styled like account states.
_LEVEL_STYLES: Final = {"normal": "up", "warning": "failing", "critical": "stale"}
_MODES: Final = {"single": "single-asset", "multi": "multi-assets"}
_KEY_TYPES: Final = {"hmac": "HMAC", "rsa": "RSA", "ed25519": "Ed25519"}

# 400 accounts with 100 positions each would otherwise make a page of 40,000 rows.
_MAX_ROWS: Final = 2000
_MAX_ROWS_PER_ACCOUNT: Final = (5, 50)  # bounds of the limit per account
_NO_SNAPSHOTS: Final[Mapping[str, AccountSnapshot]] = MappingProxyType({})

_TEMPLATE: Final = Environment(
    loader=PackageLoader("exporter.web"),
    autoescape=True,
    # Escapes control and bidi characters in every string. Macros return Markup, whose parts have been escaped already.
    finalize=lambda value: escape_unprintable(value) if type(value) is str else value,
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("index.html")


@dataclass(frozen=True, slots=True)
class _Ratio:
    """A margin ratio as a number, as text and as a level with its style and mark."""

    number: float | None

    @property
    def text(self) -> str:
        return format_percent(self.number)

    @property
    def level(self) -> str:
        return ratio_level(self.number)

    @property
    def style(self) -> str:
        return _LEVEL_STYLES.get(self.level, "waiting")

    @property
    def mark(self) -> str:
        return _MARKS[self.style]


@dataclass(frozen=True, slots=True)
class _Position:
    """A row of the positions table of an account."""

    symbol: str
    side: str
    margin_type: str
    margin_asset: str
    mark_price: str
    liquidation_price: str
    distance: str
    adl: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Risk:
    """How close an account is to liquidation: the cells of its row, and its expandable tables."""

    number: int
    worst: _Ratio
    nearest: _Position | None  # None: no position has a liquidation price
    nearest_unknown: bool
    pools: list[tuple[PoolRow, _Ratio]]
    idle_pools: int
    further_pools: int
    positions: list[_Position]
    further_positions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """A row of the accounts table, with the last failure if the account is failing."""

    name: str
    state: str
    mark: str
    remark: str
    age: str
    open_positions: int | None
    endpoint: str
    key_type: str
    asset_mode: str
    failure: Failure | None
    risk: _Risk | None  # None: there is no fresh snapshot


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
        snapshots: the snapshots of fresh accounts, by account.
    """
    max_rows = sorted((*_MAX_ROWS_PER_ACCOUNT, _MAX_ROWS // max(1, len(snapshots))))[1]
    accounts = [
        _account(
            state, now, _risk(number, snapshots.get(state.settings.name) if state.is_fresh(now) else None, max_rows)
        )
        for number, state in enumerate(states, 1)
    ]
    accounts.sort(key=lambda account: _STATES.index(account.state))
    endpoint_rows = sorted(map(endpoint_row, endpoints), key=lambda row: row.usable)
    return _TEMPLATE.render(
        accounts=accounts,
        summary=_summary(accounts),
        problems=_problems(accounts, endpoint_rows),
        at_risk=sorted(
            (account for account in accounts if account.risk and account.risk.positions),
            key=lambda account: account.risk.worst.number or 0.0 if account.risk else 0.0,
            reverse=True,
        ),
        warning=MARGIN_RATIO_WARNING,
        critical=MARGIN_RATIO_CRITICAL,
        endpoints=endpoint_rows,
        telemetry_path=telemetry_path,
        version=version,
    )


def _account(state: AccountState, now: float, risk: _Risk | None) -> _Account:
    settings = state.settings
    word = _state_word(state, now)
    asset_mode = state.asset_mode or settings.asset_mode
    return _Account(
        name=settings.name,
        state=word,
        mark=_MARKS[word],
        remark=_remark(word, state.stale_at - now),
        age="no data yet" if state.answered_at is None else format_duration(now - state.answered_at),
        # As in the metrics: stale data is not shown.
        open_positions=state.open_positions if state.is_fresh(now) else None,
        endpoint=settings.endpoint.label,
        key_type=_KEY_TYPES.get(settings.credentials.key_type, settings.credentials.key_type),
        asset_mode=_MODES[asset_mode] if asset_mode else _UNKNOWN,
        failure=None if word == "waiting" or state.last_poll_succeeded else state.last_failure,
        risk=risk,
    )


def _risk(number: int, snapshot: AccountSnapshot | None, max_rows: int) -> _Risk | None:
    if snapshot is None:
        return None
    pools, idle_count = rank_pools([*cross_pools(snapshot), *isolated_pools(snapshot)])
    positions = _positions(snapshot)
    return _Risk(
        number=number,
        worst=_Ratio(worst_ratio(snapshot)),
        nearest=next((position for position in positions if position.distance not in _NO_PRICE), None),
        nearest_unknown=any(position.distance == _UNKNOWN for position in positions),
        pools=[(pool, _Ratio(pool.ratio)) for pool in pools[:max_rows]],
        idle_pools=idle_count,
        further_pools=max(0, len(pools) - max_rows),
        positions=positions[:max_rows],
        further_positions=max(0, len(positions) - max_rows),
    )


def _positions(snapshot: AccountSnapshot) -> list[_Position]:
    without_price = {(risk.symbol, risk.position_side) for risk in snapshot.risks if risk.liquidation_price == 0}
    rows = []
    for held in assess(snapshot).positions:
        row, figures = held.position.row, held.figures
        missing = _NONE if (row.symbol, row.position_side) in without_price else _UNKNOWN
        rows.append(
            _Position(
                symbol=row.symbol,
                side=row.position_side,
                margin_type=figures.margin_type,
                margin_asset=figures.margin_asset or _UNKNOWN,
                mark_price=format_price(figures.mark_price, _UNKNOWN),
                liquidation_price=format_price(figures.liquidation_price, missing),
                distance=format_percent(figures.distance_to_liquidation, 2, missing),
                adl=_UNKNOWN if figures.adl_quantile is None else f"{figures.adl_quantile} of 4",
            )
        )
    return rows


def _state_word(state: AccountState, now: float) -> str:
    if state.is_up(now):
        return "up"
    if not state.first_poll_finished:
        return "waiting"
    if state.answered_at is None:
        return "down"
    return "failing" if state.is_fresh(now) else "stale"


def _remark(word: str, seconds_left: float) -> str:
    match word:
        case "waiting":
            return "first poll pending"
        case "down":
            return "no successful poll yet"
        case "stale":
            return "data expired"
        case "failing":
            return f"data expires in {format_duration(seconds_left)}"
        case _:
            return ""


def _summary(accounts: Sequence[_Account]) -> str:
    up = sum(account.state == "up" for account in accounts)
    return f"{up:,} of {len(accounts):,} accounts up"


def _problems(accounts: Sequence[_Account], endpoints: Sequence[EndpointRow]) -> list[tuple[str, str]]:
    """Return a style and a text for each kind of problem, for the top of the page."""
    counts = Counter(account.state for account in accounts)
    problems = [(state, f"{counts[state]:,} {state}") for state in _STATES if state != "up" and counts[state]]
    if unusable := sum(not endpoint.usable for endpoint in endpoints):
        problems.append(("down", f"{unusable:,} of {len(endpoints):,} endpoints not connected or paused"))
    return problems
