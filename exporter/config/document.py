"""A YAML document as mappings that check what is taken from them and collect every problem.

Knows nothing of accounts. No text made here quotes the document: a key may have been pasted anywhere.
"""

from __future__ import annotations

import copy
import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml

from exporter import redaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_LONGEST_NUMBER: Final = 100  # characters; Python refuses to convert longer ones to text or takes long to do so
_LONGEST_KEY: Final = 1000  # characters
_NUMBER_TAGS: Final = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_QUOTED: Final = re.compile(r"""(['"])(?:\\.|(?!\1).)*\1""")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and the path of the value it is wrong with: ``exporter.yml: poll.interval``."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class ConfigError(Exception):
    """A configuration that cannot be used; the text has one line for each of `problems`."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Invalid(ValueError):
    """A value that is not allowed; the text says what is."""


class Findings:
    """Faults and warnings in the order they were found, each once, redacted."""

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}
        self._warnings: dict[str, None] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that keeps the configuration from being used."""
        return tuple(self._problems)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Everything that the operator should know although the configuration can be used."""
        return tuple(self._warnings)

    def problem(self, where: str, what: str) -> None:
        """Add a problem."""
        self._problems[Problem(redaction.redact(where), redaction.redact(what))] = None

    def warn(self, where: str, what: str) -> None:
        """Add a warning."""
        self._warnings[f"{redaction.redact(where)}: {redaction.redact(what)}"] = None

    def has_problem(self, *places: str) -> bool:
        """Tell whether a problem was found at one of `places`."""
        return any(problem.where in places for problem in self._problems)


class Reader:
    """One mapping of the document, which remembers its path and which keys were asked for."""

    def __init__(self, value: object, prefix: str, findings: Findings) -> None:
        self.findings = findings
        self._prefix = prefix  # "exporter.yml: accounts[0].", put before a key
        self._known: dict[str, None] = {}
        self._mapping: Mapping[object, object] = value if isinstance(value, dict) else {}
        # A key whose values are all commented out is null, and means an empty mapping.
        if value is not None and not isinstance(value, dict):
            findings.problem(prefix.rstrip(".: "), "must be a mapping (key: value)")

    def where(self, key: str) -> str:
        """Return the path of `key` in the document."""
        return self._prefix + self.spell(key)

    def spell(self, key: str) -> str:
        """Return `key` as the user writes it."""
        return key

    def has(self, key: str) -> bool:
        """Tell whether `key` is there, and count it as known."""
        self._known[key] = None
        return key in self._mapping

    def take(self, key: str, check: Callable[[object], T], default: T) -> T:
        """Return what `check` makes of the value of `key`; `default` if it is not there or Invalid."""
        if self.has(key):
            try:
                return check(self._mapping[key])
            except Invalid as error:
                self.problem(key, str(error))
        return default

    def anew(self, findings: Findings) -> Reader:
        """Return a reader of the same mapping, as it was, that puts what it finds into `findings`."""
        again = copy.copy(self)
        again.findings, again._known = findings, {}  # noqa: SLF001 - its own class
        return again

    def mapping(self, key: str) -> Reader:
        """Return the mapping at `key`, an empty one if it is not there."""
        value = self._mapping[key] if self.has(key) else None
        return Reader(value, f"{self.where(key)}.", self.findings)

    def mappings(self, key: str) -> list[Reader]:
        """Return the mappings in the list at `key`, which must not be empty."""
        items = self._mapping[key] if self.has(key) else None
        if not isinstance(items, list) or not items:
            self.problem(key, "must be a list of at least one mapping")
            return []
        return [Reader(item, f"{self.where(key)}[{i}].", self.findings) for i, item in enumerate(items)]

    def problem(self, key: str, what: str) -> None:
        """Add a problem at `key`."""
        self.findings.problem(self.where(key), what)

    def finish(self) -> None:
        """Add a problem for every key that nobody asked for."""
        for key in self._mapping:
            if key not in self._known:
                text = str(key)[:_LONGEST_KEY]  # comparing and redacting would take minutes for a megabyte
                near = difflib.get_close_matches(text, list(self._known), n=1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(self._known)}"
                self.problem(_shown(text), f"unknown key; {hint}")


def parse_document(content: bytes) -> object:
    """Return the YAML document in `content`, None for an empty one.

    Raises:
        Invalid: it is not UTF-8 text or not YAML.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"is not UTF-8 text (at byte {error.start})") from None
    return _parse(text)


def _shown(text: str) -> str:
    """Return `text` redacted, in one line and of bearable length."""
    text = redaction.redact(text)
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= 60 else f"{text[:60]}…"


def _parse(text: str) -> object:
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        # PyYAML quotes what it found, which may be part of a pasted key.
        problem = _QUOTED.sub(lambda quoted: quoted[0] if len(quoted[0]) <= 4 else "…", error.problem or "")
        raise Invalid(f"is not valid YAML{place}: {problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Invalid(f"is not valid YAML at line {line}: a control character") from None
    except RecursionError:
        raise Invalid("is nested too deeply") from None


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, where PyYAML silently keeps the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Not at construction: merge keys (<<) put legitimate duplicates into the node.
        node = super().compose_mapping_node(anchor)
        first_lines: dict[object, int] = {}
        for key, _ in node.value:
            identity = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else key
            first = first_lines.setdefault(identity, key.start_mark.line + 1)
            if first_lines[identity] != key.start_mark.line + 1:
                raise yaml.MarkedYAMLError(
                    problem=f"the key of line {first} stands here again", problem_mark=key.start_mark
                )
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:  # noqa: FBT001, FBT002
        if node.tag in _NUMBER_TAGS and len(node.value) > _LONGEST_NUMBER:
            raise yaml.MarkedYAMLError(problem="a number with too many digits", problem_mark=node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
            # What PyYAML lets through for a date such as 2026-13-01 or a value its tag does not fit.
            raise yaml.MarkedYAMLError(
                problem="a value that its type cannot hold", problem_mark=node.start_mark
            ) from None
