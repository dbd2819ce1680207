"""The one table of every metric: name, type, help, labels, source and how to read it.

Adding a metric is adding one entry. Families of a group share their rows and identity labels, so that no entry can
forget one. The exposition, the exporter's own collector, the reference and the tests read this table and know no
metric by name.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

import exporter
from exporter.account.margin import cross_pools, isolated_pools
from exporter.account.snapshot import FIGURES
from exporter.binance.durations import Durations
from exporter.binance.errors import Ignored, Loss, Reason
from exporter.binance.messages import AccountStatus, AssetBalance, Method, Position, PositionRisk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric whose value is read off one row of a snapshot; None is no sample."""

    name: str
    what: str
    source: str
    read: Callable[[Any], float | None]
    kind: Kind = "gauge"

    @property
    def help(self) -> str:
        """The HELP text: what it is, and where it comes from."""
        return f"{self.what} ({self.source})."


@dataclass(frozen=True, slots=True)
class Group:
    """Families with the same rows and labels; `identify` gives the values of `labels`, `account` left out."""

    labels: tuple[str, ...]
    rows: Callable[[AccountSnapshot], Iterable[Any]]
    identify: Callable[[AccountSnapshot, Any], tuple[str, ...]]
    families: tuple[Family, ...]


@dataclass(frozen=True, slots=True)
class OwnFamily:
    """A metric of the exporter itself.

    `read` is called with a subject (an account's state, a connection or the program) and the monotonic time, and gives
    the values of `labels`, the subject's own left out, with the number (for a histogram: Durations).
    """

    name: str
    help: str
    read: Callable[[Any, float], Iterable[tuple[tuple[str, ...], Any]]]
    labels: tuple[str, ...] = ()
    kind: Kind = "gauge"


@dataclass(slots=True)
class Program:
    """What is known of the process itself; the service writes it."""

    connections: Sequence[Connection] = ()
    last_reload_succeeded: bool = True
    last_reload_success_unix: float | None = None


def _wire(row: type[msgspec.Struct], name: str) -> str:
    """Return the name that a figure has in Binance's answer."""
    return next(field.encode_name for field in msgspec.structs.fields(row) if field.name == name)


def _figures(prefix: str, row: type[msgspec.Struct], where: str, names: dict[str, str]) -> tuple[Family, ...]:
    return tuple(
        Family(f"{prefix}_{name}", what, f"{_wire(row, name)} of {where}", attrgetter(name))
        for name, what in names.items()
    )


def _update_timestamp(prefix: str, row: type[msgspec.Struct], where: str) -> Family:
    def read(row: AssetBalance | Position) -> float | None:
        # 0 is how Binance says "never"; 1970 would be a false number.
        return row.update_time_ms / 1000 if row.update_time_ms else None

    what = "When the exchange last changed these figures, in Unix seconds; absent where it says 0"
    return Family(f"{prefix}_update_timestamp_seconds", what, f"{_wire(row, 'update_time_ms')} of {where}", read)


def _margin_available(row: AssetBalance) -> float | None:
    return None if row.margin_available is None else float(row.margin_available)


_STATUS: Final = str(Method.ACCOUNT_STATUS)
_WORDS: Final = {
    "wallet_balance": "Wallet balance",
    "unrealized_pnl": "Unrealized profit and loss of all positions",
    "margin_balance": "Margin balance: wallet balance plus unrealized profit and loss",
    "available_balance": "Balance available for new positions",
    "max_withdraw_amount": "Most that can be transferred out",
    "initial_margin": "Initial margin required by positions and open orders",
    "maintenance_margin": "Maintenance margin required by positions",
    "position_initial_margin": "Initial margin required by positions at the mark price",
    "open_order_initial_margin": "Initial margin required by open orders at the mark price",
    "cross_wallet_balance": "Wallet balance of the cross margin pool",
    "cross_unrealized_pnl": "Unrealized profit and loss of cross positions",
}
_RISK: Final = str(Method.ACCOUNT_POSITION)
_ACCOUNT: Final = "binance_futures_account"
_ASSET: Final = "binance_futures_asset"
_POSITION: Final = "binance_futures_position"
_ASSET_ROWS: Final = f"assets[] of {_STATUS}"
_POSITION_ROWS: Final = f"positions[] of {_STATUS}"

