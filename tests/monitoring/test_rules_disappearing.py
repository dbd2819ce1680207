"""No alert on an account's risk goes silent for lack of data: every way in which series disappear, at both levels.

The scenarios are also run with a part of the mechanism removed, and must fail then.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
import yaml
from support.disappearing import ACCOUNT, END, FLIPPING, GONE, RATIO, RISKS, WAYS, Series, account, flip, gap
from support.prometheus_server import promtool

from monitoring.rules.build import GROUPS, rule_files
from monitoring.rules.rule import JOB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.prometheus


Rules = dict[str, Any]
Check = tuple[int, int, str]


def rules_with(change: Callable[[dict[str, Any]], None] | None = None) -> Rules:
    """Return the shipped rule files; `change` is applied to each rule."""
    files: Rules = {name: yaml.safe_load(text) for name, text in rule_files().items()}
    for file in files.values():
        for rule in file["groups"][0]["rules"]:
            if change:
                change(rule)
    return files


class Scenario(NamedTuple):
    """The series of one account, and the expressions that must be 1 over a range of samples."""

    series: Series
    checks: list[Check]


def failures(folder: Path, files: Rules, scenarios: dict[str, Scenario]) -> dict[str, list[str]]:
    """Return the failed checks by scenario, each of which is an account with its own target in one run of promtool."""
    for name, file in files.items():
        (folder / name).write_text(json.dumps(file), encoding="utf-8")
    names = {f"account-{number}": name for number, name in enumerate(scenarios)}
    series: list[dict[str, str]] = []
    checks: list[dict[str, Any]] = []
    for account_name, name in names.items():
        added = f'job="{JOB}",instance="{account_name}:10427"'
        for key, values in scenarios[name].series.items():
            labels = key.replace(ACCOUNT, f'account="{account_name}"')
            labels = labels.replace("{", "{" + added + ("," if "=" in labels else ""))
            series.append({"series": labels, "values": values})
        for first, last, expression in scenarios[name].checks:
            # A second more than the samples span: Prometheus 3 excludes samples that are as old as the range.
            lowest = f"min_over_time(({expression})[{(last - first) * 15 + 1}s:15s])"
            expr = lowest.replace(ACCOUNT, f'account="{account_name}"')
            checks.append({"eval_time": f"{last * 15}s", "expr": expr, "exp_samples": [{"labels": "{}", "value": 1}]})
    test = {
        "rule_files": [str(folder / name) for name in files],
        "evaluation_interval": "15s",
        "group_eval_order": [group.name for group in GROUPS.values()],
        "tests": [{"interval": "15s", "input_series": series, "promql_expr_test": checks}],
    }
    path = folder / "test.yml"
    path.write_text(json.dumps(test), encoding="utf-8")
    code, output = promtool("test", "rules", path)
    failed: dict[str, list[str]] = {}
    for line in output.splitlines():
        if match := re.search(r'expr: .*account=\\"(account-\d+)\\"', line):
            failed.setdefault(names[match[1]], []).append(line.strip())
    assert bool(failed) == bool(code), output
    return failed


def fires(severity: str, alerts: str = "MarginRatioHigh|LiquidationNear|RiskUnknown") -> str:
    """Return an expression that is 1 if one of the alerts fires with at least the severity, else 0."""
    at_least = "critical" if severity == "critical" else "critical|warning"
    chosen = f'{ACCOUNT},alertname=~"BinanceFutures({alerts})",alertstate="firing",severity=~"{at_least}"'
    return f"clamp_max(count(ALERTS{{{chosen}}}) or vector(0), 1)"


def always(severity: str) -> Check:
    """Check that from three minutes on an alert of at least the severity always fires."""
    return 12, END - 1, fires(severity)


def replaced(severity: str) -> list[Check]:
    """Check that RiskUnknown does not fire before data are missing, fires two minutes later, and does not end."""
    unknown = fires(severity, "RiskUnknown")
    return [(0, GONE, f"1 - {unknown}"), (GONE + 8, END - 1, unknown)]


RISK_KNOWN: Final[Check] = (0, END - 1, f"1 - {fires('warning', 'RiskUnknown')}")


def test_another_alert_fires_before_the_first_ends(tmp_path: Path) -> None:
    """However the series of an account at risk disappear, an alert at least as severe fires at every moment."""
    scenarios = {
        f"{way}: {severity} {kind}": Scenario(change(account(values)), [always(severity), *replaced(severity)])
        for way, change in WAYS.items()
        for (severity, kind), values in RISKS.items()
    }

    assert {} == failures(tmp_path, rules_with(), scenarios)


def test_gap(tmp_path: Path) -> None:
    """A gap in all samples silences no alert, whether the account is present after it or not."""
    scenarios = {}
    for (severity, kind), values in RISKS.items():
        for length in (12, 30):
            back = gap(account(values), length)
            away = {name: after if name == "up{}" else after.rsplit(" ", 1)[0] for name, after in back.items()}
            scenarios[f"{severity} {kind}, back after {length}"] = Scenario(back, [always(severity)])
            scenarios[f"{severity} {kind}, only the target after {length}"] = Scenario(away, [always(severity)])

    assert {} == failures(tmp_path, rules_with(), scenarios)


def test_change_of_the_asset_mode(tmp_path: Path) -> None:
    """A change of the asset mode interrupts no alert, and the risk stays known."""
    scenarios = {
        f"{severity} {kind}": Scenario(flip(severity, values), [always(severity), RISK_KNOWN])
        for (severity, kind), values in RISKS.items()
    }

    assert {} == failures(tmp_path, rules_with(), scenarios)


def test_flipping_position(tmp_path: Path) -> None:
    """A bot that reverses its position with every poll makes no alert fire."""
    any_alert = f'count(ALERTS{{{ACCOUNT},alertstate="firing"}})'
    silent = (0, END - 1, f"1 - clamp_max({any_alert} or vector(0), 1)")
    scenarios = {name: Scenario(account({}) | series, [silent]) for name, series in FLIPPING.items()}

    assert {} == failures(tmp_path, rules_with(), scenarios)


FLIPPING_AT_RISK: Final = account({RATIO: "0.9"}) | FLIPPING["the rows are missing in two polls of three"]


def test_flipping_position_at_risk(tmp_path: Path) -> None:
    """The same while its margin ratio is high: a single poll without its prices does not make the risk unknown."""
    scenario = Scenario(FLIPPING_AT_RISK, [RISK_KNOWN, always("critical")])

    assert {} == failures(tmp_path, rules_with(), {"flipping": scenario})


def without_condition(part: str) -> Callable[[dict[str, Any]], None]:
    """Return a change that removes a condition from the recorded risk level."""

    def change(rule: dict[str, Any]) -> None:
        if rule.get("record") == "account:binance_futures_risk_level:max":
            assert part in rule["expr"]
            rule["expr"] = rule["expr"].replace(part, "")

    return change


def cut_off(name: str, start: str) -> Callable[[dict[str, Any]], None]:
    """Return a change that cuts off a recording's expression at its last `or` before a text."""

    def change(rule: dict[str, Any]) -> None:
        if rule.get("record") == name:
            rule["expr"] = rule["expr"][: rule["expr"].rindex("\nor\n", 0, rule["expr"].rindex(start))]

    return change


