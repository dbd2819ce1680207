"""`tls_server_config` of a web configuration -> an SSLContext, or every problem. No text here quotes part of a key."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, TypeVar

from exporter.config.document import InvalidValue
from exporter.config.values import boolean
from exporter.web.pem import load_identity, read_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
# The cipher suites that Go considers secure, by its names, with OpenSSL's names.
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
# Neither Go nor Python can disable single suites of TLS 1.3: naming them has no effect.
_SUITES_OF_TLS13: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")


class SwitchingContext(ssl.SSLContext):
    """Uses the latest context for each new connection; the context of a listening socket cannot be replaced."""

    _current: Callable[[], ssl.SSLContext]

    @classmethod
    def create(cls, current: Callable[[], ssl.SSLContext]) -> SwitchingContext:
        """Return a context that calls `current` at each connection for the context to use."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._current = current  # not in __init__: SSLContext defines __new__
        return context

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection with the latest context."""
        return self._current().wrap_bio(*args, **options)


class _Connection(ssl.SSLObject):
    """Ends the handshake of a client whose certificate has none of the allowed names."""

    def do_handshake(self) -> None:
        super().do_handshake()
        allowed = self.context.allowed_sans if isinstance(self.context, _ServerContext) else None
        if allowed is not None and not allowed & _certificate_names(self.getpeercert() or {}):
            raise ssl.SSLCertVerificationError("none of the certificate's names is in client_allowed_sans")


class _ServerContext(ssl.SSLContext):
    sslobject_class = _Connection
    allowed_sans: frozenset[str] | None = None


def read_tls(reader: Reader, files: Files) -> ssl.SSLContext | None:
    """Return the context that `reader` describes; None after a problem."""
    context = _ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    usable = [
        load_identity(reader, context, files),
        _versions(reader, context),
        _clients(reader, context, files),
        _ciphers(reader, context),
        _curves(reader, context),
    ]
    reader.reject_unknown_keys()
    return context if all(usable) else None


def weakens_client_auth(new: ssl.SSLContext, old: ssl.SSLContext) -> bool:
    """Return whether `new` accepts clients that `old` rejects for their certificate or its name."""
    new_has_names, old_has_names = (
        isinstance(context, _ServerContext) and context.allowed_sans is not None for context in (new, old)
    )
    return new.verify_mode < old.verify_mode or (old_has_names and not new_has_names)


def _versions(reader: Reader, context: ssl.SSLContext) -> bool:
    minimum = reader.take("min_version", _version, ssl.TLSVersion.TLSv1_2)
    maximum = reader.take("max_version", _version, ssl.TLSVersion.TLSv1_3)
    if minimum > maximum:
        reader.add_problem("max_version", "must not be lower than min_version (default: TLS12)")
        return False
    context.minimum_version, context.maximum_version = minimum, maximum
    return True


def _version(value: object) -> ssl.TLSVersion:
    if value in ("TLS10", "TLS11"):
        raise InvalidValue("must be TLS12 or TLS13: older versions are not supported")
    return _choice(_VERSIONS)(value)


def _clients(reader: Reader, context: _ServerContext, files: Files) -> bool:
    context.verify_mode = mode = reader.take("client_auth_type", _client_auth, ssl.CERT_NONE)
    authority = read_pem(reader, "client_ca", files)
    place = "client_ca" if reader.has("client_ca") else "client_ca_file"
    is_invalid = reader.findings.has_problem(reader.path_of("client_auth_type"))
    if reader.has(place) and mode == ssl.CERT_NONE and not is_invalid:
        reader.add_problem(place, "requires client_auth_type: VerifyClientCertIfGiven or RequireAndVerifyClientCert")
    if not reader.has(place) and mode != ssl.CERT_NONE:
        reader.add_problem(place, "is missing: client_auth_type requires it, or client_ca with an inline PEM")
    if authority is not None:
        try:
            context.load_verify_locations(cadata=authority.content.decode("ascii", errors="ignore"))
        except (OSError, ValueError):
            reader.add_problem(authority.place, f"{authority.shown} is not a PEM certificate")
            authority = None
    names = _take_list(reader, "client_allowed_sans", _client_name)
    if reader.take("client_allowed_sans", _is_set, default=False):
        context.allowed_sans = frozenset(map(_normalize_name, names))
        if mode != ssl.CERT_REQUIRED and not is_invalid:
            reader.add_problem("client_allowed_sans", "requires client_auth_type: RequireAndVerifyClientCert")
    return authority is not None or mode == ssl.CERT_NONE


def _client_auth(value: object) -> ssl.VerifyMode:
    if value in ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"):
        raise InvalidValue(
            "is not supported, since Python verifies every client certificate that it requests: "
            f"must be {_join_names(_CLIENT_AUTH)}"
        )
    return _choice(_CLIENT_AUTH)(value)


def _is_set(value: object) -> bool:
    if value == []:
        raise InvalidValue("must not be empty, since no client could connect: list a name, or remove it")
    return value is not None


def _client_name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidValue("must be a DNS name, IP address, e-mail address or URI, as a string")
    return value


def _ciphers(reader: Reader, context: ssl.SSLContext) -> bool:
    if not reader.take("prefer_server_cipher_suites", boolean, default=True):
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    suites = _take_list(reader, "cipher_suites", _choice(_SUITES | dict.fromkeys(_SUITES_OF_TLS13, "")))
    tls12_suites = [suite for suite in suites if suite]
    if suites and not tls12_suites and context.minimum_version < ssl.TLSVersion.TLSv1_3:
        message = "must include one for TLS 1.2 unless min_version is TLS13; those of TLS 1.3 are always enabled"
        reader.add_problem("cipher_suites", message)
        return False
    if tls12_suites:
        try:
            context.set_ciphers(":".join(tls12_suites))
        except ssl.SSLError:
            reader.add_problem("cipher_suites", "contains none that this host's OpenSSL supports")
            return False
    return True


def _curves(reader: Reader, context: ssl.SSLContext) -> bool:
    curves = _take_list(reader, "curve_preferences", _choice(_CURVES))
    if len(curves) > 1:
        reader.add_problem(
            "curve_preferences", "must not contain more than one curve, which is all that Python's TLS supports"
        )
        return False
    for curve in curves:
        try:
            context.set_ecdh_curve(curve)
        except (OSError, ValueError):
            reader.add_problem("curve_preferences", "is not supported by this host's OpenSSL")
            return False
    return True


def _take_list(reader: Reader, key: str, check: Callable[[object], _Value]) -> list[_Value]:
    """Return the checked values of the list at `key`, and add a problem for each invalid one."""
    checked = []
    values: list[object] = reader.take(key, _list, [])
    for i, value in enumerate(values):
        try:
            checked.append(check(value))
        except InvalidValue as error:
            reader.add_problem(f"{key}[{i}]", str(error))
    return checked


def _list(value: object) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise InvalidValue("must be a list")
    return value or []


def _choice(allowed: Mapping[str, _Value]) -> Callable[[object], _Value]:
    def check(value: object) -> _Value:
        if not isinstance(value, str) or value not in allowed:
            raise InvalidValue(f"must be {_join_names(allowed)}")
        return allowed[value]

    return check


def _join_names(names: Mapping[str, object]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"


def _certificate_names(certificate: Mapping[str, Any]) -> set[str]:
    return {_normalize_name(value) for _, value in certificate.get("subjectAltName", ())}


def _normalize_name(name: str) -> str:
    """Return an IP address in its one usual form, and any other name unchanged."""
    try:
        return str(ip_address(name.strip()))
    except ValueError:
        return name
