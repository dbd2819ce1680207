"""Start the program: ``python -m exporter`` and the command ``binance-futures-exporter``."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def main() -> int:
    """Run the command line and return the process's exit code."""
    if sys.stdout is None:  # type: ignore[unreachable,unused-ignore] # it was closed by whoever started us
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open as long as the program runs
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a symbol may be Chinese where the terminal is not
    try:
        # Importing takes a while in which somebody may press Ctrl-C.
        from exporter import log  # noqa: PLC0415
        from exporter.cli import run  # noqa: PLC0415

        log.catch_strays()
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in: … --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
