"""Runs the commands; exit codes: 0 success, 1 failure, 2 wrong arguments or configuration."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

import exporter
from exporter import log as logging
from exporter.app.check import check
from exporter.app.history import HistoryError
from exporter.app.service import Service, WebSettings
from exporter.binance.clock import monotonic
from exporter.binance.host_clock import HostClockLoop
from exporter.cli.arguments import Usage, parse
from exporter.cli.check_report import as_json, as_text, format_warning
from exporter.cli.flags import PROGRAM
from exporter.cli.history import write_history
from exporter.config import exporter_yml
from exporter.config.document import ConfigError, Problem
from exporter.config.shards import WHOLE, Shard
from exporter.formatting import pluralize
from exporter.metrics import reference
from exporter.simulator.demo import demo_exchange, write_configuration
from exporter.simulator.fault_catalog import FAULTS
from exporter.threads import THREADS
from exporter.web import config as web_configuration
from exporter.web.listen_address import ListenError, explain_listen_errors

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from exporter.config.exporter_yml import Config
    from exporter.simulator.server import SimulatedExchange
    from exporter.web.config import WebConfig
    from exporter.web.listen_address import ListenAddress

log = structlog.get_logger()

_Result = TypeVar("_Result")

_SUCCESS: Final = 0
_FAILURE: Final = 1
_INVALID_INPUT: Final = 2


class OutputError(Exception):
    """Standard output cannot be written; the text says why."""


def run(argv: Sequence[str]) -> int:
    """Run the program with the given arguments (without its own name) and return its exit code."""
    logging.configure("error", None)  # until the flags are known
    try:
        return _run_command(argv)
    except ConfigError as error:
        logging.print_error(f"{PROGRAM}: invalid configuration:\n{error}")
        return _INVALID_INPUT
    except BrokenPipeError:  # the reader of the output has ended, as in: … --help | head
        return _FAILURE
    except (
        HistoryError,
        ListenError,
        OutputError,
        OSError,
        UnicodeError,
    ) as error:  # OSError: from the simulator
        logging.print_error(f"{PROGRAM}: {error}")
        return _FAILURE
    except Exception:  # the log redacts the traceback
        log.exception("internal error, please report it")
        return _FAILURE


def _run_command(argv: Sequence[str]) -> int:
    try:
        command, flags = parse(argv, os.environ)
    except Usage as usage:
        (logging.print_error if usage.exit_code else _print)(str(usage).removesuffix("\n"))
        return usage.exit_code
    if command != "run":  # the others have nothing to reload: SIGHUP, blocked since the start, ends them
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    logging.configure(getattr(flags, "log_level", "error"), getattr(flags, "log_format", None))
    return _COMMANDS[command](flags)


def _run(flags: Namespace) -> int:
    shard = Shard(flags.shard, flags.total_shards)
    if shard.index >= shard.total:
        message = f"{shard.index} must be less than --total-shards ({shard.total}): shards are numbered from 0"
        raise ConfigError(Problem("--shard", message))

    previous: Config | None = None

    def load() -> Config:
        nonlocal previous
        previous = exporter_yml.load(flags.config_file, os.environ, previous)
        return shard.select(previous)

    config = load()
    if flags.config_check:
        web = web_configuration.load(flags.web_config_file)
        for warning in (*config.warnings, *web.warnings):
            logging.print_error(format_warning(warning))
        _print_message(
            f"the configuration is valid: {len(config.accounts)} {pluralize('account', len(config.accounts))}"
        )
        return _SUCCESS
    web = _web_config(flags)
    for warning in config.warnings:
        log.warning("configuration warning", warning=warning)
    return _run_in_loop(_until_signal(lambda stop: _serve(config, web, flags, stop, load, shard)))


def _check(flags: Namespace) -> int:
    config = exporter_yml.load(flags.config_file, os.environ)
    reports = _run_in_loop(check(config))
    if flags.output == "json":
        _print(as_json(reports, config.warnings))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        _print(as_text(reports, config.warnings, colour=colour, verbose=flags.verbose))
    return _SUCCESS if all(report.good for report in reports) else _FAILURE


def _history(flags: Namespace) -> int:
    write_history(flags, _run_in_loop)
    return _SUCCESS


def _metrics(flags: Namespace) -> int:
    _print(reference.as_json() if flags.format == "json" else reference.as_markdown())
    return _SUCCESS


def _demo(flags: Namespace) -> int:
    web = _web_config(flags)

    async def demo(stop: asyncio.Event) -> int:
        async with demo_exchange(flags.seed, speed=flags.speed) as exchange:
            with _temporary_directory() as directory:
                config = await asyncio.to_thread(_load_simulated, exchange, directory)
            accounts = tuple(
                replace(
                    account,
                    interval_seconds=flags.interval,
                    stale_after_seconds=max(4 * flags.interval, account.stale_after_seconds),
                )
                for account in config.accounts
            )
            return await _serve(replace(config, accounts=accounts), web, flags, stop)

    return _run_in_loop(_until_signal(demo))


def _simulate(flags: Namespace) -> int:
    async def simulate(stop: asyncio.Event) -> int:
        exchange = demo_exchange(flags.seed, speed=flags.speed)
        for name in flags.fault:
            FAULTS[name].switch(exchange)
        address: ListenAddress = flags.listen_address
        with explain_listen_errors(address, "--listen-address"):
            await exchange.start(address.host or "0.0.0.0", address.port)  # noqa: S104 - the user asked for it
        try:
            with nullcontext(flags.config_dir) if flags.config_dir else _temporary_directory() as directory:
                path = _write_configuration(exchange, directory)
                _print_message(f"simulated exchange listening on {exchange.url}")
                for name in flags.fault:
                    _print_message(f"fault {name}: {FAULTS[name].help}")
                _print_message(f"to poll it, run: binance-futures-exporter --config.file {path}")
                await stop.wait()
        finally:
            await exchange.stop()
        return _SUCCESS

    return _run_in_loop(_until_signal(simulate))


_COMMANDS: Final[dict[str, Callable[[Namespace], int]]] = {
    "run": _run,
    "demo": _demo,
    "check": _check,
    "history": _history,
    "metrics": _metrics,
    "simulate": _simulate,
}


def _run_in_loop(work: Coroutine[None, None, _Result]) -> _Result:
    """Return the result of `work`, run in an event loop whose end does not wait for name resolution that hangs."""
    runner = asyncio.Runner(loop_factory=lambda: HostClockLoop(monotonic))
    try:
        runner.get_loop().set_default_executor(THREADS)
        return runner.run(work)
    finally:
        with suppress(RuntimeError):  # closing starts a thread, which may be impossible
            runner.close()


async def _until_signal(work: Callable[[asyncio.Event], Coroutine[None, None, int]]) -> int:
    """Run `work`, and set its event at the first SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        _on_signal(number, stop.set)
    return await work(stop)


