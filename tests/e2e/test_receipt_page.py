"""The page /receipt in a real browser without a network, and its check in Node over the command's own vectors."""

import html
import json
import re
import subprocess
from pathlib import Path

import pytest

from services.reporting.pages.receipt_page import RECEIPT, SCRIPTS, render_page
from services.reporting.rendering.texts import Language
from tests.e2e.browsing import chromium_environment
from tests.support.authors import CHARGING
from tests.support.receipt_cases import LOG_KEY, ORDER, USCC, WITNESS_KEY, WORKER, cases
from tests.support.tools import needs, tool

HERE = Path(__file__).parent
VECTORS = HERE.parent / "domain" / "receipt_vectors.json"
CASES = {case.name: case for case in cases()}
SECONDS = 60


def browse(folder: Path, fragment: str, language: Language = "en") -> str:
    """The page's text after its check, from a file, with every address unreachable."""
    page = folder / "receipt.html"
    keys = [str(LOG_KEY), str(WITNESS_KEY), str(CHARGING.author)]
    page.write_text(render_page(keys, {USCC: "演示出行"}, language)[0], encoding="utf-8")
    command = [
        tool("chromium"), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000", "--dump-dom",
        f"{page.as_uri()}#{fragment}",
    ]  # fmt: skip
    env = chromium_environment(str(folder))
    reported = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    shown = re.sub(r"<(script|style)\b.*?</\1>", "", reported, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", shown))


@needs("chromium")
def test_a_browser_without_a_network_proves_a_receipt_and_shows_what_was_insured(tmp_path: Path) -> None:
    text = browse(tmp_path, CASES["completed"].receipt.text)
    assert "Proved to be in the log" in text
    for shown in (
        ORDER,
        WORKER,
        USCC,
        "演示出行",
        "Guangdong",
        "2026-10-03 11:59:50",
        "2026-10-03 12:20:24",
        "0.01 yuan",
        "checked, every batch",
    ):
        assert shown in text


@needs("chromium")
@pytest.mark.parametrize("name", ["premium", "another history, signed", "made by a stranger"])
def test_the_page_names_the_step_that_failed(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    text = browse(tmp_path, case.receipt.digits)
    assert f"NOT proved: {case.fails_at}" in text
    assert "2026-10-03 11:59:50" not in text


@needs("node")
@pytest.mark.parametrize("signatures", ["native", "library"])
def test_the_page_and_the_command_judge_every_receipt_alike(signatures: str) -> None:
    scripts = [str(RECEIPT / name) for name in SCRIPTS if name != "page.js"]
    command = [tool("node"), str(HERE / "receipt_vectors.mjs"), str(VECTORS), signatures, *scripts]
    reported = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    assert [json.loads(line) for line in reported.splitlines()] == [
        [case.name, case.fails_at] for case in CASES.values()
    ]
