"""API keys of the three types that Binance supports, and the verification of their signatures.

It shares no code with the exporter's signing on purpose: two implementations of Binance's rules must agree.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import random
import secrets
import string
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

KeyType = Literal["HMAC", "RSA", "Ed25519"]

MONITORING_PERMISSIONS: Final = {
    "enableReading": True,
    "enableFutures": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "enableMargin": False,
    "permitsUniversalTransfer": False,
    "enableVanillaOptions": False,
    "enableFixApiTrade": False,
    "enableFixReadOnly": False,
    "enableSpotAndMarginTrading": False,
    "enablePortfolioMarginTrading": False,
}
"""The permissions of a key that only monitors."""

_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair; the exchange keeps the user's half, too, since it writes configurations for its accounts."""

    key_type: KeyType
    api_key: str
    secret_key: str | None = field(default=None, repr=False)
    private_key_pem: str | None = field(default=None, repr=False)
    public_key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey | None = field(default=None, repr=False)

    def verifies(self, payload: str, signature: str) -> bool:
        """Return whether the signature is this key's for the payload, encoded as its type requires."""
        # JSON can contain half a surrogate pair; it must fail as a signature, not as an encoding.
        message = payload.encode(errors="surrogatepass")
        if self.secret_key is not None:
            mac = hmac.new(self.secret_key.encode(), message, hashlib.sha256).hexdigest()
            return hmac.compare_digest(mac.encode(), signature.encode(errors="surrogatepass"))
        try:
            raw = base64.b64decode(signature, validate=True)
            if isinstance(self.public_key, rsa.RSAPublicKey):
                self.public_key.verify(raw, message, padding.PKCS1v15(), hashes.SHA256())
            else:
                assert self.public_key is not None
                self.public_key.verify(raw, message)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def new_key(key_type: KeyType, seed: str | None = None) -> Key:
    """Return a new key; a seed determines the API key and an HMAC secret, but no private key."""
    draw: random.Random = secrets.SystemRandom() if seed is None else random.Random(seed)
    api_key = "".join(draw.choices(_LETTERS, k=64))
    if key_type == "HMAC":
        return Key("HMAC", api_key, secret_key="".join(draw.choices(_LETTERS, k=64)))
    private_key = _rsa_key(api_key) if key_type == "RSA" else ed25519.Ed25519PrivateKey.generate()
    pem = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Key(key_type, api_key, private_key_pem=pem.decode(), public_key=private_key.public_key())


@cache  # generating one takes 0.1 s, and many exchanges with the same seed may be started
def _rsa_key(_api_key: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
