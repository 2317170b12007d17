"""`admin …`, and the link that `serve` prints while nobody can sign in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from app_core import clock, sessions
from app_core.db import Connection
from app_core.sessions import Kind, Visitor
from tests.conftest import Server
from tests.processes import command, in_core, new_customer, serving
from tests.runtime.test_api_key_commands import Cli
from tests.runtime.test_cli import Here

LINK = re.compile(r"^Sign-in link +(\S+)/console/sign-in\?link=(scimlink_[\w-]{43})$", re.MULTILINE)


@pytest.fixture
def cli(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(Here(monkeypatch, capsys), server.database_url)


def opened(database_url: str, secret: str) -> tuple[str, Visitor]:
    """Sign in by a link."""

    def job(connection: Connection) -> tuple[str, Visitor]:
        return sessions.open_by_link(connection, secret, clock.now(), "test")

    return in_core(database_url, lambda database: database.write(job))


def found(database_url: str, secret: str) -> Visitor | None:
    def job(connection: Connection) -> Visitor | None:
        return sessions.find(connection, secret, clock.now())

    return in_core(database_url, lambda database: database.read(job))


def secret_of(link: str) -> str:
    return link.partition("?link=")[2]


def test_an_administrator_is_made_listed_and_ended(cli: Cli, server: Server) -> None:
    """The link signs in once; the list shows none; who is revoked is signed out and can be made anew."""
    tenant, other = (new_customer(server.database_url) for _ in range(2))
    here = ("--tenant", tenant.tenant_id)
    made = cli("admin", "create", "Ada@contoso.com", *here, "--json")
    assert {"kind": "administrator", "email": "Ada@contoso.com", "tenant_id": tenant.tenant_id}.items() <= made.items()
    assert 86400 == made["expires_in_seconds"]
    assert made["sign_in_link"].startswith("http://127.0.0.1:8000/console/sign-in?link=scimlink_")

    cookie, visitor = opened(server.database_url, secret_of(made["sign_in_link"]))

    assert (Kind.ADMINISTRATOR, tenant.tenant_id, made["admin_id"]) == visitor[1:4]
    again = cli("admin", "link", "ada@contoso.com", *here)
    assert "within 15 minutes" in again
    second = LINK.search(again)
    assert second is not None
    listed, text = cli("admin", "list", *here, "--json"), cli("admin", "list")
    assert [(made["admin_id"], "Ada@contoso.com")] == [(each["id"], each["email"]) for each in listed]
    assert listed[0]["signed_in_at"] is not None
    assert "Ada@contoso.com" in text
    assert "scimlink_" not in repr(listed) + text
    assert [] == cli("admin", "list", "--tenant", other.tenant_id, "--json")
    assert "already" in cli.refused("admin", "create", "ada@CONTOSO.com", *here)
    assert "not found" in cli.refused("admin", "revoke", "ada@contoso.com", "--tenant", other.tenant_id)

    assert cli("admin", "revoke", "ada@contoso.com", *here, "--json")["revoked"]
    assert found(server.database_url, cookie) is None
    assert [] == cli("admin", "list", *here, "--json")
    for verb in ("link", "revoke"):
        assert "was not found" in cli.refused("admin", verb, "ada@contoso.com", *here)
    assert cli("admin", "create", "ada@contoso.com", *here, "--json")["admin_id"] != made["admin_id"]


def test_an_operator_is_made_without_a_tenant(cli: Cli, server: Server) -> None:
    """Theirs are all tenants; an address that is none is refused."""
    told = cli("admin", "create", "root@vendor.example")
    link = LINK.search(told)
    assert link is not None
    assert "within 24 hours" in told
    assert (Kind.OPERATOR, None, "root@vendor.example") == itemised(opened(server.database_url, link[2])[1])
    known = [each for each in cli("admin", "list", "--json") if each["email"] == "root@vendor.example"]
    assert [("operator", None, None)] == [(each["kind"], each["tenant_id"], each["tenant"]) for each in known]

    assert "already" in cli.refused("admin", "create", "ROOT@vendor.example")
    assert "no e-mail address" in cli.refused("admin", "create", "root")
    assert "was not found" in cli.refused("admin", "create", "a@b.example", "--tenant", "nosuch")
    assert "cannot sign in any more" in cli("admin", "revoke", "root@vendor.example")
    assert "was not found" in cli.refused("admin", "link", "root@vendor.example")


def itemised(visitor: Visitor) -> tuple[Any, ...]:
    return visitor.kind, visitor.tenant_id, visitor.name


def test_serve_prints_a_link_until_somebody_signs_in(own_database: str, tmp_path: Path) -> None:
    """Each start prints another one, which signs the first operator in; after that none is printed."""
    links = []
    for _ in range(2):
        with serving(own_database, tmp_path) as server:
            said = LINK.search(server.stdout.read_text())
            assert said is not None
            assert server.url == said[1]
            assert "scimlink_" not in server.stderr.read_text()
            links.append(said[2])
    assert (Kind.OPERATOR, None, "operator@localhost") == itemised(opened(own_database, links[0])[1])

    with serving(own_database, tmp_path) as server:
        assert "Console  " in server.output()
        assert "scimlink_" not in server.output()


def test_serve_prints_no_link_where_somebody_was_added(own_database: str, tmp_path: Path) -> None:
    """Who was added by hand has a link of their own; without an address of ours it leads to this machine."""
    made = command(own_database, "admin", "create", "root@vendor.example", public_url="https://scim.example.com")
    link = LINK.search(made.stdout)
    assert link is not None
    assert "https://scim.example.com" == link[1]

    with serving(own_database, tmp_path) as server:
        assert "scimlink_" not in server.output()
