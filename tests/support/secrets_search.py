"""Finds secrets in texts: whole or any 16 characters in a row, as they are or in an encoding that can be undone."""

from __future__ import annotations

import base64
import binascii
import html
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PART: Final = 16
_ESCAPE: Final = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([nrt])|(.))", re.DOTALL)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{12,}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2}){8,}")


def parts_of(secret: str) -> set[str]:
    """Return the parts of a secret that must not appear; of a PEM without its delimiters, of base64 also the bytes."""
    result: set[str] = set()
    lines = [line for line in secret.split("\n") if line and not line.startswith("-----")]
    for line in (*lines, "".join(lines)):
        for text in (line, *_bytes_of(line)):
            result.update(text[start : start + PART] for start in range(max(1, len(text) - PART + 1)))
    return result


class Search:
    """Looks for secrets.

    Args:
        secrets: secrets by a name that tells why one has leaked.
    """

    def __init__(self, secrets: Mapping[str, Iterable[str]]) -> None:
        self._names = {part: name for name, texts in secrets.items() for text in texts for part in parts_of(text)}
        self._shorter = sorted(part for part in self._names if len(part) < PART)

    def names_in(self, *texts: str) -> set[str]:
        """Return the names of all secrets of which a part is in the texts."""
        # Scrapes and pages have many equal lines.
        lines = {line for text in texts for line in text.split("\n")}
        return {name for line in lines for variant in _variants(line) for name in self._in(variant)}

    def _in(self, text: str) -> Iterator[str]:
        for start in range(len(text) - PART + 1):
            if (name := self._names.get(text[start : start + PART])) is not None:
                yield name
        for part in self._shorter:
            if part in text:
                yield self._names[part]


def _variants(text: str) -> set[str]:
    plain = _unescaped(html.unescape(text))
    variants = {text, plain, unquote(plain), _unescaped(unquote(plain))}
    for variant in tuple(variants):
        for run in _BASE64.findall(variant):
            variants.update(decoded for start in range(4) for decoded in _from_base64(run[start:]))
        for run in _HEX.findall(variant):
            variants.add(bytes.fromhex(run).decode("latin-1"))
        for run in re.findall("[0-9a-fA-F]" + _HEX.pattern, variant):
            variants.add(bytes.fromhex(run[1:]).decode("latin-1"))
    return variants


def _unescaped(text: str) -> str:
    """Undo what JSON and repr do to a text, also twice."""

    def undo(escape: re.Match[str]) -> str:
        code = escape[1] or escape[2]
        return chr(int(code, 16)) if code else {"n": "\n", "r": "\r", "t": "\t"}.get(escape[3] or "", escape[4] or "")

    return _ESCAPE.sub(undo, text)


def _from_base64(run: str) -> Iterator[str]:
    whole = run[: len(run) - (len(run) % 4 == 1)].replace("-", "+").replace("_", "/")
    if len(whole) >= 11:
        yield base64.b64decode(whole + "=" * (-len(whole) % 4)).decode("latin-1")


def _bytes_of(text: str) -> Iterator[str]:
    """Yield the bytes that a key's or a signature's base64 stands for, as characters."""
    if len(text) >= 44 and re.search("[+/=]", text):
        try:
            yield base64.b64decode(text, validate=True).decode("latin-1")
        except binascii.Error:
            return
