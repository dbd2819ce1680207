"""The configuration: a file or environment variables and their key files -> a Config, or every problem in them.

Nothing here opens a connection, logs or changes a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exporter import redaction
from exporter.account.state import AccountSettings
from exporter.binance.dialing import Endpoint
from exporter.binance.proxies import environment_warnings, normalize_proxy
from exporter.config.document import ConfigError, Findings, Reader
from exporter.config.files import Files, read_document
from exporter.config.keys import CredentialSource, Environment, KeyLoader
from exporter.config.values import (
    KEY_CHECK_URL,
    MAINNET,
    REST_URLS,
    account_name,
    asset_mode,
    boolean,
    duration,
    endpoint_label,
    endpoint_url,
    is_unencrypted,
    proxy_url,
    rest_url,
    weight_key,
    weight_share,
)
from exporter.rest.state import RestSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.account.asset_mode import AssetMode
    from exporter.binance.signing import Credentials, Secret
    from exporter.config.keys import KeyParts

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
    accounts = _Accounts(findings, loader)
    share = _DEFAULT_WEIGHT_SHARE
    if path is not None:
        if environment.names:
            names = ", ".join(environment.names)
            findings.add_problem(names, f"must not be set together with a configuration file ({path})")
        share = _read_file(path, accounts)
    elif environment.names:
        binance = _Binance(url=environment.take("endpoint", endpoint_url, MAINNET))
        _warn_if_unencrypted(environment, binance)
        name = environment.take("account", account_name, "main")
        source = CredentialSource(environment, Path(), loader)
        accounts.add(environment, name, source, binance, _Poll(), None)
    else:
        findings.add_problem("no account is configured", _NOTHING_CONFIGURED)
    if findings.problems:
        raise ConfigError(*findings.problems)
    return Config(
        accounts=tuple(accounts.settings),
        weight_share=share,
        warnings=findings.warnings,
        rest=accounts.rest,
        private_keys=loader.loaded,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Binance:
    """The values under `binance:`; an account inherits them from the document."""

    url: str = MAINNET
    proxy: str | None = None
    recv_window_seconds: float = 5.0
    request_timeout_seconds: float = 10.0
    rest_url: str | None = None  # None: that of the network


@dataclass(frozen=True, slots=True, kw_only=True)
class _Poll:
    """The values under `poll:`, with their paths, since a default and an account's value may contradict each other."""

    interval_seconds: float = 15.0
    interval_path: str = "default"
    stale_after_seconds: float | None = None
    stale_after_path: str = ""
    position_risk: bool = True
    configuration: bool = True
    zero_assets: bool = True


