"""Each role's way through its own pages, and what is not its own."""

import json

import pytest
from playwright.async_api import Browser

from services.demo.visitors import PROVINCE, Visitors
from tests.e2e.browsing import PHONE, visiting
from tests.e2e.conftest import Month

pytestmark = pytest.mark.exhaustive
EVIL = "<img src=x onerror=alert(1)>"


def scope_of(visitors: Visitors, role: str) -> str:
    return next(str(account.scope) for account in visitors.accounts if account.role == role)


async def test_a_province_begins_at_home_and_sees_no_other(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, "guangdong") as visit:
        text = await visit.go("/")
        assert visit.page.url.endswith(f"/provinces/{PROVINCE}")
        assert "广东省" in text
        for path in ("/months", "/statements", "/discrepancies", "/evidence", f"/days/2026-10-05/{PROVINCE}"):
            assert "上海市" not in (await visit.go(path)), path
        for path in ("/provinces/31?period=2026-10", "/days/2026-10-05/31", "/industries/instant_delivery?province=31"):
            await visit.go(path, 404)
        for path in ("/looks", "/keys", f"/enterprises/{scope_of(visitors, 'enterprise')}/parked"):
            await visit.go(path, 403)


async def test_a_finding_is_explained_and_keeps_its_history(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, "guangdong") as visit:
        await visit.go(f"/discrepancies?state=open&province={PROVINCE}")
        await visit.page.locator("tbody th a").first.click()
        await visit.page.select_option("#state", "explained")
        await visit.page.fill("#comment", f"核对过名册 {EVIL}")
        await visit.page.click("main form button")
        text = await visit.text()
        assert "已说明" in text
        assert EVIL in text
        assert "guangdong" in text


async def test_an_enterprise_sees_its_stream_and_tries_an_event(
    month: Month, browser: Browser, visitors: Visitors
) -> None:
    own = scope_of(visitors, "enterprise")
    name = month.system.scheme.names[own]
    others = [other for uscc, other in month.system.scheme.names.items() if uscc != own]
    async with visiting(browser, visitors, "enterprise") as visit:
        text = await visit.go("/")
        assert name in text
        for way in ("刚刚到达", "搁置", "单号与日清单"):
            text = await visit.follow(way)
            assert not [other for other in others if other in text], way
        assert "s1" in text
        await visit.follow("试报")
        event = json.loads(await visit.page.input_value("#event"))
        await visit.page.click("main form button")
        assert "不计费" in await visit.page.get_by_role("status").inner_text()
        await visit.page.fill("#event", json.dumps(event | {"id": EVIL}))
        await visit.page.click("main form button")
        assert EVIL in await visit.page.input_value("#event")
        for path in ("/looks", "/reports/2026-10-05/31"):
            await visit.go(path, 403)
        await visit.go(f"/enterprises/{next(uscc for uscc in month.system.scheme.names if uscc != own)}", 404)


async def test_an_enterprise_makes_a_key_once_and_revokes_it(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, "enterprise") as visit:
        await visit.go("/keys")
        await visit.page.fill("#name", f"nightly {EVIL}")
        await visit.page.click("form.filter button")
        key = (await visit.page.inner_text("pre")).strip()
        assert key.startswith("danbao_")
        assert key not in await visit.go("/keys")
        row = visit.page.locator("tbody tr", has_text="nightly")
        await row.get_by_role("button").click()
        assert "已吊销" in await row.inner_text()


async def test_an_enterprise_makes_a_workers_link_that_opens_on_a_phone(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, "enterprise") as visit:
        await visit.go("/keys")
        await visit.page.fill("#worker", "0a" * 32)
        await visit.page.get_by_role("button", name="生成链接").click()
        link = (await visit.page.inner_text("pre")).strip()
        assert link.startswith(visitors.address + "/w/danbao_")
        await visit.go("/keys")
        await visit.page.evaluate("document.querySelector('#worker').removeAttribute('pattern')")
        await visit.page.fill("#worker", EVIL)
        await visit.page.get_by_role("button", name="生成链接").click()
        assert "64 位十六进制" in await visit.page.inner_text("[role=alert]")
    async with visiting(browser, visitors, None, viewport=PHONE) as visit:
        await visit.go(link.removeprefix(visitors.address))
        await visit.page.get_by_role("button", name="打开凭证").click()
        await visit.page.fill("#at", f"{visitors.covered_at:%Y-%m-%dT%H:%M:%S}")
        await visit.page.click("main form button")
        assert "该时刻没有参保订单" in await visit.text()


async def test_the_live_part_renews_itself(browser: Browser, visitors: Visitors) -> None:
    own = scope_of(visitors, "enterprise")
    async with visiting(browser, visitors, "enterprise") as visit:
        await visit.go(f"/enterprises/{own}/arriving")
        before = await visit.page.inner_text("#arriving .note")
        changed = "said => document.querySelector('#arriving .note').innerText !== said"
        await visit.page.wait_for_function(changed, arg=before)


async def test_a_worker_finds_the_receipt_on_a_phone_and_checks_it_there(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, None, viewport=PHONE) as visit:
        await visit.go(visitors.worker_link.removeprefix(visitors.address))
        await visit.page.get_by_role("button", name="打开凭证").click()
        await visit.page.fill("#at", f"{visitors.covered_at:%Y-%m-%dT%H:%M:%S}")
        await visit.page.click("main form button")
        await visit.page.get_by_role("link", name="打开凭证并核验").first.click()
        await visit.page.wait_for_selector("#verdict.good")
        text = await visit.text()
        assert "已证实记入存证日志" in text
        assert f"{visitors.covered_at:%Y-%m-%d}" in text
        await visit.go("/")
        assert visit.page.url.endswith("/my-receipts")


async def test_the_national_regulator_reads_who_looked(browser: Browser, visitors: Visitors) -> None:
    own = scope_of(visitors, "enterprise")
    async with visiting(browser, visitors, "national") as visit:
        await visit.go(f"/enterprises/{own}/parked")
        text = await visit.go("/looks")
        assert "national" in text
        assert own in text


async def test_a_wrong_password_is_refused_in_words(browser: Browser, visitors: Visitors) -> None:
    async with visiting(browser, visitors, None, lang="en") as visit:
        await visit.go("/statements")
        assert "/sign-in?next=" in visit.page.url
        await visit.page.fill("#name", "national")
        await visit.page.fill("#password", "no such password")
        await visit.page.click("main button")
        assert "Name or password is wrong." in await visit.text()
        await visit.page.fill("#name", "national")
        await visit.page.fill("#password", visitors.password)
        await visit.page.click("main button")
        assert "Statements" in await visit.text()
