"""Settings as pages: policies, name and seats, API keys, administrators."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import httpx
import pytest

from app_core import administrators, clock
from app_core.db import Connection
from tests.answers import unique
from tests.api import NAME, Company, MakeCompany
from tests.conftest import Server
from tests.console import Browser, administrator, member, nobody, said, values, where
from tests.processes import in_core

SETTINGS, KEYS, ADMINISTRATORS = "/console/settings", "/console/settings/api-keys", "/console/settings/administrators"


@contextlib.contextmanager
def operator(server: Server, tenant_id: str) -> Iterator[Browser]:
    """Open a browser in which an operator acts in a tenant."""

    def link(connection: Connection) -> str:
        account = administrators.add_operator(connection, f"{unique('operator')}@vendor.example")
        return administrators.link_for(connection, account, clock.now())

    with nobody(server.url) as browser:
        browser.post("/console/sign-in", link=in_core(server.database_url, lambda database: database.write(link)))
        browser.get("/console/tenants")
        browser.post(f"/console/tenants/{tenant_id}/choose")
        browser.get(SETTINGS)
        yield browser


def status_of(server: Server, key: str) -> int:
    """Say what the API answers to a key."""
    return httpx.get(f"{server.url}/api/v1/people", headers={"Authorization": f"Bearer {key}"}).status_code


# Policies -----------------------------------------------------------------------------------------------------------


def test_policies_are_explained_and_set(company: Company, admin: Browser) -> None:
    """What is chosen holds, and the log names what changed; the same once more is no change."""
    page = admin.get(SETTINGS)
    chosen = {"group_sync": "selected", "on_group_delete": "detach", "invalid_phone": "flag"}
    saved = admin.send(SETTINGS, **chosen)
    again = admin.send(SETTINGS, **chosen)
    found = company.get("settings")
    admin.send(SETTINGS, group_sync="all", on_group_delete="refuse")

    assert "Entra succeeds. The team stays, by hand from then on." in said(page)
    assert ("The policies are saved." in saved, "Nothing was changed." in again) == (True, True)
    assert chosen == {name: found[name] for name in chosen}
    assert [["group_sync", "on_group_delete"], [], ["group_sync", "on_group_delete"]] == [
        entry["changed"] for entry in company.log(company.tenant_id, action="update")[:3]
    ]


def test_a_policy_that_there_is_not_is_refused(company: Company, admin: Browser) -> None:
    """Nothing changes, and the refusal is in the log."""
    before = company.get("settings")
    admin.get(SETTINGS)

    refused = admin.post(SETTINGS, 400, group_sync="none")

    assert "group_sync: it must be 'all' or 'selected'." in said(refused)
    assert before == company.get("settings")
    assert "invalid" == company.log(action="update", outcome="failure")[0]["reason_code"]


# Name and seats -----------------------------------------------------------------------------------------------------


def test_an_operator_raises_the_seats_and_who_waits_is_served(server: Server, make_company: MakeCompany) -> None:
    """The administrator sees the number; the operator sets it."""
    company = make_company(seats=1)
    group = company.found(company.hire(), company.hire())
    company.new_template(NAME, groups=[group])
    name = unique("Renamed")
    with operator(server, company.tenant_id) as browser:
        saved = browser.send(f"{SETTINGS}/tenant", name=name, seat_limit="5")
        too_few = browser.post(f"{SETTINGS}/tenant", 409, name=name, seat_limit="1")
        wrong = browser.post(f"{SETTINGS}/tenant", 400, name=name, seat_limit="five")

    assert "1 who waited has a seat now." in saved
    assert (5, 2, 0) == company.seats()
    assert "2 seats are open, so the limit cannot be 1." in said(too_few)
    assert "write a number" in said(wrong)


def test_an_administrator_cannot_give_seats(company: Company, admin: Browser) -> None:
    """They see the number without a field, and a form sent all the same changes nothing."""
    page = admin.get(SETTINGS)
    refused = admin.post(f"{SETTINGS}/tenant", 403, name="Mine", seat_limit="1000")

    assert "seat_limit" not in page.text
    assert "as many as are needed" in said(page)
    assert "set by the operator" in said(refused)
    assert company.seats()[0] is None


# API keys -----------------------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_works_and_ends(server: Server, company: Company, admin: Browser) -> None:
    """With the scope that was chosen; revoked, it is refused at once and kept as history."""
    label = unique("Automation")
    admin.get(KEYS)
    made = admin.post(KEYS, 200, label=label, scope="read", expires="90")
    key = values(made)["secret"]
    listed = admin.get(KEYS)
    live = status_of(server, key)
    entry = company.log(action="create")[0]
    ended = admin.send(f"{KEYS}/{entry['target']['id']}/revoke")

    assert (200, 401) == (live, status_of(server, key))
    assert key not in listed.text
    assert label in said(listed)
    assert ("ApiKey", "success") == (entry["target"]["type"], entry["outcome"])
    assert key not in str(entry)
    assert "1 key that is over" in ended
    assert f"Revoke API key {label}" in said(admin.get("/console/log", action="revoke"))


def test_a_key_that_cannot_be_is_refused(company: Company, admin: Browser) -> None:
    """An unknown scope, an expiry that is not offered, a label of two lines."""
    admin.get(KEYS)

    admin.post(KEYS, 400, label="x", scope="everything", expires="90")
    admin.post(KEYS, 400, label="x", scope="read", expires="36500")
    admin.post(KEYS, 400, label="two\nlines", scope="read", expires="90")


def test_a_refused_key_stays_in_its_form(admin: Browser) -> None:
    """What was typed and chosen is there to be mended, with the reason in the form; the key then works out."""
    admin.get(KEYS)
    refused = admin.post(KEYS, 400, label="L" * 300, scope="admin", expires="365")
    form = refused.text.partition(f'action="{KEYS}"')[2]
    made = admin.post(KEYS, 200, label="mended", scope="admin", expires="365")

    assert ("L" * 300, "") == (values(refused)["f-label"], values(made)["f-label"])
    assert ('value="admin" selected' in form, 'value="365" selected' in form) == (True, True)
    assert 'role="alert"' in form.partition("</form>")[0]
    assert "secret" in values(made)


def test_keys_of_another_tenant_are_not_there(server: Server, admin: Browser, make_company: MakeCompany) -> None:
    """Neither listed nor revoked."""
    other = make_company()
    with administrator(server.url, server.database_url, other.tenant_id) as theirs:
        theirs.get(KEYS)
        key = values(theirs.post(KEYS, 200, label="theirs", scope="read", expires=""))["secret"]
    entry = other.log(action="create")[0]
    admin.get(KEYS)

    admin.post(f"{KEYS}/{entry['target']['id']}/revoke", 404)
    assert "theirs" not in said(admin.get(KEYS))
    assert 200 == status_of(server, key)


# Administrators -----------------------------------------------------------------------------------------------------


def test_an_administrator_is_added_signs_in_and_is_removed(server: Server, company: Company, admin: Browser) -> None:
    """By a link that is shown once; removed, they are out at once."""
    email = f"{unique('new')}@contoso.com"
    admin.get(ADMINISTRATORS)
    made = admin.post(ADMINISTRATORS, 200, email=email)
    link = values(made)["link"]
    account = company.log(action="create")[0]["target"]["id"]
    with nobody(server.url) as theirs:
        theirs.post("/console/sign-in", link=link.partition("link=")[2])
        inside = said(theirs.get("/console"))
        gone = admin.send(f"{ADMINISTRATORS}/{account}/remove")
        outside = theirs.get("/console", 303)

    assert link.startswith(f"{server.url}/console/sign-in?link=scimlink_")
    assert "for 24 hours" in said(made)
    assert "Overview" in inside
    assert f"{email} is signed out everywhere" in gone
    assert where(outside).startswith("/console/sign-in")
    assert email not in said(admin.get(ADMINISTRATORS))


def test_letters_that_sign_administrators_in_are_read_by_operators_alone(
    server: Server, company: Company, admin: Browser
) -> None:
    """Administrators see that there is one; the letters with start codes they read as before."""
    email = f"{unique('kept')}@contoso.com"
    person = company.person(company.hire())
    company.call("POST", f"people/{person['id']}/activation", 200)
    admin.get(ADMINISTRATORS)
    link = values(admin.post(ADMINISTRATORS, 200, email=email, mail="on"))["link"]
    admin.post(f"/console/people/{person['id']}/start-code/mail")
    mine = said(admin.get("/console/letters"))
    with operator(server, company.tenant_id) as browser:
        theirs = said(browser.get("/console/letters"))

    assert (f"To {email}" in mine, f"It signs {email} in as an administrator" in mine, link in mine) == (
        True,
        True,
        False,
    )
    assert "scimlink_" not in mine
    assert f"To {person['email']}" in mine
    assert re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", mine)
    assert link in theirs


def test_a_new_link_replaces_a_lost_one(server: Server, company: Company, admin: Browser) -> None:
    """It signs in the same administrator, and the one before ends with it."""
    admin.get(ADMINISTRATORS)
    first = values(admin.post(ADMINISTRATORS, 200, email=f"{unique('lost')}@contoso.com"))["link"]
    account = company.log(action="create")[0]["target"]["id"]
    second = values(admin.post(f"{ADMINISTRATORS}/{account}/link", 200))["link"]
    with nobody(server.url) as theirs:
        theirs.post("/console/sign-in", link=second.partition("link=")[2])
    with nobody(server.url) as late:
        late.post("/console/sign-in", 400, link=first.partition("link=")[2])

    assert account == company.log(action="issue sign-in link")[0]["target"]["id"]


def test_who_cannot_be_added_or_removed_is_refused(company: Company, admin: Browser) -> None:
    """No address, one that is there, and oneself."""
    admin.get(ADMINISTRATORS)
    admin.post(ADMINISTRATORS, 400, email="nobody")
    email = f"{unique('twice')}@contoso.com"
    admin.post(ADMINISTRATORS, 200, email=email)
    taken = admin.post(ADMINISTRATORS, 409, email=email.upper())
    assert email.upper() == values(taken)["f-email"]
    myself = company.log(action="create")[0]["actor"]
    refused = admin.post(f"{ADMINISTRATORS}/{myself}/remove", 409)

    assert "exists already" in said(taken)
    assert "You cannot remove yourself" in said(refused)


def test_administrators_of_another_tenant_are_not_there(
    server: Server, admin: Browser, make_company: MakeCompany
) -> None:
    """No link is made for them, and nobody removes them."""
    other = make_company()
    with administrator(server.url, server.database_url, other.tenant_id) as theirs:
        theirs.get(ADMINISTRATORS)
        theirs.post(ADMINISTRATORS, 200, email=f"{unique('theirs')}@fabrikam.com")
        account = other.log(action="create")[0]["target"]["id"]
        admin.get(ADMINISTRATORS)

        admin.post(f"{ADMINISTRATORS}/{account}/link", 404)
        admin.post(f"{ADMINISTRATORS}/{account}/remove", 404)
        assert "theirs" in said(theirs.get(ADMINISTRATORS))
    assert "theirs" not in said(admin.get(ADMINISTRATORS))


def test_what_administrators_did_is_in_the_log_with_their_names(company: Company, admin: Browser) -> None:
    """The tab leads there, to what came by the console and the API alone."""
    company.hire()
    email = f"{unique('audited')}@contoso.com"
    page = admin.get(ADMINISTRATORS)
    admin.post(ADMINISTRATORS, 200, email=email)
    audit = said(admin.get("/console/log", source="admin"))

    assert 'href="/console/log?source=admin"' in page.text
    found = re.search(r"Create administrator (\S+) (\S+@contoso\.com) Console and API", audit)
    assert found
    assert email == found[1]
    assert "Create user" not in audit


@pytest.mark.parametrize("path", [SETTINGS, KEYS, ADMINISTRATORS, f"{SETTINGS}/tenant"])
def test_settings_are_no_members_and_nobodys(
    server: Server, company: Company, admin: Browser, visitor: Browser, path: str
) -> None:
    """Who is not signed in, or only as a member, comes to the sign-in; a form without its token does nothing."""
    person = company.person(company.hire())
    with member(server.url, server.database_url, company.tenant_id, person["id"]) as browser:
        browser.post(path, 303)
        assert where(browser.post(path, 303)).startswith("/console/sign-in")
    assert where(visitor.post(path, 303)).startswith("/console/sign-in")
    count = len(company.log(source="admin"))
    admin.token = "0" * 40
    admin.post(path, 403, email="a@contoso.com", group_sync="selected", scope="read", expires="")

    assert count == len(company.log(source="admin"))
