"""Credentials: HMAC, RSA and Ed25519 keys, and how each signs a request.

The rules are those of Binance's "request security": the payload is every parameter except the signature, sorted by
name, joined as ``name=value`` with ``&``, in UTF-8, without percent-encoding. Nothing here does I/O.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MIN_RSA_BITS: Final = 2048  # what Binance accepts


class KeyProblem(ValueError):
    """A key that cannot sign; the text says why and never contains any part of the key."""


class Secret:
    """A text that only :meth:`reveal` returns; ``str``, ``repr``, format and pickle never show it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself; call it only to send the text to the exchange, or to sign."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(_encode(self._text), _encode(other._text))

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


class Credentials:
    """An account's API key, and signing with its secret or private key.

    Make one with :meth:`hmac` or :meth:`private_key`. Loading an RSA key takes 30 to 200 ms of CPU: do it once,
    in a worker thread.
    """

    __slots__ = ("_sign", "api_key", "identity", "key_type")

    def __init__(self, api_key: Secret, key_type: str, identity: Secret, sign: Callable[[bytes], str]) -> None:
        self.api_key = api_key
        self.key_type = key_type  # "hmac", "rsa" or "ed25519", the value of the metric's label
        self.identity = identity  # what makes two credentials the same key
        self._sign = sign

    @classmethod
    def hmac(cls, api_key: Secret, secret_key: Secret) -> Credentials:
        """Sign with HMAC-SHA256; signatures are 64 lower-case hexadecimal digits."""
        key = hmac.new(_encode(secret_key.reveal()), digestmod=hashlib.sha256)

        def sign(payload: bytes) -> str:
            mac = key.copy()
            mac.update(payload)
            return mac.hexdigest()

        return cls(api_key, "hmac", secret_key, sign)

    @classmethod
    def private_key(cls, api_key: Secret, pem: Secret, passphrase: Secret | None = None) -> Credentials:
        """Sign with the RSA or Ed25519 key of a PKCS#8 PEM; signatures are base64, not URL-encoded.

        Raises:
            KeyProblem: the PEM, its passphrase or the kind of key is not usable.
        """
        password = _encode(passphrase.reveal()) if passphrase else None
        try:
            key = load_pem_private_key(_encode(pem.reveal()), password)
        except TypeError:
            # cryptography raises it without a passphrase for an encrypted key, and with one for a plain key
            if passphrase is None:
                raise KeyProblem("is encrypted: set private_key_passphrase_file") from None
            raise KeyProblem("is not encrypted: remove private_key_passphrase_file") from None
        except (ValueError, UnsupportedAlgorithm):
            if passphrase is not None:
                raise KeyProblem("cannot be read as a PEM private key with this passphrase") from None
            raise KeyProblem("is not a PEM private key (expected '-----BEGIN PRIVATE KEY-----')") from None
        if isinstance(key, Ed25519PrivateKey):
            return cls(api_key, "ed25519", pem, lambda payload: _base64(key.sign(payload)))
        if isinstance(key, RSAPrivateKey):
            if key.key_size < _MIN_RSA_BITS:
                raise KeyProblem(f"is an RSA key of {key.key_size} bits: Binance accepts 2048 or 4096")
            # PKCS#1 v1.5, not PSS: that is what Binance verifies.
            return cls(api_key, "rsa", pem, lambda payload: _base64(key.sign(payload, PKCS1v15(), SHA256())))
        raise KeyProblem("contains neither an RSA nor an Ed25519 key, the only types that Binance accepts")

    def sign(self, params: Mapping[str, str | int]) -> str:
        """Return the signature of `params`: all of a request's parameters except the signature itself."""
        return self._sign(payload(params))

    def sign_text(self, text: str) -> str:
        """Return the signature of a text, such as a query string."""
        return self._sign(_encode(text))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Credentials)
            and self.key_type == other.key_type
            and self.api_key == other.api_key
            and self.identity == other.identity
        )

    def __hash__(self) -> int:
        return hash((self.key_type, self.api_key))

    def __repr__(self) -> str:
        return f"Credentials({self.key_type})"


def payload(params: Mapping[str, str | int]) -> bytes:
    """Return the bytes that Binance signs: sorted ``name=value`` pairs joined by ``&``."""
    return _encode("&".join(f"{name}={params[name]}" for name in sorted(params)))


def _encode(text: str) -> bytes:
    # Never raises: the error of a lone surrogate would contain the text.
    return text.encode(errors="surrogatepass")


def _base64(signature: bytes) -> str:
    return base64.b64encode(signature).decode()
