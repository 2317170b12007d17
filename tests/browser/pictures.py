"""Takes the README's pictures of the demo, by hand: `python -m tests.browser.pictures SIGN_IN_LINK`.

The link is the one that `scim-server demo` prints; give it a minute first, so that there is something to see.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.browser.conftest import FLAGS, NAMES

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"
DESK: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 780}


def main(link: str) -> None:
    """Sign in by the link and take them all."""
    FOLDER.mkdir(exist_ok=True)
    found = next(path for path in map(shutil.which, NAMES) if path)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        desk = browser.new_context(viewport=DESK, locale="en-GB")
        page = desk.new_page()
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/console")
        base = f"{urlsplit(link).scheme}://{urlsplit(link).netloc}"
        take(page, f"{base}/console?span=hour", "overview")
        take(page, f"{base}/console/setup", "setup")
        take(page, first_of(page, f"{base}/console/people", "/console/people/01"), "person")
        take(page, first_of(page, f"{base}/console/templates", "/console/templates/01"), "template")
        take(page, f"{base}/console/log", "log")
        card = first_of(page, first_of(page, f"{base}/console/cards", "/console/cards/01"), "/c/")
        on_a_phone(browser, card)
        browser.close()


def take(page: Page, address: str, name: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}.png")


def first_of(page: Page, address: str, start: str) -> str:
    """Give the first link of a page whose path begins so."""
    page.goto(address)
    found = page.eval_on_selector_all("main a[href]", "all => all.map(each => each.href)")
    return next(str(each) for each in found if urlsplit(each).path.startswith(start))


def on_a_phone(browser: Browser, address: str) -> None:
    phone = browser.new_context(viewport=PHONE, locale="en-GB", device_scale_factor=1.5)
    take(phone.new_page(), address, "card")


if __name__ == "__main__":
    main(sys.argv[1])
