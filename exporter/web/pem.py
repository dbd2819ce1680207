"""Certificates and keys, from files or from the document itself, as OpenSSL is to have them.

Every private key that stands in the document is hidden from the log; no problem holds any part of one.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from exporter import redaction
from exporter.config.document import Invalid
from exporter.config.files import UnreadableFile
from exporter.config.values import file_name

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from exporter.config.document import Reader
    from exporter.config.files import Files

_LARGEST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate or key as it was given."""

    content: bytes = field(repr=False)
    place: str  # the key of the document that gave it
    shown: str  # how its problems call it: the file as written
    readable_by_others: bool = False


def load_identity(reader: Reader, context: ssl.SSLContext, folder: Path, files: Files) -> bool:
    """Give `context` the server's certificate and key; tell whether they are there and good."""
    cert = read_pem(reader, "cert", folder, files)
    key = read_pem(reader, "key", folder, files)
    for name, found in (("cert", cert), ("key", key)):
        if found is None and not reader.has(name) and not reader.has(f"{name}_file"):
            reader.problem(f"{name}_file", f"is missing: TLS needs it, or {name} with the PEM itself")
    if key and key.readable_by_others:
        reader.findings.warn(reader.where(key.place), f"others may read {key.shown}: chmod 600 {key.shown}")
    public, private = _certified_key(reader, cert), _public_half(reader, key)
    if not (cert and key and public and private):
        return False
    if public != private:
        reader.problem(key.place, f"{key.shown} does not belong to the certificate in {reader.spell(cert.place)}")
        return False
    try:
        with contextlib.ExitStack() as stack:
            # Not their own files: those may have changed, or no longer respond.
            cert_path, key_path = (stack.enter_context(_written(one.content)) for one in (cert, key))
            context.load_cert_chain(cert_path, key_path, password="")  # without one OpenSSL would ask the terminal
    except (OSError, ValueError) as error:
        reader.problem(cert.place, f"{cert.shown} cannot be used by OpenSSL{_reason(error)}")
        return False
    return True


def _certified_key(reader: Reader, cert: Pem | None) -> bytes | None:
    """Return the public key of the first certificate."""
    if cert is None:
        return None
    try:
        return _encoded(x509.load_pem_x509_certificates(cert.content)[0].public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        reader.problem(cert.place, f"{cert.shown} is not a PEM certificate")
        return None


def _public_half(reader: Reader, key: Pem | None) -> bytes | None:
    if key is None:
        return None
    try:
        return _encoded(load_pem_private_key(key.content, None).public_key())
    except TypeError:
        reader.problem(key.place, f"{key.shown} is encrypted: only a key without a passphrase can be used")
    except (ValueError, UnsupportedAlgorithm):
        reader.problem(key.place, f"{key.shown} is not a PEM private key")
    return None


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@contextlib.contextmanager
def _written(content: bytes) -> Iterator[str]:
    """Yield the path of a temporary file with a PEM, which OpenSSL wants; on Linux it is in memory alone."""
    in_memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("pem"), "wb") if in_memory else tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}" if in_memory else file.name


def read_pem(reader: Reader, name: str, folder: Path, files: Files) -> Pem | None:
    """Return the PEM at `name`, or that of the file at `name`_file; None after a problem, or where neither is there."""
    place = f"{name}_file"
    if reader.has(name):
        if reader.has(place):
            reader.problem(place, f"must not be set together with {name}")
        text = reader.take(name, _pem_text, None)
        if text is None:
            return None
        if name == "key":
            redaction.hide(text)
        return Pem(text.encode(), name, "the text here")
    shown = reader.take(place, file_name, None)
    if shown is None:
        return None
    try:
        file = files.read(folder / shown, _LARGEST_BYTES)
        if file.content.strip():
            return Pem(file.content, place, shown, file.readable_by_others)
        reader.problem(place, f"{shown} is empty")
    except UnreadableFile as error:
        reader.problem(place, f"cannot read {shown}: {error}")
    except Invalid as error:
        reader.problem(place, f"{shown} {error}")
    return None


def _pem_text(value: object) -> str:
    if not isinstance(value, str) or "-----BEGIN" not in value or not value.isascii():
        raise Invalid("must be the text of a PEM")
    return value


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return f": {str(reason).lower().replace('_', ' ')}" if reason else ""
