"""`api-key …` and the policies of `tenant set`: what an operator gives to the vendor's application."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from app_core import api_keys, clock, manual_people, seats
from app_core.credentials import token_hash
from app_core.db import Connection
from app_core.outbox import Published, read
from tests.app_core.builders import a_card, a_template
from tests.conftest import Server
from tests.processes import Customer, in_core, new_customer
from tests.runtime.test_cli import Here


class Cli:
    """The command in this process; JSON is read where it is asked for."""

    def __init__(self, here: Here, database_url: str) -> None:
        self.here = here
        self.database_url = database_url

    def __call__(self, *arguments: str) -> Any:
        done = self.here(self.database_url, *arguments)
        assert (0, "") == (done.returncode, done.stderr)
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    def refused(self, *arguments: str) -> str:
        done = self.here(self.database_url, *arguments)
        assert (1, "") == (done.returncode, done.stdout)
        return done.stderr


@pytest.fixture
def cli(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(Here(monkeypatch, capsys), server.database_url)


@pytest.fixture
def tenant(server: Server) -> Customer:
    """A tenant that no other test knows."""
    return new_customer(server.database_url)


SECRET = re.compile(r"scimapi_[A-Za-z0-9_-]{43}")


def test_a_key_is_made_listed_and_ended(cli: Cli, server: Server, tenant: Customer) -> None:
    """The secret is shown once, others stay valid, and the list never shows one."""
    made = cli("api-key", "create", tenant.tenant_id, "--scope", "read", "--label", "reports", "--json")
    told = cli("api-key", "create", tenant.tenant_id, "--expires", "90d")
    second = SECRET.search(told)
    assert second is not None
    assert {"api_key_id", "api_key", "scope", "expires_at"} == set(made)
    assert SECRET.fullmatch(made["api_key"])
    assert "read" == made["scope"]

    listed = cli("api-key", "list", tenant.tenant_id, "--json")
    assert [("reports", "read"), ("", "admin")] == [(key["label"], key["scope"]) for key in listed]
    text = cli("api-key", "list", tenant.tenant_id)
    for secret in (made["api_key"], second[0]):
        assert secret not in repr(listed) + text
        assert secret[:12] in text

    assert {"api_key_id": made["api_key_id"], "revoked": True} == cli(
        "api-key", "revoke", tenant.tenant_id, made["api_key_id"], "--json"
    )
    assert "was not found" in cli.refused("api-key", "revoke", tenant.tenant_id, made["api_key_id"])
    [first, other] = cli("api-key", "list", tenant.tenant_id, "--json")
    assert (True, False) == (first["revoked_at"] is not None, other["revoked_at"] is not None)

    def authenticate(connection: Connection) -> api_keys.KeyCaller:
        return api_keys.authenticate(connection, token_hash(second[0]), clock.now())

    caller = in_core(server.database_url, lambda database: database.read(authenticate))
    assert (tenant.tenant_id, other["id"]) == (caller.tenant_id, caller.key_id)


def test_refusals_about_keys(cli: Cli, tenant: Customer) -> None:
    """Nobody's key, a key of no tenant, and one that would be dead from the start."""
    assert "was not found" in cli.refused("api-key", "create", "nobody")
    assert "was not found" in cli.refused("api-key", "list", "nobody")
    assert "was not found" in cli.refused("api-key", "revoke", tenant.tenant_id, "nothing")
    assert "expired already" in cli.refused("api-key", "create", tenant.tenant_id, "--expires", "0h")
    assert "The tenant has no API key." in cli("api-key", "list", tenant.tenant_id)


def test_policies_are_set_and_told(cli: Cli, server: Server, tenant: Customer) -> None:
    """Each alone or together with the rest; what is not named stays; the change is an event."""
    changed = cli("tenant", "set", tenant.tenant_id, "--group-sync", "selected", "--json")
    assert ("selected", "refuse", "flag") == tuple(
        changed[name] for name in ("group_sync", "on_group_delete", "invalid_phone")
    )
    text = cli(
        "tenant", "set", tenant.tenant_id, "--on-group-delete", "detach", "--invalid-phone", "reject", "--seats", "3"
    )
    assert "seats: 3, group-sync: selected, on-group-delete: detach, invalid-phone: reject." in text
    shown = cli("tenant", "show", tenant.tenant_id, "--json")
    assert (3, 0, "detach") == (shown["seat_limit"], shown["seats_open"], shown["on_group_delete"])

    assert [
        {"changed": ["group_sync"]},
        {"changed": ["seat_limit"]},
        {"changed": ["on_group_delete", "invalid_phone"]},
    ] == [payload_of(event) for event in events_of(server, tenant)]


def test_seats_are_raised_and_not_lowered_too_far(cli: Cli, server: Server, tenant: Customer) -> None:
    """Fewer than are open is refused with both numbers; more serve at once who waits."""
    cli("tenant", "set", tenant.tenant_id, "--seats", "1")

    def fill(connection: Connection) -> None:
        work = tenant.work(connection)
        template = a_template(work)
        for name in ("Ada", "Bob"):
            person = manual_people.add(work, name)
            a_card(work, person, template)
            seats.settle(work, [person.id])

    def count(connection: Connection) -> seats.Counts:
        return seats.counts(tenant.work(connection))

    in_core(server.database_url, lambda database: database.write(fill))
    assert (1, 1, 1) == in_core(server.database_url, lambda database: database.read(count))

    said = cli.refused("tenant", "set", tenant.tenant_id, "--seats", "0")
    assert "1 seat is open, so the limit cannot be 0." in said
    cli("tenant", "set", tenant.tenant_id, "--seats", "unlimited")
    assert (None, 2, 0) == in_core(server.database_url, lambda database: database.read(count))
    assert "seat.opened" in [event.type for event in events_of(server, tenant)]


def events_of(server: Server, tenant: Customer) -> list[Published]:
    def job(connection: Connection) -> list[Published]:
        return read(tenant.work(connection))

    return in_core(server.database_url, lambda database: database.write(job))


def payload_of(event: Published) -> dict[str, object]:
    payload: dict[str, object] = json.loads(event.payload)
    del payload["version"]
    return payload
