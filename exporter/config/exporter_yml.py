"""The configuration: a file or environment variables and their key files -> a Config, or every problem in them.

Nothing here opens a connection, logs or changes a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from exporter.config.accounts import Accounts, BinanceValues, IncomeValues, IntervalValues, PollValues
from exporter.config.document import ConfigError, Findings, Reader
from exporter.config.files import Files, read_document
from exporter.config.keys import CredentialSource, Environment, KeyLoader
from exporter.config.values import (
    MAINNET,
    account_name,
    asset_mode,
    boolean,
    duration,
    endpoint_url,
    income_since,
    is_unencrypted,
    proxy_url,
    rest_url,
    weight_share,
)
from exporter.rest.state import RestSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.account.state import AccountSettings
    from exporter.binance.signing import Credentials
    from exporter.config.keys import KeyParts
    from exporter.rest.state import IncomeSettings

_Intervals = TypeVar("_Intervals", bound=IntervalValues)

_DEFAULT_WEIGHT_SHARE: Final = 0.5
_DEFAULT_REST_WEIGHT_SHARE: Final = 0.1
_DEFAULT_REST_INTERVAL_SECONDS: Final = 60.0
_NOTHING_CONFIGURED: Final = (
    "pass a configuration file with --config.file, or set BINANCE_API_KEY and BINANCE_SECRET_KEY "
    "(or BINANCE_PRIVATE_KEY_FILE); to try the exporter without an API key, run: binance-futures-exporter demo"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to poll, and how; checked completely."""

    accounts: tuple[AccountSettings, ...]  # in file order
    weight_share: float  # the part of an IP's request weight that polls may be planned to use
    warnings: tuple[str, ...]  # such as "exporter.yml: accounts[0].api_key_file: others may read …"
    rest: RestSettings = field(default_factory=RestSettings)
    income: Mapping[str, IncomeSettings] = field(default_factory=dict)  # by account, of those whose REST API is known
    # The loaded private keys, for the next load to reuse.
    private_keys: Mapping[KeyParts, Credentials] = field(default_factory=dict, repr=False, compare=False)


def load(path: Path | None, environ: Mapping[str, str], previous: Config | None = None) -> Config:
    """Read the file at `path`, or without a file the account in `environ`, and all key files.

    Takes 30 to 200 ms for each new RSA key, and up to a minute for files that do not respond: call it in a worker
    thread.

    Args:
        path: the configuration file.
        environ: the environment variables.
        previous: the previous configuration, whose unchanged private keys are reused.

    Raises:
        ConfigError: with every problem; its text quotes no part of a key.
    """
    findings = Findings()
    environment = Environment(environ, findings)
    loader = KeyLoader(previous.private_keys if previous else {})
    accounts = Accounts(findings, loader)
    share = _DEFAULT_WEIGHT_SHARE
    if path is not None:
        if environment.names:
            names = ", ".join(environment.names)
            findings.add_problem(names, f"must not be set together with a configuration file ({path})")
        share = _read_file(path, accounts)
    elif environment.names:
        binance = BinanceValues(url=environment.take("endpoint", endpoint_url, MAINNET))
        _warn_if_unencrypted(environment, binance)
        name = environment.take("account", account_name, "main")
        source = CredentialSource(environment, Path(), loader)
        accounts.add(environment, name, source, binance, PollValues(), None, IncomeValues())
    else:
        findings.add_problem("no account is configured", _NOTHING_CONFIGURED)
    if findings.problems:
        raise ConfigError(*findings.problems)
    return Config(
        accounts=tuple(accounts.settings),
        weight_share=share,
        warnings=findings.warnings,
        rest=accounts.rest,
        income=accounts.income,
        private_keys=loader.loaded,
    )


