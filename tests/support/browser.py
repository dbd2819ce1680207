"""Chromium, and the status page opened in it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from exporter.simulator.demo import demo_exchange
from support.service import configured, serving
from support.tools import missing
from support.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    from playwright.async_api import Browser, Page

Scheme = Literal["light", "dark"]

_CHROMIUM: Final = Path("/usr/bin/chromium")

HEADLINE_COLOR: Final = "getComputedStyle(document.getElementById('headline')).color"

# The lowest contrast of a text to its background, and that text.
LOWEST_CONTRAST: Final = """() => {
  const numbers = color => { const parts = color.match(/[\\d.]+/g).map(Number); return [...parts, 1].slice(0, 4); };
  const linear = part => part <= 10.31 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = numbers(getComputedStyle(element).backgroundColor);
      if (color[3] > 0) return color;
    }
    return [255, 255, 255, 1];
  };
  const written = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  const all = [...document.querySelectorAll("body *")].filter(written).map(element => {
    const [text, ground] = [luminance(numbers(getComputedStyle(element).color)), luminance(behind(element))];
    return [(Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05), element.textContent.trim()];
  });
  return all.reduce((lowest, text) => text[0] < lowest[0] ? text : lowest);
}"""

# The badges that wrap, or leave their cell.
OVERFLOWING_BADGES: Final = """() => [...document.querySelectorAll(".badge")].filter(badge => {
  const box = badge.getBoundingClientRect();
  return box.height > 30 || box.right > badge.parentElement.getBoundingClientRect().right + 1;
}).map(badge => badge.textContent)"""


@dataclass
class Opened:
    """A page in the browser, with its requests and its console messages."""

    page: Page
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run Chromium; without it the test is skipped, or fails under CI."""
    try:
        from playwright.async_api import async_playwright  # noqa: PLC0415 - if it is missing the test is skipped
    except ImportError:
        missing("playwright", "test")
    if not _CHROMIUM.exists():
        missing(str(_CHROMIUM), "test-tools")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=str(_CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield running
        await running.close()


@contextlib.asynccontextmanager
async def fallen_demo(folder: Path) -> AsyncIterator[str]:
    """Run the demo at the bottom of its draw-down, and revoke one account's key after its first poll; yield its URL."""
    ahead = 0.0
    # The scenario is slow, so that it stays at the bottom during all tests.
    async with demo_exchange(seed=1, speed=0.1, clock=lambda: time.time() + ahead) as exchange:
        ahead = 2900.0
        async with serving(configured(exchange, folder, stale_after="10m")) as client:
            await _until_shown(client, "4 of 4 accounts up")
            exchange.revoke("hedge")
            await _until_shown(client, "3 of 4 accounts up")
            yield str(client.base_url).rstrip("/")


async def _until_shown(client: httpx.AsyncClient, words: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while words not in (await client.get("/")).text:  # noqa: ASYNC110 - what is shown has no event
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def opened(
    browser: Browser,
    url: str,
    size: tuple[int, int],
    scheme: Scheme = "light",
    *,
    clock: bool = False,
    scripts: bool = True,
) -> AsyncIterator[Opened]:
    """Open the page in a window of a size; with a `clock`, its time can be moved."""
    width, height = size
    page = await browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=scripts
    )
    page.set_default_timeout(DEADLINE_SECONDS * 1000)
    seen = Opened(page)
    page.on("request", lambda request: seen.requested.append(request.url))
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    try:
        if clock:
            await page.clock.install()
        await page.goto(url)
        yield seen
    finally:
        await page.close()


async def expanded(page: Page) -> list[tuple[str, bool]]:
    """Return which of the accounts' details are expanded, by id."""
    states = await page.locator("details[id^=d]").evaluate_all("all => all.map(details => [details.id, details.open])")
    return sorted((name, is_open) for name, is_open in states)
