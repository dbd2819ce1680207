"""The status page at /: what is known of accounts and endpoints as HTML, by a pure function and one template.

It shows how the polling goes and how near liquidation is, and never what an account is worth: no balance, no size of
a position, no key and no URL comes near it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from exporter.account.margin import CrossPool, cross_pools, isolated_pools, worst_ratio
from exporter.account.risk import MARGIN_RATIO_LEVELS, nearest_first, ratio_word
from exporter.formatting import escape_unprintable, format_duration, format_percent, format_price
from exporter.web.endpoints import EndpointRow, endpoint_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exporter.account.margin import IsolatedPool
    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState, Failure
    from exporter.binance.connection import Connection

_NONE: Final = "none"
_UNKNOWN: Final = "unknown"
_NO_PRICE: Final = (_NONE, _UNKNOWN)
# Worst first: the order in which accounts are shown.
_STATES: Final = ("down", "stale", "failing", "waiting", "up")
_MARKS: Final = {"down": "✕", "stale": "■", "failing": "▲", "waiting": "○", "up": "●"}
_TONES: Final = {"normal": "up", "high": "failing", "critical": "stale", "liquidation": "down"}
_MODES: Final = {"single": "single-asset", "multi": "multi-assets"}
_KEY_TYPES: Final = {"hmac": "HMAC", "rsa": "RSA", "ed25519": "Ed25519"}

# Four hundred accounts of a hundred positions would be a page of forty thousand rows.
_ROWS_OF_ALL: Final = 2000
_ROWS_OF_ONE: Final = (5, 50)  # at least and at most
_NO_SNAPSHOTS: Final[Mapping[str, AccountSnapshot]] = MappingProxyType({})

_TEMPLATE: Final = Environment(
    loader=PackageLoader("exporter.web"),
    autoescape=True,
    # Escapes control and bidi characters in every text. What a macro returns is Markup, whose parts came through here.
    finalize=lambda value: escape_unprintable(value) if type(value) is str else value,
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("index.html")


@dataclass(frozen=True, slots=True)
class _Ratio:
    """A margin ratio as a number, a bar's part and a word."""

    part: float | None

    @property
    def words(self) -> str:
        return format_percent(self.part)

    @property
    def meaning(self) -> str:
        return ratio_word(self.part)

    @property
    def tone(self) -> str:
        return _TONES.get(self.meaning, "waiting")

    @property
    def mark(self) -> str:
        return _MARKS[self.tone]


@dataclass(frozen=True, slots=True)
class _Pool:
    """A row of an account's margin pools."""

    name: str
    side: str
    kind: str
    ratio: _Ratio


@dataclass(frozen=True, slots=True)
class _Position:
    """A row of an account's positions."""

    symbol: str
    side: str
    kind: str
    margin_asset: str
    mark_price: str
    liquidation_price: str
    distance: str
    adl: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Risk:
    """How near an account is to liquidation: what its row says, and what can be unfolded below."""

    number: int
    worst: _Ratio
    nearest: _Position | None  # None: no position has a liquidation price
    nearest_unknown: bool
    pools: list[_Pool]
    idle_pools: int
    further_pools: int
    positions: list[_Position]
    further_positions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """A row of the accounts' table, and below it why there is trouble, if there is."""

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
    risk: _Risk | None  # None: nothing that may be shown


