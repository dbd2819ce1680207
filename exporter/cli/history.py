"""The command `history`: checks its flags, and prints what it does to standard error."""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, TypeAlias

from exporter.app.history import HistoryError, HistoryRequest, read_past, write_past
from exporter.cli.check_report import format_warning
from exporter.config import exporter_yml
from exporter.config.document import ConfigError, Problem
from exporter.log import print_error

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from exporter.app.history_window import Window
    from exporter.rest.income_past import IncomePast

    _Past: TypeAlias = tuple[IncomePast, Window]


def write_history(flags: Namespace, run_in_loop: Callable[[Coroutine[None, None, _Past]], _Past]) -> None:
    """Read an account's income in an event loop, and write the files.

    Raises:
        ConfigError: the flags or the configuration are wrong.
        HistoryError: the income cannot be read, or a file not be written.
    """
    labels = dict(flags.label)
    required = {"--account": flags.account, "--since": flags.since, "--out": flags.out}
    problems = [Problem(name, "is missing") for name, value in required.items() if value is None]
    if len(labels) < len(flags.label):
        problems.append(Problem("--label", "has the same name twice"))
    if problems:
        raise ConfigError(*problems)
    config = exporter_yml.load(flags.config_file, os.environ)
    for warning in config.warnings:
        print_error(format_warning(warning))
    directory: Path = flags.out
    try:  # now, since reading may take long
        directory.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=directory).close()
    except OSError as error:
        raise HistoryError(f"cannot write to {directory}: {error.strerror}") from None
    request = HistoryRequest(account=flags.account, since_seconds=flags.since, until_unix=flags.until)
    past, window = run_in_loop(read_past(config, request, print_error))
    for line in write_past(past, window, directory, flags.account, labels):
        print_error(line)
