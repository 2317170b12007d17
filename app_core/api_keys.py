"""API keys: what the vendor's application and automation sign in with at the JSON API (V2).

Like SCIM tokens: a key decides the tenant, several may be live at once, only hashes are stored, and each request looks
its key up, so that a revocation counts at once on every process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import BindParameter, ForeignKeyConstraint, UniqueConstraint, bindparam, insert, select, update
from sqlmodel import Field, SQLModel

from app_core import clock, credentials
from app_core.db import Connection, KeyText, Statement, table_of
from app_core.errors import Invalid, NotFound, Unauthenticated
from app_core.ids import new_id
from app_core.tenants import Tenant
from app_core.texts import CONTROL

LONGEST_LABEL = 200


class ApiKeyRow(SQLModel, table=True):
    """A secret for the JSON API.

    live → expired   `expires_at` has passed
    live → revoked   by an operator, at once
    """

    __tablename__ = "api_key"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),
        # Without a tenant in front: the key is what names the tenant.
        UniqueConstraint("hash"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    hash: str = Field(sa_type=KeyText)
    hint: str
    label: str
    scope: str = Field(sa_type=KeyText)
    created_at: str = Field(sa_type=KeyText)
    expires_at: str | None = Field(sa_type=KeyText)
    last_used_at: str | None = Field(sa_type=KeyText)
    revoked_at: str | None = Field(sa_type=KeyText)


class KeyScope(StrEnum):
    """What a key may do; each may all that the one before it may."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def covers(self, needed: "KeyScope") -> bool:
        """Say whether this scope is enough for what needs another."""
        return RANKS.index(self) >= RANKS.index(needed)


RANKS = list(KeyScope)


@dataclass(frozen=True, slots=True)
class KeyCaller:
    """Whom a live key stands for, and what it may do."""

    tenant_id: str
    key_id: str
    scope: KeyScope
    last_used_at: clock.Stamp | None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as listed: never the secret itself."""

    id: str
    hint: str
    label: str
    scope: str
    created_at: clock.Stamp
    expires_at: clock.Stamp | None
    last_used_at: clock.Stamp | None
    revoked_at: clock.Stamp | None


K = table_of(ApiKeyRow)
OF_TENANT: BindParameter[str] = bindparam("tenant_id")
THE_KEY = (K.c.tenant_id == OF_TENANT, K.c.id == bindparam("key_id"))
INSERT = Statement(
    insert(K).values(
        {
            name: bindparam(name)
            for name in ("tenant_id", "id", "hash", "hint", "label", "scope", "created_at", "expires_at")
        }
    )
)
BY_HASH = Statement(
    select(K.c.tenant_id, K.c.id, K.c.scope, K.c.last_used_at, K.c.expires_at, K.c.revoked_at).where(
        K.c.hash == bindparam("hash")
    )
)
ALL = Statement(
    select(K.c.id, K.c.hint, K.c.label, K.c.scope, K.c.created_at, K.c.expires_at, K.c.last_used_at, K.c.revoked_at)
    .where(K.c.tenant_id == OF_TENANT)
    .order_by(K.c.id)
)
REVOKE = Statement(update(K).where(*THE_KEY, K.c.revoked_at.is_(None)).values(revoked_at=bindparam("now")))
NOTE_USE = Statement(update(K).where(*THE_KEY).values(last_used_at=bindparam("now")))


def issue(
    connection: Connection,
    tenant: Tenant,
    scope: KeyScope,
    *,
    label: str = "",
    expires_at: clock.Stamp | None = None,
) -> tuple[str, str]:
    """Make a key and give its id and the secret, which is shown this once.

    Raises Invalid for a past expiry and for a label that does not fit a line.
    """
    if expires_at is not None and expires_at <= clock.now():
        raise Invalid("The API key would have expired already.")
    if len(label) > LONGEST_LABEL or CONTROL.search(label):
        raise Invalid(f"The label must be one line of at most {LONGEST_LABEL} characters.")
    secret, key_id = credentials.new_token(credentials.API_KEY_PREFIX), new_id()
    connection.run(
        INSERT,
        {
            "tenant_id": tenant.id,
            "id": key_id,
            "hash": credentials.token_hash(secret),
            "hint": credentials.hint(secret),
            "label": label,
            "scope": scope,
            "created_at": clock.now(),
            "expires_at": expires_at,
        },
    )
    return key_id, secret


def all_of(connection: Connection, tenant: Tenant) -> Sequence[ApiKey]:
    """List the tenant's keys, oldest first, without their secrets."""
    return [ApiKey(*row) for row in connection.rows(ALL, {"tenant_id": tenant.id})]


def revoke(connection: Connection, tenant: Tenant, key_id: str) -> None:
    """End a key at once. Raises NotFound when the tenant has no such live key."""
    if not connection.run(REVOKE, {"tenant_id": tenant.id, "key_id": key_id, "now": clock.now()}):
        raise NotFound("Live API key", key_id)


def authenticate(connection: Connection, key_hash: str, now: clock.Stamp) -> KeyCaller:
    """Say whom a key stands for. Raises Unauthenticated; the sentence never says more than the caller knows."""
    row = connection.row(BY_HASH, {"hash": key_hash})
    if row is None:
        raise Unauthenticated("The API key is not known here. Send 'Authorization: Bearer' and a live key.")
    tenant_id, key_id, scope, last_used_at, expires_at, revoked_at = row
    if revoked_at is not None:
        raise Unauthenticated("The API key was revoked.")
    if expires_at is not None and expires_at <= now:
        raise Unauthenticated("The API key has expired. Create a new one and replace it in the client.")
    return KeyCaller(tenant_id, key_id, KeyScope(scope), last_used_at)


def note_use(connection: Connection, caller: KeyCaller, now: clock.Stamp) -> None:
    """Remember when a key was last used."""
    connection.run(NOTE_USE, {"tenant_id": caller.tenant_id, "key_id": caller.key_id, "now": now})
