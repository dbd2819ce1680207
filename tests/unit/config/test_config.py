"""Values and defaults of configuration files; tests/data/config specifies their errors."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from support.builders import any_text
from support.config_files import API_KEY, HMAC, MAINNET, TESTNET, pem

from exporter.account.asset_mode import AssetMode
from exporter.config.document import ConfigError
from exporter.config.exporter_yml import load
from exporter.config.values import parse_duration
from exporter.rest.income_turn import Since
from exporter.rest.state import IncomeSettings

if TYPE_CHECKING:
    from pathlib import Path

    from support.config_folder import Folder


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

    @given(any_text)
    def test_any_text_is_seconds_or_a_value_error(self, text: str) -> None:
        """Any text gives a number or a ValueError."""
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
        assert (account.interval_seconds, account.stale_after_seconds) == (15, 60)
        assert (account.position_risk, account.configuration, account.zero_assets) == (True, True, True)
        assert (account.recv_window_ms, account.request_timeout_seconds) == (5000, 10)
        assert account.credentials.key_type == "hmac"
        assert account.credentials.api_key.reveal() == API_KEY

    def test_every_key_is_read_and_overridden_per_account(self, folder: Folder) -> None:
        """Values under binance: and poll: apply to every account that does not set its own."""
        folder.write("key.pem", pem(b"pass phrase"))
        folder.write("pass", "pass phrase\n")
        config = folder.load(f"""
            binance:
              endpoint: testnet
              proxy: http://proxy:3128
              recv_window: 1500ms
              request_timeout: 20s
              weight_share: 0.25
            poll: {{interval: 30s, stale_after: 5m, position_risk: false, configuration: false, zero_assets: false}}
            accounts:
              - name: first
                {HMAC.replace(", ", chr(10) + " " * 16)}
              - name: second
                api_key_file: api.key
                private_key_file: key.pem
                private_key_passphrase_file: pass
                asset_mode: multi
                poll: {{interval: 5s, stale_after: 10s, position_risk: true, configuration: true, zero_assets: true}}
                binance: {{endpoint: mainnet, proxy: none, recv_window: 60s, request_timeout: 100ms}}
        """)

        first, second = config.accounts
        assert config.weight_share == 0.25
        assert (first.endpoint.url, first.endpoint.proxy) == (TESTNET, "http://proxy:3128")
        assert first.endpoint.label == "testnet via proxy:3128"
        assert (first.interval_seconds, first.stale_after_seconds) == (30, 300)
        assert (first.position_risk, first.configuration, first.zero_assets) == (False, False, False)
        assert (first.recv_window_ms, first.request_timeout_seconds) == (1500, 20)
        assert (second.endpoint.label, second.endpoint.proxy) == ("mainnet", None)  # no proxy in the environment
        assert (second.interval_seconds, second.stale_after_seconds) == (5, 10)
        assert (second.position_risk, second.configuration, second.zero_assets) == (True, True, True)
        assert (second.recv_window_ms, second.request_timeout_seconds) == (60000, 0.1)
        assert (second.asset_mode, second.credentials.key_type) == (AssetMode.MULTI, "ed25519")

    @pytest.mark.parametrize(
        ("written", "mode"), [("auto", None), ("single", AssetMode.SINGLE), ("multi", AssetMode.MULTI)]
    )
    def test_asset_mode_is_detected_or_configured(self, folder: Folder, written: str, mode: AssetMode | None) -> None:
        """asset_mode sets the mode; with auto the mode is detected."""
        config = folder.load(f"accounts: [{{name: a, {HMAC}, asset_mode: {written}}}]")

        assert config.accounts[0].asset_mode == mode

    def test_same_file_gives_equal_configurations(self, folder: Folder) -> None:
        """Loading an unchanged file again gives an equal configuration, so that a reload changes nothing."""
        document = f"accounts: [{{name: main, {HMAC}}}]"

        assert folder.load(document) == folder.load(document)

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
        ("content", "problem"),
        [
            (b"#" * (1024 * 1024 + 1), "is larger than 1 MiB"),
            (b"a: \xff", "is not UTF-8 text (at byte 3)"),
        ],
    )
    def test_file_that_is_not_a_document_is_an_error(self, folder: Folder, content: bytes, problem: str) -> None:
        """A file that is too large or not text is rejected."""
        path = folder.write("exporter.yml", content)
        with pytest.raises(ConfigError) as caught:
            load(path, {})

        assert f"{path}: {problem}" == str(caught.value)

    def test_byte_order_mark_is_tolerated(self, folder: Folder) -> None:
        """A file written with a BOM and CRLF is read."""
        content = f"\ufeffaccounts:\r\n  - {{name: main, {HMAC}}}\r\n"

        assert load(folder.write("exporter.yml", content), {}).accounts[0].name == "main"

    def test_missing_file_is_an_error(self, tmp_path: Path) -> None:
        """A missing file is an error with its path and the system's reason."""
        with pytest.raises(ConfigError, match=r"none\.yml: cannot be read: No such file or directory"):
            load(tmp_path / "none.yml", {})


