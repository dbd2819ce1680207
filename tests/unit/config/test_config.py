"""Configuration files, key files and variables: what they give, and every fault in them."""

from __future__ import annotations

import os
import textwrap
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from support.config_files import API_KEY, HMAC, SECRET_KEY, pem

from exporter import redaction
from exporter.account.snapshot import AssetMode
from exporter.config import VARIABLES, Config, ConfigError, load, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

MAINNET = "wss://ws-fapi.binance.com/ws-fapi/v1"
TESTNET = "wss://testnet.binancefuture.com/ws-fapi/v1"


@pytest.fixture(autouse=True)
def _nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_hidden_pieces", set())
    monkeypatch.setattr(redaction, "_hidden_texts", set())


@dataclass
class Folder:
    """A folder with a configuration file and key files."""

    path: Path

    def write(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        """Write a file that only its owner may read."""
        file = self.path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)
        return file

    def load(self, document: str, **environ: str) -> Config:
        """Load `document`, indented as the test is."""
        return load(self.write("exporter.yml", textwrap.dedent(document)), environ)

    def faults(self, document: str, **environ: str) -> list[str]:
        """Return the faults of `document`, without the file's own path."""
        with pytest.raises(ConfigError) as caught:
            self.load(document, **environ)
        text = str(caught.value)
        assert [str(fault) for fault in caught.value.faults] == text.split("\n")
        assert not {text[i : i + 16] for i in range(len(text))} & {
            key[i : i + 16] for key in (API_KEY, SECRET_KEY) for i in range(48)
        }
        return self.shorten(text.split("\n"))

    def shorten(self, texts: Iterable[str]) -> list[str]:
        """Return `texts` without the configuration file's path."""
        return [text.replace(f"{self.path}/exporter.yml: ", "") for text in texts]

    def account_faults(self, account: str) -> list[str]:
        """Return the faults of a document with one account, given as a flow mapping's inside."""
        return self.faults(f"accounts: [{{name: main, {account}}}]")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give a folder with the key files of an HMAC account."""
    made = Folder(tmp_path)
    made.write("api.key", API_KEY)
    made.write("secret.key", SECRET_KEY)
    return made


def in_full(text: str) -> str:
    """Return `text` with the short names of a table written in full."""
    return text.replace("P: ", "private_key_file: ").replace("W: ", "private_key_passphrase_file: ")


def make_pipe(file: Path) -> None:
    """Put a named pipe in the place of `file`."""
    file.unlink()
    os.mkfifo(file)


class TestDurations:
    """parse_duration."""

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("15s", 15),
            ("1m30s", 90),
            ("500ms", 0.5),
            ("1h", 3600),
            ("0", 0),
            ("0s", 0),
            ("1d", 86400),
            ("2w", 14 * 86400),
            ("1y2w3d4h5m6s7ms", 365 * 86400 + 17 * 86400 + 4 * 3600 + 306.007),
        ],
    )
    def test_prometheus_duration_is_seconds(self, text: str, seconds: float) -> None:
        """A Prometheus duration is read as seconds."""
        assert parse_duration(text) == pytest.approx(seconds)

    @pytest.mark.parametrize(
        "text", ["", "s", "1.5s", "-1s", "1s1m", "1s1s", "1 s", "1S", "१s", "1s\n", "9" * 400 + "y"]
    )
    def test_other_texts_are_refused_with_an_example(self, text: str) -> None:
        """What is no Prometheus duration is refused with a text that shows one."""
        with pytest.raises(ValueError, match="such as 15s"):
            parse_duration(text)

    def test_number_alone_is_told_of_units(self) -> None:
        """A number without a unit is refused with a text that asks for one."""
        with pytest.raises(ValueError, match="with its unit, such as 15s"):
            parse_duration("15")

    @given(st.text())
    def test_any_text_is_seconds_or_a_value_error(self, text: str) -> None:
        """No text makes anything but a number or a ValueError."""
        with suppress(ValueError):
            assert parse_duration(text) >= 0


class TestDocument:
    """The document as a whole: YAML, keys, structure."""

    def test_smallest_file_gives_the_defaults(self, folder: Folder) -> None:
        """A file with nothing but an account gives every documented default."""
        config = folder.load(f"accounts: [{{name: main, {HMAC}}}]")

        (account,) = config.accounts
        assert (config.weight_share, config.warnings) == (0.5, ())
        assert (account.name, account.asset_mode) == ("main", None)
        assert (account.endpoint.label, account.endpoint.url, account.endpoint.proxy) == ("mainnet", MAINNET, None)
        assert (account.interval_seconds, account.stale_after_seconds, account.position_risk) == (15, 60, True)
        assert (account.recv_window_ms, account.request_timeout_seconds) == (5000, 10)
        assert account.credentials.key_type == "hmac"
        assert account.credentials.api_key.reveal() == API_KEY

    def test_every_key_is_read_and_overridden_per_account(self, folder: Folder) -> None:
        """Values under binance: and poll: hold for all accounts but those that set their own."""
        folder.write("key.pem", pem(b"pass phrase"))
        folder.write("pass", "pass phrase\n")
        config = folder.load(f"""
            binance:
              endpoint: testnet
              proxy: http://proxy:3128
              recv_window: 1500ms
              request_timeout: 20s
              weight_share: 0.25
            poll: {{interval: 30s, stale_after: 5m, position_risk: false}}
            accounts:
              - name: first
                {HMAC.replace(", ", chr(10) + " " * 16)}
              - name: second
                api_key_file: api.key
                private_key_file: key.pem
                private_key_passphrase_file: pass
                asset_mode: multi
                poll: {{interval: 5s, stale_after: 10s, position_risk: true}}
                binance: {{endpoint: mainnet, proxy: none, recv_window: 60s, request_timeout: 100ms}}
        """)

        first, second = config.accounts
        assert config.weight_share == 0.25
        assert (first.endpoint.url, first.endpoint.proxy) == (TESTNET, "http://proxy:3128")
        assert first.endpoint.label == "testnet via proxy:3128"
        assert (first.interval_seconds, first.stale_after_seconds, first.position_risk) == (30, 300, False)
        assert (first.recv_window_ms, first.request_timeout_seconds) == (1500, 20)
        assert (second.endpoint.label, second.endpoint.proxy) == ("mainnet", "none")
        assert (second.interval_seconds, second.stale_after_seconds, second.position_risk) == (5, 10, True)
        assert (second.recv_window_ms, second.request_timeout_seconds) == (60000, 0.1)
        assert (second.asset_mode, second.credentials.key_type) == (AssetMode.MULTI, "ed25519")

    @pytest.mark.parametrize(
        ("written", "mode"), [("auto", None), ("single", AssetMode.SINGLE), ("multi", AssetMode.MULTI)]
    )
    def test_asset_mode_is_found_out_or_told(self, folder: Folder, written: str, mode: AssetMode | None) -> None:
        """asset_mode names the mode, or auto leaves it to the answers."""
        config = folder.load(f"accounts: [{{name: a, {HMAC}, asset_mode: {written}}}]")

        assert config.accounts[0].asset_mode == mode

    def test_same_file_gives_equal_configurations(self, folder: Folder) -> None:
        """Loading an unchanged file again gives an equal configuration, so that a reload changes nothing."""
        document = f"accounts: [{{name: main, {HMAC}}}]"

        assert folder.load(document) == folder.load(document)

    @pytest.mark.parametrize("content", ["", "# nothing\n", "accounts:", "accounts: []", "accounts: main"])
    def test_file_without_accounts_is_a_fault(self, folder: Folder, content: str) -> None:
        """A file must have a list of accounts with something in it."""
        assert folder.faults(content) == ["accounts: must be a list of at least one mapping"]

    @pytest.mark.parametrize("content", ["- a", "text", "1"])
    def test_file_must_be_a_mapping(self, folder: Folder, content: str) -> None:
        """A document that is no mapping is told so."""
        assert folder.faults(content)[0] == "must be a mapping (key: value)"

    def test_all_faults_are_reported_at_once(self, folder: Folder) -> None:
        """One error lists the faults of every part, each with its path and in the document's order."""
        assert folder.faults("""
            binance: {endpoint: somewhere, weight_share: 1}
            poll: {intervall: 15s}
            accounts:
              - main
              - {name: a, api_key_file: api.key, secret_key_file: missing/key}
              - {api_key_file: api.key}
            logging: debug
        """) == [
            "binance.endpoint: must be mainnet, testnet or a ws:// or wss:// URL",
            "binance.weight_share: must be a number from 0.01 to 0.9, such as 0.5",
            "poll.intervall: unknown key; did you mean interval?",
            "accounts[0]: must be a mapping (key: value)",
            "accounts[0].name: is missing",
            "accounts[0].api_key_file: is missing",
            "accounts[0].secret_key_file: is missing: set it (HMAC) or private_key_file (Ed25519, RSA)",
            "accounts[1].secret_key_file: cannot read missing/key: No such file or directory",
            "accounts[2].name: is missing",
            "accounts[2].secret_key_file: is missing: set it (HMAC) or private_key_file (Ed25519, RSA)",
            "logging: unknown key; known here: binance, poll, accounts",
        ]

    @pytest.mark.parametrize(
        ("account", "fault"),
        [
            (
                f"{HMAC}, poll: {{risks: true}}",
                "poll.risks: unknown key; known here: interval, stale_after, position_risk",
            ),
            (
                f"{HMAC}, binance: {{weight_share: 0.1}}",
                "binance.weight_share: unknown key; known here: endpoint, proxy, ",
            ),
            (f"{HMAC}, api_key: x", "api_key: unknown key; did you mean api_key_file?"),
            (f"{HMAC}, assetmode: auto", "assetmode: unknown key; did you mean asset_mode?"),
            (f"{HMAC}, {SECRET_KEY}: x", "[redacted]: unknown key; known here: "),
            (f'{HMAC}, "a\\nb": x', "a\\nb: unknown key; known here: "),
            (f"{HMAC}, {'ab ' * 30}: x", f"{'ab ' * 20}…: unknown key; known here: "),
            (f"{HMAC}, 1: x", "1: unknown key; known here: "),
            (f"{HMAC}, poll: 15s", "poll: must be a mapping (key: value)"),
        ],
    )
    def test_unknown_keys_name_the_nearest(self, folder: Folder, account: str, fault: str) -> None:
        """A key that does not exist is a fault that names a close one, or all there are."""
        (found,) = folder.account_faults(account)

        assert found.startswith(f"accounts[0].{fault}")

    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            ("poll:\n  interval: 1s\n  interval: 2s\n", "at line 3, column 3: the key of line 2 stands here again"),
            ("a: 1\nb: [\n", "at line 3, column 1: expected the node content, but found …"),
            (f"a: *{SECRET_KEY}\n", "at line 1, column 4: found undefined alias …"),
            (f"a: !{SECRET_KEY} x\n", "at line 1, column 4: could not determine a constructor for the tag …"),
            (f"a: !!int {SECRET_KEY}\n", "at line 1, column 4: a value that its type cannot hold"),
            ("a: 2026-13-01\n", "at line 1, column 4: a value that its type cannot hold"),
            ("a: !!bool perhaps\n", "at line 1, column 4: a value that its type cannot hold"),
            ("[a]: 1\n", "at line 1, column 1: found unhashable key"),
            ("a: 1\n---\nb: 2\n", "at line 2, column 1: but found another document"),
            ("a: 1\nb: \x01\n", "at line 2: a control character"),
        ],
    )
    def test_invalid_yaml_tells_the_place_and_quotes_nothing(self, folder: Folder, content: str, fault: str) -> None:
        """A syntax error or a key that stands twice has its line, and none of the file's content."""
        assert folder.faults(content) == [f"is not valid YAML {fault}"]

    def test_merge_keys_and_aliases_work(self, folder: Folder) -> None:
        """Anchors, aliases and merge keys may be used, and a merged key overridden."""
        config = folder.load(f"""
            accounts:
              - &first {{name: first, {HMAC}, poll: &poll {{interval: 20s}}}}
              - &second {{<<: *first, name: second}}
              - {{<<: *second, name: third, poll: *poll}}
        """)

        assert [account.name for account in config.accounts] == ["first", "second", "third"]
        assert {account.interval_seconds for account in config.accounts} == {20}

    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            (b"#" * (1024 * 1024 + 1), "is larger than 1 MiB"),
            (b"a: \xff", "is not UTF-8 text (at byte 3)"),
            (b"[" * 1_000, "is nested too deeply"),
        ],
    )
    def test_file_that_is_no_document_is_a_fault(self, folder: Folder, content: bytes, fault: str) -> None:
        """Oversized, binary and bottomless files are refused."""
        with pytest.raises(ConfigError, match=fault.replace("(", r"\(").replace(")", r"\)")):
            load(folder.write("exporter.yml", content), {})

    def test_byte_order_mark_is_tolerated(self, folder: Folder) -> None:
        """A file written with a BOM and CRLF is read."""
        content = f"\ufeffaccounts:\r\n  - {{name: main, {HMAC}}}\r\n"

        assert load(folder.write("exporter.yml", content), {}).accounts[0].name == "main"

    def test_missing_file_is_a_fault(self, tmp_path: Path) -> None:
        """A file that is not there is named with the system's reason."""
        with pytest.raises(ConfigError, match=r"none\.yml: cannot be read: No such file or directory"):
            load(tmp_path / "none.yml", {})


