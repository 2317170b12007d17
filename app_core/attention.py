"""What waits for an administrator: teams, people, jobs, runs and webhooks that do not get further by themselves."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Integer, bindparam, func, literal, select

from app_core import clock, deliveries, reconciliations, webhooks
from app_core.clock import Stamp
from app_core.db import KeyText, Statement
from app_core.deliveries import Fate
from app_core.ids import first_id_of
from app_core.jobs import JOB, J, Job
from app_core.people import P
from app_core.ports import Trouble as Reason
from app_core.reconciliations import OF_CONNECTION, RUN, R, Run, State
from app_core.teams import TEAM, A, Team
from app_core.webhooks import Webhook
from app_core.work import Work

COUNTED = 1000
"""How many are counted at most: more are "1000 or more"."""
JOBS_READ = 500
DAYS = 7


class Trouble(NamedTuple):
    """A job that was given up, and has not been asked for again since."""

    kind: str
    error: str | None
    finished_at: Stamp | None


PROBLEMS = Statement(
    select(func.count()).select_from(
        select(literal(1))
        .select_from(P)
        .where(P.c.tenant_id == bindparam("tenant_id"), P.c.problems.is_not(None))
        .limit(COUNTED)
        .subquery()
    )
)
BLOCKED = Statement(
    select(*TEAM)
    .where(A.c.tenant_id == bindparam("tenant_id"), A.c.deletion_requested_at.is_not(None))
    .order_by(A.c.deletion_requested_at.desc(), A.c.id)
    .limit(bindparam("limit", type_=Integer()))
)
HELD = Statement(select(*RUN).where(*OF_CONNECTION, R.c.state == State.HELD).order_by(R.c.id.desc()))
NEWEST_JOBS = Statement(
    select(J.c.slot, *JOB)
    .where(J.c.tenant_id == bindparam("tenant_id"), J.c.id >= bindparam("since", type_=KeyText))
    .order_by(J.c.id.desc())
    .limit(bindparam("limit", type_=Integer()))
)


def blocked_teams(work: Work, limit: int) -> Sequence[Team]:
    """List the teams that the directory wants gone and that still hold logins, the newest wish first."""
    return [Team(*row) for row in work.rows(BLOCKED, limit=limit)]


def people_with_problems(work: Work) -> int:
    """Count the people with a phone number that no card can show, up to COUNTED."""
    row = work.row(PROBLEMS)
    return 0 if row is None else int(row[0])


def held_runs(work: Work) -> Sequence[Run]:
    """List the runs of the acting connection that wait for approval and are not carried out yet, newest first."""
    held = [Run(*row) for row in work.rows(HELD, connection_id=work.connection_id)]
    return [run for run in held if reconciliations.job_of(work, run) is None]


def failed_jobs(work: Work) -> Sequence[Trouble]:
    """List the jobs of the last days that were given up, newest first, unless the same was done since."""
    since = first_id_of(clock.seconds(work.now) - DAYS * 86400)
    settled: set[str] = set()
    found = []
    for slot, *row in work.rows(NEWEST_JOBS, since=since, limit=JOBS_READ):
        job = Job(*row)
        if job.state == "failed" and slot not in settled:
            found.append(Trouble(job.kind, job.error, job.finished_at))
        settled.add(str(slot))
    return found


class Undelivered(NamedTuple):
    """A webhook that takes nothing, and how many events were given up; up to COUNTED."""

    webhook: Webhook
    dead: int


def webhooks_in_trouble(work: Work) -> Sequence[Undelivered]:
    """List the webhooks that fail, that have said they are gone, or that have events which were given up."""
    found = [
        Undelivered(each, deliveries.count(work, each.id, Fate.DEAD, most=COUNTED)) for each in webhooks.all_of(work)
    ]
    return [each for each in found if each.dead or each.webhook.reason == Reason.GONE or _is_failing(each.webhook)]


def _is_failing(webhook: Webhook) -> bool:
    return webhook.failing_since is not None and webhook.state == webhooks.State.ACTIVE
