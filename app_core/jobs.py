"""Work that takes longer than a request: rows that a worker takes, step by step, on any replica.

A job is enqueued in the transaction that makes it necessary. Each step is one transaction that also saves how far the
job is; a worker that dies loses its lease, and the next goes on from there. A step counts only while its `attempt` is
the latest (fencing), and a job that is asked for again while it runs starts over from the front (`generation`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    bindparam,
    delete,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlmodel import Field, SQLModel

from app_core import clock
from app_core.clock import Stamp
from app_core.db import Connection, KeyText, Statement, among, json_text, table_of, upsert
from app_core.errors import NotFound, NotPossible, Stale
from app_core.ids import first_id_of, new_id
from app_core.work import Work

LEASE_SECONDS = 60.0
MAX_ATTEMPTS = 20


class JobRow(SQLModel, table=True):
    """A job.

    queued → running   a worker has its lease
    running → queued   its step failed; it is tried again later
    running → done     nothing is left to do
    running → failed   it failed too often, or what it is about is no more; `error` says how
    """

    __tablename__ = "job"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),
        # One unfinished job a slot: asking twice is asking once.
        Index(
            "uq_job_slot",
            "tenant_id",
            "slot",
            unique=True,
            sqlite_where=text("finished_at IS NULL"),
            postgresql_where=text("finished_at IS NULL"),
        ),
        # Workers serve all tenants alike.
        Index(
            "ix_job_due",
            "run_at",
            sqlite_where=text("finished_at IS NULL"),
            postgresql_where=text("finished_at IS NULL"),
        ),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    kind: str = Field(sa_type=KeyText)
    slot: str = Field(sa_type=KeyText)
    args: str = Field(sa_type=Text)
    state: str = Field(sa_type=KeyText)
    phase: str = Field(sa_type=KeyText)
    cursor: str = Field(sa_type=KeyText)
    done: int
    total: int
    attempt: int
    failures: int
    generation: int
    run_at: str = Field(sa_type=KeyText)
    leased_until: str | None = Field(sa_type=KeyText)
    error: str | None = Field(sa_type=Text)
    created_at: str = Field(sa_type=KeyText)
    modified_at: str = Field(sa_type=KeyText)
    finished_at: str | None = Field(sa_type=KeyText)


class Job(NamedTuple):
    """A job as read."""

    tenant_id: str
    id: str
    kind: str
    args: str
    state: str
    phase: str
    cursor: str
    done: int
    total: int
    attempt: int
    failures: int
    generation: int
    error: str | None
    created_at: Stamp
    modified_at: Stamp
    finished_at: Stamp | None
    run_at: Stamp
    """Before when it is not taken: later than now while it rests after a failure, or was asked for later."""

    def arguments(self) -> dict[str, Any]:
        """Read what the job is about."""
        found: dict[str, Any] = orjson.loads(self.args)
        return found


class Progress(NamedTuple):
    """What a step has done: where the next goes on (None: nothing is left), and how many it dealt with."""

    cursor: str | None
    done: int
    phase: str = ""


J = table_of(JobRow)
JOB = tuple(J.c[name] for name in Job._fields)
OF_TENANT = J.c.tenant_id == bindparam("tenant_id")
UNFINISHED = J.c.finished_at.is_(None)
THIS = (J.c.tenant_id == bindparam("tenant_id"), J.c.id == bindparam("job_id"))
MINE = (*THIS, UNFINISHED, J.c.attempt == bindparam("attempt_was"))
ENQUEUE = Statement(
    upsert(J)
    .values(
        tenant_id=bindparam("tenant_id"),
        id=bindparam("id"),
        kind=bindparam("kind"),
        slot=bindparam("slot"),
        args=bindparam("args"),
        state="queued",
        phase="",
        cursor="",
        done=0,
        total=bindparam("total"),
        attempt=0,
        failures=0,
        generation=1,
        run_at=bindparam("run_at"),
        created_at=bindparam("now"),
        modified_at=bindparam("now"),
    )
    .on_conflict_do_update(
        index_elements=["tenant_id", "slot"],
        index_where=text("finished_at IS NULL"),
        set_={
            "generation": J.c.generation + 1,
            "cursor": "",
            "done": 0,
            "failures": 0,
            "total": literal_column("excluded.total", Integer()),
            "args": literal_column("excluded.args", Text()),
            # Who asks again asks for it now, however long a failure would have let it rest.
            "run_at": literal_column("excluded.run_at", Text()),
            "modified_at": literal_column("excluded.modified_at", Text()),
        },
    )
)
DUE = Statement(
    select(*JOB)
    .where(
        UNFINISHED,
        among(J.c.kind, "kinds"),
        J.c.run_at <= bindparam("now", type_=KeyText),
        or_(J.c.leased_until.is_(None), J.c.leased_until <= bindparam("now", type_=KeyText)),
    )
    .order_by(J.c.run_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
LEASE = Statement(
    update(J)
    .where(*THIS)
    .values(state="running", attempt=J.c.attempt + 1, leased_until=bindparam("until"), modified_at=bindparam("now"))
)
SAVE = Statement(
    update(J)
    .where(*MINE, J.c.generation == bindparam("generation_was"))
    .values(
        cursor=bindparam("cursor"),
        phase=bindparam("phase"),
        done=J.c.done + bindparam("more", type_=Integer()),
        failures=0,
        leased_until=bindparam("until"),
        modified_at=bindparam("now"),
    )
)
FINISH = Statement(
    update(J)
    .where(*MINE, J.c.generation == bindparam("generation_was"))
    .values(
        state="done",
        phase=bindparam("phase"),
        done=J.c.done + bindparam("more", type_=Integer()),
        leased_until=None,
        error=None,
        modified_at=bindparam("now"),
        finished_at=bindparam("now"),
    )
)
POSTPONE = Statement(
    update(J)
    .where(*MINE)
    .values(
        state=bindparam("state"),
        failures=bindparam("failures_now"),
        error=bindparam("error"),
        run_at=bindparam("run_at"),
        leased_until=None,
        modified_at=bindparam("now"),
        finished_at=bindparam("finished_at"),
    )
)
GIVE_BACK = Statement(update(J).where(*MINE).values(state="queued", leased_until=None, modified_at=bindparam("now")))
TAKE_BACK = Statement(
    update(J).where(UNFINISHED, J.c.leased_until.is_not(None)).values(state="queued", leased_until=None)
)
AGAIN = Statement(select(*JOB).where(*THIS, UNFINISHED, J.c.attempt == bindparam("attempt_was")))
FIND = Statement(select(*JOB).where(*THIS))
UNFINISHED_OF = Statement(select(*JOB).where(OF_TENANT, J.c.slot == bindparam("slot"), UNFINISHED))
END = Statement(
    update(J)
    .where(OF_TENANT, UNFINISHED, json_text(J.c.args, "connection_id") == bindparam("connection_id"))
    .values(
        state="failed",
        error=bindparam("reason"),
        leased_until=None,
        modified_at=bindparam("now"),
        finished_at=bindparam("now"),
    )
)
FREE = Statement(
    select(*JOB)
    .where(*THIS, UNFINISHED, or_(J.c.leased_until.is_(None), J.c.leased_until <= bindparam("now", type_=KeyText)))
    .with_for_update(skip_locked=True)
)
PAGE = Statement(
    select(*JOB)
    .where(OF_TENANT, J.c.id < bindparam("before", type_=KeyText))
    .order_by(J.c.id.desc())
    .limit(bindparam("limit", type_=Integer()))
)
ALL_UNFINISHED = Statement(
    select(*JOB).where(OF_TENANT, UNFINISHED).order_by(J.c.id).limit(bindparam("limit", type_=Integer()))
)
FINISHED = Statement(
    select(*JOB)
    .where(OF_TENANT, J.c.finished_at.is_not(None), J.c.id < bindparam("before", type_=KeyText))
    .order_by(J.c.id.desc())
    .limit(bindparam("limit", type_=Integer()))
)
TRY_NOW = Statement(
    update(J)
    .where(*THIS, J.c.state == "queued", J.c.error.is_not(None), J.c.run_at > bindparam("now", type_=KeyText))
    .values(run_at=bindparam("now"), modified_at=bindparam("now"))
)
PURGE = Statement(
    delete(J).where(
        OF_TENANT,
        J.c.id.in_(
            select(J.c.id)
            # Ids sort by when a job was asked for, which was before it ended.
            .where(OF_TENANT, J.c.id < bindparam("first_id"), J.c.finished_at < bindparam("before"))
            .order_by(J.c.id)
            .limit(bindparam("count", type_=Integer()))
        ),
    )
)

# For those who need something done ----------------------------------------------------------------------------------


def enqueue(work: Work, kind: str, slot: str, args: dict[str, Any], *, total: int = 0, at: Stamp | None = None) -> None:
    """Ask for a job in this transaction; one that is unfinished in the same slot starts over instead.

    It is begun at once, or not before `at`.
    """
    work.run(
        ENQUEUE,
        id=new_id(),
        kind=kind,
        slot=slot,
        args=orjson.dumps(args).decode(),
        total=total,
        run_at=at or work.now,
        now=work.now,
    )


def find(work: Work, job_id: str) -> Job | None:
    """Read a job and how far it is."""
    row = work.row(FIND, job_id=job_id)
    return None if row is None else Job(*row)


def unfinished(work: Work, slot: str) -> Job | None:
    """Read the job of a slot that is not finished yet."""
    row = work.row(UNFINISHED_OF, slot=slot)
    return None if row is None else Job(*row)


def asked(work: Work, slot: str) -> Job:
    """Read the job of a slot that was asked for in this transaction."""
    job = unfinished(work, slot)
    assert job is not None
    return job


def end_all_of_connection(work: Work, reason: str) -> None:
    """Give up what is unfinished about the acting connection; a step that a worker is taking counts no more."""
    work.run(END, connection_id=work.connection_id, reason=reason, now=work.now)


def page(work: Work, *, before: str = "~", limit: int = 50) -> list[Job]:
    """List jobs, newest first, from before an id."""
    return [Job(*row) for row in work.rows(PAGE, before=before, limit=limit)]


def all_unfinished(work: Work, *, limit: int) -> list[Job]:
    """List the jobs that are under way or wait, in the order in which they were asked for."""
    return [Job(*row) for row in work.rows(ALL_UNFINISHED, limit=limit)]


def finished(work: Work, *, before: str = "~", limit: int = 50) -> list[Job]:
    """List the jobs that have ended, newest first, from before an id."""
    return [Job(*row) for row in work.rows(FINISHED, before=before, limit=limit)]


def try_now(work: Work, job_id: str) -> None:
    """Let a job that rests after a failure be taken at once. Raises NotFound, and NotPossible where none rests so."""
    if work.run(TRY_NOW, job_id=job_id, now=work.now):
        return
    if find(work, job_id) is None:
        raise NotFound("Job", job_id)
    raise NotPossible("This job does not wait for another try: it is under way, was asked for later, or has ended.")


def purge(connection: Connection, tenant_id: str, until_seconds: float, *, count: int = 500) -> int:
    """Remove up to `count` of a tenant's jobs that ended before an instant (epoch seconds); give how many went."""
    params = {"first_id": first_id_of(until_seconds), "before": clock.stamp(until_seconds), "count": count}
    return connection.run(PURGE, {"tenant_id": tenant_id, **params})


