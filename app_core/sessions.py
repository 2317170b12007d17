"""Sign-in: links that are used once, and the sessions of browsers (ADR 0022).

A session or a link is found by its secret before anybody knows whose tenant it is of, as a token is. Only hashes are
kept. To end a session its row is deleted; what it belongs to takes it along, and each request looks its own up.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.selectable import FromClause
from sqlmodel import Field, SQLModel

from app_core import clock, credentials, graph_links, people, tenants
from app_core.accounts import A, O
from app_core.clock import Stamp
from app_core.connections import CONNECTION
from app_core.db import Connection, KeyText, Params, Statement, table_of
from app_core.directory import U
from app_core.errors import DomainError, Forbidden, NotFound, Unauthenticated, WrongCode
from app_core.people import P
from app_core.ports import Identity
from app_core.texts import CONTROL
from app_core.work import Work

HOUR = 3600.0
LINK_SECONDS = 900.0
TOUCH_SECONDS = 60.0
LONGEST_AGENT = 120


class Kind(StrEnum):
    """Who may be signed in."""

    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"
    MEMBER = "member"


IDLE_SECONDS: Mapping[Kind, float] = {
    Kind.OPERATOR: 2 * HOUR,
    Kind.ADMINISTRATOR: 2 * HOUR,
    Kind.MEMBER: 24 * HOUR,
}
"""After how long without a request a session is over."""
LIFE_SECONDS: Mapping[Kind, float] = {
    Kind.OPERATOR: 12 * HOUR,
    Kind.ADMINISTRATOR: 12 * HOUR,
    Kind.MEMBER: 7 * 24 * HOUR,
}
"""After how long a session is over, however much it is used."""


class SignInLinkRow(SQLModel, table=True):
    """A link that signs somebody in. It goes when it is used, with all others for the same, or when it is too old."""

    __tablename__ = "sign_in_link"
    __table_args__ = (
        ForeignKeyConstraint(["operator_id"], ["operator.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "administrator_id"], ["administrator.tenant_id", "administrator.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["tenant_id", "person_id"], ["person.tenant_id", "person.id"], ondelete="CASCADE"),
        CheckConstraint(
            "(operator_id IS NULL) = (tenant_id IS NOT NULL)"
            " AND (tenant_id IS NULL OR (administrator_id IS NULL) = (person_id IS NOT NULL))",
            name="one",
        ),
        Index("ix_sign_in_link_operator_id", "operator_id"),
        Index("ix_sign_in_link_administrator_id", "tenant_id", "administrator_id"),
        Index("ix_sign_in_link_person_id", "tenant_id", "person_id"),
        Index("ix_sign_in_link_expires_at", "expires_at"),
    )

    hash: str = Field(primary_key=True, sa_type=KeyText)
    operator_id: str | None = Field(sa_type=KeyText)
    tenant_id: str | None = Field(sa_type=KeyText)
    administrator_id: str | None = Field(sa_type=KeyText)
    person_id: str | None = Field(sa_type=KeyText)
    created_at: str = Field(sa_type=KeyText)
    expires_at: str = Field(sa_type=KeyText)


class WebSessionRow(SQLModel, table=True):
    """A browser in which somebody is signed in.

    live → over   idle for too long, or past `expires_at`
    live → gone   signed out, here or from another session; or whose it is was removed
    """

    __tablename__ = "web_session"
    __table_args__ = (
        ForeignKeyConstraint(["operator_id"], ["operator.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "administrator_id"], ["administrator.tenant_id", "administrator.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["tenant_id", "person_id"], ["person.tenant_id", "person.id"], ondelete="CASCADE"),
        # An operator's session outlives the tenant that it looks into.
        ForeignKeyConstraint(["acting_tenant_id"], ["tenant.id"], ondelete="SET NULL"),
        CheckConstraint(
            "(operator_id IS NULL) = (tenant_id IS NOT NULL)"
            " AND (tenant_id IS NULL OR (administrator_id IS NULL) = (person_id IS NOT NULL))"
            " AND (acting_tenant_id IS NULL OR operator_id IS NOT NULL)",
            name="one",
        ),
        Index("ix_web_session_operator_id", "operator_id"),
        Index("ix_web_session_administrator_id", "tenant_id", "administrator_id"),
        Index("ix_web_session_person_id", "tenant_id", "person_id"),
        Index("ix_web_session_acting_tenant_id", "acting_tenant_id"),
        Index("ix_web_session_expires_at", "expires_at"),
    )

    hash: str = Field(primary_key=True, sa_type=KeyText)
    operator_id: str | None = Field(sa_type=KeyText)
    tenant_id: str | None = Field(sa_type=KeyText)
    administrator_id: str | None = Field(sa_type=KeyText)
    person_id: str | None = Field(sa_type=KeyText)
    acting_tenant_id: str | None = Field(sa_type=KeyText)
    agent: str
    created_at: str = Field(sa_type=KeyText)
    seen_at: str = Field(sa_type=KeyText)
    expires_at: str = Field(sa_type=KeyText)


class NoAccount(DomainError):
    """A Microsoft identity that nobody here has, or whose person may not sign in."""

    code = "no-account"


class Subject(NamedTuple):
    """Who signs in. Operators have no tenant of their own."""

    kind: Kind
    tenant_id: str | None
    id: str


class Visitor(NamedTuple):
    """Who is signed in, or would be by a link."""

    session_id: str
    """The hash of the secret: safe to show, and to end the session by. Empty for a link."""
    kind: Kind
    tenant_id: str | None
    """None for an operator who has not chosen a tenant."""
    subject_id: str
    """The operator, administrator or person: the actor of what is done."""
    name: str
    """An e-mail address, or a member's display name: for the screen."""
    microsoft: bool
    """Whether a Microsoft identity is linked (operators and administrators)."""

    @property
    def subject(self) -> Subject:
        """Say whose session it is, wherever they act."""
        return Subject(self.kind, None if self.kind is Kind.OPERATOR else self.tenant_id, self.subject_id)


