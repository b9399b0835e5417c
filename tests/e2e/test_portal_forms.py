"""How the pages appear to everybody: no fault that axe finds, no page wider than a phone, one language at a time."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser

from services.demo.visitors import PROVINCE, Visitors
from shared.contracts.topics import enterprise_of
from tests.e2e.browsing import DESK, PHONE, Visit, visiting
from tests.e2e.conftest import Month

pytestmark = pytest.mark.exhaustive
AXE = Path(__file__).parent / "axe" / "axe.min.js"
OPEN_RECEIPTS = re.compile("打开凭证|Open the receipts")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = "tags => axe.run(document, {runOnly: tags, resultTypes: ['violations']}).then(found => found.violations)"


async def main_pages(visitors: Visitors) -> list[str]:
    own = next(str(account.scope) for account in visitors.accounts if account.role == "enterprise")
    return [
        "/", "/provinces/31", "/provinces/54", f"/enterprises/{own}", "/industries/instant_delivery",
        "/days/2026-10-05", "/months", "/months/2026-10", "/statements", "/discrepancies", "/discrepancies/1",
        "/evidence", f"/enterprises/{own}/arriving", f"/enterprises/{own}/parked", f"/enterprises/{own}/series",
        f"/enterprises/{own}/trial", "/looks", "/reports/2026-10-05/31",
    ]  # fmt: skip


@pytest.mark.parametrize(("theme", "lang", "size"), [("light", "zh", DESK), ("dark", "en", PHONE)])
async def test_axe_finds_nothing_serious(
    month: Month, browser: Browser, visitors: Visitors, theme: str, lang: str, size: dict[str, int]
) -> None:
    faults: dict[str, list[str]] = {}

    async def examine(visit: Visit, path: str) -> None:
        await visit.page.add_script_tag(path=AXE)
        for violation in await visit.page.evaluate(RUN, TAGS):
            if violation["impact"] in {"serious", "critical"}:
                faults.setdefault(path, []).append(f"{violation['id']}: {violation['nodes'][0]['html'][:160]}")

    # The test puts its own script into the page; the policy, which would refuse it, is held by other tests.
    more = {"color_scheme": theme, "viewport": size, "bypass_csp": True}
    async with visiting(browser, visitors, "national", lang=lang, **more) as visit:
        paths = await main_pages(visitors)
        owed = await visit.go("/statements") and await visit.page.locator("tbody th a").first.get_attribute("href")
        for path in [*paths, str(owed), await a_parked_event(month), "/receipt", "/sign-in", "/my-password"]:
            await visit.go(path)
            await examine(visit, path)
        await visit.go("/keys", 403)
        await examine(visit, "an error")
    async with visiting(browser, visitors, "operator", lang=lang, **more) as visit:
        await visit.go("/keys")
        await examine(visit, "/keys")
    async with visiting(browser, visitors, None, lang=lang, **more) as visit:
        await visit.go(visitors.worker_link.removeprefix(visitors.address))
        await visit.page.get_by_role("button", name=OPEN_RECEIPTS).click()
        await visit.go(f"/my-receipts?at={visitors.covered_at:%Y-%m-%dT%H:%M:%S}")
        assert await visit.page.locator(".qr").count() > 0
        await examine(visit, "/my-receipts")
    assert faults == {}


async def a_parked_event(month: Month) -> str:
    parked = (await month.system.apis.charging.get("/v1/parked", limit="1"))["parked"][0]
    return f"/enterprises/{enterprise_of(parked['topic'])}/parked/{parked['cursor']}"


@pytest.mark.parametrize("name", ["national", "enterprise"])
async def test_no_page_is_wider_than_a_phone(browser: Browser, visitors: Visitors, name: str) -> None:
    wide = {}
    async with visiting(browser, visitors, name, viewport=PHONE, lang="en") as visit:
        own = next(str(account.scope) for account in visitors.accounts if account.role == "enterprise")
        paths = await main_pages(visitors) if name == "national" else ["/", "/keys", f"/enterprises/{own}/arriving"]
        for path in [*paths, "/receipt", "/my-password"]:
            await visit.go(path)
            width = await visit.page.evaluate("document.documentElement.scrollWidth")
            if width > PHONE["width"]:
                wide[path] = width
    assert wide == {}


async def test_the_switch_keeps_the_page_and_stays(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, "guangdong") as visit:
        await visit.go(f"/statements?period=2026-10&province={PROVINCE}")
        await visit.page.click("a[hreflang=en]")
        assert "province=44" in visit.page.url
        assert await visit.page.get_attribute("html", "lang") == "en"
        assert "Statements" in await visit.text()
        await visit.go("/months")
        assert "Months" in await visit.text()
        assert "月报" not in await visit.page.inner_text("body")


async def test_a_statement_prints_without_the_frame(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, "national") as visit:
        await visit.go("/statements")
        await visit.page.locator("tbody th a").first.click()
        await visit.page.emulate_media(media="print")
        assert not await visit.page.locator("nav.tabs").is_visible()
        assert not await visit.page.locator(".downloads").first.is_visible()
        assert await visit.page.locator("h1").is_visible()
        assert len(await visit.page.pdf()) > 10_000


async def test_the_keyboard_reaches_the_content_first(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, "national") as visit:
        await visit.go("/")
        await visit.page.keyboard.press("Tab")
        assert await visit.page.evaluate("document.activeElement.className") == "skip"
        await visit.page.keyboard.press("Enter")
        await visit.page.keyboard.press("Tab")
        assert await visit.page.evaluate("document.querySelector('main').contains(document.activeElement)")


async def test_what_is_typed_waits_for_the_button(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, "national") as visit:
        await visit.go("/statements")
        await visit.page.focus("#f-state")
        await visit.page.keyboard.press("ArrowDown")
        await visit.page.keyboard.press("Tab")
        assert "state=" not in visit.page.url
        await visit.page.keyboard.press("Enter")
        await visit.page.wait_for_url("**state=issued**")


async def test_the_register_is_told_in_the_readers_language(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, "national") as visit:
        await visit.go("/discrepancies")
        assert await visit.page.locator("tbody tr").count() == 50
        assert await visit.page.locator("tbody td span[lang=en]").all_inner_texts() == []
        await visit.follow("下一页")
        assert await visit.page.locator("tbody td span[lang=en]").all_inner_texts() == []
