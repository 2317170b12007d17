"""Reconciliations: what a complete listing of the directory found to differ from the mirror, and what came of it (G5).

A run and its findings are kept, so that an administrator can read what differs and why, and approve removals that were
held. Who lists and repairs is `graph_fallback.reconcile`; what of the mirror is compared is read here as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlmodel import Field, SQLModel

from app_core import clock, jobs
from app_core.clock import Stamp
from app_core.db import KeyText, Statement, among, table_of
from app_core.directory import CONNECTION_OF, OF_GROUPS, OF_USERS, G, M, U
from app_core.errors import NotFound, NotPossible, Stale
from app_core.ids import new_id
from app_core.jobs import Job
from app_core.work import Work

RECONCILE = "reconcile"
"""The kind of job that carries runs out."""
GRACE_SECONDS = 300.0
"""What changed here so shortly before a run is left alone: Graph lags behind."""
TRIES = 5
"""How many runs there are in all that nobody waits for, while the listing breaks off."""
RETRY_SECONDS = 600.0
"""How long after the first such run the second begins; the pause doubles each time."""
KEEP_DAYS = 90
FACTS = ("users", "groups", "memberships", "found", "removals", "error")


class Policy(StrEnum):
    """What a run does with what it finds."""

    REPORT = "report"
    REPAIR = "repair"


class State(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    LISTING = "listing"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"


class Outcome(StrEnum):
    """What came of a finding."""

    FOUND = "found"
    REPORTED = "reported"
    REPAIRED = "repaired"
    HELD = "held"
    LEFT = "left"
    """It was not so any more, or too fresh, when its turn came."""
    REFUSED = "refused"


class ReconciliationRow(SQLModel, table=True):
    """A run.

    queued → listing   a worker has begun it
    listing → done     everything was listed; findings are repaired, or reported
    listing → held     too much was to be removed: the removals wait for an administrator
    listing → failed   the listing broke off; nothing was removed
    held → done        approved: the removals that were still true are carried out
    any    → failed    another run took its place before its end, or the connection is to no or to another directory
    """

    __tablename__ = "reconciliation"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "connection_id"], CONNECTION_OF, ondelete="CASCADE"),
        Index("ix_reconciliation_connection_id", "tenant_id", "connection_id", "id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    connection_id: str = Field(sa_type=KeyText)
    state: str = Field(sa_type=KeyText)
    policy: str = Field(sa_type=KeyText)
    started_at: str = Field(sa_type=KeyText)
    cutoff: str = Field(sa_type=KeyText)
    finished_at: str | None = Field(sa_type=KeyText)
    approved_at: str | None = Field(sa_type=KeyText)
    approved_by: str | None = Field(sa_type=KeyText)
    users: int
    groups: int
    memberships: int
    found: int
    removals: int
    error: str | None = Field(sa_type=Text)


class ReconciliationDriftRow(SQLModel, table=True):
    """One thing in which directory and mirror differ, and what came of it."""

    __tablename__ = "reconciliation_drift"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "run_id"], ["reconciliation.tenant_id", "reconciliation.id"], ondelete="CASCADE"
        ),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    run_id: str = Field(primary_key=True, sa_type=KeyText)
    position: int = Field(primary_key=True)
    kind: str = Field(sa_type=KeyText)
    object_id: str = Field(sa_type=KeyText)
    member_id: str | None = Field(sa_type=KeyText)
    our_id: str | None = Field(sa_type=KeyText)
    name: str | None = Field(sa_type=Text)
    why: str = Field(sa_type=Text)
    repair: str = Field(sa_type=Text)
    outcome: str = Field(sa_type=KeyText)
    reason: str | None = Field(sa_type=Text)


class Run(NamedTuple):
    """A run as read. `users`, `groups` and `memberships` say how many of the mirror were compared."""

    id: str
    connection_id: str
    state: str
    policy: str
    started_at: Stamp
    cutoff: Stamp
    """What changed here after this is left alone: the listing may be older."""
    finished_at: Stamp | None
    approved_at: Stamp | None
    approved_by: str | None
    users: int
    groups: int
    memberships: int
    found: int
    removals: int
    error: str | None


class Drift(NamedTuple):
    """One thing in which directory and mirror differ."""

    kind: str
    object_id: str
    """Of the user or group in Entra."""
    our_id: str | None
    """Of the same here; None where it is not here."""
    why: str
    repair: str
    member_id: str | None = None
    """Of a membership: the object id of the user in question."""
    name: str | None = None
    """Of a rename: the new name."""


class Finding(NamedTuple):
    """A drift as kept in a run."""

    position: int
    drift: Drift
    outcome: str
    reason: str | None


class MirroredUser(NamedTuple):
    """A user of the mirror, to be compared."""

    id: str
    object_id: str | None
    user_name_key: str
    active: bool
    modified_at: Stamp
    document: bytes


class MirroredGroup(NamedTuple):
    """A group of the mirror that has an object id, to be compared."""

    id: str
    object_id: str
    display_name: str
    modified_at: Stamp


class Page(NamedTuple):
    """Users of the mirror in the order of their ids, without their documents."""

    id: str
    object_id: str
    active: bool
    modified_at: Stamp


class Member(NamedTuple):
    """A user in a group of the mirror."""

    user_id: str
    object_id: str | None
    since: Stamp


R, D = table_of(ReconciliationRow), table_of(ReconciliationDriftRow)
THIS = (R.c.tenant_id == bindparam("tenant_id"), R.c.id == bindparam("run_id"))
OF_RUN = (D.c.tenant_id == bindparam("tenant_id"), D.c.run_id == bindparam("run_id"))
OF_CONNECTION = (R.c.tenant_id == bindparam("tenant_id"), R.c.connection_id == bindparam("connection_id"))
RUN = tuple(R.c[name] for name in Run._fields)
FINDING = (D.c.position, *[D.c[name] for name in Drift._fields], D.c.outcome, D.c.reason)
ADD_RUN = Statement(
    insert(R).values(
        tenant_id=bindparam("tenant_id"),
        id=bindparam("run_id"),
        connection_id=bindparam("connection_id"),
        state=State.QUEUED,
        policy=bindparam("policy"),
        started_at=bindparam("now"),
        cutoff=bindparam("now"),
        users=0,
        groups=0,
        memberships=0,
        found=0,
        removals=0,
    )
)
BEGIN = Statement(
    update(R)
    .where(*THIS, or_(R.c.state == State.QUEUED, R.c.state == State.LISTING))
    .values(state=State.LISTING, started_at=bindparam("now"), cutoff=bindparam("cutoff"))
)
FORGET = Statement(delete(D).where(*OF_RUN))
GIVE_UP = Statement(
    update(R)
    .where(*OF_CONNECTION, among(R.c.state, "states"), among(R.c.policy, "policies"))
    .values(state=State.FAILED, finished_at=bindparam("now"), error=bindparam("reason"))
)
PURGE = Statement(delete(R).where(*OF_CONNECTION, R.c.started_at < bindparam("before", type_=KeyText)))
END = Statement(
    update(R)
    .where(*THIS)
    .values(
        state=bindparam("state_now"),
        finished_at=bindparam("ended"),
        **{name: bindparam(f"new_{name}") for name in FACTS},
    )
)
FINISH = Statement(update(R).where(*THIS).values(state=State.DONE, finished_at=bindparam("now"), error=None))
APPROVE = Statement(
    update(R).where(*THIS, R.c.state == State.HELD).values(approved_at=bindparam("now"), approved_by=bindparam("actor"))
)
FIND = Statement(select(*RUN).where(*THIS))
RUNS = Statement(
    select(*RUN)
    .where(*OF_CONNECTION, R.c.id < bindparam("before", type_=KeyText))
    .order_by(R.c.id.desc())
    .limit(bindparam("limit", type_=Integer()))
)
ADD = Statement(
    insert(D).values(
        tenant_id=bindparam("tenant_id"),
        run_id=bindparam("run_id"),
        **{name: bindparam(name) for name in ("position", *Drift._fields, "outcome")},
    )
)
SETTLE = Statement(
    update(D)
    .where(*OF_RUN, D.c.position == bindparam("at"))
    .values(outcome=bindparam("came"), reason=bindparam("because"))
)


def _findings(named: Iterable[str]) -> Statement:
    return Statement(
        select(*FINDING)
        .where(
            *OF_RUN,
            D.c.position > bindparam("after", type_=Integer()),
            *[D.c[name] == bindparam(f"the_{name}", type_=KeyText) for name in named],
        )
        .order_by(D.c.position)
        .limit(bindparam("limit", type_=Integer()))
    )


FINDINGS = {frozenset(named): _findings(named) for named in ((), ("kind",), ("outcome",), ("kind", "outcome"))}
HELD = Statement(select(*FINDING).where(*OF_RUN, D.c.outcome == Outcome.HELD).order_by(D.c.position))
COUNTS = Statement(select(D.c.kind, D.c.outcome, func.count()).where(*OF_RUN).group_by(D.c.kind, D.c.outcome))

# Runs ---------------------------------------------------------------------------------------------------------------


def ask(
    work: Work,
    policy: Policy = Policy.REPAIR,
    *,
    grace: float = GRACE_SECONDS,
    tries: int = 1,
    at: Stamp | None = None,
) -> Run:
    """Ask for a run on the acting connection, in place of one of its policy; it begins at once, or not before `at`.

    A report takes no repair's place: whoever looks must not stop what is to be mended.

    `tries` is how many there may be in all where the listing breaks off, each a run of its own: TRIES where nobody
    waits for it.
    """
    run_id = new_id()
    give_up(work, "Another run took its place.", policies=[policy])
    work.run(PURGE, connection_id=work.connection_id, before=clock.later(-KEEP_DAYS * 86400))
    work.run(ADD_RUN, run_id=run_id, connection_id=work.connection_id, policy=policy, now=work.now)
    args = {"connection_id": work.connection_id, "run_id": run_id, "policy": policy, "grace": grace, "approved": False}
    jobs.enqueue(work, RECONCILE, slot(work, policy), {**args, "tries": tries}, at=at)
    return require(work, run_id)


def next_try_at(tries: int) -> Stamp | None:
    """Say when a run whose listing broke off is tried again, with so many tries left; None: it is not."""
    return None if tries <= 1 else clock.later(RETRY_SECONDS * 2 ** max(0, TRIES - tries))


def slot(work: Work, policy: str) -> str:
    """Name the place that runs of a policy share on the acting connection: there is one at a time."""
    kind = RECONCILE if policy == Policy.REPAIR else f"{RECONCILE}:{policy}"
    return f"{kind}:{work.connection_id}"


def approve(work: Work, run_id: str) -> Run:
    """Let the removals of a held run be carried out, of those that are still true. Raises NotFound, NotPossible."""
    run = require(work, run_id)
    if not work.run(APPROVE, run_id=run_id, now=work.now, actor=work.actor.id):
        raise NotPossible(f"The reconciliation '{run_id}' holds nothing that waits for approval: it is {run.state}.")
    args = {"connection_id": work.connection_id, "run_id": run_id, "approved": True}
    jobs.enqueue(work, RECONCILE, approval_slot(run_id), args, total=run.removals)
    return require(work, run_id)


def approval_slot(run_id: str) -> str:
    """Name the place of an approval: approving twice is approving once."""
    return f"{RECONCILE}:approved:{run_id}"


def job_of(work: Work, run: Run) -> Job | None:
    """Read the job that carries a run out, as long as it is not finished."""
    if run.state == State.HELD:
        return jobs.unfinished(work, approval_slot(run.id))
    job = jobs.unfinished(work, slot(work, run.policy))
    return job if job is not None and job.arguments()["run_id"] == run.id else None


def give_up(work: Work, reason: str, *, policies: Sequence[Policy] = tuple(Policy), held: bool = False) -> None:
    """End the runs of the acting connection that are under way as failed; those that are held only if it is said."""
    states = [State.QUEUED, State.LISTING, *([State.HELD] if held else [])]
    params = {"states": [str(state) for state in states], "policies": [str(policy) for policy in policies]}
    work.run(GIVE_UP, connection_id=work.connection_id, now=work.now, reason=reason, **params)


def begin(work: Work, run_id: str, cutoff: Stamp) -> None:
    """Begin a run, or begin it anew where a worker died over it. Raises Stale where another took its place."""
    if not work.run(BEGIN, run_id=run_id, now=work.now, cutoff=cutoff):
        raise Stale(f"Reconciliation '{run_id}' is not to be carried out any more.")
    work.run(FORGET, run_id=run_id)


def end(work: Work, run_id: str, state: State, counts: Mapping[str, int], error: str | None = None) -> None:
    """Say how a run ended and what it compared; a held one has its end still before it."""
    facts = {f"new_{name}": counts.get(name, 0) for name in FACTS} | {"new_error": error}
    work.run(END, run_id=run_id, state_now=state, ended=None if state is State.HELD else work.now, **facts)


def done(work: Work, run_id: str) -> None:
    """Say that a held run has come to its end."""
    work.run(FINISH, run_id=run_id, now=work.now)


def find(work: Work, run_id: str) -> Run | None:
    """Read a run."""
    row = work.row(FIND, run_id=run_id)
    return None if row is None else Run(*row)


def require(work: Work, run_id: str) -> Run:
    """Read a run of the acting connection. Raises NotFound."""
    run = find(work, run_id)
    if run is None or run.connection_id != work.connection_id:
        raise NotFound("Reconciliation", run_id)
    return run


def runs(work: Work, *, before: str = "~", limit: int = 50) -> list[Run]:
    """List the runs of the acting connection, newest first, from before an id."""
    return [Run(*row) for row in work.rows(RUNS, connection_id=work.connection_id, before=before, limit=limit)]


# Findings -----------------------------------------------------------------------------------------------------------


def add(work: Work, run_id: str, found: Sequence[Finding]) -> None:
    """Write findings of a run down."""
    rows = [{**each.drift._asdict(), "position": each.position, "outcome": each.outcome} for each in found]
    work.run_many(ADD, [{"run_id": run_id, **row} for row in rows])


def settle(work: Work, run_id: str, position: int, outcome: Outcome, reason: str | None = None) -> None:
    """Say what came of a finding."""
    work.run(SETTLE, run_id=run_id, at=position, came=outcome, because=reason)


def findings(
    work: Work, run_id: str, *, after: int = -1, limit: int = 1000, kind: str | None = None, outcome: str | None = None
) -> list[Finding]:
    """List the findings of a run from behind a position, of one kind or outcome where one is named."""
    named = {name: value for name, value in (("kind", kind), ("outcome", outcome)) if value is not None}
    params = {f"the_{name}": value for name, value in named.items()}
    rows = work.rows(FINDINGS[frozenset(named)], run_id=run_id, after=after, limit=limit, **params)
    return [_finding(row) for row in rows]


def held(work: Work, run_id: str) -> list[Finding]:
    """List what waits for approval."""
    return [_finding(row) for row in work.rows(HELD, run_id=run_id)]


def counts(work: Work, run_id: str) -> dict[str, dict[str, int]]:
    """Count the findings of a run: kind → what came of them → how many."""
    found: dict[str, dict[str, int]] = {}
    for kind, outcome, count in work.rows(COUNTS, run_id=run_id):
        found.setdefault(kind, {})[outcome] = int(count)
    return found


def _finding(row: Sequence[object]) -> Finding:
    position, *drift, outcome, reason = row
    return Finding(position, Drift(*drift), outcome, reason)  # type: ignore[arg-type]


# The mirror, to be compared -----------------------------------------------------------------------------------------

MIRRORED = (U.c.id, U.c.entra_object_id, U.c.user_name_key, U.c.active, U.c.modified_at, U.c.document)
LINKED = Statement(select(*MIRRORED).where(*OF_USERS, among(U.c.entra_object_id, "object_ids")))
UNLINKED = Statement(
    select(*MIRRORED).where(*OF_USERS, U.c.entra_object_id.is_(None), among(U.c.user_name_key, "keys"))
)
USERS = Statement(
    select(U.c.id, U.c.entra_object_id, U.c.active, U.c.modified_at)
    .where(*OF_USERS, U.c.entra_object_id.is_not(None), U.c.id > bindparam("after", type_=KeyText))
    .order_by(U.c.id)
    .limit(bindparam("limit", type_=Integer()))
)
GROUPS = Statement(
    select(G.c.id, G.c.entra_object_id, G.c.display_name, G.c.modified_at)
    .where(*OF_GROUPS, G.c.entra_object_id.is_not(None), G.c.id > bindparam("after", type_=KeyText))
    .order_by(G.c.id)
    .limit(bindparam("limit", type_=Integer()))
)
MEMBERS = Statement(
    select(U.c.id, U.c.entra_object_id, M.c.since)
    .select_from(M.join(U, and_(U.c.tenant_id == M.c.tenant_id, U.c.id == M.c.user_id)))
    .where(M.c.tenant_id == bindparam("tenant_id"), M.c.group_id == bindparam("group_id"))
)
USER_MODIFIED = Statement(select(U.c.modified_at).where(*OF_USERS, U.c.id == bindparam("user_id")))


def mirrored_users(work: Work, object_ids: Sequence[str]) -> list[MirroredUser]:
    """Give the users of some object ids, of those that are here."""
    rows = work.rows(LINKED, connection_id=work.connection_id, object_ids=list(object_ids))
    return [MirroredUser(*row) for row in rows]


def unlinked_users(work: Work, keys: Sequence[str]) -> list[MirroredUser]:
    """Give the users of some folded names that have no object id yet."""
    rows = work.rows(UNLINKED, connection_id=work.connection_id, keys=list(keys))
    return [MirroredUser(*row) for row in rows]


def users(work: Work, *, after: str = "", limit: int = 2000) -> list[Page]:
    """List the users that have an object id, from behind an id."""
    return [Page(*row) for row in work.rows(USERS, connection_id=work.connection_id, after=after, limit=limit)]


def groups(work: Work, *, after: str = "", limit: int = 1000) -> list[MirroredGroup]:
    """List the groups that have an object id, from behind an id."""
    rows = work.rows(GROUPS, connection_id=work.connection_id, after=after, limit=limit)
    return [MirroredGroup(*row) for row in rows]


def members(work: Work, group_id: str) -> list[Member]:
    """Give the users in a group, and since when they are in it."""
    return [Member(*row) for row in work.rows(MEMBERS, group_id=group_id)]


def user_modified_at(work: Work, user_id: str) -> Stamp | None:
    """Say when a user last changed here; None when it is gone."""
    row = work.row(USER_MODIFIED, connection_id=work.connection_id, user_id=user_id)
    return None if row is None else str(row[0])
