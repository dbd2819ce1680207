"""The status page in Chromium: its layout, what it loads, and what a screen reader gets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio
from support.browser import (
    HEADLINE_COLOR,
    LOWEST_CONTRAST,
    OVERFLOWING_BADGES,
    Scheme,
    chromium,
    expanded,
    fallen_demo,
    opened,
)
from support.builders import make_state, serving
from support.status_page import cross_position
from support.waiting import DEADLINE_SECONDS, until

from exporter.account.state import Failure
from exporter.binance.errors import Reason
from exporter.web.page import render_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, Route

SIZES: Final = [(320, 740), (1280, 800)]
SCHEMES: Final[list[Scheme]] = ["light", "dark"]

# One browser and one exporter for all tests, which change nothing.
pytestmark = pytest.mark.asyncio(loop_scope="module")
shared = pytest_asyncio.fixture(scope="module", loop_scope="module")


@shared
async def browser() -> AsyncIterator[Browser]:
    """Chromium; without it the test is skipped, or fails under CI."""
    async with chromium() as running:
        yield running


@shared
async def url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URL of the demo at the bottom of its draw-down, with one account's key revoked after its first poll."""
    async with fallen_demo(tmp_path_factory.mktemp("demo")) as listening:
        yield listening


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_looks(browser: Browser, url: str, size: tuple[int, int], scheme: Scheme, tmp_path: Path) -> None:
    """On small and large screens, light and dark: nothing overflows, contrast is sufficient, all is from here."""
    async with opened(browser, url, size, scheme) as seen:
        await seen.page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
        await seen.page.screenshot(path=tmp_path / f"page-{size[0]}-{scheme}.png", full_page=True)
        widths = await seen.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        badges = await seen.page.evaluate(OVERFLOWING_BADGES)
        contrast, text = await seen.page.evaluate(LOWEST_CONTRAST)
        ground = await seen.page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert widths[0] <= widths[1] == size[0]
    assert [] == badges
    assert contrast >= 4.5, text
    assert ("rgb(246, 247, 249)" if scheme == "light" else "rgb(18, 22, 28)") == ground
    assert [f"{url}/", f"{url}/-/status.css", f"{url}/-/status.js"] == sorted(seen.requested)
    assert [] == seen.complaints


@pytest.mark.parametrize("size", SIZES)
async def test_what_a_screen_reader_gets(browser: Browser, url: str, size: tuple[int, int]) -> None:
    """Headings, tables, rows, the bar and the links have their roles and names, whether as table or as cards."""
    async with opened(browser, url, size) as seen:
        page = seen.page
        # It is absent until an answer of this minute has rateLimits.
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await page.get_by_role("meter", name="Request weight").count():
                await page.reload()
        endpoint = await page.locator(".endpoints tbody th").inner_text()
        accounts = page.get_by_role("table", name="Risk and polling status of each account, worst first")
        endpoints = page.get_by_role("table", name="Connections to the exchange")
        names = await accounts.get_by_role("rowheader").all_inner_texts()
        columns = await accounts.get_by_role("columnheader").all_inner_texts()
        troubled = accounts.get_by_role("row").filter(has=page.get_by_role("rowheader", name="hedge", exact=True))
        cells = await troubled.get_by_role("cell").all_inner_texts()
        failure = await page.get_by_role("region", name="Failures").get_by_role("listitem").all_inner_texts()
        counts = [
            await endpoints.get_by_role("meter", name=f"Request weight used of {endpoint}").count(),
            await page.get_by_role("heading", level=1, name="3 accounts critical · ").count(),
            await page.get_by_role("region", name="Accounts").count(),
            await page.get_by_role("region", name="Margin and positions").count(),
            await page.get_by_role("table", name="Positions of isolated").count(),
            await page.get_by_role("meter", name="Margin ratio of isolated").count(),
            await page.get_by_role("region", name="Endpoints").count(),
            *[await page.get_by_role("link", name=name).count() for name in ("Metrics", "Health", "Readiness")],
        ]

    assert (["isolated", "main", "multi"], "hedge") == (sorted(names[:3]), names[3])
    assert ["Account", "Risk", "Nearest liquidation", "Margin ratio", "Open positions"] == columns[:5]
    assert ["State", "Age of the data", "Endpoint", "Key type", "Asset mode"] == columns[5:]
    assert "failing" in cells[4]
    assert ([] if size == SIZES[0] else [endpoint, "RSA", "single-asset"]) == cells[6:]
    assert 1 == len(failure)
    assert "What to do: check" in failure[0]
    assert [1] * 10 == counts


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
    """Critical accounts are expanded; others expand by Enter or by a link to them, without a script."""
    async with opened(browser, url, size) as seen:
        page = seen.page
        unfolded = page.locator("details[id^=d][open] > summary")
        first = await unfolded.all_inner_texts()
        hedge = page.locator("summary", has_text="hedge")
        await hedge.press("Enter")
        by_key = await unfolded.count()
        await hedge.press("Enter")
        folded = await unfolded.count()
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="hedge"))
        await row.get_by_role("link").click()
        by_link = await unfolded.count()

    assert ["critical"] * 3 == [text.split()[-1] for text in first]
    assert [4, 3, 4] == [by_key, folded, by_link]


