"""Background work as a page: how far it is, why something failed, and another try."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from app_core import clock, connections, follow, graph_links, jobs, tenants
from app_core.db import Connection
from app_core.jobs import Job, Progress
from app_core.work import Actor, Source, Work
from tests.answers import unique
from tests.api import Company, MakeCompany
from tests.conftest import Server
from tests.console import administrator, said
from tests.processes import in_core

PATH = "/console/settings/jobs"
T = TypeVar("T")


def in_work(server: Server, company: Company, act: Callable[[Work], T]) -> T:
    """Let the core do something in a tenant."""

    def job(connection: Connection) -> T:
        found = connections.first_of(connection, tenants.find(connection, company.tenant_id))
        return act(Work(connection, company.tenant_id, found, Actor(Source.SYSTEM, "test"), "test", clock.now()))

    return in_core(server.database_url, lambda database: database.write(job))


def asked(work: Work, kind: str = graph_links.PULL, total: int = 0, **args: str) -> Job:
    """Ask for a job, and take its lease as a worker does."""
    slot = unique(kind)
    jobs.enqueue(work, kind, slot, args, total=total)
    job = jobs.lease(work.connection, work.tenant_id, jobs.asked(work, slot).id)
    assert job is not None
    return job


def ended(work: Work, done: int = 1) -> Job:
    """Let a job come to its end."""
    job = asked(work)
    jobs.save(work, job, Progress(None, done))
    return job


def test_what_is_under_way_is_shown_until_it_has_ended(server: Server, make_company: MakeCompany) -> None:
    """With the name of its group and how far it is; the page asks again as long as there is something."""
    company = make_company()
    group = company.found(displayName=unique("Everybody"))
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        empty = admin.get(PATH)
        job = in_work(server, company, lambda work: asked(work, follow.ISSUE, total=600, group_id=group["id"]))
        in_work(server, company, lambda work: jobs.save(work, job, Progress("somebody", 250, "issuing")))
        part = admin.http.get(PATH, headers={"HX-Request": "true", "HX-Target": "jobs"})
        in_work(server, company, lambda work: jobs.save(work, job, Progress(None, 350)))
        over = admin.get(PATH)

    assert "Nothing yet" in said(empty)
    assert ("<html" in part.text, 'hx-trigger="every 2s"' in part.text) == (False, True)
    assert f"Cards for {group['displayName']} under way Issuing 250 of 600" in said(part)
    assert "hx-trigger" not in over.text.partition('id="jobs"')[2]
    assert f"Cards for {group['displayName']} done 600" in said(over)


def test_what_failed_says_why_and_is_tried_again_when_somebody_asks(server: Server, make_company: MakeCompany) -> None:
    """Only what rests after a failure can be; who asks is in the log."""
    company, other = make_company(), make_company()
    job = in_work(server, company, asked)
    reason = "Microsoft Graph did not answer."
    later = clock.later(300)
    in_work(server, company, lambda work: jobs.postpone(work.connection, job, reason, until=later))
    path = f"{PATH}/{job.id}/try"
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        waiting = admin.get(PATH)
        told = admin.send(path)
        again = admin.post(path, 409)
        entry = company.log(action="try now", outcome="success")[0]
    with administrator(server.url, server.database_url, other.tenant_id) as stranger:
        stranger.get(PATH)
        stranger.post(path, 404)
        assert "Nothing yet" in said(stranger.get(PATH))

    assert f"{reason} It is tried again {later[:10]} {later[11:16]} UTC" in said(waiting)
    assert f'action="{path}"' in waiting.text
    assert ("It is tried again now." in told, "waits for its turn" in told, reason in told) == (True, True, False)
    assert "does not wait for another try" in said(again)
    assert job.id == entry["target"]["id"]
    assert in_work(server, company, lambda work: jobs.lease(work.connection, work.tenant_id, job.id)) is not None


def test_what_was_asked_for_later_is_not_hurried(server: Server, make_company: MakeCompany) -> None:
    """It waits for a reason; the page says until when, and what was given up says why."""
    company = make_company()

    def act(work: Work) -> str:
        jobs.enqueue(work, "reconcile", "later", {"run_id": "x"}, at=clock.later(600))
        failed = asked(work)._replace(failures=jobs.MAX_ATTEMPTS)
        jobs.postpone(work.connection, failed, "ConnectError")
        return jobs.asked(work, "later").id

    job_id = in_work(server, company, act)
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        shown = admin.get(PATH)
        admin.post(f"{PATH}/{job_id}/try", 409)

    assert "Reconciliation begins later" in said(shown)
    assert "/try" not in shown.text
    assert "Sync from Microsoft Graph ConnectError given up" in said(shown)


def test_finished_work_is_paged(server: Server, make_company: MakeCompany) -> None:
    """Fifty are a page, the newest first."""
    company = make_company()
    made = in_work(server, company, lambda work: [ended(work, at) for at in range(1, 53)])
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        first = admin.get(PATH)
        second = admin.get(PATH, before=made[2].id)

    assert (50, 2) == (first.text.count("<tr><td>"), second.text.count("<tr><td>"))
    assert f'href="{PATH}?before={made[2].id}" rel="next"' in first.text
    assert f'href="{PATH}"' in second.text.partition('class="pager"')[2]
