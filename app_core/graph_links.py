"""The Graph side of a directory connection: which directory it is, how it stands, and where the next pull begins."""

from typing import NamedTuple

from sqlalchemy import bindparam, exists, literal, or_, select, update

from app_core.clock import Stamp
from app_core.connections import CONNECTION, TOKEN
from app_core.db import Connection, KeyText, Statement
from app_core.errors import NotPossible
from app_core.work import Work

C = CONNECTION
LINKS = {"users": C.c.users_link, "groups": C.c.groups_link}


class GraphLink(NamedTuple):
    """How a connection and Graph stand."""

    tenant_id: str
    id: str
    entra_tenant_id: str | None
    status: str
    status_reason: str | None
    users_link: str | None
    groups_link: str | None
    pulled_at: Stamp | None
    pushed: bool
    """Whether Entra pushes into it: then its assignments decide who is in scope, and a pull imports nobody."""


PUSHED = exists(
    select(literal(1))
    .select_from(TOKEN)
    .where(TOKEN.c.tenant_id == C.c.tenant_id, TOKEN.c.connection_id == C.c.id, TOKEN.c.last_used_at.is_not(None))
    .correlate(C)
)
COLUMNS = (*[C.c[name] for name in GraphLink._fields[:-1]], PUSHED)
THIS = (C.c.tenant_id == bindparam("tenant_id"), C.c.id == bindparam("connection_id"))
FIND = Statement(select(*COLUMNS).where(*THIS))
CONNECT = Statement(
    update(C)
    .where(*THIS)
    .values(
        entra_tenant_id=bindparam("directory_id"),
        status="connected",
        status_reason=None,
        connected_at=bindparam("now"),
        users_link=None,
        groups_link=None,
    )
)
SET_STATUS = Statement(update(C).where(*THIS).values(status=bindparam("status_now"), status_reason=bindparam("reason")))
SAVE = {
    kind: Statement(update(C).where(*THIS).values({column.name: bindparam("link")})) for kind, column in LINKS.items()
}
PULLED = Statement(update(C).where(*THIS).values(pulled_at=bindparam("now"), status="connected", status_reason=None))
DUE = Statement(
    select(C.c.tenant_id, C.c.id)
    .where(
        or_(C.c.status == "connected", C.c.status == "quarantined"),
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
    if link.entra_tenant_id is None or link.status in ("none", "disconnected"):
        raise NotPossible("The tenant is not connected to Microsoft Graph: connect it first.")
    return link


def connect(work: Work, directory_id: str) -> None:
    """Join a connection to the directory that a token has proved. The next pull is a full one."""
    work.run(CONNECT, connection_id=work.connection_id, directory_id=directory_id, now=work.now)


def disconnect(work: Work) -> None:
    """Pull no more; what is there stays."""
    work.run(SET_STATUS, connection_id=work.connection_id, status_now="disconnected", reason=None)


def quarantine(work: Work, reason: str) -> None:
    """Remember why Graph refuses us."""
    work.run(SET_STATUS, connection_id=work.connection_id, status_now="quarantined", reason=reason)


def save(work: Work, kind: str, link: str | None) -> None:
    """Remember where the next page or round of `users` or `groups` begins, beside what the last page said."""
    work.run(SAVE[kind], connection_id=work.connection_id, link=link)


def pulled(work: Work) -> None:
    """Remember that a pull has come to its end."""
    work.run(PULLED, connection_id=work.connection_id, now=work.now)


def due(connection: Connection, slot: str) -> list[tuple[str, str]]:
    """Give the connections, whosever tenant's, that have not been pulled in an hourly slot."""
    return [(str(row[0]), str(row[1])) for row in connection.rows(DUE, {"slot": slot})]


def take_slot(work: Work, slot: str) -> bool:
    """Take an hourly slot of a connection; say whether nobody else has it. Each slot is pulled once."""
    return bool(work.run(TAKE_SLOT, connection_id=work.connection_id, slot=slot))