def render_page(
    states: Iterable[AccountState],
    connections: Iterable[Connection],
    now: float,
    telemetry_path: str,
    version: str,
    snapshots: Mapping[str, AccountSnapshot] = _NO_SNAPSHOTS,
) -> str:
    """Return the page.

    Args:
        states: the accounts, in the order of the configuration.
        connections: the endpoints' connections.
        now: the moment, in monotonic seconds.
        telemetry_path: where the metrics are.
        version: the exporter's.
        snapshots: those that may be shown now, by account.
    """
    rows = sorted((*_ROWS_OF_ONE, _ROWS_OF_ALL // max(1, len(snapshots))))[1]
    accounts = [
        _account(state, now, _risk(number, snapshots.get(state.settings.name) if state.is_fresh(now) else None, rows))
        for number, state in enumerate(states, 1)
    ]
    accounts.sort(key=lambda account: _STATES.index(account.state))
    endpoints = [endpoint_row(connection) for connection in connections]
    endpoints.sort(key=lambda endpoint: endpoint.usable)
    return _TEMPLATE.render(
        accounts=accounts,
        summary=_summary(accounts),
        troubles=_troubles(accounts, endpoints),
        at_risk=sorted(
            (account for account in accounts if account.risk and account.risk.positions),
            key=lambda account: account.risk.worst.part or 0.0 if account.risk else 0.0,
            reverse=True,
        ),
        levels=MARGIN_RATIO_LEVELS,
        endpoints=endpoints,
        telemetry_path=telemetry_path,
        version=version,
    )


def _account(state: AccountState, now: float, risk: _Risk | None) -> _Account:
    settings = state.settings
    word = _state_word(state, now)
    mode = state.asset_mode or settings.asset_mode
    return _Account(
        name=settings.name,
        state=word,
        mark=_MARKS[word],
        remark=_remark(word, state.stale_at - now),
        age="no data yet" if state.answered_at is None else format_duration(now - state.answered_at),
        # As in the metrics: a figure that is stale is no longer told.
        open_positions=state.open_positions if state.is_fresh(now) else None,
        endpoint=settings.endpoint.label,
        key_type=_KEY_TYPES.get(settings.credentials.key_type, settings.credentials.key_type),
        asset_mode=_MODES[mode] if mode else "unknown",
        failure=None if word == "waiting" or state.last_poll_succeeded else state.last_failure,
        risk=risk,
    )


def _risk(number: int, snapshot: AccountSnapshot | None, rows: int) -> _Risk | None:
    if snapshot is None:
        return None
    pools: list[CrossPool | IsolatedPool] = [*cross_pools(snapshot), *isolated_pools(snapshot)]
    pools.sort(key=lambda pool: -1.0 if pool.ratio is None else pool.ratio, reverse=True)
    staked = [pool for pool in pools if pool.ratio != 0] or pools[:1]
    positions = _positions(snapshot)
    return _Risk(
        number=number,
        worst=_Ratio(worst_ratio(snapshot)),
        nearest=next((one for one in positions if one.distance not in _NO_PRICE), None),
        nearest_unknown=any(one.distance == _UNKNOWN for one in positions),
        pools=[_pool(pool) for pool in staked[:rows]],
        idle_pools=len(pools) - len(staked),
        further_pools=max(0, len(staked) - rows),
        positions=positions[:rows],
        further_positions=max(0, len(positions) - rows),
    )


def _pool(pool: CrossPool | IsolatedPool) -> _Pool:
    if isinstance(pool, CrossPool):
        return _Pool(pool.margin_asset, "", "cross", _Ratio(pool.ratio))
    return _Pool(pool.symbol, pool.position_side, "isolated", _Ratio(pool.ratio))


def _positions(snapshot: AccountSnapshot) -> list[_Position]:
    told_none = {(risk.symbol, risk.position_side) for risk in snapshot.risks if risk.liquidation_price == 0}
    rows = []
    for one, figures in nearest_first(snapshot):
        row = one.row
        missing = _NONE if (row.symbol, row.position_side) in told_none else _UNKNOWN
        price, far = figures.liquidation_price, figures.distance_to_liquidation
        rows.append(
            _Position(
                symbol=row.symbol,
                side=row.position_side,
                kind=figures.margin_type,
                margin_asset=figures.margin_asset or _UNKNOWN,
                mark_price=_UNKNOWN if figures.mark_price is None else format_price(figures.mark_price),
                liquidation_price=missing if price is None else format_price(price),
                distance=missing if far is None else format_percent(far, 2),
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


def _remark(word: str, shown_for: float) -> str:
    match word:
        case "waiting":
            return "no poll has ended yet"
        case "down":
            return "no good answer yet"
        case "stale":
            return "figures withdrawn"
        case "failing":
            return f"figures shown for another {format_duration(shown_for)}"
        case _:
            return ""


def _summary(accounts: Sequence[_Account]) -> str:
    up = sum(account.state == "up" for account in accounts)
    return f"{up:,} of {len(accounts):,} {'account' if len(accounts) == 1 else 'accounts'} up"


def _troubles(accounts: Sequence[_Account], endpoints: Sequence[EndpointRow]) -> list[tuple[str, str]]:
    """Say what is not well, each as a state and words: what stands far below must be seen at the top."""
    counts = Counter(account.state for account in accounts)
    troubles = [(word, f"{counts[word]:,} {word}") for word in _STATES if word != "up" and counts[word]]
    if unusable := sum(not endpoint.usable for endpoint in endpoints):
        noun = "endpoint" if len(endpoints) == 1 else "endpoints"
        troubles.append(("down", f"{unusable:,} of {len(endpoints):,} {noun} not connected or paused"))
    return troubles
