"""The dashboard of all accounts at a glance: who is down, who is close to liquidation, who loses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monitoring.dashboards import panels as p
from monitoring.dashboards import queries as q
from monitoring.dashboards.layout import Band, choices, dashboard, link_to
from monitoring.dashboards.tables import Column, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

UID: Final = "binance-futures-accounts"
_DOWN: Final = "No figures: no account chosen, or all of them down"
_FLAT: Final = "No position with a liquidation price known"
_LOST: Final = "Figures of an account that cannot be polled vanish after its `stale_after`."

_SUMMARY: Final = (
    (
        4,
        p.number(
            "Accounts polled",
            "Accounts that an exporter is configured to poll, whether they can be polled or not.",
            p.Query(f"count({q.one('up')})"),
            absent="none",
        ),
    ),
    (
        4,
        p.number(
            "Accounts down",
            f"Accounts whose last due poll failed. {_LOST}",
            p.Query(f"sum(1 - {q.one('up')})"),
            steps=p.ANY_IS_BAD,
            absent="none known",
        ),
    ),
    (
        4,
        p.number(
            "Worst margin ratio",
            "The highest margin ratio of any cross or isolated pool: maintenance margin over equity. High is bad, "
            "100 % is "
            "liquidation, 0 % is nothing at stake. The history behind it is drawn no higher than 200 %.",
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
        4,
        p.number(
            "Open positions",
            "Symbols and sides with a position, of all accounts chosen whose figures are there.",
            p.Query(f"sum({q.one('account_open_positions')})"),
            absent="unknown",
        ),
    ),
    (
        4,
        p.number(
            "Oldest figures",
            "Time since the last successful poll of the account that waits longest.",
            p.Query(f"max({q.age()})"),
            unit=p.SECONDS,
            decimals=0,
            steps=((None, "green"), (60, "orange"), (300, "red")),
            absent="never polled",
        ),
    ),
)

_MONEY: Final = (
    (
        8,
        p.number(
            "Equity",
            "Margin balance of the accounts chosen: wallet balance plus unrealized profit and loss, summed for each "
            "currency "
            "alone. USDT is what single-asset accounts tell (their USDT only), USD the value that multi-assets "
            "accounts tell.",
            p.Query(q.totals("margin_balance"), "{{currency}}"),
            unit=p.MONEY,
            decimals=2,
            absent="unknown",
            sparkline=True,
            text=p.VALUE_AND_NAME,
        ),
    ),
    (
        8,
        p.number(
            "Unrealized PnL",
            "Unrealized profit and loss of the accounts chosen, summed for each currency alone.",
            p.Query(q.totals("unrealized_pnl"), "{{currency}}"),
            unit=p.MONEY,
            decimals=2,
            steps=p.PROFIT,
            absent="unknown",
            sparkline=True,
            text=p.VALUE_AND_NAME,
        ),
    ),
    (
        8,
        p.number(
            "Available for new positions",
            "Available balance of the accounts chosen, summed for each currency alone.",
            p.Query(q.totals("available_balance"), "{{currency}}"),
            unit=p.MONEY,
            decimals=2,
            absent="unknown",
            sparkline=True,
            text=p.VALUE_AND_NAME,
        ),
    ),
)

_TABLE: Final = rows(
    "Accounts",
    "One row an account, those that are down first, then by the worst margin ratio. A dash: nothing is known, "
    "because the "
    f"account is down, or there is none, as a liquidation price without a position. {_LOST} Click an account to see "
    "it alone.",
    [
        Column("Account", "account", link=("Show this account", link_to("binance-futures-account", "account"))),
        Column("State", expression=q.one("up"), mappings=p.UP, width=75),
        Column(
            "Worst margin ratio",
            expression=q.margin_ratio(),
            unit=p.PART,
            decimals=1,
            steps=p.MARGIN_RATIO,
            mappings=p.RATIO_WORDS,
            width=155,
        ),
        Column(
            "Nearest liquidation",
            expression=q.distance("account"),
            unit=p.PART,
            decimals=2,
            steps=p.DISTANCE,
            width=155,
        ),
        Column("Positions", expression=q.one("account_open_positions"), width=90),
        Column("Equity", expression=q.total("margin_balance"), unit=p.MONEY, decimals=2, width=125),
        Column("Currency", "currency", width=90),
        Column(
            "Unrealized PnL", expression=q.total("unrealized_pnl"), unit=p.MONEY, decimals=2, steps=p.PROFIT, width=130
        ),
        Column("PnL / wallet", expression=q.pnl_over_wallet(), unit=p.PART, decimals=1, steps=p.PROFIT, width=105),
        Column("Available", expression=q.total("available_balance"), unit=p.MONEY, decimals=2, width=125),
        Column("Can be withdrawn", expression=q.total("max_withdraw_amount"), unit=p.MONEY, decimals=2, width=140),
        Column("Age of figures", expression=q.age(), unit=p.SECONDS, decimals=0, width=120),
    ],
    sort=[("State", False), ("Worst margin ratio", True)],
    absent="No account",
)

_TEN: Final = "At most ten accounts: those that went furthest within the time shown."
_RATIO: Final = f"clamp_max({q.margin_ratio()}, 2)"

_CHARTS: Final = (
    (
        12,
        p.lines(
            "Worst margin ratio by account",
            "The worst margin ratio over an account's cross and isolated pools; 100 % is liquidation. Drawn no "
            "higher than "
            f"200 %, also where no equity is left. {_TEN}",
            p.Query(q.foremost(10, _RATIO, "account"), "{{account}}"),
            unit=p.PART,
            decimals=1,
            steps=p.MARGIN_RATIO,
            least=0,
            soft=(None, 1.05),
            absent=_DOWN,
        ),
    ),
    (
        12,
        p.lines(
            "Nearest liquidation by account",
            "The shortest way from a mark price to Binance's own liquidation price, as a part of the mark price; 0 % "
            "is "
            f"liquidation. Beyond 25 % the line leaves the picture. {_TEN}",
            p.Query(q.foremost(10, q.distance("account"), "account", least=True), "{{account}}"),
            unit=p.PART,
            decimals=2,
            steps=p.DISTANCE_LINES,
            least=0,
            most=0.25,
            absent=_FLAT,
            calcs=("lastNotNull", "min"),
            lowest_first=True,
        ),
    ),
)

_MORE_CHARTS: Final = (
    (
        12,
        p.lines(
            "Unrealized PnL over wallet balance",
            "Unrealized profit and loss as a part of the wallet balance, which no currency keeps from comparing. "
            f"{_TEN}",
            p.Query(q.foremost(10, q.pnl_over_wallet(), "account", least=True), "{{account}}"),
            unit=p.PART,
            decimals=1,
            steps=((None, "transparent"), (-p.ALERTS_AT["unrealized_loss"], "red")),
            absent=_DOWN,
            calcs=("lastNotNull", "min"),
            lowest_first=True,
        ),
    ),
    (
        12,
        p.lines(
            "Failed polls by account and reason",
            "Due polls that failed or could not be sent, a minute. The reasons are explained by "
            "`binance-futures-exporter "
            "check` and the exporter's own page.",
            p.Query(
                f"sum by (account, reason) (\n  60 * rate({q.of('poll_failures_total')}[$__rate_interval])\n) > 0",
                "{{account}} {{reason}}",
            ),
            absent="No poll failed",
            as_bars=True,
            least=0,
            calcs=("lastNotNull", "max"),
        ),
    ),
)


def accounts() -> Dashboard:
    """Make the dashboard."""
    return dashboard(
        UID,
        "Binance futures / Accounts",
        "All accounts at a glance: health, margin ratios, nearest liquidation, equity and unrealized PnL.",
        choices("account", all_of=["account"]),
        [
            Band(4, _SUMMARY),
            Band(4, _MONEY),
            Band(8, [(24, _TABLE)]),
            Band(10, _CHARTS),
            Band(10, _MORE_CHARTS),
        ],
    )