class SessionShown(NamedTuple):
    """A session as listed to whose it is."""

    session_id: str
    agent: str
    created_at: Stamp
    seen_at: Stamp
    expires_at: Stamp


L = table_of(SignInLinkRow)
S = table_of(WebSessionRow)
OWNER = ("operator_id", "tenant_id", "administrator_id", "person_id")


def _with_owner(table: Table) -> FromClause:
    return (
        table.outerjoin(O, O.c.id == table.c.operator_id)
        .outerjoin(A, and_(A.c.tenant_id == table.c.tenant_id, A.c.id == table.c.administrator_id))
        .outerjoin(P, and_(P.c.tenant_id == table.c.tenant_id, P.c.id == table.c.person_id))
    )


def _of(table: Table, kind: Kind) -> ColumnElement[bool]:
    """Say which rows belong to a subject."""
    of_tenant = table.c.tenant_id == bindparam("tenant_id")
    return {
        Kind.OPERATOR: table.c.operator_id == bindparam("id"),
        Kind.ADMINISTRATOR: and_(of_tenant, table.c.administrator_id == bindparam("id")),
        Kind.MEMBER: and_(of_tenant, table.c.person_id == bindparam("id")),
    }[kind]


WHO = (
    func.coalesce(O.c.email, A.c.email, P.c.display_name),
    func.coalesce(O.c.entra_object_id, A.c.entra_object_id).is_not(None),
    # Who is deactivated is signed out without anybody having to think of it.
    or_(P.c.active.is_(None), P.c.active.is_(True)),
)
THIS_SESSION = S.c.hash == bindparam("hash")
FIND = Statement(
    select(*[S.c[name] for name in OWNER], S.c.acting_tenant_id, *WHO, S.c.seen_at, S.c.expires_at)
    .select_from(_with_owner(S))
    .where(THIS_SESSION)
)
OPEN = Statement(insert(S).values({column.name: bindparam(column.name) for column in S.columns}))
TOUCH = Statement(
    update(S)
    .where(THIS_SESSION, S.c.seen_at <= bindparam("before", type_=KeyText))
    .values(seen_at=bindparam("now", type_=KeyText))
)
CLOSE = Statement(delete(S).where(THIS_SESSION))
CLOSE_ONE = {kind: Statement(delete(S).where(THIS_SESSION, _of(S, kind))) for kind in Kind}
CLOSE_ALL = {kind: Statement(delete(S).where(_of(S, kind), S.c.hash != bindparam("but"))) for kind in Kind}
LIST = {
    kind: Statement(
        select(S.c.hash, S.c.agent, S.c.created_at, S.c.seen_at, S.c.expires_at)
        .where(
            _of(S, kind),
            S.c.expires_at > bindparam("now", type_=KeyText),
            S.c.seen_at > bindparam("idle_since", type_=KeyText),
        )
        .order_by(S.c.seen_at.desc(), S.c.hash)
    )
    for kind in Kind
}
CHOOSE = Statement(update(S).where(THIS_SESSION).values(acting_tenant_id=bindparam("chosen", type_=KeyText)))
SIGNED_IN = {
    Kind.OPERATOR: Statement(
        update(O).where(O.c.id == bindparam("of_id")).values(signed_in_at=bindparam("now", type_=KeyText))
    ),
    Kind.ADMINISTRATOR: Statement(
        update(A)
        .where(A.c.tenant_id == bindparam("tenant_id"), A.c.id == bindparam("of_id"))
        .values(signed_in_at=bindparam("now", type_=KeyText))
    ),
}
NEW_LINK = Statement(insert(L).values({column.name: bindparam(column.name) for column in L.columns}))
LIVE_LINK = (L.c.hash == bindparam("hash"), L.c.expires_at > bindparam("now", type_=KeyText))
PEEK = Statement(select(*[L.c[name] for name in OWNER], *WHO).select_from(_with_owner(L)).where(*LIVE_LINK))
# Of two who use a link at the same moment, the second waits and finds that it has gone.
TAKE_LINK = Statement(delete(L).where(*LIVE_LINK).returning(*[L.c[name] for name in OWNER]))
END_LINKS = {kind: Statement(delete(L).where(_of(L, kind))) for kind in Kind}
OPERATOR_OF = Statement(
    select(null(), O.c.id).where(
        O.c.entra_tenant_id == bindparam("directory_id"), O.c.entra_object_id == bindparam("object_id")
    )
)
ADMINISTRATOR_OF = Statement(
    select(A.c.tenant_id, A.c.id).where(
        A.c.entra_tenant_id == bindparam("directory_id"), A.c.entra_object_id == bindparam("object_id")
    )
)
# A directory belongs to one connection; where an operator lets several share it, the one it belongs to comes first.
MEMBER_OF = Statement(
    select(P.c.tenant_id, P.c.id)
    .select_from(
        CONNECTION.join(U, and_(U.c.tenant_id == CONNECTION.c.tenant_id, U.c.connection_id == CONNECTION.c.id)).join(
            P, and_(P.c.tenant_id == U.c.tenant_id, P.c.directory_user_id == U.c.id)
        )
    )
    .where(
        CONNECTION.c.entra_tenant_id == bindparam("directory_id"),
        graph_links.LIVE,
        U.c.entra_object_id == bindparam("object_id"),
    )
    .order_by(P.c.active.desc(), CONNECTION.c.shared, CONNECTION.c.connected_at, P.c.tenant_id)
    .limit(1)
)
IDENTIFIED = {Kind.OPERATOR: OPERATOR_OF, Kind.ADMINISTRATOR: ADMINISTRATOR_OF, Kind.MEMBER: MEMBER_OF}


