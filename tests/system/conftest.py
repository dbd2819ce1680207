"""The table of the faults that the exporter has survived, after the tests' results."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the fault table, if its tests ran."""
    reports = [report for outcome in terminalreporter.stats.values() for report in outcome]
    rows = [
        (*row, "survived" if report.passed else "FAILED")
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, row in report.user_properties
        if name == "fault" and isinstance(row, tuple | list)  # a list from another process
    ]
    if not rows:
        return
    terminalreporter.section("fault table")
    terminalreporter.line(
        "failed: polls that failed; scrape: the slowest, in ms; back: seconds until both accounts were"
    )
    for row in [("fault", "hits", "counted", "failed", "scrape", "back", "verdict"), *rows]:
        terminalreporter.line("{:<43} {:<5} {:<44.44} {:>6} {:>6} {:>5} {}".format(*row))
