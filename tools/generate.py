"""Writes every file that is derived from the code: `python -m tools.generate`, or `make generate`.

With `--check` nothing is written: files that are out of date are listed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Final

from exporter import __version__
from exporter.cli.flags import FLAGS, Flag
from exporter.metrics import reference
from monitoring.dashboards.build import dashboard_files
from monitoring.rules.build import alerts_table, home_url, rule_files, thresholds_table
from tools import chart
from tools.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CHART: Final = "helm/binance-futures-exporter"


def flags_table() -> str:
    """Return a Markdown table of all flags, with their defaults and commands."""
    by_name: dict[str, dict[str, Flag]] = {}
    for command, flags in FLAGS.items():
        for flag in flags:
            by_name.setdefault(flag.name, {})[command] = flag
    lines = ["| flag | description | default | commands |", "|---|---|---|---|"]
    for name, by_command in by_name.items():
        first = next(iter(by_command.values()))
        choices = f" ({', '.join(first.choices)})" if first.choices else ""
        default = first.shown_default
        others = [
            f"{command}: {flag.shown_default}" for command, flag in by_command.items() if flag.shown_default != default
        ]
        defaults = f"{default} ({', '.join(others)})" if others else default
        lines.append(f"| `{name}` | {first.help}{choices} | {defaults} | {', '.join(by_command)} |")
    return "\n".join(lines)


def golden_files() -> dict[str, str]:
    """Return the text of each golden file by file name."""
    sys.path.append(str(ROOT / "tests"))  # for `support`, as in the pytest settings in pyproject.toml
    from support import golden  # noqa: PLC0415 - needs the path above

    return golden.golden_files()


# Generated tables within hand-written files, by the name in their markers.
TABLES: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "docs/configuration.md": {"flags": flags_table},
    "docs/metrics.md": {"metrics": reference.as_markdown},
    "docs/alerts.md": {"alerts": alerts_table, "thresholds": thresholds_table},
    f"{CHART}/README.md": {"values": chart.as_markdown},
}


def with_table(text: str, name: str, table: str) -> str:
    """Return a text with the table between `<!-- NAME: begin … -->` and `<!-- NAME: end -->` replaced.

    Raises:
        ValueError: the markers do not occur exactly once.
    """
    between = re.compile(rf"(<!-- {name}: begin.*?-->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    text, count = between.subn(lambda match: f"{match[1]}{table}\n{match[2]}", text)
    if count != 1:
        raise ValueError(f"markers of the table {name!r}: {count}, not 1")
    return text


def chart_yaml(text: str) -> str:
    """Return the chart's Chart.yaml with the version of the package and the home page of the project."""
    for key, value in (("version", __version__), ("appVersion", f'"{__version__}"'), ("home", home_url())):
        text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.MULTILINE)
    return text


def folders(runbooks: str) -> dict[str, dict[str, str]]:
    """Return the directories that contain only generated files, with the text of each file by file name."""
    dashboards = dashboard_files()
    return {
        "grafana/dashboards": dashboards,
        f"{CHART}/files/dashboards": dashboards,  # Helm warns about symbolic links
        "prometheus/rules": rule_files(runbooks),
        "tests/data/golden": golden_files(),
    }


def generated(root: Path, runbooks: str = "") -> dict[Path, str | None]:
    """Return the text of each derived file, or None for a file that should no longer exist."""
    texts: dict[Path, str | None] = {}
    for folder, files in folders(runbooks).items():
        texts |= dict.fromkeys(sorted((root / folder).iterdir()))
        texts |= {root / folder / name: text for name, text in files.items()}
    texts[root / CHART / "files/rules.json"] = chart.rules(runbooks)
    for name, update in (("Chart.yaml", chart_yaml), ("values.yaml", chart.values_yaml)):
        texts[root / CHART / name] = update((root / CHART / name).read_text(encoding="utf-8"))
    for path, tables in TABLES.items():
        text = (root / path).read_text(encoding="utf-8")
        for name, make_table in tables.items():
            text = with_table(text, name, make_table())
        texts[root / path] = text
    return texts


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Write or check the derived files below `root`, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate", description="Write every derived file.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")
    parser.add_argument(
        "--runbooks", default="", help="address of your own copy of the runbooks (default: the project's)"
    )
    options = parser.parse_args(arguments)
    outdated = {
        path: text
        for path, text in generated(root, options.runbooks.rstrip("/")).items()
        if text != (path.read_text(encoding="utf-8") if path.exists() else None)
    }
    for path, text in outdated.items():
        print(
            f"{'out of date' if options.check else 'removed' if text is None else 'written'}: {path.relative_to(root)}"
        )
        if options.check:
            continue
        if text is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")
    if options.check and outdated:
        print("To update: make generate")
    return int(options.check and bool(outdated))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
