"""What must never be shown: the secrets that were read, the signatures that were sent, and what looks like either.

No other module decides what a secret looks like. It knows neither logs nor sockets, so that every layer may use it.
"""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_REDACTED: Final = "[redacted]"
_SHORTEST_SECRET: Final = 8  # shorter ones would blank out ordinary words
# "=" only as padding at the end: `signature=…` and `api_key=…` keep their names.
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_UNKNOWN_SECRET_LENGTH: Final = 40
_DENSE_PART_LENGTH: Final = 16
# Pieces of 12 at every 5th character: any 16 characters in a row of a secret contain a whole one, so that one set
# lookup per character finds them, however many secrets there are.
_PIECE: Final = 12
_STRIDE: Final = 5
_LONGEST_TEXT: Final = 8192

_hidden_pieces: Final[set[str]] = set()
_hidden_texts: Final[set[str]] = set()  # those that are not a single token: short, with spaces, multi-line
# Signatures of the last requests: an exchange may echo them, in whole or in part, for as long as it may answer.
_hidden_for_now: Final[deque[str]] = deque(maxlen=1024)


def hide(secret: str) -> None:
    """Never show `secret` again, nor 16 or more characters of it in a row; under 8 characters it is ignored."""
    secret = secret.strip()
    if len(secret) < _SHORTEST_SECRET:
        return
    if not _TOKEN.fullmatch(secret):
        _hidden_texts.update((secret, repr(secret)[1:-1]))  # containers show their texts' repr
    for token in _TOKEN.findall(secret):
        _hidden_pieces.update(_pieces(token, _STRIDE))


def hide_for_now(signature: str) -> None:
    """Show neither `signature` nor 16 characters of it in a row until a thousand others were hidden after it."""
    _hidden_for_now.append(signature)


def redact(text: str) -> str:
    """Return `text` without any hidden secret, nor what looks like a key or a signature; at most 8,192 characters."""
    return shorten(text, _LONGEST_TEXT, _redact)


def shorten(text: str, most: int, clean: Callable[[str], str]) -> str:
    """Return at most `most` characters of what `clean` makes of `text`, cleaning only as much as may be shown.

    Whoever sent the text decides its length, but not how long the cleaning takes.
    """
    margin = max(map(len, _hidden_texts), default=0) + _LONGEST_TEXT // 8
    if len(text) <= _LONGEST_TEXT + margin:
        cleaned = clean(text)
    else:
        # What the cut may have left half of, and `clean` did not recognize, is within the margin.
        cleaned = clean(text[: _LONGEST_TEXT + margin])[:-margin]
        cleaned = f"{cleaned[: most - 1]}…"
    return cleaned if len(cleaned) <= most else f"{cleaned[: most - 1]}…"


def _redact(text: str) -> str:
    for secret in sorted(_hidden_texts, key=len, reverse=True):  # one may contain another
        if secret in text:
            text = text.replace(secret, _REDACTED)
    return _TOKEN.sub(_cover, text)


def _cover(match: re.Match[str]) -> str:
    token = match.group()
    # Ed25519 and RSA signatures end in "==", and one in 60,000 has so many slashes that no part of it is dense.
    dense = len(token) >= _UNKNOWN_SECRET_LENGTH and (
        token.endswith("==") or any(map(_is_dense, re.split("[/_-]", token)))
    )
    return _REDACTED if dense or _contains_hidden_piece(token) else token


def _contains_hidden_piece(token: str) -> bool:
    pieces = set(_pieces(token))
    return not (pieces.isdisjoint(_hidden_pieces) and pieces.isdisjoint(_pieces_of_all(tuple(_hidden_for_now))))


# Between two requests the same signatures are looked for again and again.
@lru_cache(maxsize=1)
def _pieces_of_all(signatures: tuple[str, ...]) -> frozenset[str]:
    return frozenset(piece for signature in signatures for piece in _pieces(signature, _STRIDE))


def _pieces(text: str, stride: int = 1) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text) - _PIECE + 1, stride))


def _is_dense(part: str) -> bool:
    """Tell a key from a path, a metric's or a pod's name: they have no long part of letters and digits."""
    return len(part) >= _DENSE_PART_LENGTH and bool(re.search("[0-9]", part) and re.search("[A-Za-z]", part))
