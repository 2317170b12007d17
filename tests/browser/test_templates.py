"""A template from its name to the cards of a group, and the refusal of one that nothing would fill."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import MOST_BYTES, Contoso, Reader
from tests.browser.test_every_page import visit


def new_template(reader: Reader, name: str) -> None:
    """Make a template; its editor opens."""
    page = reader.open("/console/templates")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Make template").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_a_template_is_made_and_its_group_gets_cards(admin: Reader) -> None:
    """Fields ordered by the keyboard, a preview that follows the typing, numbers before Save, then cards."""
    new_template(admin, "Design card")
    page = admin.page
    preview = page.get_by_role("complementary", name="Preview")
    page.get_by_label("Line under the logo").press_sequentially("Seen everywhere")
    expect(preview).to_contain_text("Seen everywhere")

    names = page.locator(".sortable .field-row b")
    before = names.all_inner_texts()
    page.get_by_role("button", name=before[0]).focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name=f"Move down: {before[0]}").focus()
    page.keyboard.press("Enter")
    expect(names).to_have_text([before[1], before[0], *before[2:]])
    expect(page.get_by_text("Unsaved changes")).to_be_visible()
    admin.check()
    page.get_by_role("button", name="Save").locator("visible=true").click()
    expect(page.get_by_role("status").first).to_contain_text("saved")

    page.get_by_role("navigation", name="Template").get_by_role("link", name="Groups").click()
    page.get_by_role("checkbox", name="Design").check()
    effect = page.locator("#impact")
    expect(effect).to_contain_text("Cards issued")
    issued = int(effect.locator("dd").first.inner_text())
    admin.check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("1 group leads to this template now")

    page.get_by_role("navigation", name="Template").get_by_role("link", name="Cards").click()
    rows = page.get_by_role("row").filter(has=page.get_by_role("cell"))
    expect(rows).to_have_count(issued)
    assert 0 < issued


def test_a_template_that_nothing_fills_leads_nobody(admin: Reader) -> None:
    """No field is in sync, so a group is refused with the reason, and the page leads to the fields."""
    new_template(admin, "Blank card")
    page = admin.page
    for each in page.locator(".field-row").all():
        if "Not on the card" in each.inner_text():
            continue
        each.click()
        each.get_by_label("Filled from the directory by").select_option("")
        each.locator("summary").click()
    page.get_by_role("button", name="Save").locator("visible=true").click()
    expect(page.get_by_role("status").first).to_contain_text("saved")
    page.get_by_role("navigation", name="Template").get_by_role("link", name="Groups").click()
    expect(page.get_by_role("main")).to_contain_text("No field of this template is filled from the directory")
    page.get_by_role("checkbox", name="Design").check()
    expect(page.get_by_role("alert")).to_contain_text("directory")
    admin.check()


def test_a_template_of_many_fields_is_light_and_read_by_everybody(admin: Reader, contoso: Contoso) -> None:
    """Its fields are folded until their buttons unfold them; what is unfolded stays so while others are moved."""
    fields = [
        {"key": f"line_{at}", "label": f"Line {at}", "source": "email", "placeholder": "mail"} for at in range(99)
    ]
    template = contoso.api("POST", "templates", {"name": "Long card", "fields": [{"key": "name"}, *fields]})
    weight = visit(admin, f"/console/templates/{template['id']}")
    page = admin.page
    page.get_by_role("button", name="Line 3 E-mail address").focus()
    page.keyboard.press("Enter")
    label = page.locator("#label-line_3")
    expect(label).to_have_value("Line 3")
    expect(page.locator("summary#open-line_3")).to_be_focused()
    expect(page.get_by_text("Unsaved changes")).to_be_hidden()
    label.fill("Changed")
    page.get_by_role("button", name="Line 9 E-mail address").click()
    page.get_by_role("button", name="Move up: Line 9").click()
    expect(page.locator("#moved")).to_have_text("Line 9 is at place 9 of 99.")
    admin.check()

    assert MOST_BYTES > weight
    expect(label).to_have_value("Changed")
