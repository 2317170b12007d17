"""Settings: a policy, a key that is shown once, and a second administrator, of whom the audit tells."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Reader, Windows


def test_a_policy_and_a_key(admin: Reader) -> None:
    """Saved; shown once; revoked."""
    page = admin.open("/console/settings")
    for choice in ("Only those I add", "Every group"):
        page.get_by_role("radio", name=choice).check()
        with page.expect_navigation():
            page.get_by_role("button", name="Save policies").click()
        expect(page.get_by_role("status").first).not_to_be_empty()
        expect(page.get_by_role("radio", name=choice)).to_be_checked()
    admin.check()

    page.get_by_role("navigation", name="Settings").get_by_role("link", name="API keys").click()
    page.get_by_label("Label").fill("Nightly export")
    page.get_by_role("button", name="Make key").click()
    key = page.locator("#secret").input_value()
    admin.check()
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("row").filter(has_text="Nightly export").get_by_role("button", name="Revoke").click()
    admin.yes()
    expect(page.get_by_text("that is over")).to_be_visible()
    assert key not in page.content()


def test_a_second_administrator_signs_in_and_out_everywhere(window: Windows, admin: Reader) -> None:
    """By a link each in two windows; signing out everywhere else in one ends the other; the audit names who did what."""
    page = admin.open("/console/settings/administrators")
    page.get_by_label("E-mail address").fill("grace@contoso.com")
    page.get_by_role("button", name="Add administrator").click()
    admin.check()
    first, second = window(), window()
    sign_in(first, page.get_by_label("Sign-in link").input_value())
    page.get_by_role("link", name="Done").click()
    page.get_by_role("row").filter(has_text="grace@contoso.com").get_by_role("button", name="New link").click()
    sign_in(second, page.get_by_label("Sign-in link").input_value())

    first.open("/console/account")
    first.check()
    first.page.get_by_role("button", name="Sign out everywhere else").click()
    first.yes()
    expect(first.page.get_by_role("status").first).to_contain_text("1 other session is ended")
    second.page.get_by_role("link", name="People", exact=True).click()
    expect(second.page.get_by_role("heading", level=1)).to_have_text("Sign in")

    page.get_by_role("navigation", name="Settings").get_by_role("link", name="Audit").click()
    row = page.get_by_role("row").filter(has_text="grace@contoso.com").first
    expect(row).to_contain_text("ada@contoso.com")
    admin.check()


def sign_in(reader: Reader, link: str) -> None:
    """Use a link as it was given."""
    reader.page.goto(link)
    reader.page.get_by_role("button", name="Sign in").click()
    reader.page.wait_for_url("**/console")
