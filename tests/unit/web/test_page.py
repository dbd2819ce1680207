"""The status page's HTML, rendered from made-up states: its content, what it must not show, and its validity."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.builders import (
    ENDPOINT,
    make_asset,
    make_configuration,
    make_connection,
    make_position,
    make_risk,
    make_snapshot,
    make_state,
)
from support.clocks import Clock

from exporter.account.asset_mode import AssetMode
from exporter.account.state import Failure
from exporter.binance.advice import WRONG_CLOCK_ADVICE
from exporter.binance.dialing import Endpoint
from exporter.binance.errors import Reason
from exporter.binance.messages import RateLimit
from exporter.formatting import escape_unprintable, format_duration, format_price
from exporter.web.page import render_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection

NOW: Final = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC by the clocks of connections
FAILURE: Final = Failure(Reason.RATE_LIMITED, "too many requests (code -1003)", "use a longer interval")
VOID: Final = {"meta", "link", "input"}
NO_RISK: Final = ("unknown", "unknown", "unknown")
LEVELS: Final = ("warning", "normal")
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
    snapshots: Mapping[str, AccountSnapshot] = MappingProxyType({}),
    **named: AccountSnapshot,
) -> Page:
    """Render a page as of NOW, and parse it."""
    endpoints = [connection.state for connection in connections]
    return Page(render_page(states, endpoints, NOW, path, "1.2.3", {**snapshots, **named}))


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


@pytest.mark.parametrize(
    ("word", "cells"),
    [
        ("up", [*NO_RISK, "1,234", "up", "15 seconds", "multi-assets"]),
        (
            "failing",
            [*NO_RISK, "1,234", "failing rate limited; data expires in 45 seconds", "15 seconds", "multi-assets"],
        ),
        (
            "stale",
            [
                *("unknown for 1 minute", "unknown", "unknown", "unknown"),
                *("stale rate limited; data expired", "2 minutes", "multi-assets"),
            ],
        ),
        ("down", [*NO_RISK, "unknown", "down rate limited; no successful poll yet", "no data yet", "unknown"]),
        ("waiting", [*NO_RISK, "unknown", "waiting first poll pending", "no data yet", "unknown"]),
    ],
)
def test_states(word: str, cells: list[str]) -> None:
    """Each state is a word, and values are shown only as long as the metrics have them."""
    shown = page([state(word)])

    assert ["main", *cells[:-1], "localhost:1", "HMAC", cells[-1]] == shown.row("main")
    assert (word in {"failing", "stale", "down"}) is (FAILURE.message in shown.texts)
    assert (FAILURE.message in shown.texts) is (FAILURE.advice in shown.texts)


def test_equal_failures_are_one() -> None:
    """Accounts that fail for the same reason share one entry with their number; other reasons have their own."""
    states = [state("failing", f"account {number}") for number in range(30)]
    states[7].last_failure = Failure(Reason.REFUSED, "invalid key", "check the key")
    shown = page([*states, state("waiting", "other"), state("up", "good")])

    failures = shown.texts.index("Failures")
    assert ["29 accounts: rate limited", FAILURE.message] == shown.texts[failures + 1 : failures + 3]
    assert 1 == shown.texts.count(FAILURE.message)
    affected = shown.texts.index("Affected accounts")
    assert ["account 0", "account 1", "account 2"] == shown.texts[affected + 1 : affected + 6 : 2]
    second = shown.texts.index(": refused")
    assert ["account 7", ": refused", "invalid key"] == shown.texts[second - 1 : second + 2]


def test_many_different_failures_are_counted() -> None:
    """The ten causes with most accounts are shown; the accounts of the others are counted."""
    states = [state("failing", f"account {number}") for number in range(14)]
    for number, failing in enumerate(states[2:]):
        failing.last_failure = Failure(Reason.EXCHANGE, f"error {number}", "wait")
    shown = page(states)

    assert "2 accounts: rate limited" in shown.texts
    assert {"error 0", "error 8"} <= set(shown.texts)
    assert "error 9" not in shown.texts
    assert "Not shown: other failures of 3 accounts; the log has them." in shown.texts


def test_a_failure_that_is_over_is_not_shown() -> None:
    """An account that has recovered no longer shows its last failure, nor does one whose good answer grew old."""
    recovered, grown_old = state("up", "recovered"), state("up", "grown old")
    recovered.last_failure = grown_old.last_failure = FAILURE
    grown_old.answered_at, grown_old.stale_at = NOW - 3600, NOW - 3540
    shown = page([recovered, grown_old])

    assert "up" == shown.row("recovered")[5]
    assert "stale data expired" == shown.row("grown old")[5]
    assert FAILURE.message not in shown.texts


def test_flat_is_not_unknown() -> None:
    """Without open positions their number is 0."""
    flat = state("up")
    flat.open_positions = 0

    assert "0" == page([flat]).row("main")[4]


def test_configured_asset_mode() -> None:
    """Before the asset mode is detected, the configured one is shown."""
    assert "single-asset" == page([state("waiting", asset_mode=AssetMode.SINGLE)]).row("main")[9]


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


def test_risk() -> None:
    """An account shows its level, its nearest liquidation and its highest ratio, and its positions, worst first."""
    shown = page([state("up")], main=at_risk())
    table = shown.rows.index(
        [
            *("Symbol", "Risk", "Side", "Margin", "Margin ratio"),
            *("Mark price", "Liquidation price", "Distance", "Leverage", "ADL quantile"),
        ]
    )

    assert ["critical", "0.25 % away ETHUSDT short", "81.0 %"] == shown.row("main")[1:4]
    assert [
        ["ETHUSDT", "critical", "short", "cross USDT", "10.0 %", "4,000.00", "4,010.00", "0.25 %", "25x", "unknown"],
        ["SOLUSDT", "critical", "long", "isolated", "81.0 %", "150.50", "none", "none", "unknown", "0 of 4"],
        ["BTCUSDT", "normal", "long", "cross USDT", "10.0 %", "100.00", "90.00", "10.00 %", "25x", "2 of 4"],
    ] == shown.rows[table + 1 :]
    assert ("details", {"id": "d1", "open": None}) in shown.tags


@pytest.mark.parametrize(
    ("side", "amount", "word"),
    [("BOTH", 2.0, "long"), ("BOTH", -2.0, "short"), ("LONG", 2.0, "long"), ("SHORT", -2.0, "short")],
)
def test_side(side: str, amount: float, word: str) -> None:
    """In one-way mode the sign of the amount tells long from short; in hedge mode the position's own side does."""
    snapshot = make_snapshot([make_asset()], [make_position("ETHUSDT", side, amount)], asset_mode=AssetMode.SINGLE)

    assert word == page([state("up")], main=snapshot).row("ETHUSDT")[2]