class TestValues:
    """Single values and their bounds."""

    @pytest.mark.parametrize(
        ("account", "fault"),
        [
            ("poll: {interval: 15}", "poll.interval: must be a duration with its unit"),
            ("poll: {interval: 1:30}", "poll.interval: must be a duration with its unit"),
            ("poll: {interval: true}", "poll.interval: must be a duration such as"),
            ("poll: {interval: null}", "poll.interval: must be a duration such as"),
            ("poll: {interval: 999ms}", "poll.interval: must be at least 1s"),
            ("poll: {interval: 61m}", "poll.interval: must be at most 1h"),
            ("poll: {stale_after: 0}", "poll.stale_after: must be a duration with its unit"),
            ("poll: {stale_after: '0'}", "poll.stale_after: must be at least 1s"),
            ("binance: {recv_window: 0s}", "binance.recv_window: must be at least 1ms"),
            ("binance: {recv_window: 61s}", "binance.recv_window: must be at most 60s"),
            ("binance: {request_timeout: 99ms}", "binance.request_timeout: must be at least 100ms"),
            ("binance: {request_timeout: 2m}", "binance.request_timeout: must be at most 60s"),
            ("poll: {interval: '15'}", "poll.interval: must be a duration with its unit"),
            ("poll: {position_risk: 1}", "poll.position_risk: must be true or false"),
            ("poll: {position_risk: 'true'}", "poll.position_risk: must be true or false"),
            ("poll: {position_risk: null}", "poll.position_risk: must be true or false"),
            ("poll: {position_risk: [true]}", "poll.position_risk: must be true or false"),
            ("asset_mode: both", "asset_mode: must be auto, single or multi"),
            ("asset_mode: [single]", "asset_mode: must be auto, single or multi"),
        ],
    )
    def test_value_out_of_bounds_is_told_what_is_allowed(self, folder: Folder, account: str, fault: str) -> None:
        """Wrong types and values beyond their bounds are one fault each, which tells what is allowed."""
        (found,) = folder.account_faults(f"{HMAC}, {account}")

        assert found.startswith(f"accounts[0].{fault}")

    @pytest.mark.parametrize("share", ["0", "0.91", "-1", "true", "half", ".nan", ".inf", "null"])
    def test_weight_share_has_bounds(self, folder: Folder, share: str) -> None:
        """The share of the weight is above 0 and at most 0.9."""
        assert folder.faults(f"binance: {{weight_share: {share}}}\naccounts: [{{name: a, {HMAC}}}]") == [
            "binance.weight_share: must be a number from 0.01 to 0.9, such as 0.5"
        ]

    @pytest.mark.parametrize("name", ["x", "x" * 100, "größe / 配置", "'7'", "{a: b}[0]"])
    def test_account_name_may_be_any_text(self, folder: Folder, name: str) -> None:
        """Names keep their characters, whatever they are."""
        shown = name.strip("'")
        account = f'{{"name": "{shown}", {HMAC}}}'

        assert folder.load(f"accounts: [{account}]").accounts[0].name == shown

    @pytest.mark.parametrize(
        ("name", "fault"),
        [
            ("7", "must be text: put it in quotes"),
            ("''", "must be 1 to 100 characters long"),
            ("x" * 101, "must be 1 to 100 characters long"),
            ("' a'", "must not begin or end with a space"),
            ('"a\\nb"', "nor hold control characters"),
            ('"a\\u2028b"', "nor hold control characters"),
            ('"a\\ud800b"', "nor hold control characters"),
        ],
    )
    def test_account_name_must_be_one_line_of_text(self, folder: Folder, name: str, fault: str) -> None:
        """Names that would break a label or a line are faults."""
        (found,) = folder.faults(f"accounts: [{{name: {name}, {HMAC}}}]")

        assert found.startswith("accounts[0].name: ")
        assert fault in found

    def test_duplicate_names_name_both_places(self, folder: Folder) -> None:
        """Two accounts of one name are a fault at the second that names the first."""
        (found,) = folder.faults(f"accounts: [{{name: a, {HMAC}}}, {{name: b, {HMAC}}}, {{name: a, {HMAC}}}]")

        assert found == "accounts[2].name: is also the name at accounts[0].name"


