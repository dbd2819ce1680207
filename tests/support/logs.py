"""The log of a test."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import structlog

from exporter import log, redaction

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _restored_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redaction, "_hidden_pieces", set())
    monkeypatch.setattr(redaction, "_hidden_texts", set())
    root = logging.getLogger()
    level = root.level
    names = ("websockets", "uvicorn", "uvicorn.error", "uvicorn.access")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, log._Handler)]
    root.setLevel(level)
    for name in names:
        logging.getLogger(name).setLevel(levels[name])
        logging.getLogger(name).disabled = False
    structlog.reset_defaults()


@contextmanager
def alone() -> Iterator[None]:
    """Keep pytest's own handlers away, which raise on the records that ours must survive."""
    root = logging.getLogger()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(root, "handlers", [each for each in root.handlers if isinstance(each, log._Handler)])
        yield
