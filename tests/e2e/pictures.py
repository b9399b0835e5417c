"""Redraws docs/portal/: `.venv/bin/python -m tests.e2e.pictures` plays a month and opens its main pages."""

import asyncio
import tempfile
from base64 import b64decode
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page

from services.demo.demo import AS_OF, OCTOBER, DemoRequest, play_month, wishes_of
from services.demo.generator.month import Wanted
from services.demo.progress import Silent
from services.demo.running.system import running_system
from services.demo.visitors import Visitors, invite
from tests.e2e.browsing import PHONE, open_browser, visiting

ORDERS: Final = 20_000
SEED: Final = 1
FOLDER: Final = Path(__file__).parents[2] / "docs" / "portal"
QUALITY: Final = 84
DESK: Final = {"width": 1280, "height": 960}
DARK: Final = {"color_scheme": "dark"}
LOCALES: Final = {"zh": "zh-CN", "en": "en-GB"}


def pages(visitors: Visitors) -> dict[str, tuple[str, str, str, dict[str, Any]]]:
    """Name of the picture to account, path, language and how the browser is set."""
    own = next(str(account.scope) for account in visitors.accounts if account.role == "enterprise")
    bill = f"/statements/2026-10-44-91000000FAKE00005U?as_of={AS_OF}"
    return {
        "overview": ("national", "/", "zh", {}),
        "overview-dark-english": ("national", "/", "en", DARK),
        "province": ("guangdong", "/provinces/44", "zh", {}),
        "day": ("national", "/days/2026-10-05/31", "en", {}),
        "statements": ("national", f"/statements?as_of={AS_OF}", "zh", {}),
        "statement": ("national", bill, "zh", {}),
        "discrepancies": ("national", "/discrepancies", "zh", {}),
        "discrepancy": ("national", "/discrepancies/26", "zh", {}),
        "evidence": ("national", "/evidence", "zh", {}),
        "arriving": ("enterprise", f"/enterprises/{own}/arriving", "zh", {}),
        "parked": ("national", "/enterprises/91000000FAKE00005U/parked", "en", {}),
        "phone-overview": ("national", "/", "zh", {"viewport": PHONE}),
        "phone-statement": ("enterprise", f"/statements?as_of={AS_OF}", "en", {"viewport": PHONE} | DARK),
    }


async def draw() -> None:
    """Play a month, open each page, keep what is seen."""
    FOLDER.mkdir(exist_ok=True)
    wanted = Wanted(ORDERS, SEED, OCTOBER)
    with tempfile.TemporaryDirectory() as folder:
        request = DemoRequest(ORDERS, SEED, Path(folder))
        async with running_system(wishes_of(request, wanted)) as system, open_browser() as browser:
            await system.supervisor.guard(play_month(system, wanted, Silent()))
            visitors = await invite(system, wanted)
            for name, (account, path, lang, more) in pages(visitors).items():
                set_as = {"viewport": DESK, "locale": LOCALES[lang]} | more
                async with visiting(browser, visitors, account, lang=lang, **set_as) as visit:
                    await visit.go(path)
                    await keep(visit.page, name, is_whole=name == "overview")
            await draw_receipt(browser, visitors)


async def draw_receipt(browser: Browser, visitors: Visitors) -> None:
    """A worker's phone, from the link to the receipt that it checked."""
    async with visiting(browser, visitors, None, viewport=PHONE, locale=LOCALES["zh"]) as visit:
        await visit.go(visitors.worker_link.removeprefix(visitors.address))
        await visit.page.get_by_role("button", name="打开凭证").click()
        await visit.page.fill("#at", f"{visitors.covered_at:%Y-%m-%dT%H:%M:%S}")
        await visit.page.click("main form button")
        await visit.page.get_by_role("link", name="打开凭证并核验").first.click()
        await visit.page.wait_for_selector("#verdict.good")
        await keep(visit.page, "phone-receipt", is_whole=False)


async def keep(page: Page, name: str, *, is_whole: bool) -> None:
    """What is in the window, or the whole page, as WebP, which Playwright does not make and the browser does."""
    if is_whole:
        height = await page.evaluate("document.documentElement.scrollHeight")
        await page.set_viewport_size({"width": DESK["width"], "height": height})
    browser = await page.context.new_cdp_session(page)
    taken = await browser.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    (FOLDER / f"{name}.webp").write_bytes(b64decode(taken["data"]))


if __name__ == "__main__":
    asyncio.run(draw())
