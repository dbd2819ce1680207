"""Binance's own Python SDK and Gauges; those of closed positions stay, as with most exporters."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from binance_common.configuration import ConfigurationWebSocketAPI
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

from bench.gauges import Gauges
from bench.peer import Peer, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.peer import About


@asynccontextmanager
async def connect(about: About) -> AsyncIterator[Peer]:
    """Connect."""
    configuration = ConfigurationWebSocketAPI(
        api_key=about["api_key"], api_secret=about["secret_key"], stream_url=about["url"]
    )
    api: Any = DerivativesTradingUsdsFutures(config_ws_api=configuration).websocket_api
    await api.create_connection()
    gauges = Gauges(about, name=_attribute, read=getattr)

    async def poll() -> None:
        status = (await api.account_information_v2()).data().result
        gauges.set(status, status.assets, status.positions)

    yield Peer(poll, gauges.text)
    await api.close_connection(close_session=True)


def _attribute(name: str) -> str:
    """Return the SDK's name of a field."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


if __name__ == "__main__":
    run(connect)
