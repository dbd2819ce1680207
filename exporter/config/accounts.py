"""The accounts of a configuration, compared with each other: equal names, keys and endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from exporter import redaction
from exporter.account.state import AccountSettings
from exporter.binance.dialing import Endpoint
from exporter.binance.proxies import environment_warnings, normalize_proxy
from exporter.config.values import KEY_CHECK_URL, MAINNET, REST_URLS, endpoint_label, weight_key
from exporter.rest.income_turn import Since
from exporter.rest.state import IncomeSettings, RestSettings

if TYPE_CHECKING:
    from exporter.account.asset_mode import AssetMode
    from exporter.binance.signing import Secret
    from exporter.config.document import Findings, Reader
    from exporter.config.keys import CredentialSource, KeyLoader


@dataclass(frozen=True, slots=True, kw_only=True)
class BinanceValues:
    """The values under `binance:`; an account inherits them from the document."""

    url: str = MAINNET
    proxy: str | None = None
    recv_window_seconds: float = 5.0
    request_timeout_seconds: float = 10.0
    rest_url: str | None = None  # None: that of the network


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalValues:
    """An interval and a staleness, with their paths, since a default and an account's value may contradict each other.

    A staleness of None is 4 intervals, and at least `least_stale_after_seconds`.
    """

    least_stale_after_seconds: ClassVar[float]
    interval_seconds: float
    interval_path: str = "default"
    stale_after_seconds: float | None = None
    stale_after_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollValues(IntervalValues):
    """The values under `poll:`."""

    least_stale_after_seconds = 60.0
    interval_seconds: float = 15.0
    position_risk: bool = True
    configuration: bool = True
    zero_assets: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomeValues(IntervalValues):
    """The values under `income:`."""

    least_stale_after_seconds = 3600.0
    interval_seconds: float = 300.0
    enabled: bool = False
    since: Since = Since.MONTH
    by_symbol: bool = False


class Accounts:
    """The accounts read so far, in file order, with their names, endpoints and keys, to compare them."""

    def __init__(self, findings: Findings, loader: KeyLoader) -> None:
        self.findings = findings
        self.loader = loader
        self.settings: list[AccountSettings] = []
        self.rest = RestSettings()
        self.income: dict[str, IncomeSettings] = {}  # by account, of those whose REST API is known
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
        binance: BinanceValues,
        poll: PollValues,
        mode: AssetMode | None,
        income: IncomeValues,
        *,
        key_check: bool = False,
    ) -> None:
        """Add an account, unless its name or its credentials are missing."""
        credentials = source.credentials
        stale_after_seconds, income_stale_after_seconds = self._stale_after(poll), self._stale_after(income)
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
        url = self._rest_url(reader, binance) if income.enabled else _known_rest_url(binance)
        if url is not None:
            self.income[name] = IncomeSettings(
                url=url,
                enabled=income.enabled,
                interval_seconds=income.interval_seconds,
                stale_after_seconds=income_stale_after_seconds,
                since=income.since,
                by_symbol=income.by_symbol,
            )
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

    def _stale_after(self, values: IntervalValues) -> float:
        if values.stale_after_seconds is None:
            return max(4 * values.interval_seconds, values.least_stale_after_seconds)
        minimum = 2 * values.interval_seconds
        # An invalid value was replaced by a default, which the user did not choose: do not report that, too.
        if values.stale_after_seconds < minimum and not self.findings.has_problem(
            values.stale_after_path, values.interval_path
        ):
            self.findings.add_problem(
                values.stale_after_path,
                f"must be at least twice the interval ({minimum:g}s), "
                f"which is {values.interval_seconds:g}s by {values.interval_path}",
            )
        return values.stale_after_seconds

    def _rest_url(self, reader: Reader, binance: BinanceValues) -> str | None:
        """Return the URL of the REST API that belongs to an endpoint; report if it is unknown."""
        url = _known_rest_url(binance)
        path = reader.path_of("binance.rest_endpoint")
        if url is None and not self.findings.has_problem(path):
            self.findings.add_problem(
                path,
                "is missing: income, funding, prices and key_check use REST, "
                "whose URL is not known for a custom endpoint",
            )
        return url

    def _key_check_url(self, reader: Reader, binance: BinanceValues) -> str | None:
        """Return the host that is asked what a key may do; None on the testnet, which does not offer that."""
        if binance.rest_url is None and binance.url in REST_URLS:
            if binance.url == MAINNET:
                return KEY_CHECK_URL
            self.findings.add_warning(reader.path_of("key_check"), "has no effect: keys of testnet cannot be checked")
            return None
        return self._rest_url(reader, binance)

    def _endpoint(self, reader: Reader, binance: BinanceValues) -> Endpoint:
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


def _known_rest_url(binance: BinanceValues) -> str | None:
    return binance.rest_url or REST_URLS.get(binance.url)
