"""Signatures that Binance accepts, keys that are rejected, and secrets that are never shown."""

from __future__ import annotations

import base64
import copy
import dataclasses
import pickle
import string
import traceback
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from exporter.binance.signing import Credentials, KeyProblem, Secret, payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# Published by Binance and by python-binance as examples.
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET_KEY = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ED25519_BODY = "MC4CAQAwBQYDK2VwBCIEIPQmzwVKJETqVd7L9E/DFbkvrOigy1tLL+9QF0mSn6dV"
ED25519_PEM = f"-----BEGIN PRIVATE KEY-----\n{ED25519_BODY}\n-----END PRIVATE KEY-----\n"
ORDER: dict[str, str | int] = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01000000",
    "price": "52000.00",
    "recvWindow": 100,
    "timestamp": 1645423376532,
    "apiKey": API_KEY,
}


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Make one RSA key of each size."""
    return rsa.generate_private_key(65537, bits)


def pem_of(key: PrivateKeyTypes, passphrase: str | None = None) -> Secret:
    """Return the key's PKCS#8 PEM."""
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode())


def key_fault(pem: Secret, passphrase: str | None = None) -> str:
    """Return what is said of a key that cannot sign."""
    with pytest.raises(KeyProblem) as caught:
        Credentials.private_key(Secret(API_KEY), pem, Secret(passphrase) if passphrase else None)
    return str(caught.value)


HMAC = Credentials.hmac(Secret(API_KEY), Secret(SECRET_KEY))
ED25519 = Credentials.private_key(Secret(API_KEY), Secret(ED25519_PEM))


class TestVectors:
    """Signatures that are published, or were recomputed by other means."""

    @pytest.mark.parametrize(
        ("params", "signature"),
        [
            (ORDER, "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"),
            (
                {"timestamp": 1702620814781, "apiKey": API_KEY},
                "87c4773c371d14a186c4871b0a42301fb4dae5606f93fc6d22b2fda5982a4024",
            ),
            (
                {"timestamp": 1702620814781, "recvWindow": 5000, "apiKey": API_KEY},
                "65d89dd9dbaab3e4290d3f05a68649fd607a1c8af90d8e932f6b01eeaa6af0dd",
            ),
        ],
    )
    def test_hmac_signature_is_binances(self, params: dict[str, str | int], signature: str) -> None:
        """An HMAC key signs Binance's own examples as Binance does, and does so again."""
        signatures = [HMAC.sign(params), HMAC.sign(params)]

        assert [signature, signature] == signatures
        assert "hmac" == HMAC.key_type

    @pytest.mark.parametrize(
        ("params", "signature"),
        [
            (
                {
                    "symbol": "BTCUSDT",
                    "side": "BUY",
                    "type": "LIMIT",
                    "quantity": 1,
                    "price": "50000",
                    "timestamp": 1631234567890,
                },
                "a4Pm3p02D2HXtNfo3DBaVCe9Ov7kledewgYtGjekotFmZ5wXa3mC5AtLB7CpAphyNjeyovIuDP+9fyjYmsojCw==",
            ),
            (
                {"timestamp": 1702620814781, "apiKey": API_KEY},
                "2Mu8YP1UgYNWRKYAhuTJXuWEOYMN9CNsQgnLd9sEItbSJzmYct74epOgRFUK+48UkZT72SazvQ1091khexmBDw==",
            ),
        ],
    )
    def test_ed25519_signature_is_base64(self, params: dict[str, str | int], signature: str) -> None:
        """An Ed25519 key signs the known examples in base64 that is not URL-encoded."""
        made = ED25519.sign(params)

        assert signature == made
        assert "ed25519" == ED25519.key_type

    @pytest.mark.parametrize("passphrase", [None, "päss phrase"])
    def test_rsa_signature_verifies_with_the_public_key(self, passphrase: str | None) -> None:
        """An RSA key, encrypted or not, signs with PKCS#1 v1.5 and SHA-256 in plain base64."""
        pem = pem_of(rsa_key(2048), passphrase)
        credentials = Credentials.private_key(Secret(API_KEY), pem, Secret(passphrase) if passphrase else None)
        signature = base64.b64decode(credentials.sign(ORDER), validate=True)
        rsa_key(2048).public_key().verify(signature, payload(ORDER), padding.PKCS1v15(), SHA256())

        assert "rsa" == credentials.key_type


class TestPayload:
    """The bytes that are signed."""

    @given(st.dictionaries(st.text(string.ascii_letters, min_size=1), st.text("aZ0 %/+=&币安é") | st.integers()))
    def test_payload_is_sorted_and_not_encoded(self, params: dict[str, str | int]) -> None:
        """The payload names every parameter as it is, in the order of names."""
        pairs = [f"{name}={params[name]}" for name in sorted(params)]

        assert "&".join(pairs) == payload(params).decode()

    def test_symbol_stays_utf8(self) -> None:
        """A symbol in another script is signed as its UTF-8 bytes, spaces and slashes as they are."""
        made = payload({"symbol": "币安人生USDT", "note": "a b/c+d%"})

        assert b"note=a b/c+d%&symbol=" + "币安人生USDT".encode() == made


