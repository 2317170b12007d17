"""The Graph side of a directory connection: which directory it is, how it stands, and where the next pull begins.

The links are Graph's bookmarks. They open nothing without a token of our application, so they are kept as they are;
nor are they logged, for they run to kilobytes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, exists, literal, or_, select, update

from app_core import clock, jobs
from app_core.clock import Stamp
from app_core.connections import CONNECTION, TOKEN
from app_core.db import Connection, KeyText, Statement, Violation
from app_core.errors import DirectoryTaken, NotPossible
from app_core.jobs import Job
from app_core.work import Work

PULL = "pull"
"""The kind of job that takes over what has changed."""
SLOT_BEGINS = 300
"""Seconds after the hour at which each hourly slot begins (G4)."""
C = CONNECTION
LIVE = or_(C.c.status == "connected", C.c.status == "quarantined")
LINKS = {"users": C.c.users_link, "groups": C.c.groups_link}


class GraphLink(NamedTuple):
    """How a connection and Graph stand."""

    tenant_id: str
    id: str
    entra_tenant_id: str | None
    status: str
    status_reason: str | None
    missing_permissions: str | None
    """Those that Graph said it wants for, by commas."""
    connected_at: Stamp | None
    users_link: str | None
    groups_link: str | None
    pull_slot: str | None
    pulled_at: Stamp | None
    pushed: bool
    """Whether Entra pushes into it: then its assignments decide who is in scope, and a pull imports nobody."""

    @property
    def live(self) -> bool:
        """Say whether it is pulled."""
        return self.entra_tenant_id is not None and self.status in ("connected", "quarantined")

    @property
    def missing(self) -> Sequence[str]:
        """Name the permissions that Graph said it wants for."""
        return self.missing_permissions.split(",") if self.missing_permissions else ()

    def next_pull_at(self, now: Stamp) -> Stamp | None:
        """Say when it is pulled next: now, where the present slot is not taken yet; None where it is not pulled."""
        if not self.live:
            return None
        if self.pull_slot is None or self.pull_slot < slot_of(now):
            return now
        begun = (clock.seconds(now) - SLOT_BEGINS) // 3600 * 3600 + SLOT_BEGINS
        return clock.stamp(begun + 3600)


def slot_of(now: Stamp) -> str:
    """Name the hourly slot that an instant belongs to: each begins at five past the hour (G4)."""
    return clock.stamp(clock.seconds(now) - SLOT_BEGINS)[:13]


PUSHED = exists(
    select(literal(1))
    .select_from(TOKEN)
    .where(TOKEN.c.tenant_id == C.c.tenant_id, TOKEN.c.connection_id == C.c.id, TOKEN.c.last_used_at.is_not(None))
    .correlate(C)
)
COLUMNS = (*[C.c[name] for name in GraphLink._fields[:-1]], PUSHED)
THIS = (C.c.tenant_id == bindparam("tenant_id"), C.c.id == bindparam("connection_id"))
FIND = Statement(select(*COLUMNS).where(*THIS))
TAKEN = Statement(
    select(literal(1))
    .select_from(C)
    .where(C.c.entra_tenant_id == bindparam("directory_id"), C.c.tenant_id != bindparam("tenant_id"), LIVE)
    .limit(1)
)
CONNECT = Statement(
    update(C)
    .where(*THIS)
    .values(
        entra_tenant_id=bindparam("directory_id"),
        shared=bindparam("shared"),
        status="connected",
        status_reason=None,
        missing_permissions=None,
        connected_at=bindparam("now"),
        users_link=None,
        groups_link=None,
        pull_slot=None,
    )
)
# A pull that ends late takes nothing up that was disconnected meanwhile.
SET_STATUS = Statement(
    update(C)
    .where(*THIS, LIVE)
    .values(
        status=bindparam("status_now"),
        status_reason=bindparam("reason"),
        missing_permissions=bindparam("missing"),
    )
)
SAVE = {
    kind: Statement(update(C).where(*THIS).values({column.name: bindparam("link")})) for kind, column in LINKS.items()
}
PULLED = Statement(
    update(C)
    .where(*THIS, LIVE)
    .values(pulled_at=bindparam("now"), status="connected", status_reason=None, missing_permissions=None)
)
DUE = Statement(
    select(C.c.tenant_id, C.c.id)
    .where(
        LIVE,
        or_(C.c.pull_slot.is_(None), C.c.pull_slot < bindparam("slot", type_=KeyText)),
    )
    .order_by(C.c.tenant_id, C.c.id)
)
TAKE_SLOT = Statement(
    update(C)
    .where(*THIS, or_(C.c.pull_slot.is_(None), C.c.pull_slot < bindparam("slot", type_=KeyText)))
    .values(pull_slot=bindparam("slot", type_=KeyText))
)


def find(work: Work) -> GraphLink:
    """Say how the acting connection and Graph stand."""
    row = work.row(FIND, connection_id=work.connection_id)
    assert row is not None
    return GraphLink(*row)


def require_connected(work: Work) -> GraphLink:
    """Say how a connected connection stands. Raises NotPossible."""
    link = find(work)
    if not link.live:
        raise NotPossible("The tenant is not connected to Microsoft Graph: connect it first.")
    return link


def connect(work: Work, directory_id: str, *, shared: bool = False) -> None:
    """Join a connection to the directory that a token has proved. The next pull is a full one, and due at once.

    `shared` is an operator's word that another customer may have the same directory. Raises DirectoryTaken.
    """
    # That somebody else has it is the one thing that a tenant is told of another (ADR 0021).
    if not shared and work.row(TAKEN, directory_id=directory_id) is not None:
        raise DirectoryTaken
    params = {"directory_id": directory_id, "shared": shared, "now": work.now}
    try:
        work.run(CONNECT, connection_id=work.connection_id, **params)
    except Violation as violation:
        if violation.unique("entra_tenant_id"):
            raise DirectoryTaken from violation
        raise


def disconnect(work: Work) -> bool:
    """Pull no more; what is there stays. Says whether that is a change."""
    return _set_status(work, "disconnected", None)


def quarantine(work: Work, reason: str, missing: Sequence[str] = ()) -> None:
    """Remember why Graph refuses us, and which permissions it wants for, where it says so."""
    _set_status(work, "quarantined", reason, missing)


def _set_status(work: Work, status: str, reason: str | None, missing: Sequence[str] = ()) -> bool:
    params = {"status_now": status, "reason": reason, "missing": ",".join(missing) or None}
    return bool(work.run(SET_STATUS, connection_id=work.connection_id, **params))


def save(work: Work, kind: str, link: str | None) -> None:
    """Remember where the next page or round of `users` or `groups` begins, beside what the last page said."""
    work.run(SAVE[kind], connection_id=work.connection_id, link=link)


def pulled(work: Work) -> None:
    """Remember that a pull has come to its end: Graph refuses us no longer."""
    work.run(PULLED, connection_id=work.connection_id, now=work.now)


def ask_for_pull(work: Work) -> Job:
    """Ask for a pull of the acting connection; one that runs already starts over with what has changed since."""
    jobs.enqueue(work, PULL, pull_slot(work), {"connection_id": work.connection_id})
    return jobs.asked(work, pull_slot(work))


def pull_slot(work: Work) -> str:
    """Name the place that pulls of the acting connection share: there is one at a time."""
    return f"{PULL}:{work.connection_id}"


def due(connection: Connection, slot: str) -> list[tuple[str, str]]:
    """Give the connections, whosever tenant's, that have not been pulled in an hourly slot."""
    return [(str(row[0]), str(row[1])) for row in connection.rows(DUE, {"slot": slot})]


def take_slot(work: Work, slot: str) -> bool:
    """Take an hourly slot of a connection; say whether nobody else has it. Each slot is pulled once."""
    return bool(work.run(TAKE_SLOT, connection_id=work.connection_id, slot=slot))
