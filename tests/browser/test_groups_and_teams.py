"""Groups and teams: a team that holds logins stays, whoever wants it gone, and each refusal shows the way out."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Contoso, Reader


def remove(reader: Reader, group: str) -> None:
    """Remove a group by its menu in the list of groups."""
    reader.page.get_by_label(f"Actions for {group}").click()
    reader.page.get_by_role("button", name="Remove group").locator("visible=true").click()
    reader.yes()


def move_all_to(page: Page, team: str) -> None:
    """Move the logins of the team that is shown to another one."""
    page.get_by_role("link", name="Move all", exact=True).click()
    page.get_by_role("row").filter(has_text=team).get_by_role("button", name="Move here").click()
    expect(page.get_by_role("status").first).to_contain_text("logins")


def test_a_group_is_removed_once_its_logins_are_moved(admin: Reader) -> None:
    """Refused with a sentence that leads to the logins; moved, the team goes, and comes back by Add."""
    page = admin.open("/console/groups")
    remove(admin, "Sales")
    expect(page.get_by_role("alert")).to_contain_text("Team 'Sales' still holds 2 logins; move or delete them first")
    admin.check()

    page.get_by_role("link", name="Show its logins").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sales")
    admin.check()
    move_all_to(page, "Reception")

    page.get_by_role("navigation", name="Console").get_by_role("link", name="Groups").click()
    remove(admin, "Sales")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="Sales", exact=True))
    expect(row).to_contain_text("Not synced")
    row.get_by_role("button", name="Add").click()
    expect(row).to_contain_text("Synced")
    admin.check()


def test_entra_deletes_a_group_whose_team_holds_logins(admin: Reader, contoso: Contoso) -> None:
    """The overview says so and leads to the team; with the logins moved, Entra's next try succeeds."""
    contoso.play(lambda play: play._delete_group("Finance"))
    page = admin.open("/console")
    admin.check()
    page.get_by_role("region", name="Needs attention").get_by_role("listitem").filter(has_text="Finance").get_by_role(
        "link"
    ).click()
    expect(page.get_by_role("main")).to_contain_text("Because the team holds 3 logins, nothing was deleted")
    admin.check()
    move_all_to(page, "Reception")
    contoso.play(lambda play: play._delete_group("Finance"))
    admin.open("/console/teams")

    expect(page.get_by_role("link", name="Reception")).to_be_visible()
    expect(page.get_by_role("link", name="Finance")).to_have_count(0)
