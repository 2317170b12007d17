"""What differs between the directory and here is reported by name, and repaired."""

from __future__ import annotations

from playwright.sync_api import expect
from sqlalchemy import update

from app_core.db import Connection, Statement
from app_core.tables import METADATA
from runtime.demo import Play
from tests.browser.conftest import Contoso, Reader
from tests.builders import patch

USERS = METADATA.tables["directory_user"]
AN_HOUR_PASSES = Statement(update(USERS).values(modified_at="2026-01-01T00:00:00.000Z"))
"""What was written while the directory was being listed, or shortly before, is nobody's drift."""


async def write_title(play: Play, user_id: str) -> None:
    """Plant a title that is not Entra's."""
    answer = await play.http.patch(
        f"{play.url}/scim/v2/Users/{user_id}",
        json=patch({"op": "replace", "path": "title", "value": "Nobody's title"}),
        headers={"Authorization": f"Bearer {play.secrets.token}"},
    )
    assert 200 == answer.status_code, answer.text


def an_hour_passes(connection: Connection) -> None:
    """Let what is here have been here for a while."""
    connection.run(AN_HOUR_PASSES, {})


def test_a_drift_is_reported_and_repaired(admin: Reader, contoso: Contoso) -> None:
    """A title here that Entra knows nothing of: neither push nor pull would ever tell."""
    page = admin.open("/console/setup/graph")
    admin.connect_graph()
    admin.wait_for_the_sync()
    user_id = contoso.person("Mei Castro")["directory_user_id"]
    contoso.play(lambda play: write_title(play, user_id))
    contoso.core(an_hour_passes)
    found = page.get_by_role("row").filter(has_text="Mei Castro")
    for button, came in (("Report only", "reported"), ("Run and repair", "repaired")):
        page.get_by_role("navigation", name="Console").get_by_role("link", name="Reconciliation").click()
        page.get_by_role("button", name=button).click()
        if button == "Run and repair":
            admin.yes()
        expect(found).to_contain_text("Attributes differ")
        expect(found).to_contain_text(came)
        admin.check()
    found.get_by_role("link", name="Mei Castro").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mei Castro")
    admin.open("/console/setup/graph")
    admin.disconnect_graph()