def test_cross_pool_of_a_position() -> None:
    """A cross position names the asset of its pool, which in multi-assets mode is the whole account in USD."""
    snapshot = make_snapshot([make_asset()], [make_position("ETHUSDC")], asset_mode=AssetMode.MULTI)

    assert "cross USD" == page([state("up")], main=snapshot).row("ETHUSDC")[3]


def account(ratio: float = 0.1, distance: float | None = 0.2) -> AccountSnapshot:
    """Make a snapshot of a long cross position; its distance to liquidation is missing if it is None."""
    return make_snapshot(
        [make_asset("USDT", cross_wallet_balance=100.0, cross_unrealized_pnl=0.0)],
        [make_position(maintenance_margin=100 * ratio)],
        [] if distance is None else [make_risk(mark_price=100.0, liquidation_price=100 * (1 - distance))],
        asset_mode=AssetMode.SINGLE,
    )


def test_trouble_comes_first() -> None:
    """Accounts with trouble of either kind are first: critical, unknown or without data, at warning or failing."""
    snapshots = {
        "near": account(distance=0.03),
        "fine": account(),
        "nearest": account(distance=0.0037),
        "high": account(ratio=0.9),
        "no distance": account(distance=None),
        "failing": account(),
    }
    states = [state("failing" if name == "failing" else "up", name) for name in snapshots]
    states += [state(word, word) for word in ("waiting", "stale", "down")]
    shown = page(states, snapshots=snapshots)
    names = [row[0] for row in shown.rows if row[7:8] == ["localhost:1"]]
    headline = "2 accounts critical · 3 accounts at unknown risk · 1 account with a warning · 5 of 9 accounts up"

    assert ["nearest", "high", "no distance", "down", "stale", "near", "failing", "waiting", "fine"] == names
    assert [
        *("critical", "critical", "unknown no mark or liquidation price: BTCUSDT long"),
        *("unknown", "unknown for 1 minute"),
    ] == [shown.row(name)[1] for name in names[:5]]
    assert f"{headline} · Binance Futures Exporter" in shown.texts
    heading = shown.texts.index("2 accounts critical ·")
    assert headline.replace("· ", "·|").split("|") == shown.texts[heading : heading + 4]


