"""The file of --web.config.file, in the format of Prometheus' exporter-toolkit -> a WebConfig, or every problem in it.

Nothing here serves or logs. No problem quotes a private key or a hash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from exporter import redaction
from exporter.config.document import ConfigError, Findings, InvalidValue, Reader
from exporter.config.files import Files, read_document
from exporter.web.tls import read_tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from pathlib import Path

# The 22nd character of the salt holds only two bits: bcrypt rejects hashes with any other character there.
_HASH: Final = re.compile(r"\$2[abxy]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_COSTS: Final = range(4, 19)  # each step doubles the time: 10 takes about 60 ms, 18 a quarter of a minute
_NO_HASH: Final = "must be a bcrypt hash, as printed by htpasswd -nBC 10"
# The toolkit's closed set, with the values that it allows; None: any.
_HEADERS: Final[dict[str, tuple[str, ...] | None]] = {
    "Content-Security-Policy": None,
    "Strict-Transport-Security": None,
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """TLS, passwords and headers, checked completely; the default is plain HTTP without passwords."""

    path: Path | None = None
    tls: ssl.SSLContext | None = None
    users: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)  # name -> bcrypt hash; empty: no password
    headers: tuple[tuple[bytes, bytes], ...] = ()  # of every response
    warnings: tuple[str, ...] = ()  # for the operator
    files: Files = field(default_factory=Files, repr=False)  # the files that it was read from


def load(path: Path | None, files: Files | None = None) -> WebConfig:
    """Read the file at `path` and the files that it names; None counts as an empty file.

    Args:
        path: the file; relative names in it refer to its folder.
        files: reads the files and remembers them, even after a problem; by default a new one.

    Raises:
        ConfigError: with every problem found.
    """
    if path is None:
        return WebConfig()
    findings, files = Findings(), files or Files(path.parent)
    root = read_document(path, files, findings)
    if root is None:
        raise ConfigError(*findings.problems)
    # Without any key the mapping counts as absent; with one, TLS is wanted.
    with_tls = bool(root.take("tls_server_config", _any_value, None))
    section = root.mapping("tls_server_config")
    tls = read_tls(section, files) if with_tls else None
    http = root.mapping("http_server_config")
    http.take("http2", _no_http2, default=False)
    headers = _headers(http.mapping("headers"))
    http.reject_unknown_keys()
    users = _users(root)
    root.take("rate_limit", _no_rate_limit, None)
    root.reject_unknown_keys()
    if findings.problems:
        raise ConfigError(*findings.problems)
    return WebConfig(path=path, tls=tls, users=users, headers=headers, warnings=findings.warnings, files=files)


def _any_value(value: object) -> Any:
    return value


def _no_http2(value: object) -> bool:
    if value is not False:
        raise InvalidValue("must be false or omitted: only HTTP/1.1 is supported")
    return value


def _no_rate_limit(value: object) -> None:
    if value:
        raise InvalidValue("is not supported: remove it")


def _headers(reader: Reader) -> tuple[tuple[bytes, bytes], ...]:
    headers = [(name, reader.take(name, _header(allowed), "")) for name, allowed in _HEADERS.items()]
    reader.reject_unknown_keys()
    return tuple((name.lower().encode(), value.encode()) for name, value in headers if value)


def _header(allowed: tuple[str, ...] | None) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value is None or value == "":
            return ""  # unset, as in the toolkit
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if allowed and text not in allowed:
            raise InvalidValue(f"must be {' or '.join(allowed)}")
        # A line break would begin another header.
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise InvalidValue("must be a single line of printable ASCII characters")
        return text

    return check


class _Users(Reader):
    """The mapping of user names to hashes; its keys are not known in advance."""

    def names(self) -> list[str]:
        """Return the valid names, and add a problem for every other key."""
        names = []
        for number, name in enumerate(self._mapping, 1):
            if not isinstance(name, str) or not 1 <= len(name) <= 100 or ":" in name or not name.isprintable():
                message = "must be a string of 1 to 100 printable characters without a colon"
            elif _HASH.fullmatch(name):
                redaction.hide(name)
                message = "must come before the colon, and the hash after it"
            else:
                names.append(name)
                continue
            self.findings.add_problem(self._prefix.rstrip("."), f"the name of entry {number} {message}")
        return names


def _users(root: Reader) -> dict[bytes, bytes]:
    entries = root.take("basic_auth_users", _any_value, None)
    reader = _Users(entries, f"{root.path_of('basic_auth_users')}.", root.findings)
    hashes = {name: reader.take(name, _bcrypt_hash, b"") for name in reader.names()}
    return {name.encode(): hashed for name, hashed in hashes.items()}


def _bcrypt_hash(value: object) -> bytes:
    match = _HASH.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, str):
        redaction.hide(value)  # a password in plain text as well as a hash
    if not match or not isinstance(value, str):
        raise InvalidValue(_NO_HASH)
    if int(match[1]) not in _COSTS:
        raise InvalidValue(f"must be a bcrypt hash with a cost from {_COSTS[0]} to {_COSTS[-1]}")
    return value.encode()
