"""The guide that sets Entra up: what ticks off, secrets that are shown once, and a test that asks what Entra asks."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from admin_console.pages import probe
from admin_console.ports import OwnAnswer
from app_core.connections import Caller
from tests.answers import unique
from tests.api import Company, MakeCompany
from tests.conftest import Server
from tests.console import Browser, administrator, said, values
from tests.processes import empty_database, new_customer, serving, wait_for

BASE = "https://scim.example.com/scim/v2"
EMPTY = b'{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0}'
UNKNOWN = b'{"detail":"The bearer token was revoked."}'
OURS = Caller("ours", "c", "t")


def bearer(server: Server, secret: str) -> int:
    """Ask as Entra does, with a secret; give the status."""
    url = f"{server.url}/scim/v2/Users?filter=userName+eq+%22{unique('nobody')}%22"
    return httpx.get(url, headers={"Authorization": f"Bearer {secret}"}).status_code


def secret_of(company: Company) -> str:
    return str(company.scim.headers["authorization"]).removeprefix("Bearer ")


def test_steps_tick_off_as_entra_is_seen(server: Server, make_company: MakeCompany) -> None:
    """A secret, a call, users by their object id, groups: each shows on the page once it is there."""
    company = make_company()
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        before = said(admin.get("/console/setup"))
        assert 200 == bearer(server, secret_of(company))
        wait_for(lambda: "Entra has called" in said(admin.get("/console/setup")))
        called = said(admin.get("/console/setup"))
        company.hire()
        company.found()
        after = said(admin.get("/console/setup"))
        company.hire(externalId="barbara.jensen")
        nickname = said(admin.get("/console/setup"))

    assert "Make a secret token done" in before
    assert "waiting for Entra" in before
    assert "users come" not in called
    assert "users come with their object id" in after
    assert "Assign users and groups 1 user here" in after
    assert "then start 1 group here" in after
    assert "Of the latest 2 users, 1 came without an object id" in nickname


def test_a_secret_is_shown_once_and_revoked_at_once(server: Server, company: Company, admin: Browser) -> None:
    """Beside the one that is live already: so one rotates it."""
    label = unique("Entra")
    admin.get("/console/setup")
    made = admin.post("/console/setup/tokens", 200, label=label, expires="365")
    secret = values(made)["new-secret"]
    again = admin.get("/console/setup")

    assert 200 == bearer(server, secret)
    assert label in said(again)
    assert secret not in again.text

    row = again.text[again.text.index(label) :]
    path = row[row.index("/console/setup/tokens/") :].partition('"')[0]
    admin.send(path)

    assert 401 == bearer(server, secret)
    assert 200 == bearer(server, secret_of(company))
    assert ["revoke", "create"] == [each["action"] for each in company.log(path.split("/")[-2])]


def test_a_secret_with_an_expiry_of_no_kind_is_refused(company: Company, admin: Browser) -> None:
    """Nothing is made."""
    admin.get("/console/setup")
    before = company.log(action="create")
    refused = admin.post("/console/setup/tokens", 400, label="x", expires="99999")

    assert "choose one of the list" in said(refused)
    assert ["failure"] == [each["outcome"] for each in company.log(action="create")[: -len(before) or None]]


def test_test_connection_asks_as_entra_and_explains(
    server: Server, make_company: MakeCompany, company: Company
) -> None:
    """The right secret, with 'Bearer', one that nobody knows, another tenant's; none of them counts as a use."""
    mine = make_company()
    with administrator(server.url, server.database_url, mine.tenant_id) as admin:
        admin.get("/console/setup")
        good = admin.post("/console/setup/test", 200, token=secret_of(mine))
        prefixed = admin.post("/console/setup/test", 200, token=f"Bearer {secret_of(mine)}")
        unknown = admin.post("/console/setup/test", 200, token="scim_nobody-has-this-secret")
        foreign = admin.post("/console/setup/test", 200, token=secret_of(company))
        blank = admin.post("/console/setup/test", 400, token="  ")
        after = said(admin.get("/console/setup"))

    assert "This is how it should be" in said(good)
    assert f"GET {server.url}/scim/v2/Users?filter=userName+eq+%22" in said(good)
    assert "without 'Bearer'" in said(prefixed)
    assert "The bearer token is not known here" in said(unknown)
    assert "belongs to another tenant" in said(foreign)
    assert "paste the secret token" in said(blank)
    assert secret_of(mine) not in good.text + prefixed.text
    assert "waiting for Entra" in after