@pytest.mark.parametrize(
    ("words", "headline", "style"),
    [
        (["up"], "Risk normal · 1 of 1 accounts up", "up"),
        (["failing"], "Risk normal · 0 of 1 accounts up", "failing"),
        (["up", "waiting"], "1 of 2 accounts up", "waiting"),
        (["up", "down"], "1 account at unknown risk · 1 of 2 accounts up", "unknown"),
        ([], "0 of 0 accounts up", "waiting"),
    ],
)
def test_headline(words: list[str], headline: str, style: str) -> None:
    """Risk is called normal only if that of all accounts is known; without accounts there is a text, not a table."""
    states = [state(word, word) for word in words]
    shown = page(states, snapshots={word: account() for word in words if word in {"up", "failing"}})

    assert f"{headline} · Binance Futures Exporter" in shown.texts
    assert style == attributes(shown, "h1")["class"]
    assert (not words) is ("No accounts to poll." in shown.texts)


def test_known_critical_position_is_shown_among_unknown_figures() -> None:
    """An account is critical by what is known, and says that not everything is."""
    assert "critical some data missing" == page([state("up")], main=account(0.9, None)).row("main")[1]


def test_stale_account_that_was_critical() -> None:
    """A stale account shows its last known level, and is first among those at unknown risk if it was critical."""
    snapshots = {"unknown": account(distance=None), "normal": account(), "critical": account(0.9)}
    states = [state("up", "incomplete"), *(state("stale", level) for level in snapshots)]
    shown = page(states, snapshots=snapshots, incomplete=account(distance=None))

    names = [row[0] for row in shown.rows if row[7:8] == ["localhost:1"]]
    assert ["critical", "incomplete", "unknown", "normal"] == names
    assert ["for 1 minute", "for 1 minute; was normal", "for 1 minute; was critical"] == [
        shown.row(name)[1].removeprefix("unknown ") for name in ("unknown", "normal", "critical")
    ]


def test_worst_accounts_are_named_first() -> None:
    """The three worst accounts are named at the top; failures are after the accounts if one of these is critical."""
    snapshots = {name: account(ratio) for name, ratio in (("fine", 0.1), ("high", 0.75), ("worst", 0.9), ("bad", 0.85))}
    states = [state("up", name) for name in snapshots] + [state("stale", "old"), state("waiting", "new")]
    shown = page(states, snapshots=snapshots, old=account(0.75))
    links = [attrs["href"] for tag, attrs in shown.tags if tag == "a" and (attrs["href"] or "").startswith("#a")]
    first = shown.texts.index("worst")

    assert ["worst", "critical", "bad", "critical", "old", "unknown, was warning", "1 more at risk"] == shown.texts[
        first : first + 7
    ]
    assert ["#a3", "#a4", "#a5"] == links
    assert shown.texts.index("Accounts") < shown.texts.index("Failures") < shown.texts.index("Margin and positions")
    calm = page([state("up", "fine"), state("stale", "old")], fine=account())
    assert calm.texts.index("Failures") < calm.texts.index("Accounts")