@pytest.mark.parametrize("size", SIZES)
async def test_refreshing_in_place(browser: Browser, url: str, size: tuple[int, int]) -> None:
    """After two refreshes, what was expanded and focused is so still, at the same place, and the fragment remains."""
    async with opened(browser, url, size, clock=True) as seen:
        page = seen.page
        await page.locator("details[id^=d][open] > summary").first.press("Enter")
        hedge = page.locator("summary", has_text="hedge")
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="hedge"))
        await row.get_by_role("link").click()
        await hedge.focus()
        seen_before = (await expanded(page), page.url)
        tops = [await hedge.evaluate("summary => summary.getBoundingClientRect().top")]
        focused = []
        for _ in range(2):
            await page.evaluate("document.querySelector('.accounts tbody').dataset.old = 'yes'")
            await page.clock.fast_forward(16_000)
            await page.locator("tbody[data-old]").wait_for(state="detached")
            focused.append(await hedge.evaluate("summary => summary === document.activeElement"))
            tops.append(await hedge.evaluate("summary => summary.getBoundingClientRect().top"))
        seen_after = (await expanded(page), page.url)

    assert "#risk-" in page.url
    assert [False, True, True, True] == sorted(is_open for _, is_open in seen_before[0])
    assert seen_before == seen_after
    assert [pytest.approx(tops[0], abs=1)] * 2 == tops[1:]
    assert [True, True] == focused
    assert [] == seen.complaints


async def test_failed_refresh(browser: Browser, url: str) -> None:
    """If a refresh fails, the page and its title say since when it is not up to date, until one succeeds."""
    async with opened(browser, url, SIZES[1], clock=True) as seen:
        page = seen.page
        answers: list[dict[str, Any]] = [{"status": 503}, {"body": "<p>a proxy's login page</p>"}, {}]

        async def answer(route: Route) -> None:
            await (route.continue_() if not answers else route.fulfill(**answers[0]) if answers[0] else route.abort())

        await page.route(f"{url}/", answer)
        outdated, reports = page.locator("#outdated"), [await page.locator("#outdated").is_visible()]
        colors = [await page.evaluate(HEADLINE_COLOR)]
        texts = []
        for problem in ("status 503", "not this page", "the exporter cannot be reached"):
            await page.clock.fast_forward(16_000)
            await outdated.get_by_text(problem).wait_for()
            texts.append((await outdated.inner_text(), await page.title()))
            answers.pop(0)
        colors.append(await page.evaluate(HEADLINE_COLOR))
        await page.clock.fast_forward(16_000)
        await outdated.wait_for(state="hidden")
        title = await page.title()
        colors.append(await page.evaluate(HEADLINE_COLOR))

    assert [False] == reports
    assert all(text.startswith("Not up to date since ") for text, _ in texts)
    assert all(text.startswith("Not up to date · 3 accounts critical") for _, text in texts)
    assert title.startswith("3 accounts critical")
    assert ["rgb(163, 22, 31)", "rgb(86, 96, 112)", "rgb(163, 22, 31)"] == colors