def test_reading_is_a_use_whatever_it_calls_itself(server: Server, make_company: MakeCompany) -> None:
    """Only a test that finds nobody leaves no trace."""
    company = make_company()
    company.hire()
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        admin.get("/console/setup")
        made = admin.post("/console/setup/tokens", 200, label="Rotated", expires="")
        headers = {"Authorization": f"Bearer {values(made)['new-secret']}", "X-Connection-Test": "1"}
        tested = httpx.get(f"{server.url}/scim/v2/Users?filter=userName+eq+%22nobody%22", headers=headers)
        assert 200 == tested.status_code
        assert _is_unused(said(admin.get("/console/setup")), "Rotated")
        assert 200 == httpx.get(f"{server.url}/scim/v2/Users", headers=headers).status_code
        wait_for(lambda: not _is_unused(said(admin.get("/console/setup")), "Rotated"))


def _is_unused(page: str, label: str) -> bool:
    """Say whether a secret has never been used: its row says so, and that it never expires."""
    row = page.partition(f"{label} ")[2].partition("Revoke")[0]
    assert row.endswith("never ")
    return row.count("never") == 2


def test_a_server_that_cannot_reach_itself_says_so(database_url: str, tmp_path: Path) -> None:
    """A wrong public address is told from a wrong secret."""
    with (
        empty_database(database_url, tmp_path) as url,
        serving(url, tmp_path, public_url="http://127.0.0.1:9") as server,
    ):
        customer = new_customer(url)
        with administrator(server.url, url, customer.tenant_id) as admin:
            # What stands in the browser's address is not what the server believes itself to be.
            admin.http.headers["origin"] = "http://127.0.0.1:9"
            admin.get("/console/setup")
            good = said(admin.post("/console/setup/test", 200, token=customer.token))
            bad = said(admin.post("/console/setup/test", 200, token="scim_nobody-has-this-secret"))

    assert "could not be reached from this server http://127.0.0.1:9/scim/v2: nothing answers there" in good
    assert "The secret itself is good" in good
    assert "The secret is not good either: The bearer token is not known here" in bad


@pytest.mark.parametrize(
    ("answers", "caller", "tone", "words"),
    [
        ([(200, EMPTY), (200, EMPTY)], OURS, "good", "how it should be"),
        ([(200, EMPTY), (200, EMPTY)], None, "bad", "Another server answers"),
        ([(200, EMPTY), (200, b"<html>")], OURS, "bad", "Something else answers"),
        ([(401, UNKNOWN)], None, "bad", "The bearer token was revoked."),
        ([(401, b"<html>")], None, "bad", "something else gave it"),
        ([(301, b"")], OURS, "bad", "leads on"),
        ([(403, b"")], OURS, "bad", "firewall"),
        ([(404, b"")], OURS, "bad", "the proxy changes the path"),
        ([(502, b"")], OURS, "bad", "proxy does not reach"),
        ([(500, b"[]")], OURS, "bad", "The answer was 500"),
    ],
)
def test_each_answer_has_its_sentence(
    answers: list[tuple[int, bytes]], caller: Caller | None, tone: str, words: str
) -> None:
    """What stands on the way is told from what is wrong with the secret."""
    tested = probe.Tested(
        "scim_x", False, ["/Users", "/Groups"], [OwnAnswer(status, {}, body) for status, body in answers]
    )

    verdict = probe.verdict_of(tested, caller, "ours", BASE)

    assert tone == verdict.tone
    assert words in f"{verdict.title} {verdict.sentence}"


def test_without_an_application_the_page_says_what_the_operator_sets(server: Server, admin: Browser) -> None:
    """And which redirect URIs it needs; nothing leads to Microsoft."""
    page = admin.get("/console/setup/graph")

    assert "SCIM_SERVER_ENTRA_CLIENT_ID" in said(page)
    assert f"{server.url}/console/connection/consented" in values(page).values()
    assert f"{server.url}/console/microsoft/return" in values(page).values()
    assert f"{server.url}/me/microsoft/return" in values(page).values()
    assert "SCIM_SERVER_ENTRA_CLIENT_ID" in said(admin.get("/console/microsoft/consent", 409))
    assert "one-time link" in said(admin.get("/console/microsoft", 409))