class TestKeys:
    """Private keys that can and cannot be used."""

    def test_encrypted_key_signs_as_the_plain_one(self) -> None:
        """An encrypted key with its passphrase makes the signatures of the key itself."""
        key = ed25519.Ed25519PrivateKey.generate()
        encrypted = Credentials.private_key(Secret(API_KEY), pem_of(key, "open sesame"), Secret("open sesame"))

        assert base64.b64encode(key.sign(payload(ORDER))).decode() == encrypted.sign(ORDER)

    @pytest.mark.parametrize(
        ("key", "passphrase", "given_passphrase", "words"),
        [
            (ed25519.Ed25519PrivateKey.generate(), "right", None, "is encrypted: set private_key_passphrase_file"),
            (ed25519.Ed25519PrivateKey.generate(), None, "x", "is not encrypted: remove private_key_passphrase_file"),
            (
                ed25519.Ed25519PrivateKey.generate(),
                "right",
                "wrong",
                "cannot be read as a PEM private key with this passphrase",
            ),
            (rsa_key(1024), None, None, "is an RSA key of 1024 bits: Binance accepts 2048 or 4096"),
            (
                ec.generate_private_key(ec.SECP256R1()),
                None,
                None,
                "contains neither an RSA nor an Ed25519 key, the only types that Binance accepts",
            ),
        ],
    )
    def test_unusable_key_is_refused(
        self, key: PrivateKeyTypes, passphrase: str | None, given_passphrase: str | None, words: str
    ) -> None:
        """A key that cannot sign for Binance is refused with what to do about it."""
        assert words == key_fault(pem_of(key, passphrase), given_passphrase)

    @pytest.mark.parametrize("text", ["", SECRET_KEY, ED25519_BODY, ED25519_PEM[:60], "\ud800"])
    def test_text_that_is_not_a_pem_is_rejected_without_being_shown(self, text: str) -> None:
        """A text that is not a PEM is rejected with a message that contains nothing of it."""
        expected = "is not a PEM private key (expected '-----BEGIN PRIVATE KEY-----')"

        assert expected == key_fault(Secret(text))


class TestEquality:
    """Credentials of one key are equal."""

    def test_same_key_is_equal_and_another_is_not(self) -> None:
        """Credentials are equal exactly if their API key, type and secret are."""
        again = Credentials.hmac(Secret(API_KEY), Secret(SECRET_KEY))
        others: list[object] = [
            Credentials.hmac(Secret("other"), Secret(SECRET_KEY)),
            Credentials.hmac(Secret(API_KEY), Secret("other")),
            ED25519,
            "Credentials(hmac)",
        ]

        assert {HMAC} == {HMAC, again}
        assert [False] * 4 == [HMAC == other for other in others]

    def test_secret_equals_only_a_secret_with_the_same_text(self) -> None:
        """A secret equals another of the same text, and never the text itself."""
        assert {Secret("a")} == {Secret("a"), Secret("a")}
        assert [False, False] == [Secret("a") == other for other in (Secret("b"), "a")]


def blow_up(secret: Secret, credentials: Credentials) -> None:
    """Fail with both in the arguments."""
    raise RuntimeError(secret, credentials)


@dataclasses.dataclass
class Holder:
    """A dataclass with a secret in it."""

    secret: Secret
    credentials: Credentials


SHOWS: list[Callable[[object], str]] = [
    str,
    repr,
    ascii,
    format,
    "{!s:>40}".format,
    lambda held: f"{held} {held!s} {held!r}",
    lambda held: f"{[held]} { ({1: held}) } {(held,)}",
]


class TestSecrecy:
    """Nothing shows a secret."""

    @pytest.mark.parametrize("show", SHOWS)
    @pytest.mark.parametrize(("held", "shown"), [(Secret(SECRET_KEY), "Secret("), (HMAC, "Credentials(hmac)")])
    def test_text_of_it_is_only_its_type(self, show: Callable[[object], str], held: object, shown: str) -> None:
        """No conversion to text shows more than the type."""
        text = show(held).encode("ascii", "backslashreplace").decode()

        assert shown in text
        assert [False, False] == [SECRET_KEY in text, API_KEY in text]

    def test_dataclass_and_traceback_hide_it(self) -> None:
        """A dataclass's repr and a traceback, even with its local variables, hold no secret."""
        holder = Holder(Secret(SECRET_KEY), HMAC)
        with pytest.raises(RuntimeError) as caught:
            blow_up(holder.secret, holder.credentials)
        frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        text = f"{holder} {''.join(frames.format())}"

        assert "Holder(secret=Secret(…), credentials=Credentials(hmac))" in text
        assert [False, False] == [SECRET_KEY in text, API_KEY in text]

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize("held", [Secret(SECRET_KEY), HMAC, ED25519], ids=["secret", "hmac", "ed25519"])
    def test_pickling_is_refused(self, held: object, protocol: int) -> None:
        """Neither secrets nor credentials can be pickled, by any protocol."""
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as caught:
            pickle.dumps(held, protocol)

        assert [False, False] == [SECRET_KEY in str(caught.value), API_KEY in str(caught.value)]

    @pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, vars])
    def test_a_secret_gives_no_dictionary_and_no_copy(self, take: Callable[[object], object]) -> None:
        """A secret can be neither copied nor inspected by its variables."""
        with pytest.raises(TypeError) as caught:
            take(Secret(SECRET_KEY))

        assert SECRET_KEY not in str(caught.value)
        assert SECRET_KEY == Secret(SECRET_KEY).reveal()

    def test_credentials_have_no_variables(self) -> None:
        """Credentials cannot be taken apart by their variables."""
        with pytest.raises(TypeError, match="__dict__"):
            vars(HMAC)
