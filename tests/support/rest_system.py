"""The whole exporter with REST enabled, and its configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support import reloads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exporter.simulator import SimulatedExchange
    from support.service import Samples

OFF = {name: {"enabled": False} for name in ("income", "funding", "prices", "key_check")}
ENABLED = {"funding": {"enabled": True, "interval": "5s"}, "prices": {"enabled": True, "interval": "5s"}}


class System(reloads.System):
    """An exporter that polls every second and uses REST, and its configuration file."""

    def __init__(self, exchange: SimulatedExchange, directory: Path) -> None:
        super().__init__(exchange, directory, exchange.rest_url)
        self.exchange = exchange
        self.edit(**ENABLED)

    async def reload(self, change: Callable[[dict[str, Any]], object] | None = None, /, **sections: Any) -> None:
        """Change the configuration file and have it loaded."""
        self.edit(change, **sections)
        assert not await self.service.reload()

    def requests(self, *paths: str) -> int:
        """Return how many REST requests have arrived, of all paths by default."""
        return sum(
            request.method in paths if paths else request.method.startswith("/") for request in self.exchange.received
        )

    @property
    def endpoint(self) -> str:
        """The label of the endpoint."""
        return self.exchange.rest_url.removeprefix("http://")


def rest_series(samples: Samples) -> set[str]:
    """Return the names of the series whose values were read over REST."""
    prefixes = (
        "binance_futures_funding_",
        "binance_futures_asset_index_price",
        "binance_futures_key_",
        "binance_futures_income_",
    )
    return {name for name, _ in samples if name.startswith(prefixes)}
