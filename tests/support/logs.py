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
