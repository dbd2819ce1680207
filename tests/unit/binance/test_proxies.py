"""URLs of proxies, and which one of the environment is used; their passwords are never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.proxy import parse_proxy as parse_in_websockets

from exporter.binance.dialing import Endpoint, name_environment_proxy
from exporter.binance.proxies import UnusableProxy, environment_proxy, environment_warnings, parse_proxy

if TYPE_CHECKING:
    from collections.abc import Mapping

MAINNET = "wss://ws-fapi.binance.com/ws-fapi/v1"

UNUSABLE = "ALL_PROXY is invalid: must be a http://, https://, socks4://, socks4a://, socks5:// or socks5h:// URL"
THROUGH = " (through the proxy proxy.test:8080 from HTTPS_PROXY)"


def set_environment(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Set variables of the environment, which has none of a proxy."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


class TestParsing:
    """URLs of proxies."""

    @pytest.mark.parametrize(
        ("text", "place", "url"),
        [
            ("proxy.example:3128", "proxy.example:3128", "http://proxy.example:3128"),
            ("http://proxy", "proxy:1080", "http://proxy:1080"),
            ("https://proxy", "proxy:443", "https://proxy:443"),
            ("HTTP://Proxy.Example.:3128/", "proxy.example:3128", "http://proxy.example:3128"),
            ("socks://[0::1]:1", "[::1]:1", "socks4://[::1]:1"),
            ("me@proxy:1\n", "proxy:1", "http://me:@proxy:1"),
        ],
    )
    def test_proxy_is_read_as_by_curl(self, text: str, place: str, url: str) -> None:
        """Scheme and port may be missing, and equal proxies have one spelling."""
        proxy = parse_proxy(text)

        assert (place, url) == (proxy.host_and_port, proxy.url)

    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from(["http", "socks5"]))
    def test_any_password_is_used_and_not_shown(self, password: str, scheme: str) -> None:
        """A password may hold any character, percent-encoded or not, and only host and port are shown."""
        text = f"{scheme}://desk:{password.replace('%', '%25')}@proxy.example:3128"
        proxy = parse_proxy(text)

        assert "proxy.example:3128" == proxy.host_and_port
        assert password == parse_in_websockets(proxy.url).password
        assert repr(parse_proxy(f"{scheme}://proxy.example:3128")) == repr(proxy)

    @pytest.mark.parametrize(
        "text",
        [
            "http://desk:hunter2",
            "http://desk:hunter2#@",
            "http://desk:hunter2/x",
            "ftp://desk:hunter2@proxy:1",
            "http://desk:hunter2@proxy:0",
            "http://desk:hunter2@proxy:99999",
            "http://desk:hunter2@proxy:1/path",
            "http://desk:hunter2%ff@proxy:1",
            "http://de%3Ask:hunter2@proxy:1",
            "http://desk:hunter2\udcff@proxy:1",
            "hunter2://x",
        ],
    )
    def test_unusable_proxy_is_refused_without_any_part_of_it(self, text: str) -> None:
        """What is not a proxy's URL is refused, without showing any part of it."""
        with pytest.raises(UnusableProxy) as caught:
            parse_proxy(text)

        assert [] == [part for part in ("hunter2", "desk") if part in repr(caught.value)]
        assert caught.value.__cause__ is None


