"""The commands and their flags, each also an environment variable, which the flag overrides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter.app.service import DEFAULT_ADDRESS
from exporter.cli import flag_values
from exporter.log import FORMATS, LOG_LEVELS
from exporter.web.listen_address import ListenAddress

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM: Final = "binance-futures-exporter"
VARIABLE_PREFIX: Final = "BINANCE_FUTURES_EXPORTER_"
COMMANDS: Final = {
    "run": "poll the configured accounts (the default command)",
    "demo": "poll a simulated exchange; no API key needed",
    "check": "poll every account once; report risk, problems and what to do",
    "history": "write the past values of an account's income counters to files",
    "metrics": "print a reference of all metrics",
    "simulate": "run only the simulated exchange; write a configuration for it",
}


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag: its help, the parser of its value, and its default."""

    name: str
    help: str
    read: Callable[[str], Any] | None = str  # None: the flag has no value
    default: Any = None
    shown_default: str = ""
    choices: tuple[str, ...] | None = None
    value: str = ""
    repeatable: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that also sets the flag."""
        return VARIABLE_PREFIX + self.destination.upper()

    @property
    def destination(self) -> str:
        """The attribute that holds the flag's value."""
        return self.name.removeprefix("--").replace(".", "_").replace("-", "_")


_LOG_FORMAT: Final = Flag(
    "--log.format",
    "output format of log messages",
    shown_default="logfmt; coloured text on a terminal",
    choices=FORMATS,
)


def _log_level(default: str) -> Flag:
    return Flag("--log.level", "only log messages of this severity or above", str, default, default, LOG_LEVELS)


_LOG: Final = (_log_level("info"), _LOG_FORMAT)
_CONFIG_FILE: Final = Flag(
    "--config.file",
    "path of the configuration file; without it, BINANCE_* variables are read",
    flag_values.file_path,
    value="FILE",
)
_WEB: Final = (
    Flag(
        "--web.listen-address",
        "address to listen on: host:port, [IPv6]:port or :port; repeatable (variable: comma-separated)",
        flag_values.listen_address,
        default=(DEFAULT_ADDRESS,),
        shown_default=str(DEFAULT_ADDRESS),
        value="ADDRESS",
        repeatable=True,
    ),
    Flag(
        "--web.config.file",
        "path of a file that enables TLS or authentication (exporter-toolkit format)",
        flag_values.file_path,
        value="FILE",
    ),
    Flag(
        "--web.telemetry-path",
        "path under which to expose metrics",
        flag_values.telemetry_path,
        "/metrics",
        "/metrics",
        value="PATH",
    ),
    Flag(
        "--web.disable-exporter-metrics",
        "exclude metrics about the process and the Python runtime (process_*, python_*)",
        None,
        default=False,
    ),
)
_MARKET: Final = (
    Flag(
        "--speed", "speed of the simulated scenario relative to real time", flag_values.speed, 1.0, "1", value="FACTOR"
    ),
    Flag("--seed", "seed of the simulated market and its HMAC keys", flag_values.seed, value="NUMBER"),
)
FLAGS: Final[dict[str, tuple[Flag, ...]]] = {
    "run": (
        _CONFIG_FILE,
        Flag(
            "--config.check",
            "check the configuration, key files and web configuration, and exit",
            None,
            default=False,
        ),
        Flag(
            "--shard",
            "index of this shard, from 0, or a pod name that ends in it",
            flag_values.shard,
            0,
            "0",
            value="NUMBER",
        ),
        Flag(
            "--total-shards",
            "number of shards that the accounts are divided among",
            flag_values.total_shards,
            1,
            "1",
            value="NUMBER",
        ),
        *_WEB,
        Flag("--web.enable-lifecycle", "enable reloading by HTTP POST or PUT to /-/reload", None, default=False),
        *_LOG,
    ),
    "demo": (
        Flag("--interval", "poll interval of each account", flag_values.interval, 5.0, "5s", value="DURATION"),
        *_MARKET,
        *_WEB,
        *_LOG,
    ),
    "check": (
        _CONFIG_FILE,
        Flag("--output", "output format", str, "text", "text", ("text", "json")),
        Flag(
            "--verbose",
            "print all balances, margin pools and positions, not only the worst (JSON has them all)",
            None,
            default=False,
        ),
        _log_level("error"),  # problems are in the report
        _LOG_FORMAT,
    ),
    "history": (
        _CONFIG_FILE,
        Flag("--account", "name of the account", flag_values.account, value="ACCOUNT"),
        Flag(
            "--since",
            "how long before its end the history begins, such as 60d",
            flag_values.history_duration,
            value="DURATION",
        ),
        Flag(
            "--until",
            "time of the first value of the running exporter, such as 2026-03-01T12:00:00Z, or as a Unix timestamp",
            flag_values.moment,
            shown_default="3 hours ago",
            value="TIME",
        ),
        Flag(
            "--label",
            "label that Prometheus adds to the metrics of the exporter, such as job or instance; repeatable "
            "(variable: comma-separated)",
            flag_values.label,
            default=(),
            value="NAME=VALUE",
            repeatable=True,
        ),
        Flag("--out", "directory in which to write a file for each day", flag_values.file_path, value="DIRECTORY"),
        _log_level("error"),  # problems are reported as progress
        _LOG_FORMAT,
    ),
    "metrics": (Flag("--format", "output format", str, "markdown", "markdown", ("markdown", "json")),),
    "simulate": (
        Flag(
            "--listen-address",
            "address for the simulated exchange to listen on",
            flag_values.listen_address,
            default=ListenAddress("127.0.0.1", 10428),
            shown_default="127.0.0.1:10428",
            value="ADDRESS",
        ),
        Flag(
            "--config.dir",
            "directory in which to write exporter.yml and the keys of the simulated accounts",
            flag_values.file_path,
            shown_default="a temporary directory",
            value="DIRECTORY",
        ),
        Flag(
            "--fault",
            "fault of the simulated exchange, by name; repeatable (variable: comma-separated)",
            flag_values.fault,
            default=(),
            value="NAME",
            repeatable=True,
        ),
        *_MARKET,
        *_LOG,
    ),
}