def test_unknown_level_is_explained() -> None:
    """An unknown level says which data is missing: prices of positions, or why a margin ratio is unknown."""
    positions = [make_position(f"S{number}USDT", maintenance_margin=1.0) for number in range(5)]
    no_ratio = make_snapshot([make_asset()], [make_position(maintenance_margin=None)], asset_mode=AssetMode.SINGLE)
    no_prices = make_snapshot(
        [make_asset(cross_wallet_balance=100.0, cross_unrealized_pnl=0.0)], positions, [], asset_mode=AssetMode.SINGLE
    )
    shown = page([state("up", "ratio"), state("up", "prices")], ratio=no_ratio, prices=no_prices)

    assert "unknown margin ratio unknown: BTCUSDT: maintenance margin missing" == shown.row("ratio")[1]
    assert "unknown no mark or liquidation price: S0USDT long, S1USDT long and 3 more" == shown.row("prices")[1]


def test_stale_account_stays_among_those_at_risk() -> None:
    """A stale account that held positions is listed as unknown with the time; one that held none is not."""
    held, flat = state("stale", "held"), state("stale", "flat")
    flat.open_positions = 0
    shown = page([held, flat])
    risk = shown.texts.index("Margin and positions")

    assert ["held", "unknown", "for 1 minute"] == shown.texts[risk + 1 : risk + 4]
    assert "flat" not in shown.texts[risk:]


@pytest.mark.parametrize("word", ["stale", "down", "waiting"])
def test_no_risk_of_stale_data(word: str) -> None:
    """A snapshot that is not fresh is not shown."""
    shown = page([state(word)], main=at_risk())

    assert shown.row("main")[1].startswith("unknown")
    assert ["unknown", "unknown"] == shown.row("main")[2:4]
    assert "meter" not in [tag for tag, _ in shown.tags]
    assert "Symbol" not in shown.texts
    assert "BTCUSDT" not in shown.texts


@pytest.mark.parametrize(
    ("wallet", "words", "value"),
    [
        (11.429, ["normal", "69.9 %"], 0.69997),
        (11.428, ["warning", "70.0 %"], 0.70003),
        (10.0, ["warning", "80.0 %"], 0.8),
        (8.0001, ["critical", "99.9 %"], 0.99998),
        (4.0, ["critical", "200.0 %"], 1.0),
        (0.001, ["critical", "over 9,999 %"], 1.0),
        (0.0, ["critical", "infinite"], 1.0),
    ],
)
def test_texts_of_ratios(wallet: float, words: list[str], value: float) -> None:
    """A ratio is a number rounded down and a bar that ends at liquidation; its level is a word."""
    usdt = make_asset("USDT", cross_wallet_balance=wallet, cross_unrealized_pnl=0.0)
    position = make_position(maintenance_margin=8.0)
    shown = page([state("up")], main=make_snapshot([usdt], [position], asset_mode=AssetMode.SINGLE))
    meter = attributes(shown, "meter")

    assert words == shown.row("main")[1:4:2]
    assert value == pytest.approx(float(meter.pop("value") or ""), abs=1e-4)
    assert {"aria-label": "Margin ratio of main", "max": "1", "low": "0.7", "high": "0.8"} == meter


