"""Certificates and private keys of the scrape server, from files or from the configuration itself.

A private key in the configuration is hidden from the log; no problem quotes any part of one.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from exporter import redaction
from exporter.config.document import InvalidValue
from exporter.config.files import read_named_file

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from exporter.config.document import Reader
    from exporter.config.files import Files

_LARGEST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate or key as it was given."""

    content: bytes = field(repr=False)
    place: str  # its key in the document
    shown: str  # how problems refer to it: the name of the file as written


def load_identity(reader: Reader, context: ssl.SSLContext, files: Files) -> bool:
    """Give `context` the server's certificate and key; return whether both can be used."""
    cert = read_pem(reader, "cert", files)
    key = read_pem(reader, "key", files)
    for name, pem in (("cert", cert), ("key", key)):
        if pem is None and not reader.has(name) and not reader.has(f"{name}_file"):
            reader.add_problem(f"{name}_file", f"is missing: TLS requires it, or {name} with an inline PEM")
    public, private = _key_of_certificate(reader, cert), _public_key(reader, key)
    if not (cert and key and public and private):
        return False
    if public != private:
        reader.add_problem(key.place, f"{key.shown} does not match the certificate in {reader.spell(cert.place)}")
        return False
    try:
        with contextlib.ExitStack() as stack:
            # Not the original files: they may have changed, or no longer respond.
            cert_path, key_path = (stack.enter_context(_temporary_file(pem.content)) for pem in (cert, key))
            context.load_cert_chain(cert_path, key_path, password="")  # without one OpenSSL would ask on the terminal
    except (OSError, ValueError) as error:
        reader.add_problem(cert.place, f"{cert.shown} is rejected by OpenSSL{_reason(error)}")
        return False
    return True


def _key_of_certificate(reader: Reader, cert: Pem | None) -> bytes | None:
    """Return the public key of the first certificate."""
    from cryptography import x509  # noqa: PLC0415 - takes a MiB, and only TLS needs it

    if cert is None:
        return None
    try:
        return _encoded(x509.load_pem_x509_certificates(cert.content)[0].public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        reader.add_problem(cert.place, f"{cert.shown} is not a PEM certificate")
        return None


def _public_key(reader: Reader, key: Pem | None) -> bytes | None:
    """Return the public key that belongs to a private key."""
    if key is None:
        return None
    try:
        return _encoded(load_pem_private_key(key.content, None).public_key())
    except TypeError:
        reader.add_problem(key.place, f"{key.shown} is encrypted: only unencrypted keys are supported")
    except (ValueError, UnsupportedAlgorithm):
        reader.add_problem(key.place, f"{key.shown} is not a PEM private key")
    return None


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@contextlib.contextmanager
def _temporary_file(content: bytes) -> Iterator[str]:
    """Yield the path of a temporary file with a PEM, since OpenSSL reads only files; on Linux it is only in memory."""
    in_memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("pem"), "wb") if in_memory else tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}" if in_memory else file.name


def read_pem(reader: Reader, name: str, files: Files) -> Pem | None:
    """Return the PEM at key `name`, or in the file at key `name`_file; None without either, or after a problem."""
    place = f"{name}_file"
    if reader.has(name):
        if reader.has(place):
            reader.add_problem(place, f"must not be set together with {name}")
        text = reader.take(name, _pem_text, None)
        if text is None:
            return None
        if name == "key":
            redaction.hide(text)
        return Pem(text.encode(), name, "the inline PEM")
    file = read_named_file(reader, place, files, _LARGEST_BYTES, is_secret=name == "key")
    return Pem(file.content, place, file.name) if file else None


def _pem_text(value: object) -> str:
    if not isinstance(value, str) or "-----BEGIN" not in value or not value.isascii():
        raise InvalidValue("must be a PEM")
    return value


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return f": {str(reason).lower().replace('_', ' ')}" if reason else ""
