"""Flags and subcommands; run(argv) -> exit code: 0 done, 1 could not be done, 2 wrong call or configuration."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO, TypeVar

import structlog

import exporter
from exporter import config as configuration
from exporter import log as logging
from exporter.check import check
from exporter.config.shards import Shard
from exporter.flags import Usage, parse
from exporter.metrics import reference
from exporter.report import as_json, as_text
from exporter.service import Service, WebSettings
from exporter.simulator.demo import demo_exchange, write_configuration
from exporter.simulator.named import FAULTS
from exporter.threads import DaemonThreads
from exporter.web import config as web_configuration
from exporter.web.server import ListenError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Coroutine, Sequence

    from exporter.config import Config
    from exporter.simulator.server import SimulatedExchange
    from exporter.web.config import WebConfig

log = structlog.get_logger()

_Result = TypeVar("_Result")

_DONE: Final = 0
_FAILED: Final = 1
_WRONG: Final = 2


def run(argv: Sequence[str]) -> int:
    """Run the program with the given arguments (without its own name) and return its exit code."""
    try:
        command, flags = parse(argv, os.environ)
    except Usage as usage:
        print(usage, end="", file=sys.stderr if usage.exit_code else sys.stdout)
        return usage.exit_code
    logging.configure(getattr(flags, "log_level", "error"), getattr(flags, "log_format", None))
    try:
        return _COMMANDS[command](flags)
    except configuration.ConfigError as error:
        _say(f"the configuration cannot be used:\n{error}", file=sys.stderr)
        return _WRONG
    except BrokenPipeError:
        raise  # nobody reads: the caller ends quietly
    except ListenError as error:
        _say(f"{error}", file=sys.stderr)
        return _FAILED
    except (OSError, UnicodeError) as error:  # the simulator cannot have its port or directory
        _say(f"{error}", file=sys.stderr)
        return _FAILED
    except Exception:  # the traceback goes where secrets are kept back
        log.exception("ended by a fault of this program: report it")
        return _FAILED


def _run(flags: Namespace) -> int:
    shard = Shard(flags.shard, flags.total_shards)
    if shard.index >= shard.total:
        what = f"{shard.index} is not below --total-shards {shard.total}: shards count from 0"
        raise configuration.ConfigError(configuration.Fault("--shard", what))

    def load() -> Config:
        return shard.part_of(configuration.load(flags.config_file, os.environ))

    config = load()
    web = _web_config(flags)
    for warning in config.warnings:
        log.warning("configuration", warning=warning)
    if flags.config_check:
        _say(f"the configuration is good: {len(config.accounts)} account(s)")
        return _DONE
    return asyncio.run(_until_signal(lambda stop: _serve(config, web, flags, stop, load)))


def _check(flags: Namespace) -> int:
    config = configuration.load(flags.config_file, os.environ)
    reports = asyncio.run(_unhurried(check(config)))
    if flags.output == "json":
        print(as_json(reports, config.warnings))
    else:
        print(as_text(reports, config.warnings, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR")))
    return _DONE if all(report.good for report in reports) else _FAILED


def _metrics(flags: Namespace) -> int:
    print(reference.as_json() if flags.format == "json" else reference.as_markdown())
    return _DONE


def _demo(flags: Namespace) -> int:
    web = _web_config(flags)

    async def demo(stop: asyncio.Event) -> int:
        async with demo_exchange(flags.seed, speed=flags.speed) as exchange:
            with tempfile.TemporaryDirectory(prefix="binance-futures-exporter-demo-") as directory:
                config = await asyncio.to_thread(_load_simulated, exchange, Path(directory))
            accounts = tuple(
                replace(
                    account,
                    interval_seconds=flags.interval,
                    stale_after_seconds=max(4 * flags.interval, account.stale_after_seconds),
                )
                for account in config.accounts
            )
            return await _serve(replace(config, accounts=accounts), web, flags, stop)

    return asyncio.run(_until_signal(demo))


def _simulate(flags: Namespace) -> int:
    async def simulate(stop: asyncio.Event) -> int:
        exchange = demo_exchange(flags.seed, speed=flags.speed)
        for name in flags.fault:
            FAULTS[name].switch(exchange)
        await exchange.start(flags.listen_address.host or "0.0.0.0", flags.listen_address.port)  # noqa: S104 - asked for
        try:
            with tempfile.TemporaryDirectory(prefix="binance-futures-exporter-") as temporary:
                directory = flags.config_dir or Path(temporary)
                path = write_configuration(exchange.url, exchange.accounts.values(), directory)
                _say(f"the simulated exchange is at {exchange.url}")
                for name in flags.fault:
                    _say(f"fault {name}: {FAULTS[name].help}")
                _say(f"to ask it: binance-futures-exporter --config.file {path}")
                await stop.wait()
        finally:
            await exchange.stop()
        return _DONE

    return asyncio.run(_until_signal(simulate))


_COMMANDS: Final[dict[str, Callable[[Namespace], int]]] = {
    "run": _run,
    "demo": _demo,
    "check": _check,
    "metrics": _metrics,
    "simulate": _simulate,
}


async def _unhurried(work: Coroutine[None, None, _Result]) -> _Result:
    """Do `work` in a loop whose end waits for no name look-up that hangs."""
    asyncio.get_running_loop().set_default_executor(DaemonThreads())
    return await work


async def _until_signal(work: Callable[[asyncio.Event], Coroutine[None, None, int]]) -> int:
    """Do `work`, and tell it to stop at the first SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return await _unhurried(work(stop))


async def _serve(
    config: Config, web: WebConfig, flags: Namespace, stop: asyncio.Event, load: Callable[[], Config] | None = None
) -> int:
    settings = WebSettings(
        addresses=tuple(flags.web_listen_address),
        telemetry_path=flags.web_telemetry_path,
        process_metrics=not flags.web_disable_exporter_metrics,
        lifecycle=getattr(flags, "web_enable_lifecycle", False),  # a demo has no file to reload
        config=web,
    )
    service = Service(config, settings, load=load)
    urls = service.bind()
    log.info("started", version=exporter.__version__, accounts=len(config.accounts))
    for url in urls:
        log.info("listening", metrics=url + flags.web_telemetry_path)
    if load is not None:
        reloads: set[asyncio.Task[str]] = set()  # the loop itself holds tasks weakly

        def reload() -> None:
            reloads.add(task := asyncio.create_task(service.reload()))
            task.add_done_callback(reloads.discard)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    await service.run(stop)
    log.info("stopped")
    return _DONE


def _web_config(flags: Namespace) -> WebConfig:
    web = web_configuration.load(flags.web_config_file)
    for warning in web.warnings:
        log.warning("web configuration", warning=warning)
    return web


def _load_simulated(exchange: SimulatedExchange, directory: Path) -> Config:
    return configuration.load(write_configuration(exchange.url, exchange.accounts.values(), directory), {})


def _say(text: str, file: TextIO | None = None) -> None:
    print(f"binance-futures-exporter: {text}", file=file or sys.stdout, flush=True)
