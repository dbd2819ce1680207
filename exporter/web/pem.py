"""Certificates and keys, from files or from the document itself, as OpenSSL is to have them.

Every private key that stands in the document is hidden from the log; no fault holds any part of one.
"""

from __future__ import annotations

import contextlib
import stat
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from exporter import redaction
from exporter.config.document import Invalid
from exporter.config.values import file_name

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from exporter.config.document import Reader
    from exporter.web.files import Files


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate or key as it was given."""

    content: bytes
    place: str  # the key of the document that gave it
    shown: str  # how its faults call it: the file as written
    path: Path | None  # None: it stands in the document


def load_identity(reader: Reader, context: ssl.SSLContext, folder: Path, files: Files) -> bool:
    """Give `context` the server's certificate and key; tell whether they are there and good."""
    cert = read_pem(reader, "cert", folder, files)
    key = read_pem(reader, "key", folder, files)
    for name, found in (("cert", cert), ("key", key)):
        if found is None and not reader.has(name) and not reader.has(f"{name}_file"):
            reader.fault(f"{name}_file", f"is missing: TLS needs it, or {name} with the PEM itself")
    if key and key.path:
        with contextlib.suppress(OSError):  # it may be replaced at this moment
            if key.path.stat().st_mode & stat.S_IROTH:
                reader.findings.warn(reader.where(key.place), f"others may read {key.shown}: chmod 600 {key.shown}")
    public, private = _certified_key(reader, cert), _public_half(reader, key)
    if not (cert and key and public and private):
        return False
    if public != private:
        reader.fault(key.place, f"{key.shown} does not belong to the certificate in {reader.spell(cert.place)}")
        return False
    try:
        with contextlib.ExitStack() as stack:
            cert_path, key_path = (one.path or stack.enter_context(_written(one.content)) for one in (cert, key))
            context.load_cert_chain(cert_path, key_path, password="")  # without one OpenSSL would ask the terminal
    except (OSError, ValueError) as error:
        reader.fault(cert.place, f"{cert.shown} cannot be used by OpenSSL{_reason(error)}")
        return False
    return True


def _certified_key(reader: Reader, cert: Pem | None) -> bytes | None:
    """Return the public key of the first certificate."""
    if cert is None:
        return None
    try:
        return _encoded(x509.load_pem_x509_certificates(cert.content)[0].public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        reader.fault(cert.place, f"{cert.shown} is not a PEM certificate")
        return None


def _public_half(reader: Reader, key: Pem | None) -> bytes | None:
    if key is None:
        return None
    try:
        return _encoded(load_pem_private_key(key.content, None).public_key())
    except TypeError:
        reader.fault(key.place, f"{key.shown} is encrypted: only a key without a passphrase can be used")
    except (ValueError, UnsupportedAlgorithm):
        reader.fault(key.place, f"{key.shown} is not a PEM private key")
    return None


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@contextlib.contextmanager
def _written(content: bytes) -> Iterator[str]:
    """Give a PEM of the document the file that OpenSSL wants, for as long as it reads."""
    with tempfile.NamedTemporaryFile(prefix="binance-futures-exporter-") as file:
        file.write(content)
        file.flush()
        yield file.name


def read_pem(reader: Reader, name: str, folder: Path, files: Files) -> Pem | None:
    """Return the PEM at `name`, or that of the file at `name`_file; None after a fault, or where neither is there."""
    place = f"{name}_file"
    if reader.has(name):
        if reader.has(place):
            reader.fault(place, f"must not be set together with {name}")
        text = reader.take(name, _pem_text, None)
        if text is None:
            return None
        if name == "key":
            redaction.hide(text)
        return Pem(text.encode(), name, "the text here", None)
    shown = reader.take(place, file_name, None)
    if shown is None:
        return None
    try:
        return Pem(files.read(folder / shown, shown), place, shown, folder / shown)
    except Invalid as error:
        reader.fault(place, str(error))
        return None


def _pem_text(value: object) -> str:
    if not isinstance(value, str) or "-----BEGIN" not in value or not value.isascii():
        raise Invalid("must be the text of a PEM")
    return value


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return f": {str(reason).lower().replace('_', ' ')}" if reason else ""
