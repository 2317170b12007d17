"""`tenant set`, `tenant delete` and `doctor`: what an operator changes, may not delete, and is told to mend."""

from __future__ import annotations

import httpx
import pytest

from tests.builders import a_user
from tests.conftest import Server, Tenant
from tests.processes import run


def refused(server: Server, *arguments: str) -> str:
    done = run(arguments, server.environment)
    assert 1 == done.returncode, done.stdout
    return done.stderr


def test_a_tenant_is_renamed_and_gets_seats(server: Server, tenant: Tenant) -> None:
    """Its id and its tokens stay; a name is taken in any case."""
    changed = server.cli(
        "tenant", "set", tenant.tenant_id, "--name", f"New {tenant.tenant_id}", "--seats", "7", "--json"
    )

    assert (tenant.tenant_id, 7) == (changed["tenant_id"], changed["seat_limit"])
    assert changed["name"] == server.cli("tenant", "show", changed["name"].upper(), "--json")["name"]
    assert server.cli("tenant", "set", tenant.tenant_id, "--seats", "unlimited", "--json")["seat_limit"] is None
    assert "neither a number" in refused(server, "tenant", "set", tenant.tenant_id, "--seats", "many")
    assert "Nothing to change" in refused(server, "tenant", "set", tenant.tenant_id)


def test_a_tenant_with_a_directory_is_not_deleted(server: Server, tenant: Tenant, scim: httpx.Client) -> None:
    """The refusal says what it holds; emptied, it goes, and its token with it."""
    user = scim.post("Users", json=a_user()).json()

    sentence = refused(server, "tenant", "delete", tenant.tenant_id)
    assert "still holds 1 user;" in sentence
    assert 200 == scim.get(f"Users/{user['id']}").status_code

    assert 204 == scim.delete(f"Users/{user['id']}").status_code
    server.cli("tenant", "delete", tenant.tenant_id)
    assert 401 == scim.get("Users").status_code
    assert "was not found" in refused(server, "tenant", "show", tenant.tenant_id)


@pytest.mark.parametrize(
    ("public_url", "ok"), [("https://scim.example.com", True), ("http://scim.example.com", False), ("", False)]
)
def test_doctor_says_what_to_mend(server: Server, public_url: str, ok: bool) -> None:
    """The public address must be https for Entra; the database is tried."""
    done = run(["doctor"], {**server.environment, "SCIM_SERVER_PUBLIC_URL": public_url})

    assert (0 if ok else 1) == done.returncode
    assert ("ok    public address" if ok else "mend  public address") in done.stdout
    assert "ok    database" in done.stdout