# For the worker -----------------------------------------------------------------------------------------------------


def claim(connection: Connection, kinds: Sequence[str]) -> Job | None:
    """Take the lease of the next job of some kinds that is due, whosever tenant's; None when there is nothing to do."""
    now = clock.now()
    row = connection.row(DUE, {"now": now, "kinds": list(kinds)})
    return None if row is None else _leased(connection, Job(*row), now)


def take_back(connection: Connection) -> None:
    """Take all leases back, whosever tenant's job it is: for the only worker there is, as it starts.

    Whoever held one is dead; if it is not after all, its steps count no more once another has the job.
    """
    connection.run(TAKE_BACK, {})


def lease(connection: Connection, tenant_id: str, job_id: str) -> Job | None:
    """Take the lease of one job, due or not; None while somebody else has it, and when it is finished."""
    now = clock.now()
    row = connection.row(FREE, {"tenant_id": tenant_id, "job_id": job_id, "now": now})
    return None if row is None else _leased(connection, Job(*row), now)


def _leased(connection: Connection, job: Job, now: Stamp) -> Job:
    until = clock.later(LEASE_SECONDS)
    connection.run(LEASE, {"tenant_id": job.tenant_id, "job_id": job.id, "until": until, "now": now})
    return job._replace(attempt=job.attempt + 1, state="running")


