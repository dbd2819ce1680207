"""The link that an endpoint's requests are sent over or, while there is none, why not."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from exporter.binance.errors import NotConnected, OverBudget

if TYPE_CHECKING:
    from exporter.binance.link import Link


class CurrentLink:
    """Holds the link in use; `link` is None while the endpoint is not connected.

    Args:
        endpoint: the endpoint's label, for errors.
    """

    def __init__(self, endpoint: str) -> None:
        self.link: Link | None = None
        self.dial_waits_for_weight = False
        self.endpoint = endpoint
        self._available = asyncio.Event()
        self._message, self._advice = "not attempted yet", ""

    def use(self, link: Link) -> None:
        """Send requests over `link` from now on."""
        self.link = link
        self._available.set()

    def drop(self, link: Link) -> None:
        """Stop using `link`; nothing changes if another one has replaced it."""
        if self.link is link:
            self.link = None
            self._available.clear()

    def set_failure(self, message: str, advice: str) -> None:
        """Set the error and the advice that `require` raises while there is no link."""
        self._message, self._advice = message, advice

    async def wait(self, seconds: float) -> None:
        """Wait up to `seconds` for a link."""
        # Not wait_for: on Python 3.11 it swallows a cancellation that comes right after the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._available.wait()

    def require(self) -> Link:
        """Return the link in use.

        Raises:
            NotConnected: there is none; the text says why the last one ended or could not be opened.
            OverBudget: there is none, and the next dial waits for request weight.
        """
        if self.link is None and self.dial_waits_for_weight:
            raise OverBudget("not enough request weight left on this IP to connect")
        if self.link is None:
            raise NotConnected(f"not connected to {self.endpoint}: {self._message}", self._advice)
        return self.link
