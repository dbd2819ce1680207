"""The flags of all commands, each also an environment variable, which the flag overrides."""

from __future__ import annotations

import argparse
import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import exporter
from exporter.app.service import DEFAULT_ADDRESS
from exporter.cli import flag_values
from exporter.log import FORMATS, LOG_LEVELS
from exporter.redaction import redact
from exporter.simulator.fault_catalog import FAULTS
from exporter.web.listen_address import ListenAddress

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence

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
_VERSION: Final = (
    f"{PROGRAM}, version {exporter.__version__} (revision: {exporter.__revision__})\n"
    f"  python version:   {platform.python_version()}\n"
)
_WIDTH: Final = 80
_LONGEST_WORD: Final = 100  # of an argument that an error repeats
_LONGEST_ERROR: Final = 1000


class Usage(Exception):
    """Help or the version was requested (exit code 0), or the arguments are wrong (2); the text is to be printed."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


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


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[str, Namespace]:
    """Return the command and its flags.

    Raises:
        Usage: help or the version was requested, or the arguments are wrong.
    """
    command, rest = _take_command(argv)
    if command not in FLAGS:
        _parser("run").error(f"unknown command {command!r}; valid commands: {', '.join(FLAGS)}")
    parser = _parser(command)
    values = parser.parse_args(rest)
    if "help" in values:
        raise Usage(parser.format_help(), 0)
    if "version" in values:
        raise Usage(_VERSION, 0)
    for flag in FLAGS[command]:
        if flag.destination not in values:
            setattr(values, flag.destination, _from_environment(parser, flag, environ))
    return command, values


def _take_command(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the command, which may be before, between or after its flags, and the other arguments."""
    flags_by_name = {flag.name: flag for flags in FLAGS.values() for flag in flags}
    position = 0
    while position < len(argv):
        name, has_value, _ = argv[position].partition("=")
        if not name.startswith("-"):
            return argv[position], [*argv[:position], *argv[position + 1 :]]
        if name not in {*flags_by_name, "--version", "--help", "-h"}:
            break  # the next argument may be its value
        flag = flags_by_name.get(name)
        takes_next = flag is not None and flag.read is not None and not has_value
        position += 2 if takes_next else 1
    return "run", argv


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # Redacted before it is shortened: a key may have been given as a flag's value.
        short = re.sub(rf"(\S{{{_LONGEST_WORD}}})\S+", r"\1…", redact(message))
        short = short if len(short) <= _LONGEST_ERROR else f"{short[:_LONGEST_ERROR]}…"
        raise Usage(f"{self.prog}: {short}\ntry: {self.prog} --help\n", 2)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=_WIDTH)


def _parser(command: str) -> _Parser:
    commands = "\n".join(f"  {name:10}{help_text}" for name, help_text in COMMANDS.items())
    faults = "\n".join(f"  {name:19}{fault.help}" for name, fault in FAULTS.items())
    example = FLAGS[command][-1]
    variables = f"Each flag can also be set by an environment variable, such as\n{example.variable} for {example.name}."
    parser = _Parser(
        prog=PROGRAM if command == "run" else f"{PROGRAM} {command}",
        usage=f"{PROGRAM} {'[COMMAND]' if command == 'run' else command} [flags]",
        description=f"commands:\n{commands}\n\n{PROGRAM} COMMAND --help lists the flags of a command."
        if command == "run"
        else COMMANDS[command],
        epilog=f"faults:\n{faults}\n\n{variables}" if command == "simulate" else variables,
        argument_default=argparse.SUPPRESS,
        add_help=False,
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    group = parser.add_argument_group("flags")
    for flag in FLAGS[command]:
        help_text = flag.help + (f" (default: {flag.shown_default})" if flag.shown_default else "")
        if flag.read is None:
            group.add_argument(flag.name, dest=flag.destination, help=help_text, action="store_true")
        else:
            group.add_argument(
                flag.name,
                dest=flag.destination,
                help=help_text,
                type=flag.read,
                choices=flag.choices,
                metavar=flag.value or None,
                action="append" if flag.repeatable else "store",
            )
    group.add_argument("--version", action="store_true", help="print the version and exit")
    group.add_argument("-h", "--help", action="store_true", help="print this help and exit")
    return parser


def _from_environment(parser: _Parser, flag: Flag, environ: Mapping[str, str]) -> Any:
    text = environ.get(flag.variable, "").strip()
    if not text:
        return flag.default
    if flag.read is None:
        if text.lower() in {"true", "1", "false", "0"}:
            return text.lower() in {"true", "1"}
        parser.error(f"{flag.variable}: must be true or false, not {text!r}")
    texts = text.split(",") if flag.repeatable else [text]
    try:
        values = parser.parse_args([f"{flag.name}={value.strip()}" for value in texts])
    except Usage as usage:
        raise Usage(str(usage).replace(f"argument {flag.name}", flag.variable), 2) from None
    return getattr(values, flag.destination)