class TestStaleAfter:
    """stale_after against the interval."""

    @pytest.mark.parametrize(("interval", "stale_after"), [("5s", 60), ("15s", 60), ("16s", 64), ("1h", 14400)])
    def test_default_is_four_intervals_and_a_minute(self, folder: Folder, interval: str, stale_after: float) -> None:
        """Without stale_after data lives for four intervals, at least 60 s."""
        config = folder.load(f"accounts: [{{name: a, {HMAC}, poll: {{interval: {interval}}}}}]")

        assert config.accounts[0].stale_after_seconds == stale_after

    def test_own_interval_against_inherited_stale_after_names_both(self, folder: Folder) -> None:
        """An account's interval too long for the document's stale_after is a fault with both paths."""
        assert folder.faults(f"""
            poll: {{interval: 10s, stale_after: 30s}}
            accounts:
              - {{name: a, {HMAC}}}
              - {{name: b, {HMAC}, poll: {{interval: 20s}}}}
        """) == ["poll.stale_after: must be at least 2 intervals (40s): 20s by accounts[1].poll.interval"]

    def test_fault_in_the_document_is_reported_once(self, folder: Folder) -> None:
        """A stale_after that is too short for all accounts is one fault, also beside the default interval."""
        assert folder.faults(f"""
            poll: {{stale_after: 29s}}
            accounts: [{{name: a, {HMAC}}}, {{name: b, {HMAC}}}]
        """) == ["poll.stale_after: must be at least 2 intervals (30s): 15s by the default"]

    def test_refused_interval_makes_no_second_fault(self, folder: Folder) -> None:
        """stale_after is not compared with an interval that is a fault itself."""
        (found,) = folder.account_faults(f"{HMAC}, poll: {{interval: soon, stale_after: 2s}}")

        assert found.startswith("accounts[0].poll.interval: ")


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
        """The label names network or host and proxy, and nothing secret of their URLs."""
        config = folder.load(f"binance: {{{binance}}}\naccounts: [{{name: a, {HMAC}}}]")

        assert config.accounts[0].endpoint.label == label
        assert config.warnings == ()

    def test_equal_endpoints_are_shared_and_others_told_apart(self, folder: Folder) -> None:
        """Accounts with equal URL and proxy share an endpoint; labels that would be equal are numbered."""
        urls = ["wss://e/a", "wss://e/b", "wss://e:443/a", "wss://e/a", "mainnet"]
        accounts = [f"{{name: a{i}, {HMAC}, binance: {{endpoint: '{url}'}}}}" for i, url in enumerate(urls)]
        config = folder.load(f"accounts: [{', '.join(accounts)}]")

        endpoints = [account.endpoint for account in config.accounts]
        assert [endpoint.label for endpoint in endpoints] == ["e:443", "e:443 #2", "e:443 #3", "e:443", "mainnet"]
        assert endpoints[0] is endpoints[3]

    @pytest.mark.parametrize(
        ("binance", "fault"),
        [
            ("endpoint: null", "endpoint: must be mainnet, testnet or a ws:// or wss:// URL"),
            ("endpoint: https://example.com", "endpoint: must be mainnet, testnet or a ws:// or wss:// URL"),
            ("endpoint: 'wss://user:hunter2@e'", "endpoint: must not hold a user or password"),
            ("endpoint: 'wss://e/#'", "endpoint: must not have a fragment"),
            ("endpoint: 'wss:///path'", "endpoint: must be a URL with a host"),
            ("endpoint: 'wss://:80/'", "endpoint: must be a URL with a host"),
            ("endpoint: 'wss://e:hunter2'", "endpoint: must be a URL with a valid host and port"),
            ("endpoint: 'wss://[e'", "endpoint: must be a URL with a valid host and port"),
            ("endpoint: 'wss://größe'", "endpoint: must be a URL of printable ASCII characters"),
            ('endpoint: "wss://e\\n"', "endpoint: must be a URL of printable ASCII characters"),
            ("proxy: 1", "proxy: must be null, none or a http://"),
            ("proxy: proxy:3128", "proxy: must be null, none or a http://"),
            ("proxy: socks5://proxy", "proxy: must name its port"),
            ("proxy: 'http://:3128'", "proxy: must be a URL with a host"),
            ("proxy: 'http://hunter2@proxy:1'", "proxy: must hold a password where it holds a user"),
            ("proxy: 'http://u:hunter2%ff@proxy:1'", "proxy: must percent-encode its user and password"),
            ("proxy: 'http://proxy:1/path'", "proxy: must end after the port"),
            ("proxy: 'http://proxy:1?'", "proxy: must end after the port"),
        ],
    )
    def test_url_that_cannot_be_dialled_is_a_fault(self, folder: Folder, binance: str, fault: str) -> None:
        """URLs of the wrong kind are faults that never show them."""
        (found,) = folder.account_faults(f"{HMAC}, binance: {{{binance}}}")

        assert found.startswith(f"accounts[0].binance.{fault}")
        assert "hunter2" not in found

    def test_proxy_password_is_hidden_from_the_log(self, folder: Folder) -> None:
        """The proxy's password can be used and is redacted from then on, also decoded."""
        config = folder.load(f"binance: {{proxy: 'http://user:pass%20word1@p:1'}}\naccounts: [{{name: a, {HMAC}}}]")

        assert config.accounts[0].endpoint.proxy == "http://user:pass%20word1@p:1"
        assert redaction.redact("pass word1, user:pass%20word1") == "[redacted], [redacted]"

    def test_requests_in_clear_are_a_warning(self, folder: Folder) -> None:
        """A ws:// URL to another machine is a warning at the place where it is set."""
        config = folder.load(f"binance: {{endpoint: 'ws://10.0.0.1'}}\naccounts: [{{name: a, {HMAC}}}]")

        assert config.warnings == (
            f"{folder.path}/exporter.yml: binance.endpoint: ws:// sends keys and signed requests in clear: use wss://",
        )


