"""The file of --web.config.file, in the format of Prometheus' exporter-toolkit: one frozen WebConfig, or every problem.

Nothing here serves or logs. No text made here holds a private key or a hash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from exporter import redaction
from exporter.config.document import ConfigError, Findings, Invalid, Reader
from exporter.config.files import Files, read_document
from exporter.web.tls import read_tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from pathlib import Path

# The 22nd character of the salt holds two bits: with another bcrypt refuses the hash at every check.
_HASH: Final = re.compile(r"\$2[abxy]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_COSTS: Final = range(4, 19)  # each step doubles the time: 10 takes about 60 ms, 18 a quarter of a minute
_NO_HASH: Final = "must be a bcrypt hash, such as htpasswd -nBC 10 makes"
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
    """How to serve; whatever could be wrong with it has been found. Without a file: plainly, to everybody."""

    path: Path | None = None
    tls: ssl.SSLContext | None = None
    users: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)  # name -> bcrypt hash; empty: no password
    headers: tuple[tuple[bytes, bytes], ...] = ()  # of every answer
    warnings: tuple[str, ...] = ()  # for the operator
    files: Files = field(default_factory=Files, repr=False)  # all that was read


def load(path: Path | None, files: Files | None = None) -> WebConfig:
    """Read the file at `path` and what it names; None is a file without anything in it.

    Args:
        path: the file; what it names is relative to its folder.
        files: remembers what was read, also where that was no good.

    Raises:
        ConfigError: with every problem found.
    """
    if path is None:
        return WebConfig()
    findings, files = Findings(), files or Files()
    try:
        document = read_document(path, files)
    except Invalid as error:
        findings.problem(str(path), str(error))
        raise ConfigError(*findings.problems) from None
    root = Reader(document, f"{path}: ", findings)
    # Without any key it is as good as not there; with one TLS is meant.
    wanted = bool(root.take("tls_server_config", _anything, None))
    section = root.mapping("tls_server_config")
    tls = read_tls(section, path.parent, files) if wanted else None
    http = root.mapping("http_server_config")
    http.take("http2", _no_http2, default=False)
    headers = _headers(http.mapping("headers"))
    http.finish()
    users = _users(root)
    root.take("rate_limit", _no_rate_limit, None)
    root.finish()
    if findings.problems:
        raise ConfigError(*findings.problems)
    return WebConfig(path=path, tls=tls, users=users, headers=headers, warnings=findings.warnings, files=files)


def _anything(value: object) -> Any:
    return value


def _no_http2(value: object) -> bool:
    if value is not False:
        raise Invalid("must be false, or left out: only HTTP/1.1 is spoken here")
    return value


def _no_rate_limit(value: object) -> None:
    if value:
        raise Invalid("is not offered here: leave it out")


def _headers(reader: Reader) -> tuple[tuple[bytes, bytes], ...]:
    found = [(name, reader.take(name, _header(allowed), "")) for name, allowed in _HEADERS.items()]
    reader.finish()
    return tuple((name.lower().encode(), value.encode()) for name, value in found if value)


def _header(allowed: tuple[str, ...] | None) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value is None or value == "":
            return ""  # as the toolkit has it: unset
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if allowed and text not in allowed:
            raise Invalid(f"must be {' or '.join(allowed)}")
        # A line's end would begin a header of its own.
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise Invalid("must be one line of printable ASCII characters")
        return text

    return check


class _Users(Reader):
    """The mapping of names to hashes; any name may stand there."""

    def names(self) -> list[str]:
        """Return the names that can be used, and add a problem for every other."""
        names = []
        for place, name in enumerate(self._mapping, 1):
            if not isinstance(name, str) or not 1 <= len(name) <= 100 or ":" in name or not name.isprintable():
                what = "must be text of 1 to 100 characters, in quotes if need be, without a colon"
            elif _HASH.fullmatch(name):
                redaction.hide(name)
                what = "must stand before the colon, and the hash behind it"
            else:
                names.append(name)
                continue
            self.findings.problem(self._prefix.rstrip("."), f"the name of entry {place} {what}")
        return names


def _users(root: Reader) -> dict[bytes, bytes]:
    entries = root.take("basic_auth_users", _anything, None)
    reader = _Users(entries, f"{root.where('basic_auth_users')}.", root.findings)
    hashes = {name: reader.take(name, _bcrypt_hash, b"") for name in reader.names()}
    return {name.encode(): hashed for name, hashed in hashes.items()}


def _bcrypt_hash(value: object) -> bytes:
    found = _HASH.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, str):
        redaction.hide(value)  # a password in clear as well as a hash
    if not found or not isinstance(value, str):
        raise Invalid(_NO_HASH)
    if int(found[1]) not in _COSTS:
        raise Invalid(f"must be a bcrypt hash of a cost from {_COSTS[0]} to {_COSTS[-1]}")
    return value.encode()
