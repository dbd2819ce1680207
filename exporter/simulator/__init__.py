"""A simulated exchange that speaks Binance's protocol, for the demo and the tests."""

from exporter.simulator.books import SimulatedAccount
from exporter.simulator.demo import demo_exchange, write_configuration
from exporter.simulator.desk import Received
from exporter.simulator.keys import Key, KeyType, new_key
from exporter.simulator.market import Market
from exporter.simulator.server import SimulatedExchange
from exporter.simulator.story import Story, demo_accounts

__all__ = [
    "Key",
    "KeyType",
    "Market",
    "Received",
    "SimulatedAccount",
    "SimulatedExchange",
    "Story",
    "demo_accounts",
    "demo_exchange",
    "new_key",
    "write_configuration",
]
