"""`tls_server_config` of a web configuration: an SSLContext or all its problems. No text here holds part of a key."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, TypeVar

from exporter.config.document import Invalid
from exporter.config.values import switch
from exporter.web.pem import load_identity, read_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from exporter.config.document import Reader
    from exporter.config.files import Files

_Value = TypeVar("_Value")

_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_CURVES: Final = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
# Go's names of what it holds for secure, and OpenSSL's.
_SUITES: Final = {
    f"TLS_ECDHE_{key}_WITH_{go}": f"ECDHE-{key}-{openssl}"
    for key in ("ECDSA", "RSA")
    for go, openssl in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
# Neither Go nor Python lets anybody choose among those of TLS 1.3: they may be named, and are always on.
_SUITES_OF_TLS13: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")


class SwitchingContext(ssl.SSLContext):
    """Hands every new connection to the context of the moment; a listening socket cannot be given another."""

    _current: Callable[[], ssl.SSLContext]

    @classmethod
    def to(cls, current: Callable[[], ssl.SSLContext]) -> SwitchingContext:
        """Make one that asks `current` for the context at each connection."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._current = current  # not by __init__: SSLContext has a __new__ of its own
        return context

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection with the context of the moment."""
        return self._current().wrap_bio(*args, **options)


class _Connection(ssl.SSLObject):
    """Ends the handshake of a client whose certificate names nobody who is allowed."""

    def do_handshake(self) -> None:
        super().do_handshake()
        allowed = self.context.allowed_sans if isinstance(self.context, _ServerContext) else None
        if allowed is not None and not allowed & _names_of(self.getpeercert() or {}):
            raise ssl.SSLCertVerificationError("none of the certificate's names is in client_allowed_sans")


class _ServerContext(ssl.SSLContext):
    sslobject_class = _Connection
    allowed_sans: frozenset[str] | None = None


def read_tls(reader: Reader, folder: Path, files: Files) -> ssl.SSLContext | None:
    """Return the context that `reader` describes, paths relative to `folder`; None after a problem."""
    context = _ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    usable = [
        load_identity(reader, context, folder, files),
        _versions(reader, context),
        _clients(reader, context, folder, files),
        _ciphers(reader, context),
        _curves(reader, context),
    ]
    reader.finish()
    return context if all(usable) else None


def asks_less_of_clients(new: ssl.SSLContext, old: ssl.SSLContext) -> bool:
    """Whether `new` lets clients in whose certificate, or its name, does not satisfy `old`."""
    named = [isinstance(context, _ServerContext) and context.allowed_sans is not None for context in (new, old)]
    return new.verify_mode < old.verify_mode or named == [False, True]


def _versions(reader: Reader, context: ssl.SSLContext) -> bool:
    least = reader.take("min_version", _version, ssl.TLSVersion.TLSv1_2)
    most = reader.take("max_version", _version, ssl.TLSVersion.TLSv1_3)
    if least > most:
        reader.problem("max_version", "must not be below min_version, which is TLS12 where it is not set")
        return False
    context.minimum_version, context.maximum_version = least, most
    return True


def _version(value: object) -> ssl.TLSVersion:
    if value in ("TLS10", "TLS11"):
        raise Invalid("must be TLS12 or TLS13: OpenSSL no longer speaks what is older")
    return _one_of(_VERSIONS)(value)


def _clients(reader: Reader, context: _ServerContext, folder: Path, files: Files) -> bool:
    context.verify_mode = mode = reader.take("client_auth_type", _client_auth, ssl.CERT_NONE)
    authority = read_pem(reader, "client_ca", folder, files)
    place = "client_ca" if reader.has("client_ca") else "client_ca_file"
    refused = reader.findings.has_problem(reader.where("client_auth_type"))
    if reader.has(place) and mode == ssl.CERT_NONE and not refused:
        reader.problem(place, "needs client_auth_type: VerifyClientCertIfGiven or RequireAndVerifyClientCert")
    if not reader.has(place) and mode != ssl.CERT_NONE:
        reader.problem(place, "is missing: client_auth_type needs it, or client_ca with the PEM itself")
    if authority is not None:
        try:
            context.load_verify_locations(cadata=authority.content.decode("ascii", errors="ignore"))
        except (OSError, ValueError):
            reader.problem(authority.place, f"{authority.shown} is not a PEM certificate")
            authority = None
    names = _each(reader, "client_allowed_sans", _name_of_client)
    if reader.take("client_allowed_sans", _given, default=False):
        context.allowed_sans = frozenset(map(_normal, names))
        if mode != ssl.CERT_REQUIRED and not refused:
            reader.problem("client_allowed_sans", "needs client_auth_type: RequireAndVerifyClientCert")
    return authority is not None or mode == ssl.CERT_NONE


def _client_auth(value: object) -> ssl.VerifyMode:
    if value in ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"):
        raise Invalid(
            "is not possible here, since Python verifies every client certificate that it asks for: "
            f"must be {_listed(_CLIENT_AUTH)}"
        )
    return _one_of(_CLIENT_AUTH)(value)


def _given(value: object) -> bool:
    if value == []:
        raise Invalid("must name somebody, or be left out: with nobody in it no client could connect")
    return value is not None


def _name_of_client(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Invalid("must be a DNS name, IP address, e-mail address or URI, as text")
    return value


def _ciphers(reader: Reader, context: ssl.SSLContext) -> bool:
    if not reader.take("prefer_server_cipher_suites", switch, default=True):
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    suites = _each(reader, "cipher_suites", _one_of(_SUITES | dict.fromkeys(_SUITES_OF_TLS13, "")))
    old = [suite for suite in suites if suite]
    if suites and not old and context.minimum_version < ssl.TLSVersion.TLSv1_3:
        what = "must name one for TLS 1.2, too, unless min_version is TLS13: those of TLS 1.3 are always on"
        reader.problem("cipher_suites", what)
        return False
    if old:
        try:
            context.set_ciphers(":".join(old))
        except ssl.SSLError:
            reader.problem("cipher_suites", "holds none that this machine's OpenSSL allows")
            return False
    return True


def _curves(reader: Reader, context: ssl.SSLContext) -> bool:
    curves = _each(reader, "curve_preferences", _one_of(_CURVES))
    if len(curves) > 1:
        reader.problem("curve_preferences", "must be a list of one: Python's TLS takes one curve, or chooses by itself")
        return False
    for curve in curves:
        try:
            context.set_ecdh_curve(curve)
        except (OSError, ValueError):
            reader.problem("curve_preferences", "is not what this machine's OpenSSL offers")
            return False
    return True


def _each(reader: Reader, key: str, check: Callable[[object], _Value]) -> list[_Value]:
    """Return what `check` makes of each of the list at `key`; each one that it refuses is a problem of its own."""
    good = []
    values: list[object] = reader.take(key, _list, [])
    for i, value in enumerate(values):
        try:
            good.append(check(value))
        except Invalid as error:
            reader.problem(f"{key}[{i}]", str(error))
    return good


def _list(value: object) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise Invalid("must be a list")
    return value or []


def _one_of(allowed: Mapping[str, _Value]) -> Callable[[object], _Value]:
    def check(value: object) -> _Value:
        if not isinstance(value, str) or value not in allowed:
            raise Invalid(f"must be {_listed(allowed)}")
        return allowed[value]

    return check


def _listed(names: Mapping[str, object]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"


def _names_of(certificate: Mapping[str, Any]) -> set[str]:
    return {_normal(value) for _, value in certificate.get("subjectAltName", ())}


def _normal(name: str) -> str:
    """Return one spelling for an IP address, and any other name as it is."""
    try:
        return str(ip_address(name.strip()))
    except ValueError:
        return name
