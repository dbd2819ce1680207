"""Programs and packages that are not in every checkout: tests that need them are skipped, or fail under CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def needs(program: str) -> None:
    """Skip the test, or fail it under CI, if a program is not on PATH."""
    if shutil.which(program) is None:
        missing(program, "test-tools")


def missing(what: str, target: str) -> NoReturn:
    """Skip the test, or fail it under CI, since something is missing that a target of make installs."""
    reason = f"{what} is missing: make {target}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
