"""The status page in Chromium: its layout, what it loads, and what a screen reader gets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn

import httpx
import pytest
import pytest_asyncio
from support.polling import FAST

from exporter.app.service import Service, WebSettings
from exporter.config import exporter_yml
from exporter.simulator.demo import demo_exchange, write_configuration
from exporter.web.listen_address import ListenAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

CHROMIUM: Final = Path("/usr/bin/chromium")
SIZES: Final = [(360, 740), (1280, 800)]
SCHEMES: Final[list[Literal["light", "dark"]]] = ["light", "dark"]

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


@dataclass
class Opened:
    """A page in the browser, with its requests and its console messages."""

    page: Page
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


# One browser and one exporter for all tests, which change nothing.
pytestmark = pytest.mark.asyncio(loop_scope="module")
shared = pytest_asyncio.fixture(scope="module", loop_scope="module")


@shared
async def browser() -> AsyncIterator[Browser]:
    """Chromium; without it the test is skipped, or fails under CI."""
    try:
        from playwright.async_api import async_playwright  # noqa: PLC0415 - if it is missing the test is skipped
    except ImportError:
        _missing("playwright is not installed")
    if not CHROMIUM.exists():
        _missing(f"there is no {CHROMIUM}")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield running
        await running.close()


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@shared
async def url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URL of the demo at the bottom of its draw-down, with one account's key revoked after its first poll."""
    ahead = 0.0
    async with demo_exchange(seed=1, clock=lambda: time.time() + ahead) as exchange:
        ahead = 290.0
        path = write_configuration(exchange.url, exchange.accounts.values(), tmp_path_factory.mktemp("demo"))
        with path.open("a") as file:
            file.write("poll: {interval: 1s, stale_after: 10m}\n")
        service = Service(exporter_yml.load(path, {}), WebSettings(addresses=(ListenAddress("127.0.0.1", 0),)), FAST)
        (listening,) = service.bind()
        stop = asyncio.Event()
        running = asyncio.create_task(service.run(stop))
        try:
            await _until_shown(listening, "4 of 4 accounts up")
            exchange.revoke("hedge")
            await _until_shown(listening, "3 of 4 accounts up")
            yield listening
        finally:
            stop.set()
            await running


async def _until_shown(url: str, words: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
        while words not in (await client.get(url)).text:  # noqa: ASYNC110 - what is shown has no event
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def opened(
    browser: Browser, url: str, size: tuple[int, int], scheme: Literal["light", "dark"] = "light"
) -> AsyncIterator[Opened]:
    """Open the page in a window of a size."""
    width, height = size
    page = await browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    seen = Opened(page)
    page.on("request", lambda request: seen.requested.append(request.url))
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    try:
        await page.goto(url)
        yield seen
    finally:
        await page.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_looks(
    browser: Browser, url: str, size: tuple[int, int], scheme: Literal["light", "dark"], tmp_path: Path
) -> None:
    """On small and large screens, light and dark: no overflow, sufficient contrast, and no further requests."""
    async with opened(browser, url, size, scheme) as seen:
        await seen.page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
        await seen.page.screenshot(path=tmp_path / f"page-{size[0]}-{scheme}.png", full_page=True)
        widths = await seen.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        contrast, text = await seen.page.evaluate(LOWEST_CONTRAST)
        ground = await seen.page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert widths[0] <= widths[1] == size[0]
    assert contrast >= 4.5, text
    assert ("rgb(246, 247, 249)" if scheme == "light" else "rgb(18, 22, 28)") == ground
    assert [f"{url}/"] == seen.requested
    assert [] == seen.complaints


@pytest.mark.parametrize("size", SIZES)
async def test_what_a_screen_reader_gets(browser: Browser, url: str, size: tuple[int, int]) -> None:
    """Headings, tables, rows, the bar and the links have their roles and names, whether as table or as cards."""
    async with opened(browser, url, size) as seen:
        page = seen.page
        while not await page.get_by_role(
            "meter", name="Request weight"
        ).count():  # absent until an answer of this minute has rateLimits
            await page.reload()
        endpoint = await page.locator(".endpoints tbody th").inner_text()
        accounts = page.get_by_role("table", name="Polling status of each account, problems first")
        endpoints = page.get_by_role("table", name="Connections to the exchange")
        names = await accounts.get_by_role("rowheader").all_inner_texts()
        columns = await accounts.get_by_role("columnheader").all_inner_texts()
        troubled = accounts.get_by_role("row").filter(has=page.get_by_role("rowheader", name="hedge", exact=True))
        cells = await troubled.get_by_role("cell").all_inner_texts()
        failure = await accounts.get_by_role("row").filter(has_text="Last failure").all_inner_texts()
        counts = [
            await endpoints.get_by_role("meter", name=f"Request weight used of {endpoint}").count(),
            await page.get_by_role("heading", level=1, name="Binance Futures Exporter").count(),
            await page.get_by_role("region", name="Accounts").count(),
            await page.get_by_role("region", name="Margin and positions").count(),
            await page.get_by_role("table", name="Positions of isolated").count(),
            await page.get_by_role("meter", name="Worst margin ratio of isolated").count(),
            await page.get_by_role("region", name="Endpoints").count(),
            *[await page.get_by_role("link", name=name).count() for name in ("Metrics", "Health", "Readiness")],
        ]
        refresh = await page.locator('meta[http-equiv="refresh"]').get_attribute("content")

    assert ["hedge", "main", "multi", "isolated"] == names
    assert ["Account", "State", "Age of the data", "Open positions", "Margin ratio"] == columns[:5]
    assert ["Nearest liquidation", "Endpoint", "Key type", "Asset mode"] == columns[5:]
    assert "failing" in cells[0]
    assert [endpoint, "RSA", "single-asset"] == cells[5:]
    assert 1 == len(failure)
    assert "What to do: check" in failure[0]
    assert [1] * 10 == counts
    assert "15" == refresh


@pytest.mark.parametrize("size", SIZES)
async def test_keyboard(browser: Browser, url: str, size: tuple[int, int]) -> None:
    """Tab focuses every link in turn with an outline, and Enter follows it."""
    async with opened(browser, url, size) as seen:
        reached, outlines = [], []
        for _ in range(3):
            await seen.page.keyboard.press("Tab")
            reached.append(await seen.page.evaluate("document.activeElement.getAttribute('href')"))
            outlines.append(await seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
        async with seen.page.expect_navigation():
            await seen.page.keyboard.press("Enter")
        arrived = seen.page.url

    assert ["./metrics", "./-/healthy", "./-/ready"] == reached
    assert ["solid"] * 3 == outlines
    assert f"{url}/-/ready" == arrived


@pytest.mark.parametrize("size", SIZES)
async def test_unfolding(browser: Browser, url: str, size: tuple[int, int]) -> None:
    """Accounts near liquidation are expanded; others expand by Enter or by a link to them, without a script."""
    async with opened(browser, url, size) as seen:
        page = seen.page
        unfolded = page.locator("details[open]")
        first = await unfolded.locator("summary").all_inner_texts()
        await page.locator("summary", has_text="main").press("Enter")
        by_key = await unfolded.count()
        await page.get_by_role("row").filter(has_text="multi-assets").get_by_role("link").click()
        by_link = await unfolded.count()

    assert 1 == len(first)
    assert "isolated" in first[0]
    assert "critical" in first[0]
    assert [2, 3] == [by_key, by_link]
