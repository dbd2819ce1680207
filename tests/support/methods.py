"""The exchange's names of the methods that the exporter polls."""

from __future__ import annotations

from typing import Final

STATUS: Final = "v2/account.status"
POSITION: Final = "v2/account.position"
V1: Final = "account.status"
SESSION: Final = "session.status"
