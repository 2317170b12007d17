"""Consent that an administrator was sent for: who asked, until when, and for which directory (G1, ADR 0021).

The `state` of a consent link comes back in a request of anybody's browser. It is a secret of which only the hash is
kept; it connects once, within half an hour, and only for whom it was made.
"""

from typing import NamedTuple

from sqlalchemy import ForeignKeyConstraint, bindparam, delete, insert, select
from sqlmodel import Field, SQLModel

from app_core import clock, credentials
from app_core.clock import Stamp
from app_core.db import KeyText, Statement, table_of
from app_core.directory import CONNECTION_OF
from app_core.errors import Invalid
from app_core.resource import entra_object_id
from app_core.work import Work

SECONDS = 1800.0
"""How long an administrator may take to consent; they may have to fetch a colleague."""
API_KEY = "api_key:"
"""Begins the asker where an API key asked: it has no browser, so any administrator of the tenant may return for it."""


class ConsentRequestRow(SQLModel, table=True):
    """A consent link that was given out. It goes when it has connected a directory, or when it is too old."""

    __tablename__ = "consent_request"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "connection_id"], CONNECTION_OF, ondelete="CASCADE"),)

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    hash: str = Field(primary_key=True, sa_type=KeyText)
    connection_id: str = Field(sa_type=KeyText)
    asker: str = Field(sa_type=KeyText)
    directory_id: str | None = Field(sa_type=KeyText)
    created_at: str = Field(sa_type=KeyText)
    expires_at: str = Field(sa_type=KeyText)


class ConsentRefused(Invalid):
    """What came back from a consent link connects nothing; the sentence says why."""

    code = "consent-refused"


class _Asked(NamedTuple):
    connection_id: str
    asker: str
    directory_id: str | None
    expires_at: Stamp


Q = table_of(ConsentRequestRow)
OF_TENANT = Q.c.tenant_id == bindparam("tenant_id")
THIS = (OF_TENANT, Q.c.hash == bindparam("hash"))
NAMES = ("tenant_id", "hash", "connection_id", "asker", "directory_id", "created_at", "expires_at")
ADD = Statement(insert(Q).values({name: bindparam(name) for name in NAMES}))
FIND = Statement(select(*[Q.c[name] for name in _Asked._fields]).where(*THIS))
TAKE = Statement(delete(Q).where(*THIS))
PURGE = Statement(delete(Q).where(OF_TENANT, Q.c.expires_at <= bindparam("now", type_=KeyText)))


def ask(work: Work, asker: str, directory_id: str | None = None) -> str:
    """Make the state of a consent link, for one directory or for any; it is shown this once. Raises Invalid."""
    if directory_id is not None and (directory_id := entra_object_id(directory_id)) is None:
        raise Invalid("entra_tenant_id: a directory is named by its id, a GUID: the 'Tenant ID' in the Entra portal.")
    state = credentials.new_token(credentials.CONSENT_PREFIX)
    work.run(PURGE, now=work.now)
    work.run(
        ADD,
        hash=credentials.token_hash(state),
        connection_id=work.connection_id,
        asker=asker,
        directory_id=directory_id,
        created_at=work.now,
        expires_at=clock.later(SECONDS),
    )
    return state


def require(work: Work, state: str, asker: str) -> str | None:
    """Give the directory that a link was made for, if for a certain one; nothing is used up. Raises ConsentRefused."""
    row = work.row(FIND, hash=credentials.token_hash(state))
    asked = None if row is None else _Asked(*row)
    if asked is None or asked.connection_id != work.connection_id:
        raise ConsentRefused(
            "This did not begin with a consent link of ours, or the link was used. Open a new one from the console."
        )
    if asked.expires_at <= work.now:
        raise ConsentRefused("The consent link has expired. Open a new one from the console.")
    if asker != asked.asker and not asked.asker.startswith(API_KEY):
        raise ConsentRefused("The consent link was made for another sign-in. Open a new one from the console.")
    return asked.directory_id


def take(work: Work, state: str, asker: str) -> str | None:
    """Use a state up, and give what `require` gives: of two returns at once one is refused. Raises ConsentRefused."""
    directory_id = require(work, state, asker)
    if not work.run(TAKE, hash=credentials.token_hash(state)):
        raise ConsentRefused("The consent link has been used. Open a new one from the console.")
    return directory_id
