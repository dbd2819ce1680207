"""The links of the Markdown pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES: Final = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "grafana/*.md", "prometheus/**/*.md", "helm/*/README.md", ".github/*.md")
    for page in ROOT.glob(pattern)
)


def links(page: Path) -> Iterator[str]:
    """Yield the targets of the links and pictures of a page, except those in code."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for match in re.finditer(r"\]\(([^()\s]+)\)", text):
        yield match[1]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """Return the links of a page to files or headings of the project that do not exist."""
    dead = []
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_links_have_targets(page: Path) -> None:
    """Every relative link of a page leads to a file of the project and, with an anchor, to one of its headings."""
    assert [] == dead_links(page)


def test_dead_links_are_reported(tmp_path: Path) -> None:
    """A link to a missing file or heading is reported, one in code is not."""
    page = tmp_path / "page.md"
    page.write_text("# Some `code`, here\n[a](missing.md) [b](#some-code-here) [c](#other) `[d](missing.md)`\n")

    assert ["missing.md", "#other"] == dead_links(page)
