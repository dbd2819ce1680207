"""A YAML document as mappings that check the values taken from them and collect every problem.

Nothing here depends on accounts. No problem quotes the document: a secret may have been pasted anywhere.
"""

from __future__ import annotations

import copy
import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml

from exporter import redaction
from exporter.formatting import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_LONGEST_NUMBER: Final = 100  # characters; Python refuses to convert longer ones to text or takes long to do so
_LONGEST_KEY: Final = 1000  # characters
_NUMBER_TAGS: Final = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_QUOTED: Final = re.compile(r"""(['"])(?:\\.|(?!\1).)*\1""")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a value, and the path of the value: ``exporter.yml: poll.interval``."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


class ConfigError(Exception):
    """A configuration that cannot be used; the text has one line for each of `problems`."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class InvalidValue(ValueError):
    """A value that is not allowed; the text says which values are."""


class Findings:
    """The problems and warnings of a configuration in the order they were found, each once, redacted."""

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}
        self._warnings: dict[str, None] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All reasons why the configuration cannot be used."""
        return tuple(self._problems)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know although the configuration can be used."""
        return tuple(self._warnings)

    def add_problem(self, path: str, text: str) -> None:
        """Add a problem of the value at `path`."""
        self._problems[Problem(redaction.redact(path), redaction.redact(text))] = None

    def add_warning(self, path: str, text: str) -> None:
        """Add a warning about the value at `path`."""
        self._warnings[f"{redaction.redact(path)}: {redaction.redact(text)}"] = None

    def has_problem(self, *paths: str) -> bool:
        """Return whether there is a problem at one of `paths`."""
        return any(problem.path in paths for problem in self._problems)


class Reader:
    """A mapping of the document, which remembers its path and which keys were looked up."""

    def __init__(self, value: object, prefix: str, findings: Findings) -> None:
        self.findings = findings
        self._prefix = prefix  # "exporter.yml: accounts[0].", put before a key
        self._known_keys: dict[str, None] = {}
        self._mapping: Mapping[object, object] = value if isinstance(value, dict) else {}
        # A key whose values are all commented out is null, which counts as an empty mapping.
        if value is not None and not isinstance(value, dict):
            findings.add_problem(prefix.rstrip(".: "), "must be a mapping (key: value)")

    def path_of(self, key: str) -> str:
        """Return the path of `key` in the document."""
        return self._prefix + self.spell(key)

    def spell(self, key: str) -> str:
        """Return `key` as the user writes it."""
        return key

    def has(self, key: str) -> bool:
        """Return whether `key` is there, and count it as known."""
        self._known_keys[key] = None
        return key in self._mapping

    def take(self, key: str, check: Callable[[object], T], default: T) -> T:
        """Return the value of `key` as converted by `check`; `default` if `key` is missing or its value invalid."""
        if self.has(key):
            try:
                return check(self._mapping[key])
            except InvalidValue as error:
                self.add_problem(key, str(error))
        return default

    def with_findings(self, findings: Findings) -> Reader:
        """Return a new reader of the same mapping that adds problems and warnings to `findings`."""
        reader = copy.copy(self)
        reader.findings, reader._known_keys = findings, {}  # noqa: SLF001 - its own class
        return reader

    def mapping(self, key: str) -> Reader:
        """Return the mapping at `key`, an empty one if it is missing."""
        value = self._mapping[key] if self.has(key) else None
        return Reader(value, f"{self.path_of(key)}.", self.findings)

    def mappings(self, key: str) -> list[Reader]:
        """Return the mappings in the list at `key`, which must not be empty."""
        items = self._mapping[key] if self.has(key) else None
        if not isinstance(items, list) or not items:
            self.add_problem(key, "must be a list of at least one mapping")
            return []
        return [Reader(item, f"{self.path_of(key)}[{i}].", self.findings) for i, item in enumerate(items)]

    def add_problem(self, key: str, text: str) -> None:
        """Add a problem of the value of `key`."""
        self.findings.add_problem(self.path_of(key), text)

    def reject_unknown_keys(self) -> None:
        """Add a problem for every key that was not looked up."""
        for key in self._mapping:
            if key not in self._known_keys:
                text = str(key)[:_LONGEST_KEY]  # comparing and redacting would take minutes for a megabyte
                near = difflib.get_close_matches(text, list(self._known_keys), n=1)
                hint = f"did you mean {near[0]}?" if near else f"valid keys: {', '.join(self._known_keys)}"
                self.add_problem(_shown(text), f"unknown key; {hint}")


def parse_document(content: bytes) -> object:
    """Return the YAML document in `content`, None for an empty one.

    Raises:
        InvalidValue: it is not UTF-8 text or not YAML.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"is not UTF-8 text (at byte {error.start})") from None
    return _parse(text)


def _shown(text: str) -> str:
    """Return `text` redacted, in one line and shortened."""
    text = escape_unprintable(redaction.redact(text))
    return text if len(text) <= 60 else f"{text[:60]}…"


def _parse(text: str) -> object:
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        # PyYAML quotes the invalid text, which may be part of a pasted secret.
        problem = _QUOTED.sub(lambda quoted: quoted[0] if len(quoted[0]) <= 4 else "…", error.problem or "")
        raise InvalidValue(f"is not valid YAML{place}: {problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InvalidValue(f"is not valid YAML at line {line}: a control character") from None
    except RecursionError:
        raise InvalidValue("is nested too deeply") from None


class _StrictLoader(yaml.SafeLoader):
    """Rejects a key that occurs twice in a mapping, of which PyYAML silently keeps the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Not at construction: merge keys (<<) add legitimate duplicates to the node.
        node = super().compose_mapping_node(anchor)
        first_lines: dict[object, int] = {}
        for key, _ in node.value:
            identity = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else key
            first = first_lines.setdefault(identity, key.start_mark.line + 1)
            if first_lines[identity] != key.start_mark.line + 1:
                raise yaml.MarkedYAMLError(problem=f"duplicate of the key on line {first}", problem_mark=key.start_mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:  # noqa: FBT001, FBT002
        if node.tag in _NUMBER_TAGS and len(node.value) > _LONGEST_NUMBER:
            raise yaml.MarkedYAMLError(problem="a number with too many digits", problem_mark=node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
            # PyYAML lets these through for a date such as 2026-13-01 or a value that does not fit its tag.
            raise yaml.MarkedYAMLError(
                problem="a value that is invalid for its type", problem_mark=node.start_mark
            ) from None