def _on_signal(number: signal.Signals, call: Callable[[], object]) -> None:
    """Call `call` in the running loop at each signal of this number.

    Unlike one of loop.add_signal_handler, the handler outlives the loop: a second signal must not kill a process that
    is about to exit with 0.
    """
    loop = asyncio.get_running_loop()

    def handle(*_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(call)

    signal.signal(number, handle)


async def _serve(
    config: Config,
    web: WebConfig,
    flags: Namespace,
    stop: asyncio.Event,
    load: Callable[[], Config] | None = None,
    shard: Shard = WHOLE,
) -> int:
    settings = WebSettings(
        addresses=tuple(flags.web_listen_address),
        telemetry_path=flags.web_telemetry_path,
        process_metrics=not flags.web_disable_exporter_metrics,
        lifecycle=getattr(flags, "web_enable_lifecycle", False),  # the demo has no file to reload
        config=web,
    )
    service = Service(config, settings, load=load, shard=shard)
    urls = service.bind()
    log.info("started", version=exporter.__version__, accounts=len(config.accounts))
    for url in urls:
        log.info("listening", url=url + flags.web_telemetry_path)
    if load is not None:
        reloads: set[asyncio.Task[str]] = set()  # the loop holds only weak references to tasks

        def reload() -> None:
            reloads.add(task := asyncio.create_task(service.reload()))
            task.add_done_callback(reloads.discard)

        _on_signal(signal.SIGHUP, reload)
        # Blocked since the process started, so that an early signal is not lost.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    await service.run(stop)
    log.info("stopped")
    return _SUCCESS


def _web_config(flags: Namespace) -> WebConfig:
    web = web_configuration.load(flags.web_config_file)
    for warning in web.warnings:
        log.warning("web configuration warning", warning=warning)
    return web


def _load_simulated(exchange: SimulatedExchange, directory: Path) -> Config:
    return exporter_yml.load(_write_configuration(exchange, directory), {})


def _write_configuration(exchange: SimulatedExchange, directory: Path) -> Path:
    try:
        return write_configuration(exchange.url, exchange.accounts.values(), directory, exchange.rest_url)
    except OSError as error:
        if not error.strerror:  # write_configuration raised it with a complete text
            raise
        raise OSError(f"cannot write the configuration to {directory}: {error.strerror}") from error


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    """Create a directory that is removed at the end of the block."""
    try:
        directory = tempfile.TemporaryDirectory(prefix=f"{PROGRAM}-")
    except OSError as error:
        reason = f"{error.strerror or error}: set TMPDIR to a writable directory"
        raise OSError(f"cannot create a temporary directory: {reason}") from error
    with directory as name:
        yield Path(name)


def _print_message(text: str) -> None:
    _print(f"{PROGRAM}: {text}")


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to standard output: {error.strerror}") from error
