"""Start the program: ``python -m exporter`` and the command ``binance-futures-exporter``."""

from __future__ import annotations

import sys

from exporter.cli import run


def main() -> int:
    """Run the command line and return the process's exit code."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
