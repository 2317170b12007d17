"""Webhooks: where a tenant's events are sent to, which of them, and what signs them (V3, ADR 0025).

Which events wait or were given up is in `deliveries`. The secret is sealed: it must be read again to sign.
"""

import base64
import ipaddress
import os
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import (
    BigInteger,
    ForeignKeyConstraint,
    Index,
    Text,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlmodel import Field, SQLModel

from app_core import clock, outbox
from app_core.clock import Stamp
from app_core.db import Connection, KeyText, Statement, table_of
from app_core.errors import Invalid, NotFound, NotPossible
from app_core.events import TYPES
from app_core.ids import new_id
from app_core.ports import Address
from app_core.sealing import SealBroken, Sealer
from app_core.texts import CONTROL
from app_core.work import Work

PURPOSE = "webhook"
"""What secrets are sealed for."""
SECRET_PREFIX = "whsec_"
MOST = 20
"""How many webhooks a tenant may have: each is told of every event."""
LONGEST_URL, LONGEST_DESCRIPTION = 2000, 200
ROTATION_SECONDS = 86400.0
"""How long the former secret signs as well once there is a new one."""


class State(StrEnum):
    """Whether events are sent."""

    ACTIVE = "active"
    DISABLED = "disabled"


class WebhookRow(SQLModel, table=True):
    """Where a tenant's events are sent to.

    active → disabled   by an administrator (`by-hand`), or because the receiver has said that it is gone (`gone`)
    disabled → active   by an administrator; what has happened meanwhile is sent then

    Events up to `position` are taken: sent, or kept as deliveries. Whoever sends has the lease until `leased_until`,
    and what it records counts only while its `attempt` is the latest.
    """

    __tablename__ = "webhook"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),
        # Whoever sends serves all tenants alike.
        Index(
            "ix_webhook_active",
            "leased_until",
            sqlite_where=text("state = 'active'"),
            postgresql_where=text("state = 'active'"),
        ),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    url: str = Field(sa_type=Text)
    description: str
    types: str = Field(sa_type=Text)
    secret: str = Field(sa_type=Text)
    former_secret: str | None = Field(sa_type=Text)
    former_until: str | None = Field(sa_type=KeyText)
    state: str = Field(sa_type=KeyText)
    reason: str | None = Field(sa_type=KeyText)
    position: int = Field(sa_type=BigInteger)
    attempt: int
    leased_until: str = Field(sa_type=KeyText)
    rests_until: str | None = Field(sa_type=KeyText)
    failures: int
    failing_since: str | None = Field(sa_type=KeyText)
    last_success_at: str | None = Field(sa_type=KeyText)
    last_failure_at: str | None = Field(sa_type=KeyText)
    last_status: int | None
    last_reason: str | None = Field(sa_type=KeyText)
    created_at: str = Field(sa_type=KeyText)
    modified_at: str = Field(sa_type=KeyText)


class Webhook(NamedTuple):
    """A webhook as read."""

    tenant_id: str
    id: str
    url: str
    description: str
    types: str
    """Which types of events, by commas; empty for all."""
    secret: str
    """Sealed, like the former one."""
    former_secret: str | None
    former_until: Stamp | None
    state: str
    reason: str | None
    """Why it is disabled: `by-hand` or `gone`."""
    position: int
    attempt: int
    rests_until: Stamp | None
    failures: int
    """How often in a row nothing of what was sent was taken."""
    failing_since: Stamp | None
    last_success_at: Stamp | None
    last_failure_at: Stamp | None
    last_status: int | None
    last_reason: str | None
    created_at: Stamp
    modified_at: Stamp

    @property
    def wanted(self) -> Sequence[str]:
        """Name the types of events that are sent; none stands for all."""
        return self.types.split(",") if self.types else ()

    def wants(self, type_: str) -> bool:
        """Say whether events of a type are sent."""
        return not self.types or type_ in self.wanted


