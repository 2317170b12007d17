"""The console without a mouse: everything is reached by Tab, and Enter does it."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.browser.conftest import Contoso, Reader, Windows

MOST_TABS = 80


def tab_to(reader: Reader, target: Locator) -> None:
    """Press Tab until something has the focus, and see that the focus can be seen."""
    for _ in range(MOST_TABS):
        reader.page.keyboard.press("Tab")
        if target.evaluate("each => each === document.activeElement"):
            break
    expect(target).to_be_focused()
    assert "none" != target.evaluate("each => getComputedStyle(each).outlineStyle")


def test_from_the_sign_in_to_an_action_without_a_mouse(window: Windows, contoso: Contoso) -> None:
    """Sign in, skip to the content, menu, search, person, activate; revoke by the menu, with its question."""
    reader = window()
    page = reader.open(f"/console/sign-in?link={contoso.link()}")
    tab_to(reader, page.get_by_role("button", name="Sign in"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/console")

    tab_to(reader, page.get_by_role("link", name="Skip to the content"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.reload()
    tab_to(reader, page.get_by_role("navigation", name="Console").get_by_role("link", name="People"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("People")

    page.wait_for_load_state()
    page.keyboard.press("/")
    page.keyboard.type("Viktor Olsen")
    person = page.get_by_role("link", name="Viktor Olsen")
    expect(page.get_by_role("row")).to_have_count(2)
    tab_to(reader, person)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Viktor Olsen")
    tab_to(reader, page.get_by_role("button", name="Activate account"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("The account is activated")

    tab_to(reader, page.get_by_label("More for Viktor Olsen"))
    page.keyboard.press("Enter")
    tab_to(reader, page.get_by_role("button", name="Revoke account"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Please confirm")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("The account is revoked")
    reader.check()
