"""Redaction: what is redacted, what is kept, and what redaction costs."""

from __future__ import annotations

import re
import secrets
import string

import pytest
from support.config_files import API_KEY
from support.processor_time import CHARACTERS, long_text, processor_seconds

from exporter.redaction import hidden, hide, redact

MANY_SLASHES = "9FUXr4RHJyrWvr//n3yGJ4dmXvAOxxD/UhiTJ5c0rswfj/GM1BZ2jsZ4qIo1/ThqZFCRecAEsuXgJfksWQrdXE=="
SIGNATURE = "2Mu8YP1UgYNWRKYAhuTJXuWEOYMN9CNsQgnLd9sEItbSJzmYct74epOgRFUK+48UkZT72SazvQ1091khexmBDw=="
PEM = f"-----BEGIN PRIVATE KEY-----\n{API_KEY}\nshort\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("length", [16, 17, 23, 40, 64])
@pytest.mark.parametrize("start", [0, 1, 7, 8, 20])
def test_fragment_of_a_hidden_secret_is_redacted(start: int, length: int) -> None:
    """Any 16 or more characters in a row of a hidden secret are redacted, wherever they start."""
    hide(API_KEY)
    fragment = API_KEY[start : start + length]

    assert redact(f"key={fragment}, rejected") == "key=[redacted], rejected"


@pytest.mark.parametrize("secret", ["8letters", "correct horse battery", "p@ss'wörd!"])
def test_short_or_spaced_secret_is_redacted_whole(secret: str) -> None:
    """A secret of eight characters or with spaces is redacted everywhere, also inside a repr."""
    hide(f" {secret}\n")

    assert redact(f"is x{secret}x") == "is x[redacted]x"
    assert "[redacted]" in redact(repr([secret, '"']))


def test_word_of_a_hidden_secret_is_kept() -> None:
    """A longer word with fewer than 16 characters in a row of a hidden secret is not redacted."""
    hide("demo-hmac-account-0001")

    assert redact("demo-hmac-trading-desk") == "demo-hmac-trading-desk"
    assert redact("my-demo-hmac-account-0") == "[redacted]"


def test_too_short_secret_is_not_hidden() -> None:
    """A text of fewer than eight characters is not hidden, since it would redact ordinary words."""
    hide("poll")

    assert redact("poll failed") == "poll failed"


def test_pem_is_redacted_line_by_line() -> None:
    """A line of a hidden PEM is redacted, except its first line, which is not secret."""
    hide(PEM)

    assert redact(PEM.strip()) == "[redacted]"
    assert redact(f"-----BEGIN PRIVATE KEY----- {API_KEY[5:30]}") == "-----BEGIN PRIVATE KEY----- [redacted]"


@pytest.mark.parametrize("text", [API_KEY, SIGNATURE, MANY_SLASHES, "a1" * 32, f"x-{API_KEY}"])
def test_text_that_looks_like_a_key_is_redacted(text: str) -> None:
    """Keys and signatures that were not registered are redacted, and the name before them stays."""
    assert redact(f"/ws?signature={text}&x=1") == "/ws?signature=[redacted]&x=1"


def test_random_signatures_are_redacted() -> None:
    """Of many random base64 signatures, slashes included, none is shown."""
    alphabet = string.ascii_letters + string.digits + "+/"
    texts = ["".join(secrets.choice(alphabet) for _ in range(86)) + "==" for _ in range(500)]

    assert {"[redacted]"} == {redact(text) for text in texts}


@pytest.mark.parametrize(
    "text",
    [
        "/usr/lib/python3/dist-packages/exporter/binance/connection2",
        "/var/lib/kubelet/pods/3f2a8c1e-5b7d-4c9e-8f1a-2b3c4d5e6f70/volumes/keys",
        "wss://ws-fapi.binance.com/ws-fapi/v1/and/a/very/long/path/that/goes/on",
        "binance_futures_exporter_config_last_reload_success_timestamp_seconds",
        "binance-futures-exporter-7d9f8c6b5d-x2k4j",
        "a" * 100,
        "1" * 100,
    ],
)
def test_paths_and_names_are_kept(text: str) -> None:
    """File paths, URLs, pod and metric names survive redaction, however long."""
    assert text == redact(text)


@pytest.mark.no_cover
@pytest.mark.parametrize("before", [" ", "1", ".", "x ", "%20", "-"])
def test_cut_leaves_no_half_of_a_secret(before: str) -> None:
    """Wherever a long text is cut, no part of a hidden passphrase is shown."""
    passphrase = "correct horse battery staple"
    hide(passphrase)
    for length in range(9_100, 9_300, 11):
        text = before * (length // len(before)) + f" {passphrase} " * 400

        assert not re.search(r"horse|batter|staple", redact(text))


def test_signatures_are_redacted_as_long_as_their_requests_wait() -> None:
    """A part of a signature is redacted until 256 later requests have ended, however many wait for a response."""
    signatures = [f"{number:032x}" for number in range(7_000, 8_000)]
    parts = [signature[-20:] for signature in signatures]

    with hidden(signatures[:1]), hidden(signatures[1:]):
        assert {"[redacted]"} == set(map(redact, parts))
    assert {"[redacted]"} == set(map(redact, parts[-255:]))


@pytest.mark.parametrize("characters", CHARACTERS)
def test_long_text_costs_no_more_than_reading_it(characters: str) -> None:
    """Redacting 4 MiB of any characters takes no longer than a few scans of the text, whatever secrets are hidden."""
    with hidden([f"{number:064x}" for number in range(1000)]):
        pass
    text = long_text(characters)

    assert 8 * processor_seconds(lambda: re.search("[~^]", text)) > processor_seconds(lambda: redact(text))


@pytest.mark.no_cover
def test_flood_of_texts_looks_signatures_up_once() -> None:
    """With a thousand recent signatures short texts cost a multiple, not hundreds of times what they cost with one."""
    text = "some_token_of_sixteen_characters"

    def seconds(signatures: int) -> float:
        with hidden([f"{number:064x}" * 5 for number in range(signatures)]):
            pass
        return processor_seconds(lambda: [redact(text) for _ in range(1000)])

    few = seconds(1)
    assert 50 * few > seconds(1000)
