"""What a Binance key looks like, and common mistakes with one. No text made here quotes any part of a key."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

_KEY: Final = re.compile(r"[A-Za-z0-9]{64}")
_QUOTES: Final = "\"'`"
_VARIABLE: Final = re.compile(r"\$\(?\w+\)?|%\w+%|.*(?:\$\{|\{\{).*", re.ASCII)
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][\w.-]*(?:=(?!=*$)|:)(?=.)", re.ASCII)
# Without digits: two keys may have been pasted with a colon between them.
_NAME_BEFORE: Final = re.compile(r"\A[A-Za-z_.-]{1,40}[=:](?=.)")
# Such as BINANCE_SECRET_KEY: no key contains one, and hiding it would hide the variable in messages about it.
_NAME: Final = re.compile(r"(?<![A-Za-z0-9_])[A-Z]+(?:_[A-Z]+)+(?![A-Za-z0-9_])")
_SHORTEST_BASE64: Final = 24
_PEM: Final = re.compile(r"(-----BEGIN [A-Z ]+-----)(.*?)(-----END [A-Z ]+-----)", re.DOTALL)
_LINE_BREAKS: Final = re.compile(r"\\+[nr]|\s")
_LINE_LENGTH: Final = 64


def explain_mistake(text: str) -> str | None:
    """Return why `text` cannot be an API key or a secret key, and what to do; None if it can be one."""
    if _KEY.fullmatch(text):
        return None
    if text[0] in _QUOTES or text[-1] in _QUOTES:
        return "the key is quoted: remove the quotes"
    if text.startswith("<") or text.endswith(">"):
        return "this is a <placeholder>: replace it, including the brackets, with the key"
    if _VARIABLE.fullmatch(text):
        return "this is a variable that was not replaced with its value"
    if _ASSIGNMENT.match(text):
        return "a name precedes the key (NAME=value): keep only the key"
    if decode_base64(text) is not None:
        return "this is base64-encoded text: decode it"
    if "/" in text:
        return "this may be a file path: a Binance key has 64 letters and digits"
    return "it does not look like a Binance key, which has 64 letters and digits"


def decode_base64(text: str) -> str | None:
    """Return the printable text that `text` encodes; None if it does not encode one."""
    if len(text) < _SHORTEST_BASE64:
        return None
    padded = "".join(text.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        decoded = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True).decode("ascii").strip()
    except (binascii.Error, ValueError):
        return None
    return decoded if decoded and all(c.isprintable() or c.isspace() for c in decoded) else None


def without_names(text: str) -> str:
    """Return only the secret part of `text`: without NAME= before the key, and without names of variables."""
    return _NAME.sub("", _NAME_BEFORE.sub("", text))


def restore_pem(text: str) -> str:
    r"""Return the PEM in `text` with line breaks, where they were lost or became spaces or \n; else `text` itself."""
    match = _PEM.search(text)
    if not match:
        return text
    body = _LINE_BREAKS.sub("", match[2])
    if not re.fullmatch("[A-Za-z0-9+/]+={0,2}", body):  # such as the headers of an older format
        return text
    lines = [body[start : start + _LINE_LENGTH] for start in range(0, len(body), _LINE_LENGTH)]
    return "\n".join([match[1], *lines, match[3]])
