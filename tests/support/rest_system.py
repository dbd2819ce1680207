"""The whole exporter with REST enabled, and its configuration file."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import yaml

from exporter.app.service import Service, WebSettings
from exporter.config import exporter_yml
from exporter.simulator.demo import write_configuration
from exporter.web.listen_address import ListenAddress
from support.polling import FAST
from support.service import Samples, running, until_sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import httpx

    from exporter.simulator import SimulatedExchange

OFF = {name: {"enabled": False} for name in ("income", "funding", "prices", "key_check")}
ENABLED = {"funding": {"enabled": True, "interval": "5s"}, "prices": {"enabled": True, "interval": "5s"}}


class System:
    """An exporter that polls every second and uses REST, and its configuration file."""

    def __init__(self, exchange: SimulatedExchange, directory: Path) -> None:
        self.exchange = exchange
        self.path = write_configuration(exchange.url, exchange.accounts.values(), directory, exchange.rest_url)
        self.edit(poll={"interval": "1s"}, **ENABLED)
        self.client: httpx.AsyncClient
        self.service: Service

    def edit(self, change: Callable[[dict[str, Any]], object] | None = None, /, **sections: Any) -> None:
        """Change the configuration file."""
        document = yaml.safe_load(self.path.read_text())
        document.update(sections)
        if change:
            change(document)
        self.path.write_text(yaml.safe_dump(document))

    async def reload(self, change: Callable[[dict[str, Any]], object] | None = None, /, **sections: Any) -> None:
        """Change the configuration file and have it loaded."""
        self.edit(change, **sections)
        assert not await self.service.reload()

    def load(self) -> exporter_yml.Config:
        """Load the configuration file."""
        return exporter_yml.load(self.path, {})

    def requests(self, *paths: str) -> int:
        """Return how many REST requests have arrived, of all paths by default."""
        return sum(
            request.method in paths if paths else request.method.startswith("/") for request in self.exchange.received
        )

    @property
    def endpoint(self) -> str:
        """The label of the endpoint."""
        return self.exchange.rest_url.removeprefix("http://")

    async def shows(self, expected: float | None, name: str, **labels: str) -> Samples:
        """Wait until a series has a value (None: is absent)."""
        return await until_sample(self.client, expected, name, **labels)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[System]:
        """Run the exporter while the block runs."""
        self.service = Service(self.load(), WebSettings(addresses=(ListenAddress("127.0.0.1", 0),)), FAST, self.load)
        async with running(self.service) as self.client:
            yield self


def rest_series(samples: Samples) -> set[str]:
    """Return the names of the series whose values were read over REST."""
    prefixes = (
        "binance_futures_funding_",
        "binance_futures_asset_index_price",
        "binance_futures_key_",
        "binance_futures_income_",
    )
    return {name for name, _ in samples if name.startswith(prefixes)}
