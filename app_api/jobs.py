"""Background jobs and how far they are."""

from dataclasses import dataclass
from typing import Annotated

from app_api.bodies import Paging, one_of
from app_api.exchange import Answer, Call, Instant, Page
from app_api.lists import page_of
from app_core import jobs
from app_core.errors import NotFound
from app_core.work import Work

State = Annotated[str, one_of("queued", "running", "done", "failed")]


@dataclass(frozen=True, slots=True)
class Job:
    """Work that takes longer than a request, and its progress."""

    id: str
    kind: str
    state: State
    phase: str
    done: int
    total: int
    attempt: int
    error: str | None
    next_attempt_at: Instant | None
    created_at: Instant
    modified_at: Instant
    finished_at: Instant | None


def find(work: Work, call: Call, query: Paging) -> Answer[Page[Job]]:
    """List jobs, newest first."""
    rows = jobs.page(work, before=query.after or "~", limit=query.limit + 1)
    return page_of(query, rows, shown, lambda job: job.id)


def read(work: Work, call: Call) -> Answer[Job]:
    """Read a job."""
    job = jobs.find(work, call.id)
    if job is None:
        raise NotFound("Job", call.id)
    return Answer(200, shown(job), job.id)


def shown(job: jobs.Job) -> Job:
    """Show a job."""
    return Job(
        id=job.id,
        kind=job.kind,
        state=job.state,
        phase=job.phase,
        done=job.done,
        total=job.total,
        attempt=job.attempt,
        error=job.error,
        next_attempt_at=job.run_at if job.state == "queued" else None,
        created_at=job.created_at,
        modified_at=job.modified_at,
        finished_at=job.finished_at,
    )