W = table_of(WebhookRow)
WEBHOOK = tuple(W.c[name] for name in Webhook._fields)
OF_TENANT = W.c.tenant_id == bindparam("tenant_id")
THIS = (OF_TENANT, W.c.id == bindparam("webhook_id"))
INSERT = Statement(
    insert(W).values(
        **{name: bindparam(name) for name in ("tenant_id", "id", "url", "description", "types", "secret", "position")},
        state=State.ACTIVE.value,
        attempt=0,
        failures=0,
        leased_until=bindparam("now"),
        created_at=bindparam("now"),
        modified_at=bindparam("now"),
    )
)
FIND = Statement(select(*WEBHOOK).where(*THIS))
HOLD = Statement(select(*WEBHOOK).where(*THIS).with_for_update())
ALL = Statement(select(*WEBHOOK).where(OF_TENANT).order_by(W.c.id))
NUMBER = Statement(
    select(func.count()).select_from(select(literal(1)).select_from(W).where(OF_TENANT).limit(MOST).subquery())
)
CHANGING = ("url", "description", "types", "state")
CHANGE = Statement(
    update(W)
    .where(*THIS)
    .values(
        **{name: bindparam(name) for name in (*CHANGING, "reason", "rests_until")},
        modified_at=bindparam("now"),
    )
)
ROTATE = Statement(
    update(W)
    .where(*THIS)
    .values(
        **{name: bindparam(name) for name in ("secret", "former_secret", "former_until")},
        rests_until=None,
        modified_at=bindparam("now"),
    )
)
DELETE = Statement(delete(W).where(*THIS))
SEALED = Statement(select(W.c.tenant_id, W.c.id, W.c.secret, W.c.former_secret, W.c.former_until))
RESEAL = Statement(
    update(W)
    # Who has made a new secret meanwhile has sealed it as well.
    .where(*THIS, W.c.secret == bindparam("secret_was", type_=Text()))
    .values(**{name: bindparam(name) for name in ("secret", "former_secret", "former_until")})
)
BROKEN = Statement(
    update(W)
    .where(*THIS)
    .values(
        failing_since=func.coalesce(W.c.failing_since, bindparam("now", type_=KeyText)),
        last_failure_at=bindparam("now"),
        last_status=None,
        last_reason=SealBroken.code,
    )
)

# Where to ------------------------------------------------------------------------------------------------------------


