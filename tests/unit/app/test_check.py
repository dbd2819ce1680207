"""`check`: one poll of every account, and advice on what to do."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.polling import FAST

from exporter.app.check import AccountReport, check
from exporter.cli import main as cli
from exporter.cli.check_report import as_json, as_text
from exporter.config import exporter_yml
from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.answer_edits import field
from exporter.simulator.demo import demo_exchange, write_configuration

if TYPE_CHECKING:
    from pathlib import Path


async def report_on(exchange: SimulatedExchange, directory: Path, **secrets: str) -> list[AccountReport]:
    """Check all accounts of an exchange, some with a wrong secret."""
    path = write_configuration(exchange.url, exchange.accounts.values(), directory / "sim")
    for name, secret in secrets.items():
        (path.parent / "keys" / f"{name}.secret").write_text(secret)
    return await check(exporter_yml.load(path, {}), FAST)


async def test_good_accounts(tmp_path: Path) -> None:
    """Good accounts are accepted and reported with all data of one answer, in the order of the file."""
    async with demo_exchange(seed=1) as exchange:
        reports = await report_on(exchange, tmp_path)

    assert ["main", "multi", "hedge", "isolated"] == [report.account for report in reports]
    assert ["hmac", "ed25519", "rsa", "hmac"] == [report.key_type for report in reports]
    assert ["single", "multi", "single", "single"] == [report.asset_mode for report in reports]
    assert all(report.good for report in reports)
    assert [None] * 4 == [report.problem for report in reports]
    assert all(len(report.totals) == 11 and report.assets and report.positions for report in reports)
    assert 2400 == reports[0].request_weight_limit


async def test_missing_risk(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """A position without a mark and liquidation price needs attention, and is named."""
    with exchange.replace_answer("v2/account.position", "alice", field("result", [])):
        reports = await report_on(exchange, tmp_path)
    report = reports[0]

    assert [False, True] == [report.good for report in reports]
    assert ["BTCUSDT BOTH"] == report.risk_missing
    assert "no mark or liquidation price: BTCUSDT BOTH" in as_text([report], colour=False)


async def test_wrong_secret(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """A wrong secret is reported for its account only, with what to check."""
    reports = await report_on(exchange, tmp_path, alice="not-alices-secret")

    assert [(False, "refused"), (True, None)] == [(report.accepted, report.reason) for report in reports]
    assert (reports[0].advice or "").startswith("check that the secret or private key belongs to this API key")
    assert not reports[0].good


async def test_key_of_the_other_environment(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """A key that the exchange does not know is reported with the three usual causes."""
    exchange.revoke("alice")
    reports = await report_on(exchange, tmp_path)

    assert "refused" == reports[0].reason
    assert "-2015" in (reports[0].problem or "")
    for cause in ("futures are enabled", "key's IP list", "mainnet and testnet have separate keys"):
        assert cause in (reports[0].advice or "")


@pytest.mark.parametrize(("skew", "words"), [(10.0, "10.0"), (-10.0, "10.0")])
async def test_wrong_clock(exchange: SimulatedExchange, tmp_path: Path, skew: float, words: str) -> None:
    """Accounts are accepted although the clock is seconds wrong, but the clock is reported as a problem."""
    with exchange.skew_clock(skew):
        reports = await report_on(exchange, tmp_path)
    text = as_text(reports, colour=False)

    assert skew == pytest.approx(reports[0].clock_offset_seconds, abs=0.5)
    assert all(report.accepted and report.clock_is_wrong and not report.good for report in reports)
    assert f"s {'behind' if skew > 0 else 'ahead of'} exchange" in text
    assert "synchronize this host's clock (NTP)" in text
    assert "2 of 2 accounts need attention: alice, bob" in text
    assert words[:2] in {text.partition("host ")[2][:2], "10"}


async def test_no_network(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """An exchange that cannot be reached is reported with the reason and what to check."""
    with exchange.reject_handshake(503):
        reports = await report_on(exchange, tmp_path)

    assert ["connection", "connection"] == [report.reason for report in reports]
    assert "handshake rejected with HTTP status 503" in (reports[0].problem or "")
    assert "the exchange reports an internal error: try again later" == reports[0].advice
    assert None is reports[0].clock_offset_seconds is reports[0].request_weight_used


def test_text_is_aligned_and_shows_what_was_not_sent() -> None:
    """Columns are aligned even with Chinese symbols; a value that was not sent is a dash, not 0."""
    positions: list[dict[str, Any]] = [
        {"symbol": "BTCUSDT", "position_side": "BOTH", "amount": 1.5, "notional": -1234567.25},
        {"symbol": "币安人生USDT", "position_side": "BOTH", "amount": -20.0},
    ]
    assets = [{"asset": "USDT", "wallet_balance": 12.5}, {"asset": "BNB", "wallet_balance": 0.0}]
    report = replace(GOOD, totals={"wallet_balance": 12.5}, assets=assets, positions=positions)
    lines = as_text([report], colour=False).splitlines()
    heading = lines.index("  positions") + 1

    assert [
        "    symbol        position side  amount       notional  unrealized pnl",
        "    BTCUSDT       BOTH             1.50  -1,234,567.25               -",
        "    币安人生USDT  BOTH           -20.00              -               -",
    ] == [line[: len(line) - len("  initial margin  maintenance margin")] for line in lines[heading : heading + 3]]
    assert "  assets      (1 without a balance not shown)" in lines
    assert "    wallet balance             12.50" in lines


RISK: dict[str, Any] = {
    "margin_asset": "USDT",
    "margin_type": "cross",
    "entry_price": 104_000.5,
    "break_even_price": 104_010.0,
    "mark_price": 100_000.0,
    "liquidation_price": 99_000.0,
    "adl_quantile": 1,
    "distance_to_liquidation": 0.01,
}


def test_pools_are_sorted_by_ratio() -> None:
    """Pools are sorted by ratio, highest first, each with its level; those without positions are counted."""
    isolated: list[dict[str, Any]] = [
        {"symbol": "BTCUSDT", "position_side": "LONG", "ratio": 1.25},
        {"symbol": "币安人生USDT", "position_side": "BOTH", "ratio": 0.8},
        {"symbol": "ETHUSDT", "position_side": "BOTH", "ratio": None},
    ]
    cross: dict[str, float | None] = {"BNB": 0.0, "USDT": 0.29, "USDC": math.inf, "BTC": 0.0, "BFUSD": 0.7999}
    report = replace(GOOD, cross_margin_ratios=cross, isolated_margin_ratios=isolated)
    lines = as_text([report], colour=False).splitlines()
    heading = lines.index("  pools       (2 without risk not shown)")

    assert [
        "    margin    pool                  ratio",
        "    cross     USDC               infinite  critical",
        "    isolated  BTCUSDT LONG        125.0 %  critical",
        "    isolated  币安人生USDT BOTH    80.0 %  warning",
        "    cross     BFUSD                79.9 %  warning",
        "    cross     USDT                 29.0 %  normal",
        "    isolated  ETHUSDT BOTH        unknown  unknown",
    ] == lines[heading + 1 : heading + 8]


def test_pools_without_positions() -> None:
    """If no pool has positions, one of them is shown and the others are counted."""
    lines = as_text([replace(GOOD, cross_margin_ratios={"USDT": 0.0, "BNB": 0.0})], colour=False).splitlines()
    heading = lines.index("  pools       (1 without risk not shown)")

    assert "    cross   USDT  0.0 %  normal" == lines[heading + 2]


def test_liquidation_is_shown_for_held_positions() -> None:
    """Each held position has its prices, each with its own digits, and its distance; a missing price is a dash."""
    unknown = dict.fromkeys(RISK)
    tiny = RISK | {"entry_price": 0.0070935, "mark_price": 0.0065, "liquidation_price": None, "margin_asset": None}
    positions = [
        {"symbol": "BTCUSDT", "position_side": "BOTH", "amount": 1.5} | RISK,
        {"symbol": "1000PEPEUSDT", "position_side": "LONG", "amount": 20.0}
        | tiny
        | {"margin_type": "isolated", "distance_to_liquidation": None},
        {"symbol": "ETHUSDT", "position_side": "BOTH", "amount": 0.0} | unknown,
    ]
    lines = as_text([replace(GOOD, positions=positions)], colour=False).splitlines()
    heading = lines.index("  liquidation (worst risk first)")

    assert [
        "symbol        position side  margin type  margin asset  entry price  mark price  liquidation price  distance",
        "BTCUSDT       BOTH           cross        USDT           104,000.50  100,000.00          99,000.00    1.00 %",
        "1000PEPEUSDT  LONG           isolated     -               0.0070935      0.0065                  -         -",
        "",
    ] == [line.strip() for line in lines[heading + 1 : heading + 5]]


@pytest.mark.parametrize(
    "hostile", ["\x1b[31m", "\r\n", "\u202e", "\u2066", "\u2028", "\x85", "\x9b", "\u200b", "\x00"]
)
def test_control_characters_are_escaped(hostile: str) -> None:
    """No text of the exchange or the configuration can control the terminal or reorder its output."""
    name = f"BTC{hostile}USDT"
    position = {"symbol": name, "position_side": name, "amount": 1.5} | RISK | {"margin_asset": name}
    good = replace(
        GOOD,
        account=name,
        endpoint=name,
        assets=[{"asset": name, "wallet_balance": 1.0}],
        cross_margin_ratios={name: 0.5},
        isolated_margin_ratios=[{"symbol": name, "position_side": name, "ratio": 0.5}],
        positions=[position],
    )
    bad = replace(good, accepted=False, problem=name, advice=name)
    text = as_text([good, bad], [name], colour=False)

    assert not {character for character in text if not character.isprintable()} - {"\n"}
    assert name not in text
    assert as_json([good, bad]).isascii()


async def test_margin_and_liquidation(tmp_path: Path) -> None:
    """Polled accounts have the ratios of their pools, and held positions are sorted by distance to liquidation."""
    async with demo_exchange(seed=1) as exchange:
        main, multi, _, isolated = await report_on(exchange, tmp_path)
    held = [row for row in main.positions if row["amount"]]
    distances = [row["distance_to_liquidation"] or math.inf for row in held]

    assert held == main.positions[: len(held)]
    assert sorted(distances) == distances
    assert {"USDT", "USDC"} == {asset for asset, ratio in main.cross_margin_ratios.items() if ratio}
    assert ["USD"] == list(multi.cross_margin_ratios)
    assert {"SOLUSDT", "币安人生USDT", "BTCUSDT"} == {pool["symbol"] for pool in isolated.isolated_margin_ratios}
    assert {"isolated"} == {row["margin_type"] for row in isolated.positions}
    assert [dict.fromkeys(RISK)] == [{name: row[name] for name in RISK} for row in main.positions if not row["amount"]]


def test_json_is_strict() -> None:
    """An infinite ratio is a string and an unknown one null, which every JSON parser accepts."""
    isolated = [{"symbol": "BTCUSDT", "position_side": "BOTH", "ratio": math.inf}]
    report = replace(
        GOOD, cross_margin_ratios={"USDT": math.inf, "BNB": None, "BTC": 0.5}, isolated_margin_ratios=isolated
    )
    text = as_json([report])
    (account,) = msgspec.json.decode(text)["accounts"]

    assert json.loads(text)["accounts"] == [account]
    assert {"USDT": "Infinity", "BNB": None, "BTC": 0.5} == account["cross_margin_ratios"]
    assert "Infinity" == account["isolated_margin_ratios"][0]["ratio"]


def test_empty_account() -> None:
    """An account without assets and positions is reported as such."""
    lines = as_text([GOOD], colour=False).splitlines()

    assert {"  pools       none", "  positions   none"} <= {*lines}
    assert "1 account OK" == lines[-1]


def test_colour_is_decoration_only() -> None:
    """The coloured text without its colours is the plain text."""
    reports = [GOOD, replace(GOOD, account="b", accepted=False, reason="timeout", problem="p", advice="a")]
    plain = as_text(reports, colour=False)
    coloured = as_text(reports, colour=True)
    for code in ("1", "31", "32", "33", "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")

    assert plain == coloured
    assert "\x1b" not in plain


def test_json_is_for_scripts() -> None:
    """JSON has the overall result, and the report of each account."""
    bad = replace(GOOD, account="b", accepted=False, reason="timeout", problem="p", advice="a")
    document = json.loads(as_json([GOOD, bad]))

    assert not document["ok"]
    assert [("a", True), ("b", False)] == [(account["account"], account["ok"]) for account in document["accounts"]]
    assert "timeout" == document["accounts"][1]["reason"]


GOOD = AccountReport(
    account="a", endpoint="mainnet", key_type="hmac", accepted=True, asset_mode="single", currency="USDT"
)


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("wrong", [False, True])
async def test_command(  # in a thread, since the command runs its own loop
    exchange: SimulatedExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, output: str, wrong: bool
) -> None:
    """The command exits with 0 only if all accounts are OK, prints its report, and shows no secret."""
    import asyncio  # noqa: PLC0415 - next to its only use

    path = write_configuration(exchange.url, exchange.accounts.values(), tmp_path / "sim")
    secret = exchange.accounts["alice"].secret_key
    assert secret
    if wrong:
        (path.parent / "keys" / "alice.secret").write_text(secret[::-1])
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    code = await asyncio.to_thread(
        cli.run, ["check", "--config.file", str(path), f"--output={output}", "--log.level=debug"]
    )

    assert (1 if wrong else 0) == code
    assert ("refused" in out.getvalue()) is wrong
    for hidden in (secret, secret[::-1], exchange.accounts["alice"].api_key):
        assert hidden[:16] not in out.getvalue()
    if output == "json":
        assert json.loads(out.getvalue())["ok"] is not wrong


async def test_end_of_a_ban(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """The report of a banned IP names the end of the ban in UTC."""
    ends = exchange.server_time() + 600
    with exchange.ban(600):
        reports = await report_on(exchange, tmp_path)

    for report in reports:
        assert report.resumes_at
        assert 0 <= datetime.fromisoformat(report.resumes_at).timestamp() - ends <= 30
    assert f"  resumes at  {reports[0].resumes_at}: " in as_text(reports, colour=False)
    assert reports[0].resumes_at == json.loads(as_json(reports))["accounts"][0]["resumes_at"]


async def test_many_accounts_on_an_endpoint_that_is_down(tmp_path: Path) -> None:
    """Accounts are polled concurrently: all of them report the hanging endpoint, each by its own timeout."""
    accounts = [SimulatedAccount(f"account-{number}", "HMAC", seed=number) for number in range(30)]
    async with SimulatedExchange(accounts) as exchange:
        with exchange.lose_answers():
            rejection = exchange.reject_handshake(502)
            reports = await report_on(exchange, tmp_path)
            rejection.close()

    assert ["connection"] * 30 == [report.reason for report in reports]


@pytest.mark.parametrize(
    ("offset", "uncertainty", "wrong"),
    [(0.9, 0.0, False), (2.0, 0.0, False), (6.0, 0.0, True), (-0.9, 0.0, False), (-1.5, 0.0, True), (-1.5, 1.5, False)],
)
def test_clock_is_judged_as_the_exchange_does(offset: float, uncertainty: float, *, wrong: bool) -> None:
    """A clock is wrong if a second ahead or five behind, beyond the uncertainty of half a round trip."""
    report = replace(GOOD, clock_offset_seconds=offset, clock_uncertainty_seconds=uncertainty)

    assert wrong is report.clock_is_wrong
    assert wrong is ("programs that do not correct for it" in as_text([report], colour=False))


@pytest.mark.parametrize(
    ("offset", "uncertainty", "words"),
    [
        (0.25, 0.02, "host 0.250 s behind exchange"),
        (-29.6, 1.5, "host about 30 s ahead of exchange"),
        (0.7, 1.5, "host and exchange agree to within 1.5 s"),
        (0.7, 1e9, "unknown"),
    ],
)
def test_clock_is_reported_as_precisely_as_it_is_known(offset: float, uncertainty: float, words: str) -> None:
    """An offset that is only known to a second is not printed with milliseconds."""
    report = replace(GOOD, clock_offset_seconds=offset, clock_uncertainty_seconds=uncertainty)

    assert f"{words}\n" in as_text([report], colour=False)


@pytest.mark.parametrize(("limit", "words"), [(2400, "1,234 of 2,400"), (None, "1,234 (limit unknown)")])
def test_request_weight_is_reported_with_its_limit(limit: int | None, words: str) -> None:
    """The used request weight is printed with its limit, which may be unknown."""
    report = replace(GOOD, request_weight_used=1234, request_weight_limit=limit)

    assert f"  weight      {words}, all programs behind this IP" in as_text([report], colour=False)


@pytest.mark.parametrize(
    ("mode", "currency", "words"),
    [("single", "USDT", "single, totals cover USDT only"), ("multi", "USD", "multi, totals cover all assets in USD")],
)
def test_report_says_what_totals_cover(mode: str, currency: str, words: str) -> None:
    """The asset mode is printed with what the account totals cover."""
    report = replace(GOOD, asset_mode=mode, currency=currency)

    assert f"  asset mode  {words}\n" in as_text([report], colour=False)


@pytest.mark.parametrize(
    ("good", "bad", "summary"),
    [
        (1, 0, "1 account OK"),
        (4, 0, "all 4 accounts OK"),
        (0, 1, "1 of 1 accounts needs attention: b"),
        (2, 2, "2 of 4 accounts need attention: b, b"),
    ],
)
def test_summary(good: int, bad: int, summary: str) -> None:
    """The last line says whether any account needs attention, and which."""
    failed = replace(GOOD, account="b", accepted=False, reason="timeout", problem="p", advice="a")

    assert summary == as_text([GOOD] * good + [failed] * bad, colour=False).splitlines()[-1]


def test_hostile_texts_cannot_reach_the_terminal() -> None:
    """Control characters in names from the exchange or the configuration are escaped."""
    hostile = "A\x1b]0;pwn\x07\u202e\n"
    assets = [{"asset": hostile, "wallet_balance": 1.0}]
    text = as_text([replace(GOOD, account=hostile, assets=assets)], [hostile], colour=False)

    assert all(character.isprintable() or character == "\n" for character in text)
    assert text.count("A\\x1b]0;pwn\\x07\\u202e\\n") == 3


def test_odd_numbers_stay_readable() -> None:
    """A value that rounds to zero has no sign, and a huge one does not widen the table."""
    text = as_text([replace(GOOD, totals={"wallet_balance": -1e-10, "margin_balance": -1e300})], colour=False)

    assert "-0.00" not in text
    assert "-1.000000e+300" in text
    assert max(map(len, text.splitlines())) < 80


def test_warnings_of_the_configuration_are_shown() -> None:
    """The configuration's warnings are in the text and in the JSON."""
    assert as_text([GOOD], ["keys/a.key is readable by other users"], colour=False).startswith(
        "warning  keys/a.key is readable"
    )
    assert ["keys/a.key is readable by other users"] == json.loads(
        as_json([GOOD], ["keys/a.key is readable by other users"])
    )["warnings"]
