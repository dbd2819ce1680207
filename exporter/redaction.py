"""What must never be shown: the secrets that were read, the signatures that were sent, and what looks like either.

No other module decides what a secret looks like. It knows neither logs nor sockets, so that every layer may use it.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

_REDACTED: Final = "[redacted]"
_SHORTEST_SECRET: Final = 8  # shorter ones would blank out ordinary words
# "=" only as padding at the end: `signature=…` and `api_key=…` keep their names.
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_UNKNOWN_SECRET_LENGTH: Final = 40
_DENSE_PART_LENGTH: Final = 16
_SHORTEST_FRAGMENT: Final = 16
# Pieces of 9 at every 8th character: any 16 characters in a row of a secret hold a whole one.
_PIECE: Final = 9
_STRIDE: Final = 8

_hidden_pieces: Final[set[str]] = set()
_hidden_tokens: Final[set[str]] = set()
_hidden_texts: Final[set[str]] = set()  # those that are not one token: short, with spaces, of several lines
# Signatures of the last requests: an exchange may tell them back, in whole or in part, for as long as it may answer.
_hidden_for_now: Final[deque[str]] = deque(maxlen=1024)


def hide(secret: str) -> None:
    """Never show `secret` again, nor 16 or more characters of it in a row; under 8 characters it is ignored."""
    secret = secret.strip()
    if len(secret) < _SHORTEST_SECRET:
        return
    if not _TOKEN.fullmatch(secret):
        _hidden_texts.update((secret, repr(secret)[1:-1]))  # containers show their texts' repr
    for token in _TOKEN.findall(secret):
        _hidden_tokens.add(token)
        starts = range(0, len(token) - _PIECE + 1, _STRIDE)
        _hidden_pieces.update(token[start : start + _PIECE] for start in starts)


def hide_for_now(signature: str) -> None:
    """Show neither `signature` nor 16 characters of it in a row until a thousand others were hidden after it."""
    _hidden_for_now.append(signature)


def redact(text: str) -> str:
    """Return `text` without any hidden secret, nor what looks like a key or a signature."""
    for secret in sorted(_hidden_texts, key=len, reverse=True):  # one may hold another
        if secret in text:
            text = text.replace(secret, _REDACTED)
    return _TOKEN.sub(_cover, text)


def _cover(match: re.Match[str]) -> str:
    token = match.group()
    dense = len(token) >= _UNKNOWN_SECRET_LENGTH and any(map(_is_dense, re.split("[/_-]", token)))
    return _REDACTED if dense or _holds_fragment(token) else token


def _holds_fragment(token: str) -> bool:
    ends = range(_SHORTEST_FRAGMENT, len(token) + 1)
    fragments = [token[end - _SHORTEST_FRAGMENT : end] for end in ends]
    if any(fragment in hidden for hidden in tuple(_hidden_for_now) for fragment in fragments):
        return True
    # Of many keys one look-up tells most tokens from them. A piece alone may be a word: demo-hmac of a key
    # demo-hmac-account-1.
    if _hidden_pieces.isdisjoint(token[start : start + _PIECE] for start in range(len(token) - _PIECE + 1)):
        return False
    return any(fragment in hidden for hidden in tuple(_hidden_tokens) for fragment in fragments)


def _is_dense(part: str) -> bool:
    """Tell a key from a path, a metric's or a pod's name: they have no long part of letters and digits."""
    return len(part) >= _DENSE_PART_LENGTH and bool(re.search("[0-9]", part) and re.search("[A-Za-z]", part))
