"""No alert on an account's risk goes silent for lack of data: every way in which its series disappear, at both levels.

Each scenario is also run with a part of the mechanism taken out, which it must notice.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from support.disappearing import END, FLIPPING, GONE, RATIO, RISKS, WAYS, Series, account, flip, gap
from support.prometheus_server import promtool

from prometheus.build import GROUPS, rule_files
from prometheus.rule import JOB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def scraped(series: Series) -> list[dict[str, str]]:
    """Return series as promtool takes them, with the labels that Prometheus adds."""
    added = f'job="{JOB}",instance="exporter:10427"'
    return [
        {"series": name.replace("{", "{" + added + ("," if "=" in name else "")), "values": values}
        for name, values in series.items()
    ]


Rules = dict[str, Any]


def rules_without(change: Callable[[dict[str, Any]], None] | None = None) -> Rules:
    """Return the shipped rule files; `change` is applied to each rule."""
    files: Rules = {name: yaml.safe_load(text) for name, text in rule_files().items()}
    for file in files.values():
        for rule in file["groups"][0]["rules"]:
            if change:
                change(rule)
    return files


def run(folder: Path, files: Rules, series: Series, checks: list[tuple[int, str]]) -> tuple[int, str]:
    """Run promtool: at each sample an expression must be true."""
    for name, file in files.items():
        (folder / name).write_text(json.dumps(file), encoding="utf-8")
    test = {
        "rule_files": [str(folder / name) for name in files],
        "evaluation_interval": "15s",
        "group_eval_order": [group.name for _, group in GROUPS.values()],
        "tests": [
            {
                "interval": "15s",
                "input_series": scraped(series),
                "promql_expr_test": [
                    {"eval_time": f"{sample * 15}s", "expr": expression, "exp_samples": [{"labels": "{}", "value": 1}]}
                    for sample, expression in checks
                ],
            }
        ],
    }
    path = folder / "test.yml"
    path.write_text(json.dumps(test), encoding="utf-8")
    return promtool("test", "rules", path)


def fires(severity: str, alerts: str = "MarginRatioHigh|LiquidationNear|RiskUnknown") -> str:
    """Return an expression that is 1 if one of some alerts fires with at least a severity, else 0."""
    at_least = "critical" if severity == "critical" else "critical|warning"
    chosen = f'alertname=~"BinanceFutures({alerts})",alertstate="firing",severity=~"{at_least}"'
    return f"clamp_max(count(ALERTS{{{chosen}}}) or vector(0), 1)"


def always(severity: str) -> list[tuple[int, str]]:
    """Check that from three minutes on there is always an alert of at least a severity."""
    return [(sample, fires(severity)) for sample in range(12, END)]


def replaced(severity: str) -> list[tuple[int, str]]:
    """Check that the replacement does not fire before data are missing, does two minutes later, and never ends."""
    unknown = fires(severity, "RiskUnknown")
    before = [(sample, f"1 - {unknown}") for sample in (20, GONE)]
    return [*before, *((sample, unknown) for sample in range(GONE + 8, END))]


@pytest.mark.parametrize(("severity", "kind"), RISKS)
@pytest.mark.parametrize("way", WAYS)
def test_another_alert_fires_before_the_first_ends(way: str, severity: str, kind: str, tmp_path: Path) -> None:
    """However the series of an account at risk disappear, an alert at least as severe fires at every moment."""
    series = WAYS[way](account(RISKS[severity, kind]))

    code, output = run(tmp_path, rules_without(), series, [*always(severity), *replaced(severity)])

    assert 0 == code, output


@pytest.mark.parametrize(("severity", "kind"), RISKS)
@pytest.mark.parametrize("length", [12, 30])
@pytest.mark.parametrize("back", [True, False])
def test_gap(length: int, severity: str, kind: str, back: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    """A gap in all samples silences nothing, whether the account is there after it or not."""
    series = gap(account(RISKS[severity, kind]), length)
    if not back:
        series = {name: values if name == "up{}" else values.rsplit(" ", 1)[0] for name, values in series.items()}

    code, output = run(tmp_path, rules_without(), series, always(severity))

    assert 0 == code, output


@pytest.mark.parametrize(("severity", "kind"), RISKS)
def test_change_of_the_asset_mode(severity: str, kind: str, tmp_path: Path) -> None:
    """A change of the asset mode interrupts no alert, and the risk stays known."""
    known = [(sample, f"1 - {fires('warning', 'RiskUnknown')}") for sample in range(END)]
    series = flip(severity, RISKS[severity, kind])

    code, output = run(tmp_path, rules_without(), series, [*always(severity), *known])

    assert 0 == code, output


@pytest.mark.parametrize("kind", FLIPPING)
def test_flipping_position(kind: str, tmp_path: Path) -> None:
    """A bot that turns its position round with every poll makes no alert fire."""
    silent = [(sample, '1 - clamp_max(count(ALERTS{alertstate="firing"}) or vector(0), 1)') for sample in range(END)]

    code, output = run(tmp_path, rules_without(), account({}) | FLIPPING[kind], silent)

    assert 0 == code, output


def test_flipping_position_at_risk(tmp_path: Path) -> None:
    """The same while its margin ratio is high: the risk is not unknown for the sake of single polls."""
    known = [(sample, f"1 - {fires('warning', 'RiskUnknown')}") for sample in range(END)]
    series = account({RATIO: "0.9"}) | FLIPPING["the rows are missing in two polls of three"]

    code, output = run(tmp_path, rules_without(), series, [*known, *always("critical")])

    assert 0 == code, output


def of_level(part: str) -> Callable[[dict[str, Any]], None]:
    """Return what takes a condition out of the recorded level."""

    def change(rule: dict[str, Any]) -> None:
        if rule.get("record") == "account:binance_futures_risk_level:max":
            assert part in rule["expr"]
            rule["expr"] = rule["expr"].replace(part, "")

    return change


def of_recording(name: str, start: str) -> Callable[[dict[str, Any]], None]:
    """Return what cuts a recording's expression off where its last `or` before some text is."""

    def change(rule: dict[str, Any]) -> None:
        if rule.get("record") == name:
            rule["expr"] = rule["expr"][: rule["expr"].rindex("\nor\n", 0, rule["expr"].rindex(start))]

    return change