def test_flat_account_has_no_details() -> None:
    """An account without positions has no liquidation and no table of positions."""
    usdt = make_asset("USDT", cross_wallet_balance=100.0, cross_unrealized_pnl=0.0)
    shown = page([state("up")], main=make_snapshot([usdt], asset_mode=AssetMode.SINGLE))

    assert ["normal", "none", "0.0 %"] == shown.row("main")[1:4]
    assert "Symbol" not in shown.texts


def test_thresholds_are_stated() -> None:
    """The page states the thresholds that it judges by."""
    (text,) = [text for text in page([state("up")]).texts if text.startswith("Critical:")]

    assert ["80 %", "2 %", "5 %", "50 %", "70 %", "5 %"] == re.findall(r"\d+ %", text)


def isolated_positions(count: int, ratio: float = 0.5) -> AccountSnapshot:
    """Make a snapshot of isolated positions with the same margin ratio."""
    positions = [
        make_position(
            f"S{number:02}USDT", maintenance_margin=ratio * 2, isolated_wallet_balance=2.0, unrealized_pnl=0.0
        )
        for number in range(count)
    ]
    return make_snapshot([make_asset()], positions)


@pytest.mark.parametrize(
    ("price", "text"),
    [(0.0, "0.00"), (0.0070935, "0.0070935"), (96732.694, "96,732.69"), (1e300, "1.000000e+300"), (None, "unknown")],
)
def test_prices(price: float | None, text: str) -> None:
    """A price has about seven digits, and an absurd one does not widen the page."""
    assert text == format_price(price)


def test_many_positions_are_counted() -> None:
    """Of many positions the worst fifty are shown, and the rest are counted."""
    shown = page([state("up")], main=isolated_positions(70))

    assert "20 more positions, none at higher risk." in shown.texts
    assert 50 == len([row for row in shown.rows if row[0].endswith("USDT")])


def test_hundred_accounts() -> None:
    """Of a hundred accounts those without trouble are folded away; all positions at risk are shown."""
    snapshots = {f"account {number}": isolated_positions(10) for number in range(100)}
    snapshots["account 70"] = isolated_positions(10, 0.75)
    states = [state("up", name) for name in snapshots]
    html = render_page(states, [], NOW, "/metrics", "1.2.3", snapshots)
    shown = Page(html)
    folds = [attrs["id"] for tag, attrs in shown.tags if tag == "details" and attrs.get("class") == "fold"]

    assert ["more", "more-positions"] == folds
    assert 2 == shown.texts.count("99 accounts up, risk normal")
    assert shown.texts.index("account 70") < shown.texts.index("99 accounts up, risk normal")
    assert [10, 99] == [
        len([row for row in shown.rows if row[1:2] == [level] and row[0].endswith("USDT")]) for level in LEVELS
    ]
    assert len(html.encode()) < 200_000


def test_hundred_accounts_with_trouble() -> None:
    """Of a hundred accounts with trouble the twenty worst are listed and the others folded under their levels."""
    snapshots = {f"account {number}": account(0.9 if number < 50 else 0.1) for number in range(100)}
    shown = page([state("failing", name) for name in snapshots], snapshots=snapshots)
    label = "80 more accounts: 30 critical, 50 normal"
    listed = shown.texts[shown.texts.index("Accounts") : shown.texts.index(label)]

    assert 2 == shown.texts.count(label)
    assert [f"account {number}" for number in range(20)] == [text for text in listed if text.startswith("account ")]


@pytest.mark.parametrize("snapshot", [isolated_positions(10), isolated_positions(10, 0.9)], ids=["normal", "critical"])
def test_size(snapshot: AccountSnapshot) -> None:
    """A page of a hundred failing accounts has less than 200 KB, also if all of them are critical."""
    names = [f"account {number}" for number in range(100)]
    states = [state("failing", name) for name in names]

    assert len(render_page(states, [], NOW, "/metrics", "1.2.3", dict.fromkeys(names, snapshot)).encode()) < 200_000


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


