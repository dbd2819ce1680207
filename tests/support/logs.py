"""Logging without pytest's handlers."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from exporter import log

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def alone() -> Iterator[None]:
    """Remove pytest's handlers, which raise on records that the exporter's must survive."""
    root = logging.getLogger()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(root, "handlers", [handler for handler in root.handlers if isinstance(handler, log._Handler)])
        yield


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what has been logged above level INFO, but for asyncio's complaints about a slow machine."""
    return [
        message
        for message in (record.getMessage() for record in caplog.records if record.levelno > logging.INFO)
        if not message.startswith("Executing ")
    ]
