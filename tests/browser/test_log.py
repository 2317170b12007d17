"""The provisioning log while things happen: what comes in appears, is filtered, is explained and exported."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Contoso, Reader


def test_what_comes_in_appears_and_is_explained(admin: Reader, contoso: Contoso) -> None:
    """A number that nobody can dial: in the open log at once, with a sentence that says what to do."""
    page = admin.open("/console/log")
    expect(page.get_by_role("switch", name="Live")).to_be_checked()
    user = contoso.person("Jonas Petrov")["sign_in"]
    contoso.entra.do("change_user", user=user, mobilePhone="0170 / 1234", jobTitle="Fellow")
    contoso.push()
    entries = page.locator("#entries")
    expect(entries).to_contain_text("Jonas Petrov")
    admin.check()

    page.get_by_label("Outcome").select_option("Warning")
    expect(page).to_have_url(re.compile("outcome=warning"))
    expect(page.get_by_role("row").filter(has_text="refused")).to_have_count(0)
    row = page.get_by_role("row").filter(has_text="Jonas Petrov").first
    expect(row).to_contain_text("warning")
    with page.expect_download() as export:
        page.get_by_role("link", name="CSV").click()
    assert "Jonas Petrov" in export.value.path().read_text("utf-8")

    row.locator("a.name").click()
    expect(page.get_by_role("main")).to_contain_text("What to do:")
    assert "0170" not in page.content()
    admin.check()
