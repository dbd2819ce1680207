"""The status page's HTML, rendered from made-up states: its content, what it must not show, and its validity."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.builders import (
    ENDPOINT,
    make_asset,
    make_connection,
    make_position,
    make_risk,
    make_snapshot,
    make_state,
)
from support.clocks import Clock

from exporter.account.asset_mode import AssetMode
from exporter.account.state import Failure
from exporter.binance.dialing import Endpoint
from exporter.binance.errors import Reason
from exporter.binance.messages import RateLimit
from exporter.formatting import escape_unprintable, format_duration
from exporter.web.page import render_page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection

NOW: Final = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC by the clocks of connections
FAILURE: Final = Failure(Reason.RATE_LIMITED, "too many requests (code -1003)", "use a longer interval")
VOID: Final = {"meta"}
NO_RISK: Final = ("unknown", "unknown")
HOSTILE: Final = [
    "<script>alert(1)</script>",
    "</td></table><h1>x</h1>",
    "\"' onclick='x' {{ 7 * 7 }} {% raw %} &amp;",
    "שלום \u202ertl\u202c עולם",
    "n" * 100,
    "币安人生",
    "BTC\x1b[31m\r\n\x85\u2028\u2066USDT\u200b\x00",
]


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
    **snapshots: AccountSnapshot,
) -> Page:
    """Render a page as of NOW, and parse it."""
    return Page(render_page(states, [connection.state for connection in connections], NOW, path, "1.2.3", snapshots))


def state(word: str, name: str = "main", **settings: Any) -> AccountState:
    """Make an account that the page shows in a state."""
    if word == "waiting":
        return make_state(name, **settings)
    account = make_state(name, answered_at={"stale": NOW - 60, "down": None}.get(word, NOW - 15), **settings)
    if account.answered_at is not None:
        account.open_positions, account.asset_mode = 1234, AssetMode.MULTI
    if word != "up":
        account.first_poll_finished, account.last_poll_succeeded, account.last_failure = True, False, FAILURE
    return account


@pytest.mark.parametrize(
    ("word", "cells"),
    [
        ("up", ["● up", "15 seconds", "1,234", *NO_RISK, "localhost:1", "HMAC", "multi-assets"]),
        (
            "failing",
            [
                *("▲ failing data expires in 45 seconds", "15 seconds", "1,234"),
                *(*NO_RISK, "localhost:1", "HMAC", "multi-assets"),
            ],
        ),
        (
            "stale",
            ["■ stale data expired", "1 minute", "unknown", *NO_RISK, "localhost:1", "HMAC", "multi-assets"],
        ),
        (
            "down",
            ["✕ down no successful poll yet", "no data yet", "unknown", *NO_RISK, "localhost:1", "HMAC", "unknown"],
        ),
        (
            "waiting",
            ["○ waiting first poll pending", "no data yet", "unknown", *NO_RISK, "localhost:1", "HMAC", "unknown"],
        ),
    ],
)
def test_states(word: str, cells: list[str]) -> None:
    """Each state is a word with a mark, and values are shown only as long as the metrics have them."""
    shown = page([state(word)])
    failure = "Last failure (rate limited): too many requests (code -1003) What to do: use a longer interval"

    assert ["main", *cells] == shown.row("main")
    assert (word in {"failing", "stale", "down"}) is ([failure] in shown.rows)


def test_a_failure_that_is_over_is_not_shown() -> None:
    """An account that has recovered no longer shows its last failure, nor does one whose good answer grew old."""
    recovered, grown_old = state("up", "recovered"), state("up", "grown old")
    recovered.last_failure = grown_old.last_failure = FAILURE
    grown_old.answered_at, grown_old.stale_at = NOW - 3600, NOW - 3540
    shown = page([recovered, grown_old])

    assert "● up" == shown.row("recovered")[1]
    assert "■ stale data expired" == shown.row("grown old")[1]
    assert FAILURE.message not in shown.texts


def test_flat_is_not_unknown() -> None:
    """Without open positions their number is 0."""
    flat = state("up")
    flat.open_positions = 0

    assert "0" == page([flat]).row("main")[3]


def test_configured_asset_mode() -> None:
    """Before the asset mode is detected, the configured one is shown."""
    assert "single-asset" == page([state("waiting", asset_mode=AssetMode.SINGLE)]).row("main")[8]


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
    )


def test_risk() -> None:
    """An account shows its highest margin ratio and nearest liquidation, and pools and positions in that order."""
    shown = page([state("up")], main=at_risk())
    table = shown.rows.index(["Pool", "Margin type", "Margin ratio"])

    assert ["81.0 % ■ critical", "0.25 % away ETHUSDT SHORT"] == shown.row("main")[4:6]
    assert [
        ["SOLUSDT BOTH", "isolated", "81.0 % ■ critical"],
        ["USDT", "cross", "10.0 % ● normal"],
        [
            "Symbol",
            "Side",
            "Margin type",
            "Margin asset",
            "Mark price",
            "Liquidation price",
            "Distance",
            "ADL quantile",
        ],
        ["ETHUSDT", "SHORT", "cross", "USDT", "4,000.00", "4,010.00", "0.25 %", "unknown"],
        ["SOLUSDT", "BOTH", "isolated", "USDT", "150.50", "none", "none", "0 of 4"],
        ["BTCUSDT", "BOTH", "cross", "USDT", "100.00", "90.00", "10.00 %", "2 of 4"],
    ] == shown.rows[table + 1 :]
    assert "Not shown: 1 without risk." in shown.texts
    assert {"open": None} == attributes(shown, "details")


def test_risk_of_the_worst_account_comes_first() -> None:
    """The account with the highest ratio is first; one whose ratio is unknown is collapsed and last."""
    other = make_snapshot([make_asset()], [make_position(amount=1.0)], asset_mode=AssetMode.SINGLE)
    shown = page([state("up", "other"), state("up")], other=other, main=at_risk())

    assert [{"open": None}, {}] == [attrs for tag, attrs in shown.tags if tag == "details"]
    assert ["unknown", "unknown"] == shown.row("other")[4:6]
    assert shown.texts.index("81.0 %, critical") < shown.texts.index("margin ratio unknown")


@pytest.mark.parametrize("word", ["stale", "down", "waiting"])
def test_no_risk_of_stale_data(word: str) -> None:
    """A snapshot that is not fresh is not shown."""
    shown = page([state(word)], main=at_risk())

    assert [*NO_RISK] == shown.row("main")[4:6]
    assert not {"details", "meter"} & {tag for tag, _ in shown.tags}
    assert "BTCUSDT" not in shown.texts


@pytest.mark.parametrize(
    ("wallet", "words", "value"),
    [
        (11.429, "69.9 % ● normal", 0.69997),
        (11.428, "70.0 % ▲ warning", 0.70003),
        (10.0, "80.0 % ▲ warning", 0.8),
        (8.0001, "99.9 % ■ critical", 0.99998),
        (8.0, "100.0 % ■ critical", 1.0),
        (4.0, "200.0 % ■ critical", 1.0),
        (0.001, "over 9,999 % ■ critical", 1.0),
        (0.0, "infinite ■ critical", 1.0),
    ],
)
def test_texts_of_ratios(wallet: float, words: str, value: float) -> None:
    """A ratio is a number rounded down, a mark with a word and a bar that ends at liquidation."""
    usdt = make_asset("USDT", cross_wallet_balance=wallet, cross_unrealized_pnl=0.0)
    position = make_position(maintenance_margin=8.0)
    shown = page([state("up")], main=make_snapshot([usdt], [position], asset_mode=AssetMode.SINGLE))
    meter = attributes(shown, "meter")

    assert [words, "unknown"] == shown.row("main")[4:6]
    assert value == pytest.approx(float(meter.pop("value") or ""), abs=1e-5)
    expected = {"aria-label": "Worst margin ratio of main", "min": "0", "max": "1"}
    assert expected | {"low": "0.7", "high": "0.8", "optimum": "0"} == meter


def test_flat_account_has_no_details() -> None:
    """An account without positions has no risk, no liquidation and no tables."""
    usdt = make_asset("USDT", cross_wallet_balance=100.0, cross_unrealized_pnl=0.0)
    shown = page([state("up")], main=make_snapshot([usdt], asset_mode=AssetMode.SINGLE))

    assert ["0.0 % ● normal", "none"] == shown.row("main")[4:6]
    assert "details" not in [tag for tag, _ in shown.tags]


def test_many_positions_are_counted() -> None:
    """Of many positions and pools the worst fifty are shown, and the rest are counted."""
    positions = [
        make_position(f"S{number:02}USDT", maintenance_margin=1.0, isolated_wallet_balance=2.0, unrealized_pnl=0.0)
        for number in range(70)
    ]
    shown = page([state("up")], main=make_snapshot([make_asset()], positions))

    assert {"Not shown: 20 with lower ratios; 1 without risk.", "Not shown: 20 further from liquidation."} <= {
        *shown.texts
    }
    assert 50 == len([row for row in shown.rows if row[0].endswith("USDT")])


@pytest.mark.parametrize("symbol", HOSTILE)
def test_hostile_symbols(symbol: str) -> None:
    """Markup, quotes, foreign scripts and length in a symbol stay text; control and bidi characters are escaped."""
    shown = page([state("up")], main=at_risk(symbol))

    assert [tag for tag, _ in page([state("up")], main=at_risk()).tags] == [tag for tag, _ in shown.tags]
    assert escape_unprintable(symbol) == shown.row(escape_unprintable(symbol))[0]


def test_no_money() -> None:
    """The page shows no balances, sizes or profits."""
    html = render_page([state("up")], [], NOW, "/metrics", "1.2.3", {"main": at_risk()})

    assert not [figure for figure in ("77.0", "8765", "8,765", "-20", "-40", "100.0<", "6.0<") if figure in html]


def test_accounts_with_problems_come_first() -> None:
    """Of a hundred accounts those with problems are first, sorted by severity, and the summary counts them."""
    states = [state("up", f"account {number}") for number in range(96)]
    words = {"waiting": 10, "failing": 30, "stale": 50, "down": 70}
    for word, place in words.items():
        states.insert(place, state(word, word))
    shown = page(states)
    names = [row[0] for row in shown.rows[1:] if len(row) > 1]

    assert ["down", "stale", "failing", "waiting", *(f"account {number}" for number in range(96))] == names
    summary = shown.texts.index("Accounts") + 1
    assert ["96 of 100 accounts up", "1 down", "1 stale", "1 failing", "1 waiting"] == shown.texts[
        summary : summary + 5
    ]
    assert "96 of 100 accounts up · Binance Futures Exporter" in shown.texts


@pytest.mark.parametrize(
    ("words", "summary"), [(["up"], "1 of 1 accounts up"), (["down"], "0 of 1 accounts up"), ([], "0 of 0 accounts up")]
)
def test_few_accounts(words: list[str], summary: str) -> None:
    """One account is singular; without accounts there is a text instead of a table."""
    shown = page(state(word) for word in words)

    assert f"{summary} · Binance Futures Exporter" in shown.texts
    assert (not words) is ("No accounts to poll." in shown.texts)
    assert bool(words) is bool(shown.rows)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts(name: str) -> None:
    """Markup, quotes, foreign scripts and control characters in a name, an endpoint or a failure stay text."""
    endpoint = Endpoint(name, "ws://localhost:1/")
    troubled = state("failing", name, endpoint=endpoint)
    troubled.last_failure = Failure(Reason.EXCHANGE, name, "wait")
    connection = used(make_connection(endpoint, Clock(NOW)), 1, 2400)
    shown = page([troubled], [connection])
    plain = page([state("failing")], [used(make_connection(ENDPOINT, Clock(NOW)), 1, 2400)])

    name = escape_unprintable(name)
    accounts, endpoints = [row for row in shown.rows if row[0] == name]
    assert name == accounts[6]
    assert [f"Last failure (exchange): {name} What to do: wait"] in shown.rows
    assert "1 of 2,400" == endpoints[4]
    assert {"aria-label": f"Request weight used of {name}"}.items() <= dict(attributes(shown, "meter")).items()
    assert [tag for tag, _ in plain.tags] == [tag for tag, _ in shown.tags]


def test_nothing_secret() -> None:
    """The page shows no keys, no addresses with their paths and no proxy's password."""
    endpoint = Endpoint(
        "mainnet via proxy:3128", "wss://exchange.test/secret-path?x", "http://user:password@proxy:3128"
    )
    account = state("failing", endpoint=endpoint)
    html = render_page([account], [make_connection(endpoint, Clock(NOW)).state], NOW, "/metrics", "1.2.3")
    kept = [account.settings.credentials.api_key.reveal(), "secret key", "exchange.test", "secret-path", "password"]

    assert "mainnet via proxy:3128" in html
    assert [] == [text for text in kept if text in html]
    assert "://" not in html


