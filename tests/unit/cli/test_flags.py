"""Flags and their variables: their values, precedence and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.cli.arguments import Usage, parse
from exporter.cli.flags import FLAGS, PROGRAM, Flag
from exporter.web.listen_address import ListenAddress

# Each flag with a text, its value, and another text.
EXAMPLES: dict[str, tuple[str, Any, str]] = {
    "--config.file": ("dir/a.yml", Path("dir/a.yml"), "b.yml"),
    "--config.dir": ("dir", Path("dir"), "other"),
    "--config.check": ("true", True, "false"),
    "--web.listen-address": ("[::1]:80", [ListenAddress("::1", 80)], ":81,:82"),
    "--web.config.file": ("dir/web.yml", Path("dir/web.yml"), "other.yml"),
    "--web.telemetry-path": ("/a/b.c", "/a/b.c", "/other"),
    "--web.disable-exporter-metrics": ("1", True, "0"),
    "--web.enable-lifecycle": ("true", True, "false"),
    "--shard": ("exporter-3", 3, "4"),
    "--total-shards": ("5", 5, "6"),
    "--log.level": ("debug", "debug", "error"),
    "--log.format": ("json", "json", "logfmt"),
    "--interval": ("1m30s", 90.0, "2s"),
    "--speed": ("2.5", 2.5, "3"),
    "--seed": ("-7", -7, "8"),
    "--listen-address": ("localhost:0", ListenAddress("localhost", 0), ":9"),
    "--fault": ("silent", ["silent"], "banned,shutdown"),
    "--output": ("json", "json", "text"),
    "--verbose": ("true", True, "false"),
    "--format": ("json", "json", "markdown"),
    "--account": ("desk a", "desk a", "other"),
    "--since": ("1w", 604_800.0, "60d"),
    "--until": ("2026-03-01T12:00:00+01:00", 1_772_362_800.0, "1772362800.5"),
    "--label": ("job=a=b", [("job", "a=b")], "job=a,instance=b"),
    "--out": ("dir", Path("dir"), "other"),
}
DEFAULTS: dict[str, Any] = {
    "--config.file": None,
    "--config.dir": None,
    "--config.check": False,
    "--web.listen-address": (ListenAddress("127.0.0.1", 10427),),
    "--web.config.file": None,
    "--web.telemetry-path": "/metrics",
    "--web.disable-exporter-metrics": False,
    "--web.enable-lifecycle": False,
    "--shard": 0,
    "--total-shards": 1,
    "--log.level": "info",
    "--log.format": None,
    "--interval": 5.0,
    "--speed": 1.0,
    "--seed": None,
    "--listen-address": ListenAddress("127.0.0.1", 10428),
    "--fault": (),
    "--label": (),
    "--verbose": False,
}
DEFAULTS_OF: dict[tuple[str, str], Any] = {
    ("check", "--log.level"): "error",
    ("check", "--output"): "text",
    ("history", "--log.level"): "error",
    ("metrics", "--format"): "markdown",
}
EVERY_FLAG = [
    pytest.param(command, flag, id=f"{command} {flag.name}") for command, flags in FLAGS.items() for flag in flags
]


def value_of(flag: Flag, command: str, argv: list[str], environ: dict[str, str]) -> Any:
    """Return the value that a call gives a flag."""
    parsed, values = parse([command, *argv], environ)
    assert parsed == command
    return getattr(values, flag.destination)


def refusal_of(argv: list[str], environ: dict[str, str] | None = None) -> str:
    """Return the error of a wrong call."""
    with pytest.raises(Usage) as caught:
        parse(argv, environ or {})
    assert caught.value.exit_code == 2
    return str(caught.value)


def arguments_for(flag: Flag, text: str) -> list[str]:
    """Return the arguments that set a flag on the command line."""
    return [flag.name] if flag.read is None else [f"{flag.name}={text}"]


@pytest.mark.parametrize(("command", "flag"), EVERY_FLAG)
def test_every_flag_has_a_variable(command: str, flag: Flag) -> None:
    """A flag and its variable set the same value; without both it is the default."""
    text, value, _ = EXAMPLES[flag.name]
    variable = "BINANCE_FUTURES_EXPORTER_" + flag.name.strip("-").upper().replace(".", "_").replace("-", "_")

    assert value == value_of(flag, command, arguments_for(flag, text), {})
    assert value == value_of(flag, command, [], {variable: f" {text} "})
    default = DEFAULTS_OF.get((command, flag.name), DEFAULTS.get(flag.name))
    assert default == value_of(flag, command, [], {variable: " "})
    assert default == value_of(flag, command, [], {})


@pytest.mark.parametrize(("command", "flag"), EVERY_FLAG)
def test_the_flag_wins(command: str, flag: Flag) -> None:
    """A flag takes precedence over its variable, even an invalid one."""
    text, value, other = EXAMPLES[flag.name]

    assert value == value_of(flag, command, arguments_for(flag, text), {flag.variable: other})
    assert value == value_of(flag, command, arguments_for(flag, text), {flag.variable: "no\nsense"})


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("TRUE", True), ("1", True), ("False", False), ("0", False)]
)
def test_boolean_variables(*, text: str, value: bool) -> None:
    """A variable sets or unsets a flag without a value."""
    _, values = parse([], {"BINANCE_FUTURES_EXPORTER_CONFIG_CHECK": text})

    assert value is values.config_check


@pytest.mark.parametrize("text", ["yes", "on", "2", "truee", "-"])
def test_other_booleans_are_rejected(text: str) -> None:
    """A variable for a flag without a value must be true or false."""
    variable = "BINANCE_FUTURES_EXPORTER_CONFIG_CHECK"

    words = f"{variable}: must be true or false, not {text!r}"
    assert f"{PROGRAM}: {words}\ntry: {PROGRAM} --help\n" == refusal_of([], {variable: text})


@pytest.mark.parametrize(
    ("command", "name", "texts", "values"),
    [
        (
            "run",
            "--web.listen-address",
            ("127.0.0.1:1", "[::1]:2"),
            [ListenAddress("127.0.0.1", 1), ListenAddress("::1", 2)],
        ),
        ("simulate", "--fault", ("shutdown", "clock-ahead"), ["shutdown", "clock-ahead"]),
        ("history", "--label", ("job=a", "instance=b:1"), [("job", "a"), ("instance", "b:1")]),
    ],
)
def test_repeatable_flags(command: str, name: str, texts: tuple[str, str], values: list[object]) -> None:
    """Several values are several flags, with a space or an equals sign, or one variable with commas."""
    (flag,) = [flag for flag in FLAGS[command] if flag.name == name]
    first, second = texts

    assert values == value_of(flag, command, [name, first, f"{name}={second}"], {})
    assert values == value_of(flag, command, [], {flag.variable: f"{first}, {second}"})


A_TIME = "a time with its zone, such as 2026-03-01T12:00:00Z, or a Unix timestamp in seconds"
NO_ADDRESS = "is not a valid address: expected host:port, [IPv6]:port or :port"
WRONG = [
    ("run", "--web.listen-address", "localhost", f"'localhost' {NO_ADDRESS}"),
    ("run", "--web.listen-address", ":1x", f"':1x' {NO_ADDRESS}"),
    ("demo", "--web.listen-address", ":65536", f"':65536' {NO_ADDRESS}"),
    ("simulate", "--listen-address", "::1:1", f"'::1:1' {NO_ADDRESS}"),
    *(
        ("run", "--web.telemetry-path", text, f"{text!r} is not a valid path, such as /metrics")
        for text in ("metrics", "/", "/metrics/", "/-/metrics", "//metrics", "/a?b", "/{path}", "/a b", "/a%20b")
    ),
    (
        "demo",
        "--interval",
        "5",
        "must be a duration with a unit, such as 15s, 1m30s or 500ms",
    ),
    ("demo", "--interval", "fast", "must be a duration such as 15s, 1m30s or 500ms"),
    ("demo", "--interval", "99ms", "'99ms' is not between 100ms and 1h"),
    ("demo", "--interval", "2h", "'2h' is not between 100ms and 1h"),
    ("demo", "--speed", "fast", "could not convert string to float: 'fast'"),
    *(
        ("simulate", "--speed", text, f"{text!r} is not a number greater than 0 and at most 10000")
        for text in ("0", "-1", "nan", "inf", "10001")
    ),
    *(
        ("simulate", "--fault", text, f"{text!r} is not a known fault; --help lists the faults")
        for text in ("nonsense", "Silent", "demo")
    ),
    ("history", "--account", "a\tb", "must not start or end with a space, or contain control characters"),
    ("history", "--since", "60", "must be a duration with a unit, such as 15s, 1m30s or 500ms"),
    ("history", "--since", "59m", "'59m' is not at least 1h"),
    *(
        ("history", "--until", text, f"{text!r} is not {A_TIME}")
        for text in ("now", "2026-03-01", "2026-03-01T12:00:00", "-1", "1e9", "1772362800000")
    ),
    *(
        ("history", "--label", text, f"{text!r} is not a label, such as job=binance-futures")
        for text in ("job", "job=", "=a", "__name__=a", "1a=b", "a-b=c", "ä=b")
    ),
    ("history", "--label", "account=a", "the series have a label account in any case"),
    ("history", "--label", "a=b\tc", "the value of the label a contains control characters"),
    ("demo", "--seed", "x", "'x' is not an integer of at most 18 digits"),
    ("run", "--log.level", "loud", "invalid choice: 'loud' (choose from 'debug', 'info', 'warning', 'error')"),
    ("run", "--log.format", "xml", "invalid choice: 'xml' (choose from 'logfmt', 'json')"),
]


@pytest.mark.parametrize(("command", "name", "text", "words"), WRONG)
def test_wrong_values_are_rejected(command: str, name: str, text: str, words: str) -> None:
    """A wrong value is rejected with an error that names the flag or the variable."""
    (flag,) = [flag for flag in FLAGS[command] if flag.name == name]
    program = PROGRAM if command == "run" else f"{PROGRAM} {command}"

    by_flag = refusal_of([command, f"{name}={text}"])
    by_variable = refusal_of([command], {flag.variable: text})

    assert f"{program}: argument {name}: {words}\ntry: {program} --help\n" == by_flag
    assert f"{program}: {flag.variable}: {words}\ntry: {program} --help\n" == by_variable


@pytest.mark.parametrize("text", [",", ":1,", ":1,,:2", ":1;:2"])
def test_wrong_list_of_addresses(text: str) -> None:
    """One wrong address among several is rejected."""
    variable = "BINANCE_FUTURES_EXPORTER_WEB_LISTEN_ADDRESS"

    assert refusal_of([], {variable: text}).startswith(f"{PROGRAM}: {variable}: ")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["nonsense"], "unknown command 'nonsense'; valid commands: run, demo, check, history, metrics, simulate"),
        (["run", "--speed", "2"], "unrecognized arguments: --speed 2"),
        (["--log.lev", "debug"], "unrecognized arguments: --log.lev debug"),
        (["--config.file"], "argument --config.file: expected one argument"),
        (["--config.check=yes"], "argument --config.check: ignored explicit argument 'yes'"),
        (
            ["--log.level", "debug", "nonsense"],
            "unknown command 'nonsense'; valid commands: run, demo, check, history, metrics, simulate",
        ),
        (["--nonsense", "demo"], "unrecognized arguments: --nonsense demo"),
        (["--log.level", "debug", "run", "demo"], "unrecognized arguments: demo"),
        (["--speed", "2", "check"], "unrecognized arguments: --speed 2"),
    ],
)
def test_wrong_calls_are_rejected(argv: list[str], words: str) -> None:
    """Unknown and abbreviated flags, those of other commands, unknown commands and missing values are rejected."""
    program = f"{PROGRAM} check" if argv[-1] == "check" else PROGRAM

    assert f"{program}: {words}\ntry: {program} --help\n" == refusal_of(argv)


@pytest.mark.parametrize(("command", "flag"), EVERY_FLAG)
def test_flags_may_precede_the_command(command: str, flag: Flag) -> None:
    """A flag before the command, with its value after a space or an equals sign, is read as after the command."""
    text = EXAMPLES[flag.name][0].partition(",")[0]
    spellings = [[flag.name]] if flag.read is None else [[flag.name, text], [f"{flag.name}={text}"]]
    for flags in spellings:
        assert parse([*flags, command], {}) == parse([command, *flags], {})


def test_value_is_not_the_command() -> None:
    """A flag's value is never taken for the command."""
    command, values = parse(["--config.file", "check", "--log.format", "json"], {})

    assert ("run", Path("check")) == (command, values.config_file)
    assert "check" == parse(["--config.file", "demo", "check", "--output", "json"], {})[0]


def test_run_is_the_default_command() -> None:
    """Without a command the exporter runs."""
    assert parse([], {})[0] == "run"
    assert parse(["run"], {}) == parse([], {})


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        (command, flag)
        for command, flags in FLAGS.items()
        for flag in flags
        if flag.read and flag.value not in {"ACCOUNT", "FILE", "DIRECTORY"}
    ],
    ids=lambda value: getattr(value, "name", value),
)
@pytest.mark.parametrize("value", ["9" * 5000, "9" * 400, f"{'9' * 5000}s", f"{'9' * 300}d", "-1e999", "nan nan" * 800])
def test_absurd_value(command: str, flag: Flag, value: str) -> None:
    """A value of thousands of digits is an error that does not repeat it in full."""
    with pytest.raises(Usage) as usage:
        parse([command, f"{flag.name}={value}"], {})

    assert 2 == usage.value.exit_code
    assert len(str(usage.value)) < 1200
