"""Reconciliations as pages: ask for a run, follow it, read what differs, let removals be carried out, take it along."""

from __future__ import annotations

import csv
import io
import re
import uuid
from collections.abc import Callable
from typing import TypeVar

from app_core import clock, connections, graph_links, jobs, reconciliations
from app_core.db import Connection
from app_core.reconciliations import Drift, Finding, Outcome, Policy, State
from app_core.work import Work
from tests.answers import JSON, unique
from tests.api import Company, MakeCompany
from tests.conftest import Server
from tests.console import Browser, administrator, said, where
from tests.processes import Customer, in_core

T = TypeVar("T")


def in_work(server: Server, company: Company, act: Callable[[Work], T]) -> T:
    """Act in a tenant, beside the server."""
    customer = Customer(company.tenant_id, "", "", "")

    def job(connection: Connection) -> T:
        work = customer.work(connection)
        connections.act_on_first(work)
        return act(work)

    return in_core(server.database_url, lambda database: database.write(job))


def connected(server: Server, company: Company) -> None:
    """Join the tenant to a directory; there is no worker, so that nobody asks it."""
    in_work(server, company, lambda work: graph_links.connect(work, str(uuid.uuid4())))


def a_held_run(server: Server, company: Company, users: list[JSON], group: JSON) -> str:
    """Let a run have found that users are gone, and a member missing, and hold the removals."""

    def act(work: Work) -> str:
        run = reconciliations.ask(work, Policy.REPAIR)
        reconciliations.begin(work, run.id, work.now)
        drifts = [
            Drift("user_gone", str(uuid.uuid4()), user["id"], "It is gone.", "Remove the user.") for user in users
        ]
        missing = Drift(
            "member_missing", group["externalId"], group["id"], "Not here.", "Add it.", users[0]["externalId"]
        )
        found = [Finding(at, each, Outcome.HELD, None) for at, each in enumerate(drifts)]
        reconciliations.add(work, run.id, [*found, Finding(len(found), missing, Outcome.REPAIRED, None)])
        counts = {"users": 60, "groups": 1, "memberships": 0, "found": len(found) + 1, "removals": len(found)}
        reconciliations.end(work, run.id, State.HELD, counts)
        jobs.end_all_of_connection(work, "done")
        return run.id

    return in_work(server, company, act)


def test_without_graph_there_is_the_way_to_connect_it(server: Server, make_company: MakeCompany) -> None:
    """No button that could only be refused; and who sends the form all the same is told why."""
    company = make_company()
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        page = admin.get("/console/reconciliations")
        refused = admin.post("/console/reconciliations", 409, policy="report")

    assert "Connect Microsoft Graph first" in said(page)
    assert 'href="/console/setup/graph"' in page.text
    assert "Run and repair" not in said(page)
    assert "not connected to Microsoft Graph" in said(refused)


def test_a_run_is_asked_for_and_followed(server: Server, make_company: MakeCompany) -> None:
    """The page of the run asks how far it is, until there is nothing to wait for."""
    company = make_company()
    connected(server, company)
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        admin.get("/console/reconciliations")
        path = where(admin.post("/console/reconciliations", policy="report"))
        page = admin.get(path)
        part = {"HX-Request": "true", "HX-Target": "progress"}
        waiting = admin.http.get(f"{path}/progress", headers=part)
        in_work(server, company, lambda work: jobs.end_all_of_connection(work, "over"))
        over = admin.http.get(f"{path}/progress", headers=part)
        entry = company.log(action="reconcile")[0]

    assert "waits to begin" in said(page)
    assert 'hx-trigger="every 2s"' in waiting.text
    assert "hx-trigger" not in over.text
    assert "data-reload" in over.text
    assert path.endswith(entry["target"]["id"])


def test_a_report_stops_no_repair(server: Server, make_company: MakeCompany) -> None:
    """One that waits for its hour stays, and the page says so; another repair takes its place."""
    company = make_company()
    connected(server, company)
    planned = in_work(server, company, lambda work: reconciliations.ask(work, Policy.REPAIR, at=clock.later(3600)))
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        admin.get("/console/reconciliations")
        admin.post("/console/reconciliations", policy="report")
        both = admin.get("/console/reconciliations")
        found = in_work(server, company, lambda work: reconciliations.require(work, planned.id))
        admin.post("/console/reconciliations", policy="repair")
        replaced = admin.get(f"/console/reconciliations/{planned.id}")

    assert "queued" == found.state
    assert re.search(
        r"A report is under way\..* A repair begins .*UTC ?\. Another repair takes its place\.", said(both)
    )
    assert "Another run took its place." in said(replaced)


def test_what_differs_is_read_with_names_filtered_and_approved(server: Server, make_company: MakeCompany) -> None:
    """Fifty-two findings are two pages; the removals wait until somebody approves them, once."""
    company = make_company()
    connected(server, company)
    users = [company.hire(displayName=unique("Gone")) for _ in range(3)]
    group = company.found(displayName=unique("Team"))
    run_id = a_held_run(server, company, users, group)
    path = f"/console/reconciliations/{run_id}"
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        page = admin.get(path)
        repaired = said(admin.get(path, outcome="repaired"))
        table = admin.get(f"{path}/export", kind="user_gone").content.decode("utf-8-sig")
        attention = said(admin.get("/console"))
        approved = admin.send(f"{path}/approve")
        again = admin.post(f"{path}/approve", 303)

    assert "3 removals wait for your approval" in said(page)
    assert all(user["displayName"] in said(page) for user in users)
    assert f'href="/console/people/{company.person(users[0])["id"]}"' in page.text
    assert (group["displayName"] in repaired, users[1]["displayName"] in repaired) == (True, False)
    assert [user["displayName"] for user in users] == [row["what"] for row in csv.DictReader(io.StringIO(table))]
    assert "Removals wait for your approval" in attention
    assert "carries out what was approved" in approved
    assert "by admin" in approved
    assert where(again) == path
    assert ["approve"] * 2 == [entry["action"] for entry in company.log(run_id)]


def test_findings_have_pages(server: Server, make_company: MakeCompany) -> None:
    """The second page begins behind the first."""
    company = make_company()
    connected(server, company)
    user, group = company.hire(), company.found()
    run_id = a_held_run(server, company, [user] * 51, group)
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        first = admin.get(f"/console/reconciliations/{run_id}")
        second = admin.get(f"/console/reconciliations/{run_id}", after=49)

    assert 'after=49" rel="next"' in first.text
    assert 50 == first.text.count("Remove the user.")
    assert 1 == second.text.count("Remove the user.")


def test_a_run_of_another_tenant_is_not_there(server: Server, make_company: MakeCompany, admin: Browser) -> None:
    """Neither to read, nor to take along, nor to approve."""
    company = make_company()
    connected(server, company)
    run_id = a_held_run(server, company, [company.hire()], company.found())
    path = f"/console/reconciliations/{run_id}"

    admin.get("/console/account")
    for foreign in (path, f"{path}/progress", f"{path}/export"):
        admin.get(foreign, 404)
    admin.post(f"{path}/approve", 404)
    assert [] == company.log(run_id)


def test_a_form_without_its_token_does_nothing(server: Server, make_company: MakeCompany) -> None:
    """Nothing is asked for, nothing approved."""
    company = make_company()
    connected(server, company)
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        admin.token = "0" * 40
        admin.post("/console/reconciliations", 403, policy="repair")

    assert [] == in_work(server, company, reconciliations.runs)
