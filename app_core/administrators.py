"""Administrators and operators: who may use the console, how they are added, and how they leave (V4)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, exists, insert, literal, or_, select, update

from app_core import clock, sessions, texts
from app_core.accounts import A, O
from app_core.clock import Stamp
from app_core.db import Connection, KeyText, Statement, Violation, among, insert_or_ignore
from app_core.errors import Conflict, Forbidden, NotFound, NotPossible
from app_core.ids import new_id
from app_core.ports import Identity
from app_core.resource import fold
from app_core.sessions import LINK_SECONDS, Kind, Subject, Visitor
from app_core.work import Work

FIRST_LINK_SECONDS = 86400.0
FIRST_OPERATOR = "operator@localhost"
"""The label of the operator whom the first `serve` makes: nobody has said yet who it is."""


class Account(NamedTuple):
    """An administrator or operator as read."""

    id: str
    kind: Kind
    tenant_id: str | None
    email: str
    microsoft: bool
    """Whether a Microsoft identity is linked."""
    created_at: Stamp
    signed_in_at: Stamp | None
    """When somebody last signed in as this; None where the link was not used yet."""

    @property
    def subject(self) -> Subject:
        """Say who signs in."""
        return Subject(self.kind, self.tenant_id, self.id)

    @property
    def link_seconds(self) -> float:
        """Say how long a link lives: who signs in for the first time has to be reached by it."""
        return FIRST_LINK_SECONDS if self.signed_in_at is None else LINK_SECONDS


OF_TENANT = A.c.tenant_id == bindparam("tenant_id")
THIS = (OF_TENANT, A.c.id == bindparam("administrator_id"))
ADMINISTRATOR = (A.c.id, A.c.tenant_id, A.c.email, A.c.entra_object_id.is_not(None), A.c.created_at, A.c.signed_in_at)
OPERATOR = (O.c.id, literal(None), O.c.email, O.c.entra_object_id.is_not(None), O.c.created_at, O.c.signed_in_at)
ALL = Statement(select(*ADMINISTRATOR).where(OF_TENANT).order_by(A.c.email_key))
FIND = Statement(select(*ADMINISTRATOR).where(*THIS))
BY_EMAIL = Statement(select(*ADMINISTRATOR).where(OF_TENANT, A.c.email_key == bindparam("email_key")))
ADD = Statement(
    insert(A).values({name: bindparam(name) for name in ("tenant_id", "id", "email", "email_key", "created_at")})
)
REMOVE = Statement(delete(A).where(*THIS))
LINK = Statement(
    update(A).where(*THIS).values(entra_tenant_id=bindparam("directory_id"), entra_object_id=bindparam("object_id"))
)
OPERATORS = Statement(select(*OPERATOR).order_by(O.c.email_key))
OPERATOR_BY_EMAIL = Statement(select(*OPERATOR).where(O.c.email_key == bindparam("email_key")))
ADD_OPERATOR = Statement(
    insert_or_ignore(O).values({name: bindparam(name) for name in ("id", "email", "email_key", "created_at")})
)
REMOVE_OPERATOR = Statement(delete(O).where(O.c.id == bindparam("operator_id")))
LINK_OPERATOR = Statement(
    update(O)
    .where(O.c.id == bindparam("operator_id"))
    .values(entra_tenant_id=bindparam("directory_id"), entra_object_id=bindparam("object_id"))
)
ANY = Statement(
    select(
        or_(
            exists(select(literal(1)).select_from(A)),
            exists(
                select(literal(1)).where(
                    or_(O.c.signed_in_at.is_not(None), O.c.email_key != bindparam("first", type_=KeyText))
                )
            ),
        )
    )
)
NAMES = Statement(
    select(A.c.id, A.c.email)
    .where(OF_TENANT, among(A.c.id, "ids"))
    .union_all(select(O.c.id, O.c.email).where(among(O.c.id, "ids")))
)


# Administrators of a tenant -----------------------------------------------------------------------------------------


def add(work: Work, email: str) -> Account:
    """Add an administrator to the tenant; a link signs them in. Raises Invalid, Conflict."""
    email = texts.address("email", email)
    row = {"id": new_id(), "email": email, "email_key": fold(email), "created_at": work.now}
    try:
        work.run(ADD, **row)
    except Violation as violation:
        if violation.unique("email_key"):
            raise Conflict(f"An administrator with the address '{email}' exists already.") from violation
        raise
    return Account(row["id"], Kind.ADMINISTRATOR, work.tenant_id, email, False, work.now, None)


def find(work: Work, administrator_id: str) -> Account:
    """Give an administrator of the tenant. Raises NotFound."""
    row = work.row(FIND, administrator_id=administrator_id)
    if row is None:
        raise NotFound("Administrator", administrator_id)
    return _account(Kind.ADMINISTRATOR, row)


def list_of(work: Work) -> Sequence[Account]:
    """List the administrators of the tenant by their addresses."""
    return [_account(Kind.ADMINISTRATOR, row) for row in work.rows(ALL)]


def remove(work: Work, administrator_id: str) -> Account:
    """Take an administrator's access away at once: sessions and links go with them. Gives who it was.

    The last one may go: operators can add another. Raises NotFound, and NotPossible for oneself.
    """
    account = find(work, administrator_id)
    if account.id == work.actor.id:
        raise NotPossible("You cannot remove yourself. Ask another administrator, or the operator of this server.")
    work.run(REMOVE, administrator_id=account.id)
    return account


def new_link(work: Work, administrator_id: str) -> str:
    """Make a sign-in link for an administrator and give its secret, which is shown this once. Raises NotFound."""
    return link_for(work.connection, find(work, administrator_id), work.now)


def name_of(work: Work, ids: Iterable[str]) -> Mapping[str, str]:
    """Give the addresses of actors in the log, by their ids: administrators of the tenant, and operators."""
    asked = sorted(set(ids))
    return {str(row[0]): str(row[1]) for row in work.rows(NAMES, ids=asked)} if asked else {}


# Operators ----------------------------------------------------------------------------------------------------------


def add_operator(connection: Connection, email: str) -> Account:
    """Add an operator of this server; a link signs them in. Raises Invalid, Conflict."""
    email = texts.address("email", email)
    account = _add_operator(connection, email, clock.now())
    if account is None:
        raise Conflict(f"An operator with the address '{email}' exists already.")
    return account


def _add_operator(connection: Connection, email: str, now: Stamp) -> Account | None:
    row = {"id": new_id(), "email": email, "email_key": fold(email), "created_at": now}
    if not connection.run(ADD_OPERATOR, row):
        return None
    return Account(row["id"], Kind.OPERATOR, None, email, False, now, None)


def operators(connection: Connection) -> Sequence[Account]:
    """List the operators of this server by their addresses."""
    return [_account(Kind.OPERATOR, row) for row in connection.rows(OPERATORS, {})]


def remove_operator(connection: Connection, operator_id: str, *, actor_id: str) -> None:
    """Take an operator's access away at once. Raises NotFound, and NotPossible for oneself."""
    if operator_id == actor_id:
        raise NotPossible("You cannot remove yourself. Ask another operator, or use `scim-server admin revoke`.")
    if not connection.run(REMOVE_OPERATOR, {"operator_id": operator_id}):
        raise NotFound("Operator", operator_id)


