"""Starts the program, for ``python -m exporter`` and the command ``binance-futures-exporter``."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    if not hasattr(signal, "pthread_sigmask"):  # as on Windows
        sys.exit("binance-futures-exporter: this platform is not supported: use Linux, for example WSL or a container")
    _handle_early_signals()
    _open_missing_streams()
    # A symbol may be Chinese, which not every terminal can show.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    # Importing takes a while, in which signals may already arrive.
    from exporter import log  # noqa: PLC0415
    from exporter.cli.main import run  # noqa: PLC0415

    log.log_uncaught()
    code = run(sys.argv[1:])
    logging.shutdown()
    # Not sys.exit: the interpreter ends threads anywhere, and a thread in bcrypt then aborts the process.
    os._exit(code)


def _handle_early_signals() -> None:
    # Python's own handler raises KeyboardInterrupt, which is lost in a destructor or a weak reference's callback.
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) == default:
            signal.signal(number, _end)
    # Blocked until there is something to reload.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def _end(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)  # the kernel ignores a default action for process 1, as in a container


def _open_missing_streams() -> None:
    """Open closed descriptors 0 to 2 as /dev/null, since otherwise the first socket would get such a number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    main()
