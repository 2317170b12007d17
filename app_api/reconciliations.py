"""Reconciliations: ask for one, follow it, read what differs, let held removals be carried out (G5)."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from app_api import jobs
from app_api.bodies import Body, Limit, Paging, Position, Query, one_of
from app_api.exchange import DEFAULT_LIMIT, Answer, Call, Instant, Lines, Page
from app_api.jobs import Job
from app_api.lists import page_of
from app_core import connections, entra_directory, reconciliations
from app_core.reconciliations import Outcome, Policy, Run, State
from app_core.work import Work

CSV, JSON_LINES = "text/csv", "application/jsonl"
PIECE = 1000
"""How many findings of an export are read in one transaction."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")

# Runs ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A run. `users`, `groups` and `memberships` say how many were compared, `removals` how many findings remove."""

    id: str
    state: Annotated[str, one_of(*State)]
    policy: Annotated[str, one_of(*Policy)]
    started_at: Instant
    finished_at: Instant | None
    approved_at: Instant | None
    approved_by: str | None
    users: int
    groups: int
    memberships: int
    found: int
    removals: int
    error: str | None


@dataclass(frozen=True, slots=True)
class ReconciliationProgress(Reconciliation):
    """A run, how far it is, and what came of what it found: kind → outcome → how many."""

    outcomes: dict[str, dict[str, int]]
    job: Job | None


class ReconciliationAsked(Body):
    """What to do with what is found."""

    policy: Literal["report", "repair"]


def find(work: Work, call: Call, query: Paging) -> Answer[Page[Reconciliation]]:
    """List the runs, newest first."""
    connections.act_on_first(work)
    rows = reconciliations.runs(work, before=query.after or "~", limit=query.limit + 1)
    return page_of(query, rows, lambda run: Reconciliation(**_facts(run)), lambda run: run.id)


def ask(work: Work, call: Call, body: ReconciliationAsked) -> Answer[ReconciliationProgress]:
    """Compare the whole directory with what is here, in the background; a run that is under way is given up."""
    connections.act_on_first(work)
    return _accepted(work, entra_directory.reconcile(work, Policy(body.policy)))


def read(work: Work, call: Call) -> Answer[ReconciliationProgress]:
    """Read a run and how far it is."""
    return Answer(200, _shown(work, _required(work, call)), call.id)


def approve(work: Work, call: Call) -> Answer[ReconciliationProgress]:
    """Carry out the held removals of a run, of those that are still true."""
    connections.act_on_first(work)
    return _accepted(work, entra_directory.approve(work, call.id))


def _required(work: Work, call: Call) -> Run:
    connections.act_on_first(work)
    return reconciliations.require(work, call.id)


def _accepted(work: Work, run: Run) -> Answer[ReconciliationProgress]:
    return Answer(202, _shown(work, run), run.id, location=f"/reconciliations/{run.id}")


def _shown(work: Work, run: Run) -> ReconciliationProgress:
    job = reconciliations.job_of(work, run)
    counts = reconciliations.counts(work, run.id)
    return ReconciliationProgress(**_facts(run), outcomes=counts, job=None if job is None else jobs.shown(job))


def _facts(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in Reconciliation.__dataclass_fields__}


# Findings -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """A thing in which directory and mirror differ: which, why, what a repair does, and what came of it.

    `object_id` is the user or group in Entra, `our_id` the same here, `member_id` the user of a membership.
    """

    position: int
    kind: str
    object_id: str
    our_id: str | None
    member_id: str | None
    name: str | None
    why: str
    repair: str
    outcome: Annotated[str, one_of(*Outcome)]
    reason: str | None


class FindingList(Query):
    """Which findings to list."""

    after: Annotated[Position | None, Field(description="Read on behind this: the `next` of the page before.")] = None
    limit: Limit = DEFAULT_LIMIT
    kind: Annotated[str | None, Field(max_length=100)] = None
    outcome: Literal["found", "reported", "repaired", "held", "left", "refused"] | None = None


class Export(Query):
    """How to write the findings."""

    format: Literal["csv", "jsonl"] = "csv"


@dataclass(frozen=True, slots=True)
class FindingPage:
    """A part of the findings of a run; `next` goes into `after` to read on, and is null at the end."""

    items: list[Finding]
    next: int | None


def findings(work: Work, call: Call, query: FindingList) -> Answer[FindingPage]:
    """List what a run found."""
    run = _required(work, call)
    after = -1 if query.after is None else query.after
    chosen = {"kind": query.kind, "outcome": query.outcome}
    rows = reconciliations.findings(work, run.id, after=after, limit=query.limit + 1, **chosen)
    shown = rows[: query.limit]
    following = shown[-1].position if len(rows) > len(shown) else None
    return Answer(200, FindingPage([_finding(each) for each in shown], following))


def export(work: Work, call: Call, query: Export) -> Answer[Lines]:
    """Write down all that a run found, as CSV or as JSON lines."""
    run_id = _required(work, call).id
    write = _csv if query.format == "csv" else _json_lines

    def piece(work: Work, after: int) -> tuple[bytes, int | None]:
        rows = reconciliations.findings(work, run_id, after=after, limit=PIECE)
        return write(map(_finding, rows)), rows[-1].position if len(rows) == PIECE else None

    first, following = piece(work, -1)
    media_type, head = (CSV, _row(Finding.__dataclass_fields__)) if query.format == "csv" else (JSON_LINES, b"")
    name = f"reconciliation-{run_id}.{query.format}"
    return Answer(200, Lines(media_type, name, head + first, following, piece))


def _finding(finding: reconciliations.Finding) -> Finding:
    return Finding(position=finding.position, outcome=finding.outcome, reason=finding.reason, **finding.drift._asdict())


def _json_lines(found: Iterable[Finding]) -> bytes:
    return b"".join([orjson.dumps(each) + b"\n" for each in found])


def _csv(found: Iterable[Finding]) -> bytes:
    return b"".join([_row(asdict(each).values()) for each in found])


def _row(cells: Iterable[object]) -> bytes:
    # A group may be called =HYPERLINK(…): a table must show that, not run it.
    texts = ["" if cell is None else str(cell) for cell in cells]
    written = io.StringIO()
    csv.writer(written).writerow([f"'{text}" if text.startswith(FORMULA) else text for text in texts])
    return written.getvalue().encode()
