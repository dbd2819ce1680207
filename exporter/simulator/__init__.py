"""A simulated exchange that speaks Binance's WebSocket API, for the demo and the tests."""

from exporter.simulator.demo import demo_exchange, write_configuration
from exporter.simulator.handlers import Received
from exporter.simulator.keys import Key, KeyType, new_key
from exporter.simulator.ledger import SimulatedAccount
from exporter.simulator.market import Market
from exporter.simulator.scenario import Scenario, demo_accounts
from exporter.simulator.server import SimulatedExchange

__all__ = [
    "Key",
    "KeyType",
    "Market",
    "Received",
    "Scenario",
    "SimulatedAccount",
    "SimulatedExchange",
    "demo_accounts",
    "demo_exchange",
    "new_key",
    "write_configuration",
]
