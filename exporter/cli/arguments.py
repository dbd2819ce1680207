"""Parses the arguments and environment variables of a command."""

from __future__ import annotations

import argparse
import platform
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

import exporter
from exporter.cli.flags import COMMANDS, FLAGS, PROGRAM
from exporter.redaction import redact
from exporter.simulator.fault_catalog import FAULTS

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from exporter.cli.flags import Flag

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
