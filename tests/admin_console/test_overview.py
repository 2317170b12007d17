"""The first page: what a new tenant does first, what waits for somebody, what came in."""

from __future__ import annotations

import uuid
from dataclasses import replace

from sqlalchemy import bindparam, select, update

from app_core import clock, connections, graph_links, jobs, provisioning_log, tenants
from app_core.connections import TOKEN
from app_core.credentials import token_hash
from app_core.db import Connection, Statement
from app_core.ids import seconds_of
from app_core.provisioning_log import LOOKED_THROUGH, Entry, Outcome
from app_core.sessions import S
from tests.answers import unique
from tests.api import NAME, MakeCompany
from tests.builders import a_user
from tests.conftest import Server
from tests.console import Browser, administrator, nobody, said, values, where
from tests.processes import Customer, in_core, wait_for


def test_a_new_tenant_is_led_to_the_setup(server: Server, make_company: MakeCompany) -> None:
    """Four steps, of which the secret is done; once somebody has arrived they are gone."""
    company = make_company()
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        before = admin.get("/console")
        company.hire()
        after = admin.get("/console")

    assert "Connect Microsoft Entra" in said(before)
    assert "Make a secret for Entra (done)" in said(before)
    assert 'href="/console/setup"' in before.text
    assert "Connect Microsoft Entra" not in said(after)
    assert "Nothing needs your attention" in said(after)


def test_what_waits_for_somebody_is_said_with_the_way_there(server: Server, make_company: MakeCompany) -> None:
    """A blocked deletion, a phone number that no card can show, and people without a seat."""
    company = make_company(seats=1)
    name = unique("Board")
    group = company.found(
        company.hire(phoneNumbers=[{"type": "work", "value": "0100"}]), company.hire(), displayName=name
    )
    company.new_template(NAME, groups=[group])
    team = company.team(group)
    company.add_login(team)
    company.push_once("DELETE", f"Groups/{group['id']}", status=409)
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        page = admin.get("/console")

    assert f"Team “{name}” cannot be deleted" in said(page)
    assert f'href="/console/teams/{team["id"]}"' in page.text
    assert "1 person waits for a seat" in said(page)
    assert 'href="/console/people?need=seat"' in page.text
    assert "1 person has a phone number that no card can show" in said(page)
    assert 'href="/console/people?need=problem"' in page.text
    assert "1 of 1" in said(page)


def test_a_secret_that_ends_soon_is_said_before_it_does(server: Server, make_company: MakeCompany) -> None:
    """Only while no other one goes on; one that is revoked is no other."""
    company = make_company()
    company.hire()
    now = clock.later(3 * 86400)

    def only_a_short_one(connection: Connection) -> str:
        tenant = tenants.find(connection, company.tenant_id)
        for token in connections.tokens_of(connection, tenant):
            connections.revoke_token(connection, tenant, token.id)
        connection_id = connections.first_of(connection, tenant)
        connections.issue_token(connection, tenant, connection_id, expires_at=now)
        return connection_id

    def a_long_one(connection: Connection) -> None:
        tenant = tenants.find(connection, company.tenant_id)
        connections.issue_token(connection, tenant, connections.first_of(connection, tenant))

    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        in_core(server.database_url, lambda database: database.write(only_a_short_one))
        short = said(admin.get("/console"))
        in_core(server.database_url, lambda database: database.write(a_long_one))
        long = said(admin.get("/console"))

    assert f"The secret for Entra expires on {now[:10]}" in short
    assert "expires on" not in long


def test_a_directory_that_falls_silent_is_said(server: Server, make_company: MakeCompany) -> None:
    """Neither Entra nor a pull has come for hours; a Graph that refuses is said with its reason."""
    company = make_company()
    company.hire()
    customer, long_ago = Customer(company.tenant_id, "", "", ""), clock.later(-4 * 3600)

    def silent(connection: Connection) -> None:
        work = customer.work(connection)
        connections.act_on_first(work)
        graph_links.connect(replace(work, now=long_ago), str(uuid.uuid4()))
        connection.run(LAST_PUSH, {"tenant_id": company.tenant_id, "at": long_ago})

    def refused(connection: Connection) -> None:
        work = customer.work(connection)
        connections.act_on_first(work)
        graph_links.quarantine(work, "Consent was taken back.", ["User.Read.All"])

    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        in_core(server.database_url, lambda database: database.write(silent))
        page = said(admin.get("/console"))
        in_core(server.database_url, lambda database: database.write(refused))
        quarantined = said(admin.get("/console"))

    assert "Entra has not come for a while" in page
    assert "The directory has not been pulled for a while" in page
    assert "Consent was taken back. Missing: User.Read.All." in quarantined


LAST_PUSH = Statement(
    update(TOKEN).where(TOKEN.c.tenant_id == bindparam("tenant_id")).values(last_used_at=bindparam("at"))
)


