"""The text of `check` on a terminal: its width, its colours, and control characters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.check_reports import BANNED, FAILED, GOOD, at_risk, cross_pool, isolated_pool, position

from exporter.account.risk import WORST_FIRST
from exporter.account.risk_level import RiskLevel
from exporter.cli.check_report import as_json, as_text
from exporter.cli.text_layout import display_width


def test_text_fits_a_terminal() -> None:
    """Nothing is wider than 80 columns, and four accounts with many positions fit a screen of 50 lines."""
    totals = dict.fromkeys(("wallet_balance", "margin_balance", "unrealized_pnl", "available_balance"), -12_345_678.9)
    positions = [
        position("1000000币安人生USDT", notional=-12_345_678.9, distance_to_liquidation=999.0, margin_ratio=1e9)
    ] * 30
    report = replace(GOOD, totals=totals, positions=positions)
    bad = replace(FAILED, account="c" * 30, advice="long advice " * 20, problem="币安 " * 60)
    alone = replace(bad, endpoint="testnet", risk_missing=["BTCUSDT"] * 30)
    text = as_text([report] * 4, colour=False)
    wide = as_text([report, bad, bad, alone], ["w " * 90], colour=False)

    assert len(text.splitlines()) <= 50
    assert max(map(display_width, f"{text}\n{wide}".splitlines())) <= 80


@pytest.mark.parametrize("verbose", [False, True])
def test_odd_numbers_stay_readable(*, verbose: bool) -> None:
    """A value that rounds to zero has no sign, and a huge one does not widen the table."""
    report = replace(GOOD, totals={"wallet_balance": -1e-10, "margin_balance": -1e300})
    text = as_text([report], colour=False, verbose=verbose)

    assert "-0.00" not in text
    assert "-1.000000e+300" in text
    assert max(map(len, text.splitlines())) < 80


@pytest.mark.parametrize("verbose", [False, True])
def test_colour_is_decoration_only(*, verbose: bool) -> None:
    """The coloured text without its colours is the plain text."""
    reports = [replace(GOOD, positions=[position("BTCUSDT", level=level) for level in WORST_FIRST]), FAILED, BANNED]
    plain = as_text(reports, colour=False, verbose=verbose)
    coloured = as_text(reports, colour=True, verbose=verbose)
    for code in ("1", "31", "32", "33", "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")

    assert plain == coloured
    assert "\x1b" not in plain


@pytest.mark.parametrize(
    ("level", "code"),
    [(RiskLevel.NORMAL, "32"), (RiskLevel.WARNING, "33"), (RiskLevel.UNKNOWN, "33"), (RiskLevel.CRITICAL, "31")],
)
def test_colour_is_that_of_the_level(level: RiskLevel, code: str) -> None:
    """The level of an account has its colour, and so has the line of a position that is not normal."""
    report = replace(at_risk("a", level), positions=[position("BTCUSDT", level=level)])
    lines = as_text([report], colour=True).splitlines()

    assert f"\x1b[{code}mrisk {level}\x1b[0m" in lines[0]
    assert lines[4].startswith("  BTCUSDT" if level == RiskLevel.NORMAL else f"\x1b[{code}m  BTCUSDT")


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize(
    "hostile", ["\x1b[31m", "\r\n", "\u202e", "\u2066", "\u2028", "\x85", "\x9b", "\u200b", "\x00"]
)
def test_control_characters_are_escaped(hostile: str, *, verbose: bool) -> None:
    """No text of the exchange or the configuration can control the terminal or reorder its output."""
    name = f"BTC{hostile}USDT"
    good = replace(
        GOOD,
        account=name,
        endpoint=name,
        assets=[{"asset": name, "wallet_balance": 1.0}],
        margin_pools=[cross_pool(name, 0.5), isolated_pool(name, 0.5) | {"position_side": name}],
        positions=[position(name, position_side=name, margin_asset=name)],
        risk_missing=[name],
        unknown_ratios=[name],
    )
    bad = replace(FAILED, account=f"b{name}", endpoint=name, problem=name, advice=name)
    reports = [good, bad, replace(bad, account=f"c{name}", reason="banned")]
    text = as_text(reports, [name], colour=False, verbose=verbose)

    assert not {character for character in text if not character.isprintable()} - {"\n"}
    assert name not in text
    assert as_json(reports).isascii()
