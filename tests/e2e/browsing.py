"""A real browser on a real portal: Debian's Chromium, driven by Playwright."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from services.demo.visitors import Visitors
from tests.support.tools import tool

PHONE, DESK = {"width": 360, "height": 780}, {"width": 1280, "height": 900}


def chromium_environment(home: str) -> dict[str, str]:
    """Environment of a browser with a separate, writable home, without which it does not start."""
    return {**os.environ, "HOME": home}


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """The browser, closed at the end. Root has to start it without its sandbox."""
    with TemporaryDirectory(prefix="danbao-browser-") as home:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=tool("chromium"),
                args=["--no-sandbox", "--disable-gpu"],
                env={**chromium_environment(home)},
            )
            yield browser
            await browser.close()


@dataclass(slots=True)
class Visit:
    """A window on the portal; `faults` are errors of its script, and what the content policy or the network refused."""

    page: Page
    visitors: Visitors
    faults: list[str]

    async def sign_in(self, name: str) -> None:
        await self.go("/sign-in")
        await self.page.fill("#name", name)
        await self.page.fill("#password", self.visitors.password)
        await self.page.click("main button")
        await self.page.wait_for_selector("nav.tabs")

    async def go(self, path: str, status: int = 200) -> str:
        """Open a page and return its text."""
        answer = await self.page.goto(self.visitors.address + path)
        assert answer is not None
        assert answer.status == status, (path, answer.status)
        return await self.text()

    async def follow(self, name: str) -> str:
        """Click the link with these words within the page's content, and return the text of where it leads."""
        await self.page.locator("main").get_by_role("link", name=name, exact=True).first.click()
        return await self.text()

    async def text(self) -> str:
        return await self.page.inner_text("main")


@asynccontextmanager
async def visiting(
    browser: Browser, visitors: Visitors, name: str | None, *, lang: str = "zh", **more: Any
) -> AsyncIterator[Visit]:
    """A visit of an account, in a separate context; without faults at its end."""
    context = await browser.new_context(**{"viewport": DESK} | more)
    await context.add_cookies([{"name": "danbao_language", "value": lang, "url": visitors.address}])
    page = await context.new_page()
    page.set_default_timeout(20_000)
    visit = Visit(page, visitors, [])
    page.on("pageerror", lambda error: visit.faults.append(str(error)))
    page.on("console", lambda said: visit.faults.append(said.text) if said.type == "error" else None)
    page.on("dialog", lambda dialog: visit.faults.append(f"a dialog: {dialog.message}"))
    if name is not None:
        await visit.sign_in(name)
    yield visit
    await context.close()
    assert [fault for fault in visit.faults if "status of" not in fault] == []