def test_endpoint_before_the_first_response() -> None:
    """Before the first response, clock and weight are unknown, without a bar that could be mistaken for empty."""
    shown = page(connections=[make_connection(monotonic=Clock(NOW))])

    assert ["localhost:1", "✕ not connected", "not paused", "unknown", "unknown"] == shown.row("localhost:1")
    assert not [tag for tag, _ in shown.tags if tag == "meter"]


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (0.0421, "host 0.042 s behind exchange"),
        (-2.5, "host 2.500 s ahead of exchange"),
        (0.0, "host and exchange agree"),
    ],
)
def test_clock(ahead: float, words: str) -> None:
    """The clock's offset is shown with its direction."""
    connection = make_connection(monotonic=Clock(NOW))
    connection.clock.synchronize(round((NOW + ahead) * 1000), NOW, NOW)

    assert words == page(connections=[connection]).row("localhost:1")[3]


@pytest.mark.parametrize(
    ("count", "limit", "words", "bars"),
    [
        (1234, 2400, "1,234 of 2,400", 1),
        (3000, 2400, "3,000 of 2,400", 1),
        (0, 2400, "0 of 2,400", 1),
        (None, 2400, "unknown of 2,400", 0),
        (12, None, "12 (limit unknown)", 0),
        (None, None, "unknown", 0),
    ],
)
def test_request_weight(count: int | None, limit: int | None, words: str, bars: int) -> None:
    """Used weight is a bar and a text; if it was not reported it is unknown, without a bar."""
    shown = page(connections=[used(make_connection(monotonic=Clock(NOW)), count, limit)])

    assert words == shown.row("localhost:1")[4]
    assert bars == len([tag for tag, _ in shown.tags if tag == "meter"])