class TestValues:
    """Single values and their defaults."""

    @pytest.mark.parametrize("name", ["x", "x" * 100, "größe / 配置", "'7'", "{a: b}[0]"])
    def test_account_name_may_be_any_text(self, folder: Folder, name: str) -> None:
        """Names keep their characters, whatever they are."""
        shown = name.strip("'")
        account = f'{{"name": "{shown}", {HMAC}}}'

        assert folder.load(f"accounts: [{account}]").accounts[0].name == shown

    @pytest.mark.parametrize(("interval", "stale_after"), [("5s", 60), ("15s", 60), ("16s", 64), ("1h", 14400)])
    def test_default_is_four_intervals_and_a_minute(self, folder: Folder, interval: str, stale_after: float) -> None:
        """Without stale_after data lives for four intervals, at least 60 s."""
        config = folder.load(f"accounts: [{{name: a, {HMAC}, poll: {{interval: {interval}}}}}]")

        assert config.accounts[0].stale_after_seconds == stale_after


class TestIncome:
    """The section income:."""

    def test_income_is_not_read_by_default(self, folder: Folder) -> None:
        """Without enabled no account's income is read, whatever else is set."""
        income = folder.load(f"income: {{interval: 10m}}\naccounts: [{{name: main, {HMAC}}}]").income
        assert not income["main"].enabled

    def test_enabled_gives_the_defaults(self, folder: Folder) -> None:
        """With nothing but enabled, income is read every 5 minutes from the network's REST API, by month."""
        config = folder.load(f"income: {{enabled: true}}\naccounts: [{{name: main, {HMAC}}}]")

        assert {
            "main": IncomeSettings(
                url="https://fapi.binance.com",
                enabled=True,
                interval_seconds=300,
                stale_after_seconds=3600,
                since=Since.MONTH,
                by_symbol=False,
            )
        } == config.income

    def test_accounts_inherit_and_override(self, folder: Folder) -> None:
        """Each key applies to all accounts that do not set it; enabled, too."""
        config = folder.load(f"""
            income: {{enabled: true, interval: 30m, stale_after: 90m, since: day, by_symbol: true}}
            accounts:
              - {{name: inherits, {HMAC}}}
              - {{name: excluded, {HMAC}, income: {{enabled: false}}}}
              - {{name: partly, {HMAC}, income: {{interval: 10s}}}}
              - name: fully
                {HMAC.replace(", ", chr(10) + " " * 16)}
                binance: {{endpoint: testnet}}
                income: {{interval: 1h, stale_after: 3h, since: month, by_symbol: false}}
        """)

        mainnet, testnet = "https://fapi.binance.com", "https://demo-fapi.binance.com"
        by_day = IncomeSettings(
            url=mainnet,
            enabled=True,
            interval_seconds=1800,
            stale_after_seconds=5400,
            since=Since.DAY,
            by_symbol=True,
        )
        by_month = IncomeSettings(url=testnet, enabled=True, interval_seconds=3600, stale_after_seconds=10800)
        expected = {
            "inherits": by_day,
            "excluded": replace(by_day, enabled=False),
            "partly": replace(by_day, interval_seconds=10),
            "fully": by_month,
        }
        assert expected == config.income

    def test_one_account_may_enable_it(self, folder: Folder) -> None:
        """Only the accounts that enable it need a REST API whose URL is known; theirs is used."""
        config = folder.load(f"""
            binance: {{endpoint: 'wss://exchange.example/ws-fapi/v1'}}
            accounts:
              - {{name: main, {HMAC}}}
              - {{name: desk, {HMAC}, binance: {{rest_endpoint: 'https://rest.example'}}, income: {{enabled: true}}}}
        """)

        assert {"desk": "https://rest.example"} == {name: income.url for name, income in config.income.items()}

    @pytest.mark.parametrize(
        ("interval", "stale_after"), [("10s", 3600), ("15m", 3600), ("901s", 3604), ("1h", 4 * 3600)]
    )
    def test_default_is_four_intervals_and_an_hour(self, folder: Folder, interval: str, stale_after: float) -> None:
        """Without stale_after income is shown for four intervals, at least one hour."""
        config = folder.load(f"accounts: [{{name: a, {HMAC}, income: {{enabled: true, interval: {interval}}}}}]")

        assert config.income["a"].stale_after_seconds == stale_after