def _read_file(path: Path, accounts: Accounts) -> float:
    """Add the accounts of the document at `path` and return its weight share."""
    root = read_document(path, Files(limit=accounts.loader.limit), accounts.findings)
    if root is None:
        return _DEFAULT_WEIGHT_SHARE
    section = root.mapping("binance")
    binance = _binance(section, BinanceValues())
    share = section.take("weight_share", weight_share, _DEFAULT_WEIGHT_SHARE)
    accounts.rest = RestSettings(
        weight_share=section.take("rest_weight_share", weight_share, _DEFAULT_REST_WEIGHT_SHARE),
        funding_interval_seconds=_rest_interval(root.mapping("funding")),
        prices_interval_seconds=_rest_interval(root.mapping("prices")),
    )
    section.reject_unknown_keys()
    key_check = _key_check(root.mapping("key_check"), inherited=False)
    income = _income(root.mapping("income"), IncomeValues())
    poll = _poll(root.mapping("poll"), PollValues())
    for reader in root.mappings("accounts"):
        name = reader.take("name", account_name, None)
        if not reader.has("name"):
            reader.add_problem("name", "is missing")
        source = CredentialSource(reader, path.parent, accounts.loader)
        mode = reader.take("asset_mode", asset_mode, None)
        own_poll = _poll(reader.mapping("poll"), poll)
        section = reader.mapping("binance")
        own_binance = _binance(section, binance)
        section.reject_unknown_keys()
        own_key_check = _key_check(reader.mapping("key_check"), inherited=key_check)
        own_income = _income(reader.mapping("income"), income)
        reader.reject_unknown_keys()
        accounts.add(reader, name, source, own_binance, own_poll, mode, own_income, key_check=own_key_check)
    root.reject_unknown_keys()
    return share


def _binance(reader: Reader, inherited: BinanceValues) -> BinanceValues:
    binance = BinanceValues(
        url=reader.take("endpoint", endpoint_url, inherited.url),
        proxy=reader.take("proxy", proxy_url, inherited.proxy),
        recv_window_seconds=reader.take("recv_window", duration("1ms", "60s"), inherited.recv_window_seconds),
        request_timeout_seconds=reader.take(
            "request_timeout", duration("100ms", "60s"), inherited.request_timeout_seconds
        ),
        rest_url=reader.take("rest_endpoint", rest_url, inherited.rest_url),
    )
    _warn_if_unencrypted(reader, binance)
    return binance


def _rest_interval(reader: Reader) -> float | None:
    """Return the interval of what is read over REST, None if it is not enabled."""
    enabled = reader.take("enabled", boolean, False)  # noqa: FBT003 - the default
    interval_seconds = reader.take("interval", duration("5s", "1h"), _DEFAULT_REST_INTERVAL_SECONDS)
    reader.reject_unknown_keys()
    return interval_seconds if enabled else None


def _key_check(reader: Reader, *, inherited: bool) -> bool:
    enabled = reader.take("enabled", boolean, inherited)
    reader.reject_unknown_keys()
    return enabled


def _income(reader: Reader, inherited: IncomeValues) -> IncomeValues:
    values = replace(
        _interval(reader, "10s", inherited),
        enabled=reader.take("enabled", boolean, inherited.enabled),
        since=reader.take("since", income_since, inherited.since),
        by_symbol=reader.take("by_symbol", boolean, inherited.by_symbol),
    )
    reader.reject_unknown_keys()
    return values


def _warn_if_unencrypted(reader: Reader, binance: BinanceValues) -> None:
    if reader.has("endpoint") and is_unencrypted(binance.url):
        reader.findings.add_warning(
            reader.path_of("endpoint"), "ws:// sends API keys and signed requests unencrypted; use wss://"
        )


def _interval(reader: Reader, least: str, inherited: _Intervals) -> _Intervals:
    """Return `inherited` with the interval, and the staleness, of a section."""
    interval = reader.take("interval", duration(least, "1h"), inherited.interval_seconds)
    stale_after = reader.take("stale_after", duration("1s"), inherited.stale_after_seconds)
    return replace(
        inherited,
        interval_seconds=interval,
        interval_path=reader.path_of("interval") if reader.has("interval") else inherited.interval_path,
        stale_after_seconds=stale_after,
        stale_after_path=reader.path_of("stale_after") if reader.has("stale_after") else inherited.stale_after_path,
    )


def _poll(reader: Reader, inherited: PollValues) -> PollValues:
    poll = replace(
        _interval(reader, "1s", inherited),
        position_risk=reader.take("position_risk", boolean, inherited.position_risk),
        configuration=reader.take("configuration", boolean, inherited.configuration),
        zero_assets=reader.take("zero_assets", boolean, inherited.zero_assets),
    )
    reader.reject_unknown_keys()
    return poll