def alert_with(name: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of a key of an alert."""

    def change(rule: dict[str, Any]) -> None:
        if rule.get("alert") == f"BinanceFutures{name}":
            rule[key] = value

    return change


_DISTANCE: Final = "position:binance_futures_liquidation_distance:last_over_time15m"
_POOL: Final = "pool:binance_futures_margin_ratio:last_over_time15m"
NEVER: Final = "vector(0) > 0"
MUTATIONS: Final[dict[str, tuple[Callable[[dict[str, Any]], None], list[str]]]] = {
    "no RiskUnknown": (alert_with("RiskUnknown", "expr", NEVER), list(WAYS)),
    "level without up": (
        without_condition("and\naccount:binance_futures_up:max == 1\n"),
        ["refused"],
    ),
    "level without data": (
        without_condition(
            "and\n(account:binance_futures_open_positions:max or account:binance_futures_margin_ratio:max)\n",
        ),
        ["polled without data"],
    ),
    "level without prices": (
        without_condition("unless\nmin by (job, namespace, account) (binance_futures_position_risk_missing) > 0"),
        ["rows missing", "method gone", "rows of the opposite side"],
    ),
    "level without ratio": (
        without_condition("unless\naccount:binance_futures_positions_without_margin_ratio:count > 0\n"),
        ["pool unknown"],
    ),
    "distance not held": (
        cut_off(_DISTANCE, "binance_futures_position_entry_price"),
        ["rows missing", "rows of the opposite side"],
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mechanism_is_needed(mutation: str, tmp_path: Path) -> None:
    """Without a part of the mechanism an alert goes silent, or is not replaced in time."""
    change, ways = MUTATIONS[mutation]
    scenarios = {
        f"{way}: {severity}": Scenario(
            WAYS[way](account(RISKS[severity, "ratio" if way == "pool unknown" else "distance"])),
            [always(severity), *replaced(severity)],
        )
        for way in ways
        for severity in ("critical", "warning")
    }

    assert scenarios.keys() == failures(tmp_path, rules_with(change), scenarios).keys()


def test_hold_over_a_change_of_mode_is_needed(tmp_path: Path) -> None:
    """Unless the ratio of the former pool is held, a change of the asset mode interrupts the alert on it."""
    rules = rules_with(cut_off(_POOL, '{margin_asset!=""}'))
    scenarios = {
        severity: Scenario(flip(severity, RISKS[severity, "ratio"]), [always(severity)])
        for severity in ("critical", "warning")
    }

    assert scenarios.keys() == failures(tmp_path, rules, scenarios).keys()


def test_waiting_is_needed(tmp_path: Path) -> None:
    """Without its `for` RiskUnknown fires on a bot that reverses its position with every poll."""
    rules = rules_with(alert_with("RiskUnknown", "for", "0s"))

    assert failures(tmp_path, rules, {"flipping": Scenario(FLIPPING_AT_RISK, [RISK_KNOWN])})
