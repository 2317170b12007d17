"""Setting Entra up: a secret that is shown once, a test with the right one and a wrong one, and Microsoft Graph."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Contoso, Reader


def test_a_secret_is_made_copied_tested_and_revoked(admin: Reader) -> None:
    """Beside the one that Entra has; the test says which secret is good and which is not."""
    admin.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = admin.open("/console/setup")
    page.get_by_label("What you call it").fill("Second secret")
    page.get_by_role("button", name="Make another secret").click()
    made = page.locator("#new-secret")
    secret = made.input_value()
    page.locator(".copy").filter(has=made).get_by_role("button", name="Copy").click()
    assert secret == page.evaluate("() => navigator.clipboard.readText()")
    admin.check()

    page.get_by_text("Test the connection from here first").click()
    tested = page.locator("#tested")
    for token, says in ((secret, "This is how it should be"), ("scim_of-nobody", "The bearer token is not known here")):
        page.locator("#f-token").fill(token)
        page.get_by_role("button", name="Test connection").click()
        expect(tested).to_contain_text(says)
        admin.check()

    page.get_by_role("row").filter(has_text="Second secret").get_by_role("button", name="Revoke").click()
    admin.yes()
    expect(page.get_by_role("row").filter(has_text="Second secret")).to_contain_text("revoked")
    assert secret not in page.content()


def test_graph_is_connected_synced_and_disconnected(admin: Reader, contoso: Contoso) -> None:
    """By the consent of the simulated Microsoft, which asks who one is; then progress, and an end."""
    page = admin.open("/console/setup/graph")
    admin.check()
    contoso.entra.do("fault", kind="throttle", path="/users/delta", retry_after=2, count=1)
    admin.connect_graph()
    expect(page.get_by_role("main")).to_contain_text("granted")
    expect(page.locator("#sync").get_by_role("progressbar")).to_be_visible()
    admin.wait_for_the_sync()
    admin.check()
    admin.disconnect_graph()
    admin.check()