class TestKeyFiles:
    """Key files and the credentials in them."""

    @pytest.mark.parametrize("content", [f"{API_KEY}\n", f"\ufeff{API_KEY}\r\n", f"  {API_KEY}  \n\n"])
    def test_surrounding_whitespace_is_not_part_of_a_key(self, folder: Folder, content: str) -> None:
        """Line ends, spaces and a BOM around a key are dropped."""
        folder.write("api.key", content)

        (account,) = folder.load(f"accounts: [{{name: a, {HMAC}}}]").accounts
        assert account.credentials.api_key.reveal() == API_KEY

    def test_keys_are_hidden_from_the_log_once_read(self, folder: Folder) -> None:
        """Whatever is read from a key file is redacted from then on."""
        folder.load(f"accounts: [{{name: a, {HMAC}}}]")

        assert redaction.redact(f"{API_KEY[:20]} {SECRET_KEY[30:50]}") == "[redacted] [redacted]"

    @pytest.mark.parametrize(
        ("make", "fault"),
        [
            (lambda file: file.unlink(), "cannot read secret.key: No such file or directory"),
            (lambda file: file.write_bytes(b""), "secret.key is empty"),
            (lambda file: file.write_bytes(b" \r\n"), "secret.key is empty"),
            (lambda file: file.write_bytes(b"\xff\xfe"), "secret.key is not UTF-8 text"),
            (lambda file: file.write_bytes(b"x" * 65537), "secret.key is larger than 64 KiB"),
            (lambda file: file.write_bytes(b"two words"), "must be one word of printable ASCII characters"),
            (lambda file: file.write_bytes(b"two\nlines"), "must be one word of printable ASCII characters"),
            (lambda file: file.write_text("größe"), "must be one word of printable ASCII characters"),
            (lambda file: file.write_bytes(pem()), "must not be a PEM: a private key goes in private_key_file"),
            (lambda file: (file.unlink(), file.mkdir()), "secret.key is a directory"),
            (make_pipe, "secret.key is not a regular file"),
            (lambda file: (file.unlink(), file.symlink_to(file)), "cannot read secret.key: Too many levels"),
        ],
    )
    def test_file_that_holds_no_key_is_a_fault(
        self, folder: Folder, make: Callable[[Path], object], fault: str
    ) -> None:
        """Unreadable, empty and malformed key files are faults with their path as written."""
        make(folder.path / "secret.key")

        (found,) = folder.account_faults(HMAC)
        assert found.startswith(f"accounts[0].secret_key_file: {fault}")

    @pytest.mark.parametrize(
        ("written", "fault"),
        [
            ("1", "must be the path of a file"),
            ("''", "must be the path of a file"),
            ('"-----BEGIN\\nx"', "must be the path of a file, not its content"),
            (SECRET_KEY, "cannot read the file (a name without / or . is not shown): No such file or directory"),
        ],
    )
    def test_path_must_be_a_path(self, folder: Folder, written: str, fault: str) -> None:
        """A key written where its file's path belongs is a fault that does not show it."""
        assert folder.account_faults(f"api_key_file: api.key, secret_key_file: {written}") == [
            f"accounts[0].secret_key_file: {fault}"
        ]

    @pytest.mark.parametrize(
        ("account", "fault"),
        [
            ("P: secret.key", "P: secret.key is not a PEM: the secret of an HMAC key goes in secret_key_file"),
            ("P: none.pem", "P: cannot read none.pem: No such file or directory"),
            ("P: bad.pem", "P: bad.pem is not a PEM private key"),
            ("P: ec.pem", "P: ec.pem holds neither an RSA nor an Ed25519 key"),
            ("P: locked.pem", "P: locked.pem is encrypted: set private_key_passphrase_file"),
            (
                "P: locked.pem, W: none",
                "W: cannot read the file (a name without / or . is not shown): No such file or directory",
            ),
            ("P: locked.pem, W: api.key", "P: locked.pem cannot be read as a PEM private key with this"),
            ("P: plain.pem, W: api.key", "P: plain.pem is not encrypted: remove private_key_passphrase_file"),
            ("P: plain.pem, secret_key_file: secret.key", "P: must not be set together with an HMAC secret"),
            ("secret_key_file: secret.key, W: api.key", "W: only goes with private_key_file"),
        ],
    )
    def test_private_key_faults(self, folder: Folder, account: str, fault: str) -> None:
        """Private keys that cannot sign, and keys that do not go together, are one fault each."""
        folder.write("plain.pem", pem())
        folder.write("locked.pem", pem(b"passphrase"))
        folder.write("bad.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        ec = generate_private_key(SECP256R1())
        folder.write("ec.pem", ec.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

        (found,) = folder.account_faults(f"api_key_file: api.key, {in_full(account)}")
        assert found.startswith(f"accounts[0].{in_full(fault)}")

    def test_private_key_is_checked_without_an_api_key(self, folder: Folder) -> None:
        """A missing API key does not keep the private key's fault from being reported."""
        folder.write("locked.pem", pem(b"passphrase"))

        missing, locked = folder.account_faults("private_key_file: locked.pem")
        assert missing == "accounts[0].api_key_file: is missing"
        assert locked.startswith("accounts[0].private_key_file: locked.pem is encrypted")

    def test_unchanged_private_keys_are_reused(self, folder: Folder) -> None:
        """A private key is not loaded again while its PEM, passphrase and API key stay the same."""
        folder.write("locked.pem", pem(b"passphrase"))
        folder.write("pass", "passphrase")
        keys = "api_key_file: api.key, private_key_file: locked.pem, private_key_passphrase_file: pass"
        path = folder.write("exporter.yml", f"accounts: [{{name: a, {keys}}}, {{name: b, {keys}}}]")
        first = load(path, {})
        second = load(path, {}, first)
        folder.write("api.key", API_KEY[::-1])
        third = load(path, {}, second)
        folder.write("locked.pem", pem(b"passphrase"))
        fourth = load(path, {}, third)
        loaded = [config.accounts[0].credentials for config in (first, second, third, fourth)]

        assert loaded[0] is loaded[1] is first.accounts[1].credentials
        assert API_KEY[::-1] == loaded[2].api_key.reveal()
        assert loaded[2] != loaded[3]
        assert {1} == {len(config.private_keys) for config in (first, second, third, fourth)}

    def test_changed_passphrase_is_not_ignored(self, folder: Folder) -> None:
        """A passphrase that no longer fits an unchanged private key is an error, as at a start."""
        folder.write("locked.pem", pem(b"sesame open"))
        folder.write("pass", "sesame open")
        keys = "api_key_file: api.key, private_key_file: locked.pem, private_key_passphrase_file: pass"
        path = folder.write("exporter.yml", f"accounts: [{{name: a, {keys}}}]")
        first = load(path, {})
        folder.write("pass", "another")

        with pytest.raises(ConfigError, match=r"locked\.pem cannot be read as a PEM private key with this passphrase"):
            load(path, {}, first)

    def test_keys_that_others_may_read_are_a_warning(self, folder: Folder) -> None:
        """A key file that every user may read is usable, with a warning that tells the remedy."""
        folder.write("api.key", API_KEY, mode=0o640)
        folder.write("secret.key", SECRET_KEY, mode=0o644)

        config = folder.load(f"accounts: [{{name: a, {HMAC}}}]")
        assert folder.shorten(config.warnings) == [
            "accounts[0].secret_key_file: others may read secret.key: chmod 600 secret.key"
        ]

    def test_one_key_for_two_accounts_is_a_warning(self, folder: Folder) -> None:
        """The same API key twice on one endpoint is told, on two endpoints it is not."""
        config = folder.load(f"""
            accounts:
              - {{name: a, {HMAC}}}
              - {{name: b, {HMAC}}}
              - {{name: c, {HMAC}, binance: {{endpoint: testnet}}}}
        """)

        (warning,) = folder.shorten(config.warnings)
        assert warning.startswith("accounts[1].api_key_file: is the same key on mainnet as at ")
        assert "accounts[0].api_key_file: both accounts will show the same figures" in warning


class TestEnvironment:
    """One account without a file."""

    def test_two_variables_are_an_account(self) -> None:
        """An API key and a secret key in the environment are the account main on mainnet."""
        config = load(None, {"BINANCE_API_KEY": API_KEY, "BINANCE_SECRET_KEY": f"{SECRET_KEY}\n"})

        (account,) = config.accounts
        assert (account.name, account.endpoint.label, account.interval_seconds) == ("main", "mainnet", 15)
        assert account.credentials.identity.reveal() == SECRET_KEY
        assert (config.weight_share, config.warnings) == (0.5, ())
        assert redaction.redact(SECRET_KEY[:20]) == "[redacted]"

    def test_every_variable_is_read(self, folder: Folder) -> None:
        """Key files, passphrase, name and endpoint can be given by variables; empty ones count as unset."""
        folder.write("key.pem", pem(b"passphrase"))
        folder.write("pass", "passphrase")
        config = load(
            None,
            {
                "BINANCE_ACCOUNT": "desk",
                "BINANCE_ENDPOINT": "ws://10.0.0.1:81/x",
                "BINANCE_API_KEY_FILE": str(folder.path / "api.key"),
                "BINANCE_PRIVATE_KEY_FILE": str(folder.path / "key.pem"),
                "BINANCE_PRIVATE_KEY_PASSPHRASE_FILE": str(folder.path / "pass"),
                "BINANCE_API_KEY": "",
                "BINANCE_SECRET_KEY": "",
            },
        )

        (account,) = config.accounts
        assert (account.name, account.endpoint.label) == ("desk", "10.0.0.1:81")
        assert (account.credentials.key_type, account.credentials.api_key.reveal()) == ("ed25519", API_KEY)
        assert [warning.split(":")[0] for warning in config.warnings] == ["BINANCE_ENDPOINT"]

    def test_secret_key_may_come_from_a_file(self, folder: Folder) -> None:
        """The HMAC secret can be given by its file's path."""
        config = load(None, {"BINANCE_API_KEY": API_KEY, "BINANCE_SECRET_KEY_FILE": str(folder.path / "secret.key")})

        assert config.accounts[0].credentials.identity.reveal() == SECRET_KEY

    @pytest.mark.parametrize(
        ("environ", "faults"),
        [
            ({"ENDPOINT": "testnet"}, ["BINANCE_API_KEY: is missing", "BINANCE_SECRET_KEY: is missing: set it"]),
            ({"SECRET_KEY": SECRET_KEY}, ["BINANCE_API_KEY: is missing"]),
            (
                {"API_KEY": " ", "SECRET_KEY": "a b"},
                ["BINANCE_API_KEY: must be one word of", "BINANCE_SECRET_KEY: must be one word of"],
            ),
            (
                {"API_KEY": API_KEY, "SECRET_KEY": "-----BEGIN PRIVATE KEY-----"},
                ["BINANCE_SECRET_KEY: must not be a PEM: a private key goes in BINANCE_PRIVATE_KEY_FILE"],
            ),
            (
                {"API_KEY": API_KEY, "API_KEY_FILE": "x", "SECRET_KEY": SECRET_KEY},
                ["BINANCE_API_KEY_FILE: must not be set together with BINANCE_API_KEY"],
            ),
            (
                {"API_KEY": API_KEY, "SECRET_KEY": SECRET_KEY, "ACCOUNT": " a", "ENDPOINT": "x"},
                ["BINANCE_ENDPOINT: must be mainnet, testnet or", "BINANCE_ACCOUNT: must not begin or end"],
            ),
            (
                {"API_KEY": API_KEY, "PRIVATE_KEY_FILE": "/none"},
                ["BINANCE_PRIVATE_KEY_FILE: cannot read /none: No such file or directory"],
            ),
        ],
    )
    def test_faults_name_the_variables(self, environ: dict[str, str], faults: list[str]) -> None:
        """What is wrong in the environment is told with the variable's name."""
        with pytest.raises(ConfigError) as caught:
            load(None, {f"BINANCE_{name}": value for name, value in environ.items()})

        found = [str(fault) for fault in caught.value.faults]
        assert [text[: len(start)] for text, start in zip(found, faults, strict=True)] == faults

    def test_key_faults_speak_of_variables(self, folder: Folder) -> None:
        """The remedy for an encrypted key is a variable where the key was named by one."""
        locked = str(folder.write("locked.pem", pem(b"passphrase")))

        with pytest.raises(ConfigError, match=r"encrypted: set BINANCE_PRIVATE_KEY_PASSPHRASE_FILE$"):
            load(None, {"BINANCE_API_KEY": API_KEY, "BINANCE_PRIVATE_KEY_FILE": locked})

    def test_file_and_variables_together_are_a_fault(self, folder: Folder) -> None:
        """Variables beside a file are a fault that names them, along with the file's own."""
        together, missing = folder.faults("", BINANCE_API_KEY=API_KEY, BINANCE_ACCOUNT="main", BINANCE_OTHER="x")

        assert together.startswith("BINANCE_ACCOUNT, BINANCE_API_KEY: must not be set together with")
        assert missing.startswith("accounts: ")

    def test_nothing_configured_tells_what_to_do(self) -> None:
        """Without a file and variables the error names the three ways to go on."""
        with pytest.raises(ConfigError, match=r"--config\.file.*BINANCE_API_KEY.*demo$"):
            load(None, dict.fromkeys(VARIABLES, ""))
