"""Work in the background: what is under way or waits, how far it is, why something failed, when it is tried again."""

from collections.abc import Mapping
from typing import NamedTuple

from admin_console.endpoint import Answer, done, page
from admin_console.pages.settings import JOBS, TABS
from admin_console.paging import ROWS, cut
from admin_console.request import Request
from app_core import clock, follow, graph_links, jobs, names, reconciliations
from app_core.clock import Stamp
from app_core.jobs import Job
from app_core.work import Work

MOST_UNFINISHED = 100
KINDS: Mapping[str, str] = {
    follow.ISSUE: "Cards for a group",
    graph_links.PULL: "Sync from Microsoft Graph",
    reconciliations.RECONCILE: "Reconciliation",
}


class Line(NamedTuple):
    """A job as shown."""

    job: Job
    word: str
    path: str | None
    """Where more is said about it."""
    state: tuple[str, str]
    """What it does now, and the tone of it."""
    rests_until: Stamp | None
    """When it is begun or tried again, where that is later than now."""
    rate: float | None
    """How many it deals with in a second, once that can be said."""


def show(work: Work, request: Request) -> Answer:
    """Show the jobs; while there is one, the page asks again by itself."""
    before = request.asked("before")
    unfinished = [] if before else jobs.all_unfinished(work, limit=MOST_UNFINISHED)
    finished = jobs.finished(work, before=before or "~", limit=ROWS + 1)
    groups = names.groups(work, sorted({_group_of(each) for each in [*unfinished, *finished]} - {""}))
    lines = [_line(each, groups, work.now) for each in finished]
    rows = cut(lines, lambda each: each.job.id, JOBS, {"before": before}, name="before")
    return page(
        "settings/jobs.html",
        "Background work",
        place="settings",
        tabs=TABS,
        tab=JOBS,
        unfinished=[_line(each, groups, work.now) for each in unfinished],
        rows=rows,
        running=any(each.state == "running" for each in unfinished),
    )


def try_now(work: Work, request: Request) -> Answer:
    """Try a job that failed now, in place of later. Raises NotFound, NotPossible."""
    jobs.try_now(work, request.id)
    return done(JOBS, "It is tried again now.", target_id=request.id)


def _group_of(job: Job) -> str:
    return str(job.arguments().get("group_id", ""))


def _line(job: Job, groups: names.Found, now: Stamp) -> Line:
    group = groups.get(_group_of(job))
    word = KINDS.get(job.kind, job.kind)
    if group is not None:
        word = f"Cards for {group.name}"
    rests = job.run_at if job.finished_at is None and job.state == "queued" and job.run_at > now else None
    return Line(job, word, _path_of(job, group), _state_of(job, rests), rests, _rate_of(job))


def _path_of(job: Job, group: names.Named | None) -> str | None:
    if group is not None:
        return f"/console/{group.noun}/{group.id}"
    if job.kind == reconciliations.RECONCILE:
        return f"/console/reconciliations/{job.arguments()['run_id']}"
    return "/console/setup/graph" if job.kind == graph_links.PULL else None


def _state_of(job: Job, rests_until: Stamp | None) -> tuple[str, str]:
    if job.state == "queued":
        if rests_until is None:
            return "waits for its turn", "plain"
        return ("failed, tried again", "warn") if job.error else ("begins later", "plain")
    return {"running": ("under way", "accent"), "done": ("done", "good")}.get(job.state, ("given up", "bad"))


def _rate_of(job: Job) -> float | None:
    """Say how fast it went since it was asked for, which is the least that it can have been."""
    seconds = clock.seconds(job.modified_at) - clock.seconds(job.created_at)
    return job.done / seconds if job.done and seconds >= 1 and job.state in ("running", "done") else None
