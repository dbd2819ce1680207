"""The dashboard of one account, or a few: pools, positions by distance to liquidation, balances, exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from monitoring.dashboards import panels as p
from monitoring.dashboards import queries as q
from monitoring.dashboards.balances import BALANCES, EQUITY_AND_ORDERS
from monitoring.dashboards.layout import Band, choices, dashboard, link_to
from monitoring.dashboards.tables import Column, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

UID: Final = "binance-futures-account"
_DOWN: Final = "No figures: the account is down"
_FLAT: Final = "No open position known"
_ONE: Final = "account, symbol, position_side"
_NAME: Final = "{{account}} {{symbol}} {{position_side}}"

_SUMMARY: Final = (
    (
        3,
        p.number(
            "State",
            "Whether the last due poll succeeded; of several accounts, the worst.",
            p.Query(f"min({q.one('up')})"),
            mappings=p.UP,
            absent="not polled",
        ),
    ),
    (
        3,
        p.number(
            "Age of figures",
            "Time since the last successful poll; of several accounts, the longest.",
            p.Query(f"max({q.age()})"),
            unit=p.SECONDS,
            decimals=0,
            steps=((None, "green"), (60, "orange"), (300, "red")),
            absent="never polled",
        ),
    ),
    (
        4,
        p.number(
            "Worst margin ratio",
            "The highest margin ratio over the cross and isolated pools: maintenance margin over equity. High is "
            "bad, 100 % is "
            "liquidation, 0 % is nothing at stake.",
            p.Query(f"max({q.margin_ratio()})"),
            unit=p.PART,
            decimals=1,
            steps=p.MARGIN_RATIO,
            mappings=p.RATIO_WORDS,
            absent="unknown",
        ),
    ),
    (
        4,
        p.number(
            "Nearest liquidation",
            "The shortest way from a mark price to Binance's own liquidation price, as a part of the mark price.",
            p.Query(f"min({q.distance('account')})"),
            unit=p.PART,
            decimals=2,
            steps=p.DISTANCE,
            absent="none known",
        ),
    ),
    (
        5,
        p.number(
            "Equity",
            "Margin balance: wallet balance plus unrealized profit and loss, by currency. In single-asset mode it is "
            "the "
            "exchange's figure for USDT alone: other assets are under Balances.",
            p.Query(q.totals("margin_balance"), "{{currency}}"),
            unit=p.MONEY,
            decimals=2,
            absent="unknown",
            sparkline=True,
            text=p.VALUE_AND_NAME,
        ),
    ),
    (
        5,
        p.number(
            "Unrealized PnL",
            "Unrealized profit and loss of all positions, by currency.",
            p.Query(q.totals("unrealized_pnl"), "{{currency}}"),
            unit=p.MONEY,
            decimals=2,
            steps=p.PROFIT,
            absent="unknown",
            sparkline=True,
            text=p.VALUE_AND_NAME,
        ),
    ),
)

_PRICE: Final[dict[str, Any]] = {"unit": p.MONEY, "decimals": 8}

_POSITIONS: Final = rows(
    "Positions, the nearest to liquidation first",
    "Every open position. Distance is the way from the mark price to Binance's own liquidation price, as a part of "
    "the mark "
    "price; none where Binance tells no such price. The margin ratio is that of the pool the position belongs to, "
    "which all "
    "cross positions of a margin asset share. Leverage is the notional over the initial margin in use. Notional and "
    "PnL are in "
    "the asset beside them. Side is BOTH in one-way mode. ADL 4 is deleveraged first.",
    [
        Column("Account", "account", link=("Show this account", link_to(UID, "account"))),
        Column(
            "Symbol", "symbol", link=("Show this symbol", link_to(UID, "symbol") + "&${account:queryparam}"), width=130
        ),
        Column("Side", "position_side", width=70),
        Column("Margin", "margin_type", width=78),
        Column(
            "Distance",
            expression=q.distance_or_infinite(),
            unit=p.PART,
            decimals=2,
            steps=p.DISTANCE,
            mappings=p.DISTANCE_WORDS,
            width=85,
        ),
        Column(
            "Margin ratio",
            expression=q.position_margin_ratio(),
            unit=p.PART,
            decimals=1,
            steps=p.MARGIN_RATIO,
            mappings=p.RATIO_WORDS,
            width=105,
        ),
        Column("Amount", expression=q.position("amount"), steps=p.PROFIT, **_PRICE, width=90),
        Column("Entry", expression=q.position("entry_price"), **_PRICE, width=100),
        Column("Break-even", expression=q.seven_digits(q.position("break_even_price")), **_PRICE, width=100),
        Column("Mark", expression=q.position("mark_price"), **_PRICE, width=100),
        Column("Liquidation", expression=q.seven_digits(q.position("liquidation_price")), **_PRICE, width=100),
        Column("Notional", expression=q.position("notional"), unit=p.MONEY, decimals=2, width=110),
        Column(
            "Unrealized PnL",
            expression=q.position("unrealized_pnl"),
            unit=p.MONEY,
            decimals=2,
            steps=p.PROFIT,
            width=118,
        ),
        Column("Asset", "margin_asset", width=65),
        Column("Leverage", expression=q.leverage(), unit="suffix:x", decimals=1, width=80),
        Column("ADL", expression=q.position("adl_quantile"), decimals=0, steps=((None, "text"), (4, "red")), width=50),
        Column(
            "Kind", expression=q.one("position_info", f"{_ONE}, margin_asset, margin_type", q.POSITION), hidden=True
        ),
    ],
    sort=[("Distance", False)],
    absent=_FLAT,
)

_TEN: Final = "At most ten: those that went furthest within the time shown."
_CROSS: Final = f"clamp_max({q.one('cross_margin_ratio', 'account, margin_asset')} > 0, 2)"
_ISOLATED: Final = f"clamp_max({q.one('isolated_margin_ratio', _ONE, q.POSITION)}, 2)"

_RISK: Final = (
    (
        12,
        p.lines(
            "Margin ratio by pool",
            "Maintenance margin over equity of each cross pool (by margin asset; USD in multi-assets mode) and each "
            "isolated "
            "position; 100 % is liquidation. Drawn no higher than 200 %, also where no equity is left; pools with "
            "nothing at "
            f"stake are left out. {_TEN}",
            p.Query(
                q.foremost(10, _CROSS, "account, margin_asset"),
                "{{account}} cross {{margin_asset}}",
            ),
            p.Query(q.foremost(10, _ISOLATED, _ONE), _NAME),
            unit=p.PART,
            decimals=1,
            steps=p.MARGIN_RATIO,
            least=0,
            soft=(None, 1.05),
            absent="Nothing at stake, or the account is down",
        ),
    ),
    (
        12,
        p.lines(
            "Distance to liquidation by position",
            "The way from the mark price to Binance's own liquidation price, as a part of the mark price; 0 % is "
            "liquidation. "
            f"Beyond 25 % the line leaves the picture. {_TEN}",
            p.Query(q.foremost(10, q.distance(where=q.POSITION), _ONE, least=True), _NAME),
            unit=p.PART,
            decimals=2,
            steps=p.DISTANCE_LINES,
            least=0,
            most=0.25,
            absent="No position with a liquidation price known",
            calcs=("lastNotNull", "min"),
            lowest_first=True,
        ),
    ),
)

_PNL: Final = q.in_margin_asset("unrealized_pnl")
_NOTIONAL: Final = q.in_margin_asset("notional")

_MONEY: Final = (
    (
        12,
        p.lines(
            "Unrealized PnL by position",
            "Unrealized profit and loss of each position, in its margin asset. Closed ones keep their last value in "
            f"the table below. {_TEN}",
            p.Query(q.foremost(10, _PNL, _ONE, ranked_by=f"abs({_PNL})"), _NAME + " ({{margin_asset}})"),
            unit=p.MONEY,
            decimals=2,
            absent=_FLAT,
            calcs=("lastNotNull", "min", "max"),
            lowest_first=True,
        ),
    ),
    (
        12,
        p.lines(
            "Exposure by margin asset",
            "Value of the positions at the mark price, for each margin asset alone: what is long, what is short "
            "(negative), and "
            "the two together. In multi-assets mode each position still counts in its own margin asset.",
            p.Query(f"sum by (margin_asset) (clamp_min({_NOTIONAL}, 0))", "long {{margin_asset}}"),
            p.Query(f"sum by (margin_asset) (clamp_max({_NOTIONAL}, 0))", "short {{margin_asset}}"),
            p.Query(f"sum by (margin_asset) ({_NOTIONAL})", "net {{margin_asset}}"),
            unit=p.MONEY,
            decimals=0,
            absent=_FLAT,
            fill=5,
            calcs=("lastNotNull", "min", "max"),
        ),
    ),
)


def account() -> Dashboard:
    """Make the dashboard."""
    return dashboard(
        UID,
        "Binance futures / Account",
        "One account, or a few: margin pools, positions by distance to liquidation, PnL, exposure, balances, open "
        "orders.",
        choices("account", "symbol", all_of=["symbol"]),
        [
            Band(4, _SUMMARY),
            Band(8, [(24, _POSITIONS)]),
            Band(11, _RISK),
            Band(11, _MONEY),
            Band(7, [(24, BALANCES)]),
            Band(10, EQUITY_AND_ORDERS),
        ],
    )
