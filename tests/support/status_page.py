"""Status pages that are rendered from given states, and parsed."""

from __future__ import annotations

from html.parser import HTMLParser
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from exporter.account.asset_mode import AssetMode
from exporter.account.state import Failure
from exporter.binance.errors import Reason
from exporter.web.page import render_page
from support.builders import make_asset, make_configuration, make_position, make_risk, make_snapshot, make_state
from support.weight import reported

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection

NOW: Final = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC by the clocks of connections
FAILURE: Final = Failure(Reason.RATE_LIMITED, "too many requests (code -1003)", "use a longer interval")
VOID: Final = {"meta", "link", "input"}


class Page(HTMLParser):
    """A parsed page: its texts by row, its tags with their attributes; tags that do not match fail."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert [] == self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag; begin a cell or row."""
        assert len(attrs) == len(dict(attrs))
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Add text to its cell."""
        words = " ".join(data.split())
        if not words or {"style", "meter"} & set(self._open):
            return  # a bar's text is its fallback
        self.texts.append(words)
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {words}".strip()

    def row(self, name: str) -> list[str]:
        """Return the cells of the only row that begins with a name."""
        (row,) = [row for row in self.rows if row[0] == name]
        return row


def page(
    states: Iterable[AccountState] = (),
    connections: Iterable[Connection] = (),
    path: str = "/metrics",
    snapshots: Mapping[str, AccountSnapshot] = MappingProxyType({}),
    **named: AccountSnapshot,
) -> Page:
    """Render a page as of NOW, and parse it."""
    endpoints = [connection.state for connection in connections]
    return Page(render_page(states, endpoints, NOW, path, "1.2.3", {**snapshots, **named}))


def attributes(shown: Page, tag: str) -> dict[str, str | None]:
    """Return the attributes of the first such tag."""
    return next(attrs for name, attrs in shown.tags if name == tag)


def state(word: str, name: str = "main", **settings: Any) -> AccountState:
    """Make an account that the page shows in a state."""
    if word == "waiting":
        return make_state(name, **settings)
    account = make_state(name, answered_at={"stale": NOW - 120, "down": None}.get(word, NOW - 15), **settings)
    if account.answered_at is not None:
        account.open_positions, account.asset_mode = 1234, AssetMode.MULTI
    if word != "up":
        account.first_poll_finished, account.last_poll_succeeded, account.last_failure = True, False, FAILURE
    return account


def at_risk(symbol: str = "BTCUSDT") -> AccountSnapshot:
    """Make a snapshot of two cross positions, an isolated one without a liquidation price, and open orders alone."""
    return make_snapshot(
        [
            make_asset("USDT", cross_wallet_balance=100.0, cross_unrealized_pnl=-20.0),
            make_asset("BNB", cross_wallet_balance=5.0, cross_unrealized_pnl=0.0),
        ],
        [
            make_position(symbol, amount=77.0, maintenance_margin=6.0, unrealized_pnl=-20.0, notional=8765.0),
            make_position("ETHUSDT", "SHORT", -3.0, maintenance_margin=2.0),
            make_position("SOLUSDT", maintenance_margin=8.1, isolated_wallet_balance=50.0, unrealized_pnl=-40.0),
            make_position("XRPUSDT", amount=0.0),
        ],
        [
            make_risk(symbol, mark_price=100.0, liquidation_price=90.0, adl_quantile=2, margin_asset="USDT"),
            make_risk("ETHUSDT", "SHORT", -1.0, mark_price=4000.0, liquidation_price=4010.0, margin_asset="USDT"),
            make_risk("SOLUSDT", mark_price=150.5, liquidation_price=0.0, adl_quantile=0, margin_asset="USDT"),
            make_risk("XRPUSDT", amount=0.0, mark_price=2.5, liquidation_price=2.4),
        ],
        asset_mode=AssetMode.SINGLE,
        configuration=make_configuration(25),
    )


def cross_position(ratio: float = 0.1, distance: float | None = 0.2) -> AccountSnapshot:
    """Make a snapshot of a long cross position; its distance to liquidation is missing if it is None."""
    return make_snapshot(
        [make_asset("USDT", cross_wallet_balance=100.0, cross_unrealized_pnl=0.0)],
        [make_position(maintenance_margin=100 * ratio)],
        [] if distance is None else [make_risk(mark_price=100.0, liquidation_price=100 * (1 - distance))],
        asset_mode=AssetMode.SINGLE,
    )


def isolated_positions(count: int, ratio: float = 0.5) -> AccountSnapshot:
    """Make a snapshot of isolated positions with the same margin ratio."""
    positions = [
        make_position(
            f"S{number:02}USDT", maintenance_margin=ratio * 2, isolated_wallet_balance=2.0, unrealized_pnl=0.0
        )
        for number in range(count)
    ]
    return make_snapshot([make_asset()], positions)


def with_used_weight(connection: Connection, count: int | None, limit: int | None) -> Connection:
    """Let a connection know the IP's request weight of this minute."""
    budget = connection.budget
    budget.limit = limit
    if count is not None:
        budget.settle(budget._book(1), reported(count, limit or 0))
    return connection