def _purge(table: Table) -> Statement:
    old = (
        select(table.c.hash)
        .where(table.c.expires_at <= bindparam("now", type_=KeyText))
        .limit(bindparam("count", type_=Integer()))
    )
    return Statement(delete(table).where(table.c.hash.in_(old)))


PURGES = (_purge(L), _purge(S))


# Sessions -----------------------------------------------------------------------------------------------------------


def find(connection: Connection, secret: str, now: Stamp) -> Visitor | None:
    """Say who is signed in by the secret of a cookie: live, not idle for too long, and still somebody here."""
    session_id = credentials.token_hash(secret)
    row = connection.row(FIND, {"hash": session_id})
    if row is None:
        return None
    *owner, acting_tenant_id, name, microsoft, admitted, seen_at, expires_at = row
    subject = _subject(owner)
    if not admitted or expires_at <= now or seen_at <= _ago(now, IDLE_SECONDS[subject.kind]):
        return None
    tenant_id = acting_tenant_id if subject.kind is Kind.OPERATOR else subject.tenant_id
    return Visitor(session_id, subject.kind, tenant_id, subject.id, name, bool(microsoft))


def touch(connection: Connection, secret: str, now: Stamp) -> None:
    """Note that a session is in use, unless that was noted within the last minute."""
    params = {"hash": credentials.token_hash(secret), "now": now, "before": _ago(now, TOUCH_SECONDS)}
    connection.run(TOUCH, params)


