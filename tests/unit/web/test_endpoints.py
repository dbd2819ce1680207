"""Endpoints on the status page: their clocks, request weights and pauses."""

from __future__ import annotations

import pytest
from support.builders import make_connection
from support.clocks import Clock
from support.status_page import NOW, attributes, cross_position, page, state, with_used_weight

from exporter.binance.advice import WRONG_CLOCK_ADVICE
from exporter.binance.dialing import Endpoint
from exporter.binance.errors import Reason


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
    shown = page([state("up")], [connection], main=cross_position())

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
    shown = page(connections=[with_used_weight(make_connection(monotonic=Clock(NOW)), count, limit)])

    assert words == shown.row("localhost:1")[4]
    assert bars == len([tag for tag, _ in shown.tags if tag == "meter"])


def test_bar() -> None:
    """The bar has a high mark, and its optimum is low."""
    meter = attributes(page(connections=[with_used_weight(make_connection(monotonic=Clock(NOW)), 1234, 2400)]), "meter")

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