async def test_selected_text_is_kept(browser: Browser, url: str) -> None:
    """While text is selected the page is not refreshed, and says so; then it is up to date again."""
    async with opened(browser, url, SIZES[1], clock=True) as seen:
        page, outdated = seen.page, seen.page.locator("#outdated")
        await page.evaluate("getSelection().selectAllChildren(document.querySelector('.accounts tbody th'))")
        selected = [await page.evaluate("getSelection().toString()")]
        await page.clock.fast_forward(16_000)
        await outdated.get_by_text("text is selected").wait_for()
        selected.append(await page.evaluate("getSelection().toString()"))
        await page.evaluate("getSelection().removeAllRanges()")
        await page.clock.fast_forward(16_000)
        await outdated.wait_for(state="hidden")

    assert selected[0]
    assert selected[0] == selected[1]


async def test_behind_a_proxy_with_a_password(browser: Browser, url: str) -> None:
    """Behind a path prefix and a password in the page's URL, the page loads its files and refreshes."""
    statuses = []

    async def forward(route: Route) -> None:
        request = route.request
        response = await route.fetch(url=f"{url}{request.url.partition('/prefix')[2]}")
        statuses.append((request.url.partition("/prefix")[2], response.status))
        await route.fulfill(response=response)

    async with opened(browser, "about:blank", SIZES[1], clock=True) as seen:
        await seen.page.route("**/prefix/**", forward)
        await seen.page.goto("http://name:password@exporter.test/prefix/")
        await seen.page.get_by_text("This page refreshes every 15 seconds").wait_for()
        await seen.page.clock.fast_forward(16_000)
        await until(lambda: len(statuses) > 3)

    first, *files, refresh = statuses
    assert [("/", 200)] * 2 == [first, refresh]
    assert [("/-/status.css", 200), ("/-/status.js", 200)] == sorted(files)


async def test_without_script(browser: Browser, url: str) -> None:
    """Without scripts the page is complete, reloads itself, and offers no filter."""
    async with opened(browser, url, SIZES[1], scripts=False) as seen:
        shown = await seen.page.get_by_role("table", name="Risk and polling status").is_visible()
        footer = (await seen.page.locator("footer").inner_text()).strip()
        has_filter = await seen.page.locator("#filter").is_visible()

    assert (True, "This page reloads every 15 seconds.", False) == (shown, footer, has_filter)


async def test_filter(browser: Browser) -> None:
    """The filter leaves accounts with all of its words and their failures, unfolds tables, and folds them again."""
    names = [f"desk-{number:02}" for number in range(40)]
    states = [make_state(name, answered_at=0.0) for name in names]
    for failing, message in ((states[11], "first"), (states[21], "second")):
        failing.last_poll_succeeded, failing.last_failure = False, Failure(Reason.EXCHANGE, message, "wait")
    snapshots = dict.fromkeys(names, cross_position(0.01))
    async with (
        serving(b"", page=lambda: render_page(states, [], 1.0, "/metrics", "1", snapshots)) as (client, _),
        opened(browser, str(client.base_url), SIZES[1], clock=True) as seen,
    ):
        page = seen.page
        await page.get_by_label("Filter accounts").fill("DESK-1 normal")
        shown = [await page.locator(".accounts tbody tr:visible th").all_inner_texts()]
        tables = await page.locator("details[id^=d]:visible").count()
        await page.evaluate("document.querySelector('.accounts tbody').dataset.old = 'yes'")
        await page.clock.fast_forward(16_000)
        await page.locator("tbody[data-old]").wait_for(state="detached")
        shown.append(await page.locator(".accounts tbody tr:visible th").all_inner_texts())
        words = [
            await page.get_by_role("status").inner_text(),
            await page.get_by_label("Filter accounts").input_value(),
        ]
        failures = await page.locator(".failures li:visible strong:first-child bdi").all_inner_texts()
        folds = [await page.locator(".fold[open]").count()]
        await page.get_by_label("Filter accounts").fill("")
        folds.append(await page.locator(".fold[open]").count())
        await page.locator("#more-positions > summary").click()
        for text in ("desk", ""):
            await page.get_by_label("Filter accounts").fill(text)
            folds.append(await page.locator(".fold[open]").count())

    assert [[names[11], *names[10:11], *names[12:20]]] * 2 == shown
    assert ["desk-11"] == failures
    assert [2, 0, 2, 1] == folds
    assert 10 == tables
    assert ["10 of 40 accounts match", "DESK-1 normal"] == words