GROUPS: Final = (
    Group(
        ("currency",),
        lambda snapshot: (snapshot.totals,),
        lambda snapshot, _: (snapshot.currency,),
        _figures(_ACCOUNT, AccountStatus, _STATUS, {name: f"{_WORDS[name]}, of the whole account" for name in FIGURES}),
    ),
    Group(
        (),
        lambda snapshot: (snapshot,),
        lambda *_: (),
        (
            Family(
                f"{_ACCOUNT}_open_positions",
                "Symbols and sides with a position, 0 when flat",
                f"rows with a non-zero positionAmt in {_POSITION_ROWS}",
                lambda snapshot: float(snapshot.open_positions),
            ),
        ),
    ),
    Group(
        ("asset",),
        lambda snapshot: snapshot.assets,
        lambda _, row: (row.asset,),
        (
            *_figures(_ASSET, AssetBalance, _ASSET_ROWS, {name: f"{_WORDS[name]}, in the asset" for name in FIGURES}),
            Family(
                f"{_ASSET}_margin_available",
                "Whether the asset serves as margin in multi-assets mode (0 or 1); absent where not sent",
                f"{_wire(AssetBalance, 'margin_available')} of {_ASSET_ROWS}",
                _margin_available,
            ),
            _update_timestamp(_ASSET, AssetBalance, _ASSET_ROWS),
        ),
    ),
    Group(
        ("position_side", "symbol"),
        lambda snapshot: snapshot.positions,
        lambda _, row: (row.position_side, row.symbol),
        (
            *_figures(
                _POSITION,
                Position,
                _POSITION_ROWS,
                {
                    "amount": "Size of the position in the base asset, negative when short",
                    "notional": "Value of the position at the mark price, negative when short",
                    "unrealized_pnl": "Unrealized profit and loss of the position",
                    "initial_margin": "Initial margin required by the position and its open orders",
                    "maintenance_margin": "Maintenance margin required by the position",
                    "isolated_margin": "Isolated margin including unrealized profit and loss, 0 when cross",
                    "isolated_wallet_balance": "Wallet balance set apart for the isolated position, 0 when cross",
                },
            ),
            _update_timestamp(_POSITION, Position, _POSITION_ROWS),
        ),
    ),
    Group(
        ("position_side", "symbol"),
        lambda snapshot: snapshot.risks,
        lambda _, row: (row.position_side, row.symbol),
        (
            *_figures(
                _POSITION,
                PositionRisk,
                _RISK,
                {
                    "entry_price": "Average entry price",
                    "break_even_price": "Price at which the position breaks even, fees included",
                    "mark_price": "Mark price",
                },
            ),
            Family(
                f"{_POSITION}_liquidation_price",
                "Binance's own liquidation price, absent where there is none",
                f"{_wire(PositionRisk, 'liquidation_price')} of {_RISK}",
                # 0 is how Binance says "none"; as a price it would be the nearest there is.
                lambda row: row.liquidation_price or None,
            ),
            Family(
                f"{_POSITION}_adl_quantile",
                "Place in the auto-deleveraging queue, 0 to 4, higher is deleveraged earlier; absent where not sent",
                f"{_wire(PositionRisk, 'adl_quantile')} of {_RISK}",
                lambda row: None if row.adl_quantile is None else float(row.adl_quantile),
            ),
            *_figures(
                _POSITION,
                PositionRisk,
                _RISK,
                {
                    "open_order_initial_margin": "Initial margin required by the symbol's open orders",
                    "bid_notional": "Value of the open buy orders",
                    "ask_notional": "Value of the open sell orders",
                },
            ),
        ),
    ),
    Group(
        ("margin_asset", "margin_type", "position_side", "symbol"),
        lambda snapshot: [one for one in snapshot.held if one.margin_asset is not None],
        lambda _, position: (
            position.margin_asset,
            "isolated" if position.isolated else "cross",
            position.row.position_side,
            position.row.symbol,
        ),
        (
            Family(
                f"{_POSITION}_info",
                "What the position's money is counted in and its kind of margin, always 1",
                f"marginAsset of {_RISK}, else the asset that the symbol ends with; isolatedWallet of {_POSITION_ROWS}",
                lambda _: 1.0,
            ),
        ),
    ),
    Group(
        ("margin_asset",),
        cross_pools,
        lambda _, pool: (pool.margin_asset,),
        (
            Family(
                "binance_futures_cross_margin_ratio",
                "Margin ratio of the cross pool: maintenance margin of its positions / (crossWalletBalance + "
                "crossUnPnl), in multi-assets mode totalMaintMargin / totalMarginBalance; high is bad, 1 is "
                "liquidation, 0 is nothing at stake",
                _STATUS,
                attrgetter("ratio"),
            ),
        ),
    ),
    Group(
        ("position_side", "symbol"),
        isolated_pools,
        lambda _, pool: (pool.position_side, pool.symbol),
        (
            Family(
                "binance_futures_isolated_margin_ratio",
                "Margin ratio of the isolated position: maintMargin / (isolatedWallet + unrealizedProfit); high is "
                "bad, 1 is liquidation, 0 is nothing at stake",
                _STATUS,
                attrgetter("ratio"),
            ),
        ),
    ),
)


def _one(name: str) -> Callable[[Any, float], Iterable[tuple[tuple[str, ...], Any]]]:
    """Read one attribute of the subject; None is no sample."""
    read = attrgetter(name)

    def samples(subject: Any, _now: float) -> Iterable[tuple[tuple[str, ...], Any]]:
        value = read(subject)
        return () if value is None else (((), value),)

    return samples


