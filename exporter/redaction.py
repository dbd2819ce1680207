"""Redaction of texts: of secrets that were read, signatures that were sent, and everything that looks like either.

No other module decides what a secret looks like. This one depends on neither logs nor sockets, so that every layer can
use it.
"""

from __future__ import annotations

import contextlib
import re
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_REDACTED: Final = "[redacted]"
_SHORTEST_SECRET: Final = 8  # shorter ones would blank out ordinary words
# "=" only as padding at the end: `signature=…` and `api_key=…` keep their names.
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_UNKNOWN_SECRET_LENGTH: Final = 40
_DENSE_PART_LENGTH: Final = 16
# Pieces of 12 characters at every 5th character: any 16 consecutive characters of a secret contain a whole piece, so
# that a set lookup per character finds them, however many secrets there are.
_PIECE: Final = 12
_STRIDE: Final = 5
LONGEST_TEXT: Final = 8192

_hidden_pieces: Final[set[str]] = set()
_hidden_texts: Final[set[str]] = set()  # secrets that are not a single token: short, with spaces, multi-line
# An exchange may echo the signatures of requests, in whole or in part, and also after they have timed out.
_signatures_in_flight: Final[set[str]] = set()
_recent_signatures: Final[deque[str]] = deque(maxlen=256)


def hide(secret: str) -> None:
    """Redact `secret` and any 16 consecutive characters of it from now on; less than 8 characters are ignored."""
    secret = secret.strip()
    if len(secret) < _SHORTEST_SECRET:
        return
    if not _TOKEN.fullmatch(secret):
        _hidden_texts.update((secret, repr(secret)[1:-1]))  # containers show the repr of their texts
    for token in _TOKEN.findall(secret):
        _hidden_pieces.update(_pieces(token, _STRIDE))


@contextlib.contextmanager
def hidden(signatures: Collection[str]) -> Iterator[None]:
    """Redact `signatures`, and any 16 consecutive characters of them, here and until 256 others have been redacted."""
    _signatures_in_flight.update(signatures)
    try:
        yield
    finally:
        _recent_signatures.extend(signatures)
        _signatures_in_flight.difference_update(signatures)


def redact(text: str) -> str:
    """Return `text` without hidden secrets and what looks like a key or signature; at most 8,192 characters."""
    return shorten(text, LONGEST_TEXT, _redact)


def shorten(text: str, most: int, clean: Callable[[str], str]) -> str:
    """Return the first `most` characters of `clean(text)`, cleaning no more of `text` than needed.

    A sender may choose the length of the text, but not how long cleaning takes.
    """
    margin = max(map(len, _hidden_texts), default=0) + LONGEST_TEXT // 8
    cleaned = clean(text[: LONGEST_TEXT + margin])
    if len(text) > LONGEST_TEXT + margin:
        # A secret that was cut in half, which `clean` may not recognize, is within the margin.
        cleaned = f"{cleaned[:-margin]}…"
    return cleaned if len(cleaned) <= most else f"{cleaned[: most - 1]}…"


def _redact(text: str) -> str:
    for secret in sorted(_hidden_texts, key=len, reverse=True):  # one may contain another
        if secret in text:
            text = text.replace(secret, _REDACTED)
    tokens = set(_TOKEN.findall(text))
    covered = {token for token in tokens if _is_like_a_key(token) or not _hidden_pieces.isdisjoint(_pieces(token))}
    if shown := tokens - covered:
        # Searching one text for a few pieces avoids keeping the pieces of all signatures.
        recent = "\n".join((*_signatures_in_flight, *_recent_signatures))
        covered |= {token for token in shown if any(piece in recent for piece in _pieces(token, _STRIDE))}
    return _TOKEN.sub(lambda match: _REDACTED if match[0] in covered else match[0], text) if covered else text


def _is_like_a_key(token: str) -> bool:
    # Ed25519 and RSA signatures end in "==", and one in 60,000 has so many slashes that no part of it is dense.
    return len(token) >= _UNKNOWN_SECRET_LENGTH and (
        token.endswith("==") or any(map(_is_dense, re.split("[/_-]", token)))
    )


def _pieces(text: str, stride: int = 1) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text) - _PIECE + 1, stride))


def _is_dense(part: str) -> bool:
    """Return whether a part looks like one of a key: long, with letters and digits, unlike in paths and names."""
    return len(part) >= _DENSE_PART_LENGTH and bool(re.search("[0-9]", part) and re.search("[A-Za-z]", part))
