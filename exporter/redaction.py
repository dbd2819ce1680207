"""What must never be shown: the secrets that were read, the signatures that were sent, and what looks like either.

No other module decides what a secret looks like. It knows neither logs nor sockets, so that every layer may use it.
"""

from __future__ import annotations

import re
from collections import deque
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
LONGEST_TEXT: Final = 8192

_hidden_pieces: Final[set[str]] = set()
_hidden_texts: Final[set[str]] = set()  # those that are not a single token: short, with spaces, multi-line
# Signatures of the last requests: an exchange may echo them, in whole or in part, for as long as it may answer. One IP
# may send 80 in ten seconds.
_hidden_for_now: Final[deque[str]] = deque(maxlen=256)


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
    """Show neither `signature` nor 16 characters of it in a row until 256 others were hidden after it."""
    _hidden_for_now.append(signature)


def redact(text: str) -> str:
    """Return `text` without any hidden secret, nor what looks like a key or a signature; at most 8,192 characters."""
    return shorten(text, LONGEST_TEXT, _redact)


def shorten(text: str, most: int, clean: Callable[[str], str]) -> str:
    """Return at most `most` characters of what `clean` makes of `text`, cleaning only as much as may be shown.

    The sender decides how long the text is, but not how long cleaning it takes.
    """
    margin = max(map(len, _hidden_texts), default=0) + LONGEST_TEXT // 8
    cleaned = clean(text[: LONGEST_TEXT + margin])
    if len(text) > LONGEST_TEXT + margin:
        # What the cut may have left half of, and `clean` did not recognize, is within the margin.
        cleaned = f"{cleaned[:-margin]}…"
    return cleaned if len(cleaned) <= most else f"{cleaned[: most - 1]}…"


def _redact(text: str) -> str:
    for secret in sorted(_hidden_texts, key=len, reverse=True):  # one may contain another
        if secret in text:
            text = text.replace(secret, _REDACTED)
    tokens = set(_TOKEN.findall(text))
    covered = {token for token in tokens if _is_like_a_key(token) or not _hidden_pieces.isdisjoint(_pieces(token))}
    if shown := tokens - covered:
        # One text is searched for some pieces: to look many pieces up, they would all have to be kept.
        recent = "\n".join(tuple(_hidden_for_now))
        covered |= {token for token in shown if any(piece in recent for piece in _pieces(token, _STRIDE))}
    return _TOKEN.sub(lambda found: _REDACTED if found[0] in covered else found[0], text) if covered else text


def _is_like_a_key(token: str) -> bool:
    # Ed25519 and RSA signatures end in "==", and one in 60,000 has so many slashes that no part of it is dense.
    return len(token) >= _UNKNOWN_SECRET_LENGTH and (
        token.endswith("==") or any(map(_is_dense, re.split("[/_-]", token)))
    )


def _pieces(text: str, stride: int = 1) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text) - _PIECE + 1, stride))


def _is_dense(part: str) -> bool:
    """Tell a key from a path, a metric's or a pod's name: they have no long part of letters and digits."""
    return len(part) >= _DENSE_PART_LENGTH and bool(re.search("[0-9]", part) and re.search("[A-Za-z]", part))