def _failures(state: AccountState, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    return (((reason.value,), state.failures[reason]) for reason in Reason)


def _account_info(state: AccountState, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    settings = state.settings
    mode = state.asset_mode or settings.asset_mode or "unknown"
    yield (mode, settings.endpoint.label, settings.credentials.key_type), 1


OF_ACCOUNT: Final = (
    OwnFamily(
        "binance_futures_up",
        "Whether the account's last due poll succeeded (1) or not (0).",
        lambda state, now: (((), state.up(now)),),
    ),
    OwnFamily(
        "binance_futures_account_info",
        "How the account is asked, always 1; asset_mode is single, multi or, until known, unknown.",
        _account_info,
        ("asset_mode", "endpoint", "key_type"),
    ),
    OwnFamily(
        "binance_futures_last_success_timestamp_seconds",
        "When the last successful poll ended, in Unix seconds of this host; absent before the first.",
        _one("last_success_unix"),
    ),
    OwnFamily(
        "binance_futures_polls_total", "Due polls, whether they could be sent or not.", _one("polls"), kind="counter"
    ),
    OwnFamily(
        "binance_futures_poll_failures_total", "Due polls that failed, by reason.", _failures, ("reason",), "counter"
    ),
    OwnFamily(
        "binance_futures_poll_interval_seconds",
        "Seconds between two polls of the account: as configured, or longer where the weight budget demands it.",
        _one("interval_seconds"),
    ),
    OwnFamily(
        "binance_futures_stale_after_seconds",
        "Age in seconds at which the account's last figures vanish, stretched like the interval.",
        _one("stale_after_seconds"),
    ),
)


def _losses(connection: Connection, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    return (((loss.value,), connection.disconnections[loss]) for loss in Loss)


def _pauses(connection: Connection, _now: float) -> Iterable[tuple[tuple[str, ...], bool]]:
    paused = connection.budget.paused
    return (((reason.value,), paused is reason) for reason in (Reason.BANNED, Reason.RATE_LIMITED))


def _ignored(connection: Connection, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    return (((kind.value,), connection.ignored.counts[kind]) for kind in Ignored)


OF_ENDPOINT: Final = (
    OwnFamily(
        "binance_futures_connected",
        "Whether requests can be sent to the endpoint now (1) or not (0).",
        _one("connected"),
    ),
    OwnFamily(
        "binance_futures_connections_total",
        "Connections opened to the endpoint.",
        _one("connections"),
        kind="counter",
    ),
    OwnFamily(
        "binance_futures_disconnections_total",
        "Connections to the endpoint that ended or could not be opened, by reason.",
        _losses,
        ("reason",),
        "counter",
    ),
    OwnFamily(
        "binance_futures_paused",
        "Whether nothing is sent to the endpoint because the exchange refused this IP (1) or not (0), by reason.",
        _pauses,
        ("reason",),
    ),
    OwnFamily(
        "binance_futures_clock_offset_seconds",
        "How far the exchange's clock is ahead of this host's, in seconds; absent until learnt.",
        _one("clock.offset_seconds"),
    ),
    OwnFamily(
        "binance_futures_request_weight_used",
        "Request weight this IP has used in the exchange's current minute, other programs' included "
        "(rateLimits[].count); absent until an answer of this minute tells it.",
        _one("budget.used"),
    ),
    OwnFamily(
        "binance_futures_request_weight_limit",
        "Request weight this IP may use a minute (rateLimits[].limit); absent until told.",
        _one("budget.limit"),
    ),
    OwnFamily(
        "binance_futures_request_weight_spent_total",
        "Request weight this exporter has spent on the endpoint, dials included.",
        _one("budget.spent_total"),
        kind="counter",
    ),
    OwnFamily(
        "binance_futures_frames_ignored_total",
        "Frames from the endpoint that belong to no request, by reason.",
        _ignored,
        ("reason",),
        "counter",
    ),
)


def _durations(program: Program, _now: float) -> Iterable[tuple[tuple[str, ...], Durations]]:
    for method in Method:
        merged = Durations()
        for connection in program.connections:
            merged.add(connection.durations[method])
        yield (method.value,), merged


def _build_info(_program: Program, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    yield (platform.python_version(), exporter.__revision__, exporter.__version__), 1


OF_PROGRAM: Final = (
    OwnFamily(
        "binance_futures_request_duration_seconds",
        "Seconds from sending a request to its answer, by method, of all endpoints.",
        _durations,
        ("method",),
        "histogram",
    ),
    OwnFamily(
        "binance_futures_exporter_build_info",
        "Version of this exporter and of its Python, always 1.",
        _build_info,
        ("python_version", "revision", "version"),
    ),
    OwnFamily(
        "binance_futures_exporter_config_last_reload_successful",
        "Whether the configuration was good when it was last read (1) or not (0).",
        _one("last_reload_succeeded"),
    ),
    OwnFamily(
        "binance_futures_exporter_config_last_reload_success_timestamp_seconds",
        "When a good configuration was last read, in Unix seconds.",
        _one("last_reload_success_unix"),
    ),
)