class TestEnvironment:
    """Which variable counts."""

    @pytest.mark.parametrize(
        ("variables", "url", "expected"),
        [
            ({}, MAINNET, None),
            ({"https_proxy": "a:1", "HTTPS_PROXY": "b:1", "ALL_PROXY": "c:1"}, MAINNET, "a:1"),
            ({"https_proxy": "", "HTTPS_PROXY": "b:1", "ALL_PROXY": "c:1"}, MAINNET, "b:1"),
            ({"wss_proxy": "d:1", "HTTPS_PROXY": "b:1"}, MAINNET, "d:1"),
            ({"all_proxy": "c:1", "ALL_PROXY": "e:1", "http_proxy": "f:1", "socks_proxy": "g:1"}, MAINNET, "c:1"),
            ({"http_proxy": "f:1", "HTTPS_PROXY": "b:1"}, "ws://exchange.test", "f:1"),
            ({"HTTPS_PROXY": "b:1", "ALL_PROXY": "e:1"}, "ws://exchange.test", "e:1"),
        ],
    )
    def test_variable_is_the_one_of_curl(
        self, variables: dict[str, str], url: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Variables count in curl's order: the scheme's own, then ALL_PROXY; lower case first, never an empty one."""
        set_environment(monkeypatch, variables)
        proxy = environment_proxy(url)

        assert expected == (proxy and proxy.host_and_port)

    @pytest.mark.parametrize(
        ("no_proxy", "url", "excluded"),
        [
            ("*", MAINNET, True),
            ("binance.com", MAINNET, True),
            (".Binance.COM.", MAINNET, True),
            ("localhost, ws-fapi.binance.com", MAINNET, True),
            ("localhost ws-fapi.binance.com:443", MAINNET, True),
            ("ws-fapi.binance.com:80,nance.com,com.", "wss://ws-fapi.binance.org", False),
            ("nance.com", MAINNET, False),
            ("10.0.0.0/8", "ws://10.1.2.3:9", True),
            ("10.0.0.0/8,::1", "ws://11.1.2.3:9", False),
            ("::1", "ws://[::1]:9", True),
            ("[::1]:9", "ws://[::1]:9", True),
        ],
    )
    def test_no_proxy_excludes_hosts(
        self, no_proxy: str, url: str, monkeypatch: pytest.MonkeyPatch, *, excluded: bool
    ) -> None:
        """NO_PROXY excludes hosts, domains and networks as it does in curl, and host:port."""
        set_environment(monkeypatch, {"ALL_PROXY": "proxy:1", "NO_PROXY": no_proxy})

        assert excluded is (environment_proxy(url) is None)

    @pytest.mark.parametrize(
        ("variables", "warnings"),
        [
            ({}, []),
            ({"HTTP_PROXY": "a:1", "HTTPS_PROXY": "a:1", "ALL_PROXY": "b:1"}, []),
            ({"HTTP_PROXY": "a:1", "NO_PROXY": "binance.com"}, []),
            (
                {"HTTP_PROXY": "a:1"},
                ["HTTP_PROXY has no effect on wss:// endpoints, no proxy is used: set HTTPS_PROXY"],
            ),
            (
                {"Https_Proxy": "a:1"},
                ["Https_Proxy has no effect on wss:// endpoints, no proxy is used: set HTTPS_PROXY"],
            ),
            ({"https_proxy": "a:1", "HTTPS_PROXY": "a:1"}, []),
            (
                {"https_proxy": "a:1", "HTTPS_PROXY": "b:1"},
                ["HTTPS_PROXY is ignored: https_proxy takes precedence"],
            ),
            ({"ALL_PROXY": "socks6://me:hunter2@p:1"}, [UNUSABLE]),
        ],
    )
    def test_ignored_variable_is_a_warning(
        self, variables: dict[str, str], warnings: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A variable that looks as if it named the proxy and does not is named in a warning."""
        set_environment(monkeypatch, variables)

        assert warnings == environment_warnings(MAINNET)

    @pytest.mark.parametrize(
        ("proxy", "value", "words"),
        [
            (None, "", ""),
            (None, "proxy.test:8080", THROUGH),
            *(
                (None, f"http://me:{password}@proxy.test:8080", THROUGH)
                for password in ("pass", "pa/ss", "pa#ss", "pa?ss", "pa@ss", "pa%ss", "p@/ss#x?y%z", "12/34")
            ),
            ("none", "proxy.test:8080", ""),
            ("http://own.test:1", "proxy.test:8080", ""),
        ],
    )
    def test_proxy_of_the_environment_is_named(
        self, proxy: str | None, value: str, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A failed dial names the environment's proxy by variable, host and port, without its password."""
        set_environment(monkeypatch, {"HTTPS_PROXY": value})

        assert words == name_environment_proxy(Endpoint("x", "wss://exchange.test/", proxy))
