"""A webhook in the browser: added, tried, failing on the overview, sent again, deleted."""

from __future__ import annotations

import uuid

from playwright.sync_api import expect

from tests.browser.conftest import Contoso, Reader, Windows
from tests.processes import wait_for
from tests.webhooks import receiving


def test_a_webhook_from_its_secret_to_what_is_sent_again(contoso: Contoso, admin: Reader, window: Windows) -> None:
    """The secret is seen once; what the receiver does not take is on the overview, and goes again by a click."""
    with receiving() as receiver:
        page = admin.open("/console/settings/webhooks")
        admin.check()
        page.get_by_label("Address").fill("https://10.0.0.1/hooks")
        page.get_by_label("Description").fill("Door opener")
        page.get_by_text("choose some of them").click()
        page.get_by_role("group", name="Team").get_by_label("created").check()
        page.get_by_role("button", name="Add webhook").click()
        expect(page.get_by_role("alert").filter(has_text="private network")).to_be_visible()
        admin.check()
        page.get_by_label("Address").fill(receiver.url)
        page.get_by_role("button", name="Add webhook").click()
        secret = page.locator("#secret").input_value()
        admin.check()
        page.get_by_role("link", name="I have copied it").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Door opener")
        assert secret not in page.content()
        page.get_by_role("button", name="Send test").click()
        expect(page.get_by_text("The test was taken.")).to_be_visible()
        receiver.wait(1)[0].verify(secret)

        receiver.answer = lambda event: (503, {})
        contoso.api("POST", "teams", {"name": f"Night shift {uuid.uuid4()}"})
        wait_for(lambda: len(receiver.arrived) == 2)
        page = admin.open("/console")
        expect(page.get_by_role("heading", name="The webhook “Door opener” takes nothing")).to_be_visible()
        admin.check()
        page.get_by_role("link", name="Open the webhook: The webhook “Door opener”").click()
        expect(page.get_by_role("table")).to_contain_text("team.created")
        admin.check()
        phone = window(admin.state(), phone=True, dark=True)
        phone.open(page.url.removeprefix(contoso.url))
        phone.check()

        receiver.answer = lambda event: (204, {})
        page.get_by_role("button", name="Send again").click()
        wait_for(lambda: len(receiver.taken) == 2)
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_text("It is paused.").first).to_be_visible()
        page.get_by_role("button", name="Delete webhook").click()
        admin.yes()
        expect(page.get_by_text("is deleted")).to_be_visible()
        expect(page.get_by_role("link", name="Door opener")).to_have_count(0)
