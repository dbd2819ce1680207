"""Endpoints and proxies of a configuration: their labels, which accounts share one, and warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.config_files import HMAC, MAINNET

from exporter import redaction

if TYPE_CHECKING:
    from support.config_folder import Folder


class TestEndpoints:
    """Endpoints, proxies and their labels."""

    @pytest.mark.parametrize(
        ("binance", "label"),
        [
            ("endpoint: mainnet", "mainnet"),
            ("endpoint: testnet", "testnet"),
            (f"endpoint: {MAINNET}", "mainnet"),
            ("endpoint: 'wss://example.com/ws?token=x'", "example.com:443"),
            ("endpoint: WS://localhost:9000", "localhost:9000"),
            ("endpoint: ws://app.localhost", "app.localhost:80"),
            ("endpoint: 'ws://[::1]/'", "[::1]:80"),
            ("proxy: http://user:secret@proxy:3128/", "mainnet via proxy:3128"),
            ("proxy: https://proxy:1", "mainnet via proxy:1"),
            ("proxy: socks5://127.0.0.1:1080", "mainnet via 127.0.0.1:1080"),
            ("proxy: 'socks5h://[::1]:1080'", "mainnet via [::1]:1080"),
            ("proxy: none", "mainnet"),
            ("proxy: null", "mainnet"),
        ],
    )
    def test_label_is_the_host_and_the_proxy(self, folder: Folder, binance: str, label: str) -> None:
        """The label has the network or host and the proxy, and no secret from their URLs."""
        config = folder.load(f"binance: {{{binance}}}\naccounts: [{{name: a, {HMAC}}}]")

        assert config.accounts[0].endpoint.label == label
        assert config.warnings == ()

    def test_equal_endpoints_are_shared_and_others_numbered(self, folder: Folder) -> None:
        """Accounts with equal URL and proxy share an endpoint; labels that would be equal are numbered."""
        urls = ["wss://e/a", "wss://e/b", "wss://e:443/a", "wss://e/a", "mainnet"]
        accounts = [f"{{name: a{i}, {HMAC}, binance: {{endpoint: '{url}'}}}}" for i, url in enumerate(urls)]
        config = folder.load(f"accounts: [{', '.join(accounts)}]")

        endpoints = [account.endpoint for account in config.accounts]
        assert [endpoint.label for endpoint in endpoints] == ["e:443", "e:443 #2", "e:443", "e:443", "mainnet"]
        assert endpoints[0] is endpoints[2] is endpoints[3]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("endpoint: mainnet", "endpoint: 'wss://ws-fapi.binance.com:443/ws-fapi/v1'"),
            ("endpoint: mainnet", "endpoint: 'WSS://WS-FAPI.Binance.com./ws-fapi/v1'"),
            ("endpoint: 'wss://e'", "endpoint: 'wss://e:443/?'"),
            ("endpoint: 'ws://127.0.0.1:80/x'", "endpoint: 'ws://127.1/x'"),
            ("endpoint: 'ws://127.0.0.1:80/x'", "endpoint: 'ws://[::ffff:127.0.0.1]/x'"),
            ("endpoint: 'ws://[::1]:9/x'", "endpoint: 'ws://[0:0::1]:9/x'"),
            ("proxy: null", "proxy: none"),
            ("proxy: none", "proxy: null"),
            ("proxy: 'http://proxy:3128'", "proxy: 'HTTP://Proxy.:3128/'"),
            ("proxy: 'http://me:p%2Fss@proxy:3128'", "proxy: 'http://me:p/ss@proxy:3128'"),
        ],
    )
    def test_one_endpoint_in_several_spellings_is_one(self, folder: Folder, first: str, second: str) -> None:
        """Endpoints that differ only in spelling are one, with one budget, whichever comes first after a reload."""
        accounts = [f"{{name: a{i}, {HMAC}, binance: {{{settings}}}}}" for i, settings in enumerate((first, second))]
        configs = [folder.load(f"accounts: [{', '.join(order)}]") for order in (accounts, accounts[::-1])]
        endpoints = [account.endpoint for config in configs for account in config.accounts]

        assert len(set(endpoints)) == 1
        assert [] == [warning for config in configs for warning in config.warnings if "weight_share" in warning]

    @pytest.mark.parametrize(
        ("first", "second", "is_warned"),
        [
            ("endpoint: mainnet", "endpoint: 'wss://ws-fapi.binance.com/other'", True),
            ("endpoint: mainnet", "endpoint: 'wss://ws-fapi.binance.com:9443/ws-fapi/v1'", True),
            ("endpoint: mainnet", "endpoint: 'wss://ws-fapi.binance.com/ws-fapi/v1?returnRateLimits=false'", True),
            ("endpoint: 'ws://localhost:9/x'", "endpoint: 'ws://127.0.0.1:9/x'", True),
            ("endpoint: 'ws://localhost:9/x'", "endpoint: 'ws://[::1]:9/x'", True),
            ("proxy: 'http://127.0.0.1:9'", "proxy: 'http://localhost:9'", True),
            ("proxy: 'http://proxy:9'", "proxy: 'socks5://proxy:9'", True),
            ("endpoint: 'ws://localhost:9/x'", "endpoint: 'ws://localhost:8/x'", False),
            ("endpoint: mainnet", "endpoint: testnet", False),
            ("proxy: none", "proxy: 'http://proxy:9'", False),
            ("proxy: 'http://proxy:8'", "proxy: 'http://proxy:9'", False),
        ],
    )
    def test_endpoints_that_may_share_an_ip_are_a_warning(
        self, folder: Folder, first: str, second: str, *, is_warned: bool
    ) -> None:
        """Different endpoints that may be one exchange, polled from one IP, are a warning: each spends its share."""
        accounts = [f"{{name: a{i}, {HMAC}, binance: {{{settings}}}}}" for i, settings in enumerate((first, second))]
        config = folder.load(f"accounts: [{', '.join(accounts)}]")

        assert len({account.endpoint for account in config.accounts}) == 2
        assert is_warned is any("accounts[1].name: uses" in warning for warning in config.warnings)

    def test_proxy_that_is_also_the_environments_is_one_endpoint(
        self, folder: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An account with the environment's proxy shares the endpoint of one whose configuration names that proxy."""
        monkeypatch.setenv("ALL_PROXY", "me:pass@Proxy:9")
        proxies = ("null", "http://me:pass@proxy:9", "none")
        accounts = [f"{{name: a{i}, {HMAC}, binance: {{proxy: '{proxy}'}}}}" for i, proxy in enumerate(proxies)]
        config = folder.load(f"accounts: [{', '.join(accounts)}]".replace("'null'", "null"))
        automatic, named, direct = (account.endpoint for account in config.accounts)

        assert automatic == named != direct

    def test_proxy_password_is_hidden_from_the_log(self, folder: Folder) -> None:
        """The proxy's password can be used and is redacted from then on, also decoded."""
        config = folder.load(f"binance: {{proxy: 'http://user:pass%20word1@p:1'}}\naccounts: [{{name: a, {HMAC}}}]")

        assert config.accounts[0].endpoint.proxy == "http://user:pass%20word1@p:1"
        assert redaction.redact("pass word1, user:pass%20word1") == "[redacted], [redacted]"

    @pytest.mark.parametrize("password", ["pa/ss", "pa#ss", "pa?ss", "pa@ss", "12/34@x", "pa:ss"])
    def test_proxy_password_may_hold_any_character(self, folder: Folder, password: str) -> None:
        """A proxy's password may hold what ends a host in other URLs, and the label shows none of it."""
        config = folder.load(f"binance: {{proxy: 'http://me:{password}@p:1'}}\naccounts: [{{name: a, {HMAC}}}]")

        assert config.accounts[0].endpoint.label == "mainnet via p:1"

    def test_ignored_proxy_of_the_environment_is_a_warning(
        self, folder: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An ignored variable is a warning if the proxy is taken from the environment, and only then."""
        monkeypatch.setenv("HTTP_PROXY", "proxy:3128")
        automatic, direct = (
            folder.load(f"binance: {{proxy: {proxy}}}\naccounts: [{{name: a, {HMAC}}}]") for proxy in ("null", "none")
        )

        assert len(automatic.warnings) == 1
        assert automatic.warnings[0].startswith("environment: HTTP_PROXY has no effect on wss:// endpoints")
        assert direct.warnings == ()

    def test_unencrypted_requests_are_a_warning(self, folder: Folder) -> None:
        """A ws:// URL to another machine is a warning with its place in the file."""
        config = folder.load(f"binance: {{endpoint: 'ws://10.0.0.1'}}\naccounts: [{{name: a, {HMAC}}}]")

        assert config.warnings == (
            f"{folder.path}/exporter.yml: binance.endpoint: ws:// sends API keys and signed requests unencrypted; use wss://",
        )

    def test_demo_is_an_alias_of_testnet(self, folder: Folder) -> None:
        """Accounts on demo and on testnet share one endpoint, whose label is testnet."""
        config = folder.load(f"""
            accounts:
              - {{name: a, {HMAC}, binance: {{endpoint: demo}}}}
              - {{name: b, {HMAC}, binance: {{endpoint: testnet}}}}
        """)
        first, second = (account.endpoint for account in config.accounts)

        assert first is second
        assert first.label == "testnet"