def test_bar() -> None:
    """The bar has a high mark, and its optimum is low."""
    meter = attributes(page(connections=[used(make_connection(monotonic=Clock(NOW)), 1234, 2400)]), "meter")

    assert {"value": "1234", "min": "0", "max": "2400", "low": "1440.0", "high": "2160.0", "optimum": "0"} == {
        name: value for name, value in meter.items() if name != "aria-label"
    }


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Reason.BANNED, "IP banned by the exchange"),
        (Reason.RATE_LIMITED, "rate limit exceeded"),
    ],
)
def test_pause(reason: Reason, words: str) -> None:
    """A pause is shown first, with its reason, its end by the exchange's clock and its duration."""
    paused = make_connection(Endpoint("paused", "ws://localhost:2/"), Clock(NOW))
    paused.budget.pause(reason, int((NOW + 3723) * 1000))
    connected = make_connection(monotonic=Clock(NOW))
    connected._current.link = object()  # type: ignore[assignment]
    shown = page([state("up")], [connected, paused])

    until = "2023-11-14 23:15:24 UTC (1 hour 2 minutes left)"
    assert f"■ paused {words}; until {until}" == shown.row("paused")[2]
    assert ["● connected", "not paused"] == shown.row("localhost:1")[1:3]
    assert ["paused", "localhost:1"] == [row[0] for row in shown.rows[-2:]]
    assert "1 of 2 endpoints not connected or paused" in shown.texts


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1.0, "0 seconds"),
        (0.99, "0 seconds"),
        (1.5, "1 second"),
        (59.9, "59 seconds"),
        (60.0, "1 minute"),
        (125.0, "2 minutes 5 seconds"),
        (3600.0, "1 hour"),
        (3605.0, "1 hour"),
        (7260.0, "2 hours 1 minute"),
        (90000.0, "1 day 1 hour"),
        (86400.0 * 400 + 59, "400 days"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """A duration is shown in its two largest adjacent units, rounded down."""
    assert words == format_duration(seconds)


def test_page_is_accessible() -> None:
    """The page has a language, one main heading, captions, headers with a scope, and no script."""
    connection = used(make_connection(monotonic=Clock(NOW)), 1, 2400)
    states = [state(word, word) for word in ("up", "failing", "stale", "down", "waiting")]
    shown = page(states, [connection], up=at_risk())
    tags = [tag for tag, _ in shown.tags]

    assert {"lang": "en"} == attributes(shown, "html")
    assert [1, 3, 4, 4, 0] == [tags.count(tag) for tag in ("h1", "h2", "table", "caption", "script")]
    assert {"col", "row", "rowgroup"} == {attrs.get("scope") for tag, attrs in shown.tags if tag == "th"}
    assert ("meta", {"http-equiv": "refresh", "content": "15"}) in shown.tags
    assert "Version 1.2.3" in shown.texts


def test_links() -> None:
    """Links are relative, so that they also work behind a path prefix."""
    links = [attrs["href"] for tag, attrs in page(path="/a/b").tags if tag == "a"]

    assert ["./a/b", "./-/healthy", "./-/ready"] == links


def attributes(shown: Page, tag: str) -> dict[str, str | None]:
    """Return the attributes of the first such tag."""
    return next(attrs for name, attrs in shown.tags if name == tag)


def used(connection: Connection, count: int | None, limit: int | None) -> Connection:
    """Let a connection know the IP's request weight of this minute."""
    budget = connection.budget
    budget.limit = limit
    if count is not None:
        reservation = budget._book(1)
        rate_limit = RateLimit(kind="REQUEST_WEIGHT", interval="MINUTE", interval_num=1, limit=limit or 0, count=count)
        budget.settle(reservation, rate_limit)
    return connection