def close(connection: Connection, secret: str) -> None:
    """Sign out: what the cookie holds is worth nothing from now on."""
    connection.run(CLOSE, {"hash": credentials.token_hash(secret)})


def close_one(connection: Connection, visitor: Visitor, session_id: str) -> None:
    """End one of the visitor's own sessions. Raises NotFound for any other."""
    if not connection.run(CLOSE_ONE[visitor.kind], {**_key(visitor.subject), "hash": session_id}):
        raise NotFound("Session", session_id)


def close_all(connection: Connection, visitor: Visitor, *, but: str | None = None) -> int:
    """End all sessions of a visitor, but for the one with this id; give how many ended."""
    return connection.run(CLOSE_ALL[visitor.kind], {**_key(visitor.subject), "but": but or ""})


def list_of(connection: Connection, visitor: Visitor) -> Sequence[SessionShown]:
    """List the live sessions of a visitor, the one used last first."""
    now = clock.now()
    params = {**_key(visitor.subject), "now": now, "idle_since": _ago(now, IDLE_SECONDS[visitor.kind])}
    return [SessionShown(*row) for row in connection.rows(LIST[visitor.kind], params)]


def choose_tenant(connection: Connection, secret: str, tenant_id: str | None, now: Stamp) -> None:
    """Let an operator act in a tenant, or in none. Raises Unauthenticated, Forbidden for others, NotFound."""
    visitor = find(connection, secret, now)
    if visitor is None:
        raise Unauthenticated("You are not signed in any more. Sign in again.")
    if visitor.kind is not Kind.OPERATOR:
        raise Forbidden("Only an operator of this server acts in several tenants.")
    chosen = None if tenant_id is None else tenants.find(connection, tenant_id).id
    connection.run(CHOOSE, {"hash": visitor.session_id, "chosen": chosen})


def open_by_link(connection: Connection, link_secret: str, now: Stamp, agent: str) -> tuple[str, Visitor]:
    """Sign in by a link, which is used up with all others for the same; give the cookie's secret.

    Raises WrongCode: it is unknown, used or too old, or its person may not sign in; which one is not said.
    """
    row = connection.row(TAKE_LINK, {"hash": credentials.token_hash(link_secret), "now": now})
    if row is None:
        raise _wrong_link()
    subject = _subject(row)
    connection.run(END_LINKS[subject.kind], _key(subject))
    secret, visitor = _open(connection, subject, now, agent)
    if visitor is None:
        raise _wrong_link()
    return secret, visitor


def open_for_identity(
    connection: Connection, identity: Identity, now: Stamp, agent: str, wanted: Kind | None = None
) -> tuple[str, Visitor]:
    """Sign in whom Microsoft names: by directory and object id, whatever address it says.

    Whoever administers comes first, unless something else is wanted. Raises NoAccount.
    """
    subject = _identified(connection, identity, wanted)
    secret, visitor = _open(connection, subject, now, agent)
    if visitor is None:
        raise NoAccount("Your account is deactivated. Ask your administrator to activate it.")
    return secret, visitor


