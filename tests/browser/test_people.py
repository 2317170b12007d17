"""A person on the console: found, explained, activated with a start code on a phone, added by hand, written to."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Contoso, Reader, Windows


def test_a_person_is_found_and_explained(admin: Reader) -> None:
    """Typing is enough; the page says why there is a seat, a card and a team."""
    page = admin.open("/console/people")
    page.get_by_role("searchbox").press_sequentially("hannah wag")
    rows = page.get_by_role("row").filter(has=page.get_by_role("link"))
    expect(rows).to_have_count(1)
    rows.get_by_role("link", name="Hannah Wagner").click()
    why = page.locator("section").filter(has=page.get_by_role("heading", name="Why it is so"))
    expect(why).to_contain_text("Seat")
    expect(why).to_contain_text("Business card")
    expect(why).to_contain_text("All Employees")
    admin.check()


def test_a_start_code_activates_an_account(window: Windows, admin: Reader, contoso: Contoso) -> None:
    """Shown once at the desk, typed in on the phone, and the account is active."""
    person = contoso.person("Wanda Maier")
    page = admin.open(f"/console/people/{person['id']}")
    page.get_by_role("button", name="Activate account").click()
    expect(page.get_by_role("status").first).to_contain_text("The account is activated")
    page.get_by_role("button", name="Show start code").click()
    code = page.get_by_label("Start code").input_value()
    where = page.get_by_label("Where it is typed in").input_value()
    admin.check()
    page.get_by_role("link", name="I have noted it").click()
    expect(page.get_by_role("main")).not_to_contain_text(code)

    member = window(phone=True)
    member.page.goto(where)
    member.check()
    member.page.get_by_label("Sign-in name").fill(person["email"])
    member.page.get_by_label("Start code").fill("AAAA-BBBB-CCCC")
    member.page.get_by_role("button", name="Start my account").click()
    expect(member.page.get_by_role("alert")).not_to_be_empty()
    member.page.get_by_label("Start code").fill(code.lower())
    member.page.get_by_role("button", name="Start my account").click()
    expect(member.page.get_by_role("heading", level=1)).to_have_text("Your account is active")
    member.check()

    page.reload()
    expect(page.get_by_role("main")).to_contain_text("The start code was redeemed")


def test_somebody_is_added_by_hand_and_written_to(admin: Reader) -> None:
    """The start code goes by e-mail; without a mail server the letter is kept on the console."""
    page = admin.open("/console/people/new")
    admin.check()
    page.get_by_label("Name").fill("Katherine Johnson")
    page.get_by_label("E-mail").fill("katherine@partner.example")
    page.get_by_role("button", name="Add person").click()
    expect(page.get_by_role("status").first).to_contain_text("'Katherine Johnson' is added")
    page.get_by_role("button", name="Activate account").click()
    page.get_by_role("button", name="Send by e-mail").click()
    admin.yes()
    expect(page.get_by_role("status").first).to_contain_text("A start code went to katherine@partner.example")
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Letters").click()
    letter = page.get_by_role("article").filter(has_text="katherine@partner.example")
    expect(letter).to_contain_text(re.compile("[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}"))
    admin.check()