def of_alert(name: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what changes an alert."""

    def change(rule: dict[str, Any]) -> None:
        if rule.get("alert") == f"BinanceFutures{name}":
            rule[key] = value

    return change


_DISTANCE: Final = "position:binance_futures_liquidation_distance:last_over_time15m"
_POOL: Final = "pool:binance_futures_margin_ratio:last_over_time15m"
NEVER: Final = "vector(0) > 0"
MUTATIONS: Final[dict[str, tuple[Callable[[dict[str, Any]], None], list[str]]]] = {
    "no RiskUnknown": (of_alert("RiskUnknown", "expr", NEVER), list(WAYS)),
    "level without up": (
        of_level("and\naccount:binance_futures_up:max == 1\n"),
        ["refused"],
    ),
    "level without figures": (
        of_level(
            "and\n(account:binance_futures_open_positions:max or account:binance_futures_margin_ratio:max)\n",
        ),
        ["polled without figures"],
    ),
    "level without prices": (
        of_level("unless\nmin by (job, namespace, account) (binance_futures_position_risk_missing) > 0"),
        ["rows missing", "method gone", "rows of the opposite side"],
    ),
    "level without ratio": (
        of_level("unless\naccount:binance_futures_positions_without_margin_ratio:count > 0\n"),
        ["pool unknown"],
    ),
    "distance not held": (
        of_recording(_DISTANCE, "binance_futures_position_entry_price"),
        ["rows missing", "rows of the opposite side"],
    ),
}


@pytest.mark.parametrize(
    ("mutation", "way"), [(mutation, way) for mutation, (_, ways) in MUTATIONS.items() for way in ways]
)
@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_mechanism_is_needed(mutation: str, way: str, severity: str, tmp_path: Path) -> None:
    """Without a part of the mechanism an alert goes silent, or nothing replaces it in time."""
    change, _ = MUTATIONS[mutation]
    series = WAYS[way](account(RISKS[severity, "ratio" if way == "pool unknown" else "distance"]))

    code, output = run(tmp_path, rules_without(change), series, [*always(severity), *replaced(severity)])

    assert 0 != code
    assert "FAILED" in output


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_hold_over_a_change_of_mode_is_needed(severity: str, tmp_path: Path) -> None:
    """Without the hold on the former pool a change of the asset mode interrupts the alert on it."""
    files = rules_without(of_recording(_POOL, '{margin_asset!=""}'))

    code, output = run(tmp_path, files, flip(severity, RISKS[severity, "ratio"]), always(severity))

    assert 0 != code
    assert "FAILED" in output


def test_waiting_is_needed(tmp_path: Path) -> None:
    """Without its `for` RiskUnknown fires on a bot that turns its position round with every poll."""
    known = [(sample, f"1 - {fires('warning', 'RiskUnknown')}") for sample in range(END)]
    series = account({RATIO: "0.9"}) | FLIPPING["the rows are missing in two polls of three"]

    code, output = run(tmp_path, rules_without(of_alert("RiskUnknown", "for", "0s")), series, known)

    assert 0 != code
    assert "FAILED" in output