def test_a_job_that_was_given_up_is_said_until_it_is_done(server: Server, make_company: MakeCompany) -> None:
    """With its reason; once the same was done, nobody needs to know."""
    company = make_company()
    company.hire()
    customer = Customer(company.tenant_id, "", "", "")

    def ask(connection: Connection) -> None:
        work = customer.work(connection)
        connections.act_on_first(work)
        jobs.enqueue(work, "issue-cards", "issue-cards:g", {"group_id": "g", "connection_id": work.connection_id})

    def give_up(connection: Connection) -> None:
        work = customer.work(connection)
        connections.act_on_first(work)
        jobs.end_all_of_connection(work, "The group is too large.")

    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        in_core(server.database_url, lambda database: database.write(ask))
        in_core(server.database_url, lambda database: database.write(give_up))
        failed = said(admin.get("/console"))
        in_core(server.database_url, lambda database: database.write(ask))
        asked_again = said(admin.get("/console"))

    assert "Cards of a group were not issued The group is too large. It was given up." in failed
    assert "were not issued" not in asked_again


def test_the_chart_says_in_words_what_it_shows(server: Server, make_company: MakeCompany) -> None:
    """Its text alternative counts what was carried out and what was refused; each span is a link."""
    company = make_company()
    company.push_once("POST", "Users", a_user(1), status=201)
    company.push_once("DELETE", "Groups/none", status=404)
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        page = admin.get("/console", span="hour")

    assert 'role="img" aria-label="In the last 60 minutes: 1 carried out, 0 with a warning, 1 refused."' in page.text
    assert "http404" in said(page)
    assert 'href="/console?span=fortnight"' in page.text


def test_activity_counts_the_newest_alone(server: Server, make_company: MakeCompany) -> None:
    """Of a log that is too long the older entries are left out, and it is known since when all are counted."""
    customer = Customer(make_company().tenant_id, "", "", "")

    def count(connection: Connection) -> tuple[int, float]:
        work = customer.work(connection)
        entry = Entry("x", "Card", None, Outcome.SUCCESS, 200)
        rows = [provisioning_log.entry_of(work, entry) for _ in range(LOOKED_THROUGH + 5)]
        work.run_many(rows[0][0], [dict(params) for _, params in rows])
        found = provisioning_log.activity(work, 0, 10)
        since = provisioning_log.counted_since(work)
        return sum(number for *_, number in found), since - seconds_of(str(rows[5][1]["id"]))

    assert (LOOKED_THROUGH, 0.0) == in_core(server.database_url, lambda database: database.write(count))


def test_nobody_sees_it_unless_they_are_signed_in(server: Server, visitor: Browser) -> None:
    """Each page of the console leads to the sign-in first."""
    for path in ("/console", "/console/log", "/console/log/newer", "/console/reconciliations", "/console/settings"):
        assert where(visitor.get(path, 303)).startswith("/console/sign-in")


def test_what_a_page_asks_by_itself_is_no_use_of_the_session(server: Server, make_company: MakeCompany) -> None:
    """A log that is left open does not keep its reader signed in; whoever clicks does."""
    company = make_company()
    with administrator(server.url, server.database_url, company.tenant_id) as admin, nobody(server.url) as fresh:
        added = admin.post("/console/settings/administrators", 200, email=f"{unique('admin')}@contoso.com")
        fresh.post("/console/sign-in", link=values(added)["link"].partition("link=")[2])
        session = token_hash(fresh.http.cookies["scim_console"])
        set_back(server, session)
        asked = fresh.http.get("/console/log/newer", params={"since": "0"}, headers={"X-Poll": "true"})
        after_poll = seen_at(server, session)
        fresh.get("/console/log")
        wait_for(lambda: seen_at(server, session) != LONG_AGO)

    assert 200 == asked.status_code
    assert LONG_AGO == after_poll


LONG_AGO = clock.later(-600)


def set_back(server: Server, session: str) -> None:
    """Let a session have been used long ago."""
    params = {"session": session, "seen_at": LONG_AGO}
    in_core(server.database_url, lambda database: database.write(lambda connection: connection.run(SET_BACK, params)))


def test_a_page_that_is_not_there_keeps_the_menu(server: Server, make_company: MakeCompany) -> None:
    """Of the tenant that one looks at; who is not signed in sees none."""
    company = make_company()
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        inside = admin.get("/console/nothing", 404)
    with nobody(server.url) as visitor:
        outside = visitor.get("/console/nothing", 404)

    assert ('href="/console/people"' in inside.text, 'href="/console/people"' in outside.text) == (True, False)
    assert "This is not here Page '/console/nothing' was not found." in said(inside)


def seen_at(server: Server, session: str) -> str:
    """Say when a session was used last."""
    read = in_core(
        server.database_url,
        lambda database: database.read(lambda connection: connection.row(SEEN_AT, {"session": session})),
    )
    assert read is not None
    return str(read[0])


SEEN_AT = Statement(select(S.c.seen_at).where(S.c.hash == bindparam("session")))
SET_BACK = Statement(update(S).where(S.c.hash == bindparam("session")).values(seen_at=bindparam("seen_at")))
