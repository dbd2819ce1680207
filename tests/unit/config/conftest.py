"""Fixtures of the configuration tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.config_folder import Folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder with the key files of an HMAC account."""
    return Folder(tmp_path)
