"""A card for somebody outside the directory: invited at the desk, claimed on a phone."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Reader, Windows


def test_somebody_is_invited_and_claims_the_card(window: Windows, admin: Reader) -> None:
    """The link is shown once; whoever opens it adds what is missing, and has the card."""
    page = admin.open("/console/invitations/new")
    page.get_by_label("Name").fill("Dorothy Vaughan")
    page.get_by_label("Template").select_option("Partner card")
    expect(page.get_by_label("E-mail", exact=False)).to_have_count(3)
    whom = page.locator("section").filter(has=page.get_by_role("heading", name="Who it is for"))
    expect(whom.get_by_label("Name")).to_have_value("Dorothy Vaughan")
    admin.check()
    page.get_by_role("button", name="Make the invitation").click()
    link = page.get_by_label("Link to claim the card").input_value()
    admin.check()

    guest = window(phone=True)
    guest.page.goto(link)
    guest.check()
    expect(guest.page.get_by_label("Name", exact=True)).to_have_count(0)
    guest.page.get_by_label("Company").fill("Vaughan & Co.")
    guest.page.get_by_role("button", name="Take this card").click()
    expect(guest.page.get_by_role("status").first).to_contain_text("The card is yours")
    expect(guest.page.get_by_role("main")).to_contain_text("Vaughan & Co.")
    guest.check()
    guest.page.goto(link)
    expect(guest.page.get_by_role("main")).not_to_contain_text("Take this card")

    page.get_by_role("link", name="Done").click()
    row = page.get_by_role("row").filter(has_text="Dorothy Vaughan")
    expect(row).to_contain_text("claimed")
    admin.check()