def require_address(url: str, *, local: bool) -> Address:
    """Say that events may be sent to a URL, as far as can be seen of it alone; who sends looks at the host as well.

    `local` lets plain http and this machine itself pass, for development. Raises Invalid.
    """
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid(f"url: it must be an address of at most {LONGEST_URL} characters, all of them ASCII.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid("url: it is not an address such as https://app.example.com/hooks.") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise Invalid("url: it must be an address such as https://app.example.com/hooks.")
    if parts.username is not None or parts.password is not None:
        raise Invalid("url: it must not hold a user or password: what we send is signed, check that.")
    if "#" in url:
        raise Invalid("url: it must not have a fragment (#…), which is never sent.")
    if parts.scheme == "http" and not local:
        raise Invalid("url: it must begin with https://.")
    require_host(parts.hostname, local=local)
    return Address(url)


def require_host(host: str, *, local: bool) -> None:
    """Refuse a host that is an address of a private network, or a name that only this machine has. Raises Invalid."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if (host == "localhost" or host.endswith(".localhost")) and not local:
            raise Invalid(PRIVATE) from None
        return
    if not may_be_reached(address, local=local):
        raise Invalid(PRIVATE)


PRIVATE = "url: its host is in a private network or is this machine itself; it must be one that the internet reaches."
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def may_be_reached(address: IpAddress, *, local: bool) -> bool:
    """Say whether events may go to an address: one of the internet, or where `local` is set this machine."""
    inner = _inside(address)
    if inner.is_loopback:
        return local
    return inner.is_global and not inner.is_multicast and not getattr(inner, "is_site_local", False)


def _inside(address: IpAddress) -> IpAddress:
    """Unwrap an IPv4 address that an IPv6 one leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


# For administrators --------------------------------------------------------------------------------------------------


def require_sealer(sealer: Sealer | None) -> Sealer:
    """Give what seals secrets, where the operator has set a key. Raises NotPossible."""
    if sealer is None:
        raise NotPossible(
            "Webhooks are signed with a secret, which this server has no key to keep. Its operator must set "
            "SCIM_SERVER_SECRET_KEY."
        )
    return sealer


def create(
    work: Work, sealer: Sealer, address: Address, *, description: str = "", types: Sequence[str] = ()
) -> tuple[Webhook, str]:
    """Add a webhook, and give it with its secret, which is shown this once. It is told what happens from now on.

    Raises Invalid, and NotPossible where the tenant has as many as it may.
    """
    row = work.row(NUMBER)
    if row is not None and row[0] >= MOST:
        raise NotPossible(f"There are {MOST} webhooks, which is as many as a tenant may have. Delete one first.")
    secret, webhook_id = new_secret(), new_id()
    work.run(
        INSERT,
        id=webhook_id,
        url=address,
        description=_described(description),
        types=_known(types),
        secret=sealer.seal(secret, PURPOSE),
        position=outbox.end(work),
        now=work.now,
    )
    return find(work, webhook_id), secret


def find(work: Work, webhook_id: str) -> Webhook:
    """Read a webhook. Raises NotFound."""
    return _found(work, FIND, webhook_id)


def all_of(work: Work) -> list[Webhook]:
    """List the webhooks, oldest first."""
    return [Webhook(*row) for row in work.rows(ALL)]


def change(
    work: Work,
    webhook_id: str,
    *,
    address: Address | None = None,
    description: str | None = None,
    types: Sequence[str] | None = None,
    active: bool | None = None,
) -> tuple[Webhook, list[str]]:
    """Change what is given; give the webhook and the names of what changed. Raises NotFound, Invalid.

    What waits is tried at once: whoever changes an address has mended something.
    """
    before = _found(work, HOLD, webhook_id)
    state = before.state if active is None else State.ACTIVE if active else State.DISABLED
    after = before._replace(
        url=before.url if address is None else address,
        description=before.description if description is None else _described(description),
        types=before.types if types is None else _known(types),
        state=str(state),
        reason=before.reason if state == before.state else None if active else "by-hand",
    )
    changed = [
        name for name in ("url", "description", "types", "state") if getattr(after, name) != getattr(before, name)
    ]
    if not changed:
        return before, []
    rests_until = before.rests_until if changed == ["description"] else None
    told = {name: getattr(after, name) for name in ("url", "description", "types", "state", "reason")}
    work.run(CHANGE, webhook_id=webhook_id, **told, rests_until=rests_until, now=work.now)
    return find(work, webhook_id), changed


def rotate(work: Work, sealer: Sealer, webhook_id: str) -> tuple[Webhook, str]:
    """Make another secret and give it with the webhook; the former one signs as well for ROTATION_SECONDS.

    Raises NotFound.
    """
    before, secret = _found(work, HOLD, webhook_id), new_secret()
    # One that cannot be opened signs nothing: this is how an administrator gets over it.
    kept = _opened(sealer, before.secret) is not None
    work.run(
        ROTATE,
        webhook_id=webhook_id,
        secret=sealer.seal(secret, PURPOSE),
        former_secret=before.secret if kept else None,
        former_until=clock.stamp(clock.seconds(work.now) + ROTATION_SECONDS) if kept else None,
        now=work.now,
    )
    return find(work, webhook_id), secret


def remove(work: Work, webhook_id: str) -> Webhook:
    """Delete a webhook with all that waits for it; give what it was. Raises NotFound."""
    gone = _found(work, HOLD, webhook_id)
    work.run(DELETE, webhook_id=webhook_id)
    return gone


def new_secret() -> str:
    """Make a secret as Standard Webhooks has it."""
    return SECRET_PREFIX + base64.b64encode(os.urandom(32)).decode()


def _found(work: Work, statement: Statement, webhook_id: str) -> Webhook:
    row = work.row(statement, webhook_id=webhook_id)
    if row is None:
        raise NotFound("Webhook", webhook_id)
    return Webhook(*row)


def _described(description: str) -> str:
    if len(description) > LONGEST_DESCRIPTION or CONTROL.search(description):
        raise Invalid(f"description: it must be one line of at most {LONGEST_DESCRIPTION} characters.")
    return description


def _known(types: Sequence[str]) -> str:
    for at, name in enumerate(types):
        if name not in TYPES:
            raise Invalid(f"types[{at}]: there is no event type '{name[:100]}'.")
    return ",".join([name for name in TYPES if name in types])


# Secrets -------------------------------------------------------------------------------------------------------------


def secrets_of(webhook: Webhook, sealer: Sealer | None, now: Stamp) -> list[str]:
    """Open what signs: the secret, and the former one for as long as it does. Raises SealBroken."""
    if sealer is None:
        raise SealBroken("The secret cannot be opened: SCIM_SERVER_SECRET_KEY is not set.")
    secret = sealer.open(webhook.secret, PURPOSE)
    former = _former(sealer, webhook.former_secret, webhook.former_until, now)
    return [secret] if former is None else [secret, former]


def _former(sealer: Sealer, sealed: str | None, until: Stamp | None, now: Stamp) -> str | None:
    """Open a former secret for as long as it signs; None: it is over, or cannot be opened."""
    if sealed is None or until is None or until <= now:
        return None
    return _opened(sealer, sealed)


def _opened(sealer: Sealer, sealed: str) -> str | None:
    try:
        return sealer.open(sealed, PURPOSE)
    except SealBroken:
        return None


def reseal(connection: Connection, sealer: Sealer) -> int:
    """Seal all secrets under the first key that are not, whosever they are, and forget former ones that are over.

    Gives how many were changed. One that cannot be opened stays, and its webhook says so.
    """
    now, changed = clock.now(), 0
    for tenant_id, webhook_id, secret, former, until in connection.rows(SEALED, {}):
        this = {"tenant_id": tenant_id, "webhook_id": webhook_id, "now": now}
        kept = _former(sealer, former, until, now) is not None
        try:
            fresh = {
                "secret": sealer.reseal(secret, PURPOSE),
                "former_secret": sealer.reseal(former, PURPOSE) if kept else None,
                "former_until": until if kept else None,
            }
        except SealBroken:
            connection.run(BROKEN, this)
            continue
        if (fresh["secret"], fresh["former_secret"]) != (secret, former):
            changed += connection.run(RESEAL, {**this, **fresh, "secret_was": secret})
    return changed
