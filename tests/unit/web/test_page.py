"""The status page: its headline, the order and number of accounts, its size, and what browsers need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from support.builders import make_connection
from support.clocks import Clock
from support.status_page import (
    NOW,
    Page,
    at_risk,
    attributes,
    cross_position,
    isolated_positions,
    page,
    state,
    with_used_weight,
)

from exporter.web.page import render_page

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot

LEVELS: Final = ("warning", "normal")


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
    shown = page(states, snapshots={word: cross_position() for word in words if word in {"up", "failing"}})

    assert f"{headline} · Binance Futures Exporter" in shown.texts
    assert style == attributes(shown, "h1")["class"]
    assert (not words) is ("No accounts to poll." in shown.texts)


def test_trouble_comes_first() -> None:
    """Accounts with trouble of either kind are first: critical, unknown or without data, at warning or failing."""
    snapshots = {
        "near": cross_position(distance=0.03),
        "fine": cross_position(),
        "nearest": cross_position(distance=0.0037),
        "high": cross_position(ratio=0.9),
        "no distance": cross_position(distance=None),
        "failing": cross_position(),
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


def test_worst_accounts_are_named_first() -> None:
    """The three worst accounts are named at the top; failures are after the accounts if one of these is critical."""
    snapshots = {
        name: cross_position(ratio) for name, ratio in (("fine", 0.1), ("high", 0.75), ("worst", 0.9), ("bad", 0.85))
    }
    states = [state("up", name) for name in snapshots] + [state("stale", "old"), state("waiting", "new")]
    shown = page(states, snapshots=snapshots, old=cross_position(0.75))
    links = [attrs["href"] for tag, attrs in shown.tags if tag == "a" and (attrs["href"] or "").startswith("#a")]
    first = shown.texts.index("worst")

    assert ["worst", "critical", "bad", "critical", "old", "unknown, was warning", "1 more at risk"] == shown.texts[
        first : first + 7
    ]
    assert ["#a3", "#a4", "#a5"] == links
    assert shown.texts.index("Accounts") < shown.texts.index("Failures") < shown.texts.index("Margin and positions")
    calm = page([state("up", "fine"), state("stale", "old")], fine=cross_position())
    assert calm.texts.index("Failures") < calm.texts.index("Accounts")


def test_problems_are_counted() -> None:
    """Each state but up has its number at the top of the page, worst first."""
    shown = page(
        [state(word, f"{word} {number}") for word in ("waiting", "failing", "up", "stale") for number in (1, 2)]
    )

    assert ["2 stale", "2 failing", "2 waiting"] == [
        text for text in shown.texts if re.fullmatch(r"2 [a-z]+ing|2 stale", text)
    ]


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
    snapshots = {f"account {number}": cross_position(0.9 if number < 50 else 0.1) for number in range(100)}
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


def test_thresholds_are_stated() -> None:
    """The page states the thresholds that it judges by."""
    (text,) = [text for text in page([state("up")]).texts if text.startswith("Critical:")]

    assert ["80 %", "2 %", "5 %", "50 %", "70 %", "5 %"] == re.findall(r"\d+ %", text)


def test_page_is_accessible() -> None:
    """The page has a language, one main heading, names of tables, headers with a role, and works without its script."""
    connection = with_used_weight(make_connection(monotonic=Clock(NOW)), 1, 2400)
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