class _Accounts:
    """The accounts read so far, in file order, with their names, endpoints and keys, to compare them."""

    def __init__(self, findings: Findings, loader: KeyLoader) -> None:
        self.findings = findings
        self.loader = loader
        self.settings: list[AccountSettings] = []
        self.rest = RestSettings()
        self._names: dict[str, str] = {}
        self._endpoints: dict[tuple[str, str | None], Endpoint] = {}
        self._labels: dict[str, int] = {}
        self._weight_labels: dict[tuple[str, ...], str] = {}  # the label of the first endpoint by its weight_key
        self._keys: dict[tuple[Endpoint, Secret], str] = {}

    def add(
        self,
        reader: Reader,
        name: str | None,
        source: CredentialSource,
        binance: _Binance,
        poll: _Poll,
        mode: AssetMode | None,
        *,
        key_check: bool = False,
    ) -> None:
        """Add an account, unless its name or its credentials are missing."""
        credentials = source.credentials
        stale_after_seconds = self._stale_after(poll)
        path = reader.path_of("name")
        if name is not None and self._names.setdefault(name, path) != path:
            reader.add_problem("name", f"is already used at {self._names[name]}")
        if name is None or credentials is None:
            return
        if redaction.redact(name) != name:
            reader.add_problem("name", "looks like an API key; use a display name")
        endpoint = self._endpoint(reader, binance)
        path = reader.path_of("api_key_file")
        first = self._keys.setdefault((endpoint, credentials.api_key), path)
        if first != path:
            message = f"is the same API key on {endpoint.label} as at {first}; both accounts will show the same data"
            self.findings.add_warning(path, message)
        self.settings.append(
            AccountSettings(
                name=name,
                endpoint=endpoint,
                credentials=credentials,
                asset_mode=mode,
                interval_seconds=poll.interval_seconds,
                stale_after_seconds=stale_after_seconds,
                position_risk=poll.position_risk,
                configuration=poll.configuration,
                key_check_url=self._key_check_url(reader, binance) if key_check else None,
                zero_assets=poll.zero_assets,
                recv_window_ms=round(binance.recv_window_seconds * 1000),
                request_timeout_seconds=binance.request_timeout_seconds,
                reread=source.reread,
            )
        )

    def _stale_after(self, poll: _Poll) -> float:
        if poll.stale_after_seconds is None:
            return max(4 * poll.interval_seconds, 60.0)
        minimum = 2 * poll.interval_seconds
        # An invalid value was replaced by a default, which the user did not choose: do not report that, too.
        if poll.stale_after_seconds < minimum and not self.findings.has_problem(
            poll.stale_after_path, poll.interval_path
        ):
            self.findings.add_problem(
                poll.stale_after_path,
                f"must be at least twice the interval ({minimum:g}s), "
                f"which is {poll.interval_seconds:g}s by {poll.interval_path}",
            )
        return poll.stale_after_seconds

    def _rest_url(self, reader: Reader, binance: _Binance) -> str | None:
        """Return the URL of the REST API that belongs to an endpoint; report if it is unknown."""
        url = binance.rest_url or REST_URLS.get(binance.url)
        path = reader.path_of("binance.rest_endpoint")
        if url is None and not self.findings.has_problem(path):
            self.findings.add_problem(
                path,
                "is missing: funding, prices and key_check use REST, whose URL is not known for a custom endpoint",
            )
        return url

    def _key_check_url(self, reader: Reader, binance: _Binance) -> str | None:
        """Return the host that is asked what a key may do; None on the testnet, which does not offer that."""
        if binance.rest_url is None and binance.url in REST_URLS:
            if binance.url == MAINNET:
                return KEY_CHECK_URL
            self.findings.add_warning(reader.path_of("key_check"), "has no effect: keys of testnet cannot be checked")
            return None
        return self._rest_url(reader, binance)

    def _endpoint(self, reader: Reader, binance: _Binance) -> Endpoint:
        url, configured_proxy = binance.url, binance.proxy
        for warning in environment_warnings(url) if configured_proxy is None else ():
            self.findings.add_warning("environment", warning)
        proxy = normalize_proxy(url, configured_proxy)
        rest_url = self._rest_url(reader, binance) if self.rest.enabled else None
        if (url, proxy) not in self._endpoints:
            label = endpoint_label(url, configured_proxy)
            number = self._labels[label] = self._labels.get(label, 0) + 1
            endpoint = Endpoint(label if number == 1 else f"{label} #{number}", url, proxy, rest_url)
            first = self._weight_labels.setdefault(weight_key(url, proxy), endpoint.label)
            if first != endpoint.label:
                message = (
                    f"uses {endpoint.label}, which may be the same exchange as {first} of an earlier account, reached "
                    "from the same IP; each spends the whole weight_share: use one spelling, or divide weight_share"
                )
                self.findings.add_warning(reader.path_of("name"), message)
            self._endpoints[url, proxy] = endpoint
        elif rest_url != self._endpoints[url, proxy].rest_url and rest_url is not None:
            reader.add_problem(
                "binance.rest_endpoint",
                f"differs from that of an earlier account on {self._endpoints[url, proxy].label}: "
                "funding and prices are read once for all accounts of an endpoint",
            )
        return self._endpoints[url, proxy]


def _read_file(path: Path, accounts: _Accounts) -> float:
    """Add the accounts of the document at `path` and return its weight share."""
    root = read_document(path, Files(limit=accounts.loader.limit), accounts.findings)
    if root is None:
        return _DEFAULT_WEIGHT_SHARE
    section = root.mapping("binance")
    binance = _binance(section, _Binance())
    share = section.take("weight_share", weight_share, _DEFAULT_WEIGHT_SHARE)
    accounts.rest = RestSettings(
        weight_share=section.take("rest_weight_share", weight_share, _DEFAULT_REST_WEIGHT_SHARE),
        funding_interval_seconds=_rest_interval(root.mapping("funding")),
        prices_interval_seconds=_rest_interval(root.mapping("prices")),
    )
    section.reject_unknown_keys()
    key_check = _key_check(root.mapping("key_check"), inherited=False)
    poll = _poll(root.mapping("poll"), _Poll())
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
        reader.reject_unknown_keys()
        accounts.add(reader, name, source, own_binance, own_poll, mode, key_check=own_key_check)
    root.reject_unknown_keys()
    return share


def _binance(reader: Reader, inherited: _Binance) -> _Binance:
    binance = _Binance(
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


def _warn_if_unencrypted(reader: Reader, binance: _Binance) -> None:
    if reader.has("endpoint") and is_unencrypted(binance.url):
        reader.findings.add_warning(
            reader.path_of("endpoint"), "ws:// sends API keys and signed requests unencrypted; use wss://"
        )


def _poll(reader: Reader, inherited: _Poll) -> _Poll:
    interval = reader.take("interval", duration("1s", "1h"), inherited.interval_seconds)
    stale_after = reader.take("stale_after", duration("1s"), inherited.stale_after_seconds)
    poll = _Poll(
        interval_seconds=interval,
        interval_path=reader.path_of("interval") if reader.has("interval") else inherited.interval_path,
        stale_after_seconds=stale_after,
        stale_after_path=reader.path_of("stale_after") if reader.has("stale_after") else inherited.stale_after_path,
        position_risk=reader.take("position_risk", boolean, inherited.position_risk),
        configuration=reader.take("configuration", boolean, inherited.configuration),
        zero_assets=reader.take("zero_assets", boolean, inherited.zero_assets),
    )
    reader.reject_unknown_keys()
    return poll