def find_operator(connection: Connection, email: str) -> Account:
    """Give the operator with an address. Raises NotFound."""
    row = connection.row(OPERATOR_BY_EMAIL, {"email_key": fold(email.strip())})
    if row is None:
        raise NotFound("Operator", email)
    return _account(Kind.OPERATOR, row)


def find_by_email(work: Work, email: str) -> Account:
    """Give the administrator of the tenant with an address. Raises NotFound."""
    row = work.row(BY_EMAIL, email_key=fold(email.strip()))
    if row is None:
        raise NotFound("Administrator", email)
    return _account(Kind.ADMINISTRATOR, row)


def any_exists(connection: Connection) -> bool:
    """Say whether anybody can sign in: all but the first operator, as long as nobody has used its link."""
    row = connection.row(ANY, {"first": FIRST_OPERATOR})
    return row is not None and bool(row[0])


def first_link(connection: Connection) -> str | None:
    """Make the sign-in link of the first operator, as long as nobody else can sign in; None afterwards."""
    if any_exists(connection):
        return None
    now = clock.now()
    _add_operator(connection, FIRST_OPERATOR, now)
    return link_for(connection, find_operator(connection, FIRST_OPERATOR), now)


# Both ---------------------------------------------------------------------------------------------------------------


def link_for(connection: Connection, account: Account, now: Stamp) -> str:
    """Make a sign-in link for an administrator or operator and give its secret, which is shown this once."""
    return sessions.new_link(connection, account.subject, now, seconds=account.link_seconds)


def link_microsoft(connection: Connection, visitor: Visitor, identity: Identity) -> None:
    """Let a Microsoft identity sign in as the visitor from now on, in place of the one before.

    Raises Conflict when another account has it, and Forbidden for members: the directory says who they are.
    """
    if visitor.kind is Kind.MEMBER:
        raise Forbidden("Members sign in with the account of their directory; there is nothing to link.")
    try:
        _link(connection, visitor, identity.tid.lower(), identity.oid.lower())
    except Violation as violation:
        if violation.unique("entra_object_id"):
            raise Conflict(
                "This Microsoft account signs in as somebody else here already. Sign in with another one, or have it "
                "unlinked there first."
            ) from violation
        raise


def unlink_microsoft(connection: Connection, visitor: Visitor) -> None:
    """Let no Microsoft identity sign in as the visitor any more; a new link does."""
    _link(connection, visitor, None, None)


def _link(connection: Connection, visitor: Visitor, directory_id: str | None, object_id: str | None) -> None:
    identity = {"directory_id": directory_id, "object_id": object_id}
    if visitor.kind is Kind.OPERATOR:
        connection.run(LINK_OPERATOR, {**identity, "operator_id": visitor.subject_id})
    elif visitor.kind is Kind.ADMINISTRATOR:
        key = {"tenant_id": visitor.tenant_id, "administrator_id": visitor.subject_id}
        connection.run(LINK, {**identity, **key})


def _account(kind: Kind, row: Sequence[object]) -> Account:
    account_id, tenant_id, email, microsoft, created_at, signed_in_at = row
    return Account(
        str(account_id),
        kind,
        None if tenant_id is None else str(tenant_id),
        str(email),
        bool(microsoft),
        str(created_at),
        None if signed_in_at is None else str(signed_in_at),
    )