def save(work: Work, job: Job, progress: Progress) -> None:
    """Save how far a job is, in the transaction of the step. Raises Stale when somebody else has the job now."""
    params = {
        "job_id": job.id,
        "attempt_was": job.attempt,
        "generation_was": job.generation,
        "more": progress.done,
        "phase": progress.phase,
        "now": work.now,
    }
    if progress.cursor is None:
        saved = work.run(FINISH, **params)
    else:
        saved = work.run(SAVE, **params, cursor=progress.cursor, until=clock.later(LEASE_SECONDS))
    if not saved:
        raise Stale(f"Job '{job.id}' was taken over or asked for again.")


def reload(connection: Connection, job: Job) -> Job | None:
    """Read a job anew; None when it is no longer ours."""
    row = connection.row(AGAIN, {"tenant_id": job.tenant_id, "job_id": job.id, "attempt_was": job.attempt})
    return None if row is None else Job(*row)


def postpone(connection: Connection, job: Job, error: str, *, until: Stamp | None = None) -> None:
    """Let a job rest after a failure, longer each time; give it up after MAX_ATTEMPTS failures in a row.

    `until` says when whoever failed it wants to be asked again; such a pause is no failure of the job.
    """
    now, failures = clock.now(), job.failures + (until is None)
    last = failures >= MAX_ATTEMPTS
    params = {
        "tenant_id": job.tenant_id,
        "job_id": job.id,
        "attempt_was": job.attempt,
        "state": "failed" if last else "queued",
        "failures_now": failures,
        "error": error[:500],
        "run_at": until or clock.later(min(600.0, 2.0**job.failures)),
        "now": now,
        "finished_at": now if last else None,
    }
    connection.run(POSTPONE, params)


def give_back(connection: Connection, job: Job) -> None:
    """Let go of a job before it is finished, so that another worker goes on at once."""
    params = {"tenant_id": job.tenant_id, "job_id": job.id, "attempt_was": job.attempt, "now": clock.now()}
    connection.run(GIVE_BACK, params)
