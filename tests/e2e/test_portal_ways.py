"""A stranger in the portal: what an enterprise owes, which events were parked and why, how many were insured."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from services.demo.demo import OCTOBER
from services.demo.visitors import PROVINCE, Visitors
from services.reporting.rendering.texts import Translator, grouped, read_texts
from shared.contracts.topics import enterprise_of
from shared.domain.scheme.province import PROVINCES
from tests.e2e.browsing import PHONE, Visit, visiting
from tests.e2e.conftest import Month

pytestmark = pytest.mark.exhaustive
PERIOD = str(OCTOBER)
DAY = "2026-10-05"


@pytest.fixture(params=[("zh", {}), ("en", {"viewport": PHONE}), ("zh", {"java_script_enabled": False})],
                ids=["context", "phone, English", "no script"])  # fmt: skip
async def stranger(
    request: pytest.FixtureRequest, browser: Browser, visitors: Visitors
) -> AsyncIterator[tuple[Visit, Translator]]:
    """The national regulator's account, and what the portal says in the language of the visit."""
    lang, more = request.param
    async with visiting(browser, visitors, "national", lang=lang, **more) as visit:
        yield visit, Translator(lang, read_texts(), {})


async def test_what_an_enterprise_owes_for_october_in_guangdong(
    request: pytest.FixtureRequest, month: Month, stranger: tuple[Visit, Translator]
) -> None:
    visit, t = stranger
    owed = next(
        statement
        for statement in month.summary.statements
        if statement["province"] == PROVINCE and statement["amount_yuan"] > "0"
    )
    await visit.go("/")
    await visit.page.get_by_role("link", name=t("nav.statements"), exact=True).click()
    await visit.page.select_option("#f-province", PROVINCE)
    if "no script" in request.node.name:
        await visit.page.click("form.filter button")
    await visit.page.wait_for_url(f"**province={PROVINCE}**")
    row = visit.page.locator("tbody tr", has_text=owed["enterprise"])
    assert await row.count() == 1
    assert grouped(owed["amount_yuan"]) in await row.inner_text()
    await row.get_by_role("link").click()
    shown = await visit.text()
    assert t("statement.due") in shown
    assert grouped(owed["amount_yuan"]) in shown
    assert t.province(PROVINCE) in shown
    assert t.month(PERIOD) in shown


async def test_which_events_were_parked_and_why(month: Month, stranger: tuple[Visit, Translator]) -> None:
    visit, t = stranger
    parked = (await month.system.apis.charging.get("/v1/parked", limit="1000"))["parked"]
    uscc = enterprise_of(parked[0]["topic"])
    own = [row for row in parked if enterprise_of(row["topic"]) == uscc]
    name = month.system.scheme.names[str(uscc)]
    await visit.go("/")
    await visit.follow(name)
    text = await visit.follow(t("own.parked"))
    assert await visit.page.locator("tbody tr").count() == len(own)
    for row in own:
        assert t.word("park", row["reason"]) in text
    await visit.follow(own[0]["cursor"])
    shown = await visit.text()
    assert t.word("park", own[0]["reason"]) in shown
    assert t("own.very_bytes") in shown
    assert len((await visit.page.inner_text("pre")).strip()) > 0


async def test_how_many_workers_were_insured_in_shanghai_on_a_day(
    request: pytest.FixtureRequest, month: Month, stranger: tuple[Visit, Translator]
) -> None:
    visit, t = stranger
    reported = await month.system.apis.national_platform.get(f"/v1/reports/coverage.{DAY}.31")
    await visit.go("/")
    await visit.follow(t.province("31"))
    await visit.page.fill("#f-day", DAY)
    if "no script" in request.node.name:
        await visit.page.locator("form[action='/days'] button").click()
    await visit.page.wait_for_url(f"**/days/{DAY}/31")
    fact = visit.page.locator(".facts > div", has_text=t("figure.distinct"))
    assert t("figure.workers") in await fact.inner_text()
    assert await fact.locator(".big").inner_text() == f"{grouped(reported['province_workers'])} {t('unit.workers')}"
    await visit.follow(PROVINCES["31"].chinese if t.language == "zh" else PROVINCES["31"].english)
    assert grouped(reported["orders"]) in await visit.text()
    assert f"coverage.{DAY}.31" in await visit.text()


async def test_every_figure_of_the_first_page_leads_to_what_it_is_made_of(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, "national") as visit:
        await visit.go("/")
        facts = visit.page.locator(".facts .big")
        targets = await visit.page.locator(".facts .big a").evaluate_all("found => found.map(each => each.href)")
        assert len(targets) == await facts.count() >= 7
        marks = await visit.page.locator(".map a").evaluate_all("found => found.map(each => each.href.baseVal)")
        assert len(marks) == 31
        tables = await visit.page.locator("tbody th a").evaluate_all("found => found.map(each => each.href)")
        # Without fragments: a way within the page that is open loads nothing.
        for target in {re.sub(r"^https?://[^/]+|#.*", "", address) for address in (*targets, *marks[:2], *tables[:2])}:
            await visit.go(target)


async def test_the_map_is_shaded_by_what_is_asked_for(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, "national") as visit:
        shades = {}
        for name in ("workers", "coverage", "premium"):
            await visit.go(f"/?shade={name}")
            classes = "found => found.map(each => each.className.baseVal)"
            shades[name] = await visit.page.locator(".map path").evaluate_all(classes)
        assert shades["workers"] != shades["premium"]
        await visit.page.hover(".map a path.q5")
        assert "保障费" in await visit.page.inner_text(".tip")
