"""What all unit tests have in common."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the system's certificates, which each exporter and REST client would take 30 ms to load."""
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
