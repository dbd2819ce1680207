"""Start the program: ``python -m exporter`` and the command ``binance-futures-exporter``."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command line and return the process's exit code."""
    try:
        from exporter.cli import run  # noqa: PLC0415 - importing takes a while in which somebody may press Ctrl-C

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