def _identified(connection: Connection, identity: Identity, wanted: Kind | None) -> Subject:
    params = {"directory_id": identity.tid.lower(), "object_id": identity.oid.lower()}
    looked_for = tuple(Kind) if wanted is None else (wanted,)
    for kind in looked_for:
        row = connection.row(IDENTIFIED[kind], params)
        if row is not None:
            return Subject(kind, *row)
    if wanted is Kind.MEMBER:
        raise NoAccount(
            "Nobody of this Microsoft account is known here. Your company has to connect its directory and provision "
            "you first; ask your administrator."
        )
    raise NoAccount(
        "No account here is linked to this Microsoft account. If you administer a tenant, sign in by a link once and "
        "link it there; if you look for your cards, ask your administrator to provision you."
    )


def _open(connection: Connection, subject: Subject, now: Stamp, agent: str) -> tuple[str, Visitor | None]:
    secret = credentials.new_token(credentials.SESSION_PREFIX)
    connection.run(
        OPEN,
        {
            "hash": credentials.token_hash(secret),
            **_owner(subject),
            "acting_tenant_id": None,
            "agent": CONTROL.sub("", agent)[:LONGEST_AGENT],
            "created_at": now,
            "seen_at": now,
            "expires_at": _ago(now, -LIFE_SECONDS[subject.kind]),
        },
    )
    if subject.kind in SIGNED_IN:
        connection.run(SIGNED_IN[subject.kind], {"of_id": subject.id, "tenant_id": subject.tenant_id, "now": now})
    return secret, find(connection, secret, now)


# Links --------------------------------------------------------------------------------------------------------------


def new_link(connection: Connection, subject: Subject, now: Stamp, *, seconds: float = LINK_SECONDS) -> str:
    """Make a link that signs somebody in once, and give its secret, which is shown this once."""
    secret = credentials.new_token(credentials.LINK_PREFIX)
    row = {"hash": credentials.token_hash(secret), **_owner(subject), "created_at": now}
    connection.run(NEW_LINK, {**row, "expires_at": _ago(now, -seconds)})
    return secret


def new_member_link(work: Work, person_id: str, *, seconds: float = LINK_SECONDS) -> str:
    """Make a sign-in link for a person of the tenant. Raises NotFound, and NoAccount for who is deactivated."""
    person = people.find(work, person_id)
    if person is None:
        raise NotFound("Person", person_id)
    if not person.active:
        raise NoAccount("This person is deactivated and cannot sign in.")
    return new_link(work.connection, Subject(Kind.MEMBER, work.tenant_id, person.id), work.now, seconds=seconds)


def peek_link(connection: Connection, link_secret: str, now: Stamp) -> Visitor | None:
    """Say whom a link would sign in, and use nothing up: mail scanners open links as well."""
    row = connection.row(PEEK, {"hash": credentials.token_hash(link_secret), "now": now})
    if row is None:
        return None
    *owner, name, microsoft, admitted = row
    subject = _subject(owner)
    return Visitor("", subject.kind, subject.tenant_id, subject.id, name, bool(microsoft)) if admitted else None


def _wrong_link() -> WrongCode:
    return WrongCode("This sign-in link is not known, was used, or has expired. Ask for a new one.")


def purge(connection: Connection, now: Stamp, *, count: int = 500) -> int:
    """Remove up to `count` links and as many sessions that are over, whosever they are; give how many went."""
    return sum(connection.run(statement, {"now": now, "count": count}) for statement in PURGES)


# Rows ---------------------------------------------------------------------------------------------------------------


def _subject(owner: Sequence[Any]) -> Subject:
    operator_id, tenant_id, administrator_id, person_id = owner
    if operator_id is not None:
        return Subject(Kind.OPERATOR, None, operator_id)
    if administrator_id is not None:
        return Subject(Kind.ADMINISTRATOR, tenant_id, administrator_id)
    return Subject(Kind.MEMBER, tenant_id, person_id)


def _owner(subject: Subject) -> Params:
    return {
        "operator_id": subject.id if subject.kind is Kind.OPERATOR else None,
        "tenant_id": subject.tenant_id,
        "administrator_id": subject.id if subject.kind is Kind.ADMINISTRATOR else None,
        "person_id": subject.id if subject.kind is Kind.MEMBER else None,
    }


def _key(subject: Subject) -> Params:
    return {"tenant_id": subject.tenant_id, "id": subject.id}


def _ago(now: Stamp, seconds: float) -> Stamp:
    return clock.stamp(clock.seconds(now) - seconds)
