"""API keys: several live at once, only hashes kept, ended at once."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app_core import api_keys, clock, tenants
from app_core.api_keys import K, KeyScope
from app_core.credentials import token_hash
from app_core.db import Connection, Statement
from app_core.errors import Invalid, NotFound, Unauthenticated
from app_core.tenants import Tenant
from app_core.work import Work
from tests.app_core.conftest import MakeWork

EVERYTHING = Statement(select(K))


@pytest.fixture
def tenant(work: Work) -> Tenant:
    return tenants.acting(work)


def test_a_key_decides_the_tenant(connection: Connection, tenant: Tenant) -> None:
    """Several are live at once, each with its scope; the secret is shown once and only its hash is kept."""
    reading, writing = (
        api_keys.issue(connection, tenant, scope, label=scope) for scope in (KeyScope.READ, KeyScope.WRITE)
    )
    for (key_id, secret), scope in ((reading, KeyScope.READ), (writing, KeyScope.WRITE)):
        caller = api_keys.authenticate(connection, token_hash(secret), clock.now())

        assert (tenant.id, key_id, scope, None) == (
            caller.tenant_id,
            caller.key_id,
            caller.scope,
            caller.last_used_at,
        )
        assert len("scimapi_") + 43 == len(secret)
        assert secret not in repr([tuple(row) for row in connection.rows(EVERYTHING, {})])
    listed = api_keys.all_of(connection, tenant)
    assert [reading[0], writing[0]] == [key.id for key in listed]
    assert [reading[1][:12], writing[1][:12]] == [key.hint for key in listed]
    assert ["read", "write"] == [key.label for key in listed]

    api_keys.note_use(connection, api_keys.authenticate(connection, token_hash(reading[1]), clock.now()), "now")
    assert ["now", None] == [key.last_used_at for key in api_keys.all_of(connection, tenant)]


def test_a_key_ends(connection: Connection, tenant: Tenant, make_work: MakeWork) -> None:
    """Revoked it ends at once, expired by itself; the others live on, and nobody ends those of another tenant."""
    first_id, first = api_keys.issue(connection, tenant, KeyScope.ADMIN)
    _, second = api_keys.issue(connection, tenant, KeyScope.ADMIN, expires_at=clock.later(60))
    stranger = tenants.acting(make_work())

    with pytest.raises(NotFound):
        api_keys.revoke(connection, stranger, first_id)
    assert () == tuple(api_keys.all_of(connection, stranger))
    api_keys.revoke(connection, tenant, first_id)
    with pytest.raises(NotFound):
        api_keys.revoke(connection, tenant, first_id)
    with pytest.raises(Unauthenticated, match="revoked"):
        api_keys.authenticate(connection, token_hash(first), clock.now())
    assert tenant.id == api_keys.authenticate(connection, token_hash(second), clock.now()).tenant_id
    with pytest.raises(Unauthenticated, match="expired"):
        api_keys.authenticate(connection, token_hash(second), clock.later(61))
    with pytest.raises(Unauthenticated, match="not known"):
        api_keys.authenticate(connection, token_hash("scimapi_x"), clock.now())


def test_what_no_key_can_have(connection: Connection, tenant: Tenant) -> None:
    """A past expiry, and a label that is no line."""
    with pytest.raises(Invalid):
        api_keys.issue(connection, tenant, KeyScope.READ, expires_at=clock.later(-1))
    for label in ("a\nb", "a" * 201):
        with pytest.raises(Invalid):
            api_keys.issue(connection, tenant, KeyScope.READ, label=label)


def test_scopes_include_one_another() -> None:
    """Each may all that the one before it may."""
    covered = {scope: [str(needed) for needed in KeyScope if scope.covers(needed)] for scope in KeyScope}

    assert {"read": ["read"], "write": ["read", "write"], "admin": ["read", "write", "admin"]} == covered