def test_problems_are_counted() -> None:
    """Each state but up has its number at the top of the page, worst first."""
    shown = page(
        [state(word, f"{word} {number}") for word in ("waiting", "failing", "up", "stale") for number in (1, 2)]
    )

    assert ["2 stale", "2 failing", "2 waiting"] == [
        text for text in shown.texts if re.fullmatch(r"2 [a-z]+ing|2 stale", text)
    ]


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
    assert name == accounts[7]
    assert [name, ": exchange", name] == shown.texts[shown.texts.index("Failures") + 1 :][:3]
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

    assert ["localhost:1", "not connected", "not paused", "unknown", "unknown"] == shown.row("localhost:1")
    assert not [tag for tag, _ in shown.tags if tag == "meter"]


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (0.0421, "host 0.042 s behind exchange"),
        (-0.5, "host 0.500 s ahead of exchange"),
        (0.0, "host and exchange agree"),
    ],
)
def test_clock(ahead: float, words: str) -> None:
    """The clock's offset is shown with its direction."""
    connection = make_connection(monotonic=Clock(NOW))
    connection.clock.synchronize(round((NOW + ahead) * 1000), NOW, NOW)

    assert words == page(connections=[connection]).row("localhost:1")[3]


@pytest.mark.parametrize(("ahead", "wrong"), [(6.0, True), (-2.0, True), (2.0, False)])
def test_wrong_clock(ahead: float, *, wrong: bool) -> None:
    """A clock of this host with which the exchange rejects requests is a problem, with advice."""
    connection = make_connection(monotonic=Clock(NOW))
    connection.clock.synchronize(round((NOW + ahead) * 1000), NOW, NOW)
    shown = page([state("up")], [connection], main=account())

    assert wrong is ("the clock of this host is wrong" in shown.texts)
    assert wrong is shown.row("localhost:1")[3].startswith("wrong host ")
    assert wrong is (WRONG_CLOCK_ADVICE in shown.texts)


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

    assert f"paused {words}; until 2023-11-14T23:15:24Z (1 hour 2 minutes left)" == shown.row("paused")[2]
    assert ["connected", "not paused"] == shown.row("localhost:1")[1:3]
    assert ["paused", "localhost:1"] == [row[0] for row in shown.rows[-2:]]
    assert "1 of 2 endpoints disconnected or paused" in shown.texts


def test_pause_whose_end_was_not_reported() -> None:
    """If the exchange has not said when a ban ends, the page shows when the exporter tries again."""
    connection = make_connection(monotonic=Clock(NOW))
    connection.budget.pause(Reason.BANNED)

    assert (
        "paused IP banned by the exchange; next attempt at 2023-11-14T22:15:20Z (in 2 minutes)"
        == (page(connections=[connection]).row("localhost:1")[2])
    )


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
    """The page has a language, one main heading, names of tables, headers with a role, and works without its script."""
    connection = used(make_connection(monotonic=Clock(NOW)), 1, 2400)
    states = [state(word, word) for word in ("up", "failing", "stale", "down", "waiting")]
    shown = page(states, [connection], up=at_risk())
    tags = [tag for tag, _ in shown.tags]

    labels = [attrs.get("aria-label") for tag, attrs in shown.tags if tag == "table"]

    assert {"lang": "en", "data-version": "1.2.3"} == attributes(shown, "html")
    assert [1, 4, 3, 1] == [tags.count(tag) for tag in ("h1", "h2", "table", "caption")]
    assert ["Risk and polling status of each account, worst first", "Positions of up, worst first", None] == labels
    assert {"columnheader", "rowheader"} == {attrs.get("role") for tag, attrs in shown.tags if tag == "th"}
    assert {"src": "./-/status.js", "defer": None} == attributes(shown, "script")
    assert tags.index("noscript") + 1 == shown.tags.index(("meta", {"http-equiv": "refresh", "content": "15"}))
    assert "Binance Futures Exporter, version 1.2.3" in shown.texts


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
