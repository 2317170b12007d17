"""What belongs to Contoso is not there for Fabrikam's administrator: each page and action that names it is a 404."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from playwright.sync_api import APIResponse
from sqlalchemy import bindparam, insert, select

from admin_console.endpoint import Who
from admin_console.table import TABLE
from app_core import administrators, clock, connections, sessions, tenants
from app_core.db import Connection, Statement
from app_core.ids import new_correlation_id, new_id
from app_core.tables import METADATA
from app_core.work import Actor, Source, Work
from tests.answers import unique
from tests.browser.conftest import Contoso, Reader, Windows
from tests.processes import wait_for

TABLES = METADATA.tables
KEEPERS = {
    "tokens": ("scim_token", "id"),
    "groups": ("directory_group", "id"),
    "teams": ("login", "team_id"),
    "templates": ("template", "id"),
    "cards": ("card", "id"),
    "log": ("provisioning_log", "id"),
    "reconciliations": ("reconciliation", "id"),
    "api-keys": ("api_key", "id"),
    "administrators": ("administrator", "id"),
    "people": ("person", "id"),
    "members": ("person", "id"),
    "logins": ("login", "id"),
    "invitations": ("invitation", "id"),
    "jobs": ("job", "id"),
    "sessions": ("web_session", "hash"),
    "webhooks": ("webhook", "id"),
    "deliveries": ("webhook_delivery", "event_id"),
    "tenants": ("tenant", "id"),
}
"""Where the id comes from that follows a word in a path: table and column."""
AT_MICROSOFT = "/console/groups/entra/{object_id}/add"
"""Names a group of the asker's own directory, which is asked for it: there is no id of ours in it."""
NAMED = [
    (method, path)
    for path, methods in TABLE.items()
    for method, endpoint in methods.items()
    if "{" in path and endpoint.who not in (Who.ANYONE, Who.MEMBER) and path != AT_MICROSOFT
]


@pytest.fixture
def fabrikam(window: Windows, contoso: Contoso, signed_in: Any) -> Reader:
    """Another tenant's administrator, while Contoso's is signed in as well."""
    reader = window()
    reader.sign_in(contoso.core(_found))
    return reader


def _found(connection: Connection) -> str:
    tenant = tenants.create(connection, unique("Fabrikam"))
    connection_id = connections.create(connection, tenant, "Microsoft Entra ID")
    actor = Actor(Source.SYSTEM, "test")
    work = Work(connection, tenant.id, connection_id, actor, new_correlation_id(), clock.now())
    return sessions.new_link(connection, administrators.add(work, "fay@fabrikam.com").subject, work.now)


def send(reader: Reader, method: str, path: str, **form: str) -> APIResponse:
    """Ask as the reader's own pages ask, with a form that is good for its session."""
    if method == "GET":
        return reader.context.request.get(reader.url + path, max_redirects=0)
    token = reader.page.locator("input[name=_token]").first.input_value()
    return reader.context.request.post(reader.url + path, form={"_token": token, **form}, max_redirects=0)


def made(reader: Reader, path: str, name: str) -> str:
    """Make something of the reader's own; give its path."""
    answer = send(reader, "POST", path, name=name)
    assert 303 == answer.status, answer.text()
    return answer.headers["location"]


def held_by(contoso: Contoso) -> dict[str, Sequence[Any]]:
    """Give all rows of Contoso, but for what the worker and the reader's own visits write down."""
    asked = {
        name: Statement(select(table).where(table.c["id" if name == "tenant" else "tenant_id"] == bindparam("tenant")))
        for name, table in TABLES.items()
        if "tenant_id" in table.c and name not in ("job", "web_session", "sign_in_link")
    }

    def read(connection: Connection) -> dict[str, Sequence[Any]]:
        return {
            name: sorted(map(repr, map(tuple, connection.rows(each, {"tenant": contoso.secrets.tenant_id}))))
            for name, each in asked.items()
        }

    return contoso.core(read)


def addressed(contoso: Contoso) -> list[tuple[str, str]]:
    """Give every path of the console that names something, with what Contoso has."""
    ids, found = ids_of(contoso), []
    for method, path in NAMED:
        words = path.split("/")
        filled = [ids[words[at - 1]] if each.startswith("{") else each for at, each in enumerate(words)]
        found.append((method, "/".join(filled)))
    return found


def ids_of(contoso: Contoso) -> dict[str, str]:
    """Give an id of each kind."""
    return contoso.core(lambda connection: {word: _first(connection, contoso, *of) for word, of in KEEPERS.items()})


def _first(connection: Connection, contoso: Contoso, table: str, column: str) -> str:
    of = TABLES[table]
    owner = of.c["id" if table == "tenant" else "tenant_id"]
    row = connection.row(
        Statement(select(of.c[column]).where(owner == bindparam("tenant")).limit(1)),
        {"tenant": contoso.secrets.tenant_id},
    )
    assert row is not None, table
    return str(row[0])


def plant_run(connection: Connection, contoso: Contoso) -> None:
    """Plant a reconciliation that waits for an approval: a real one takes a connection with Microsoft Graph."""
    tenant = tenants.find(connection, contoso.secrets.tenant_id)
    numbers = dict.fromkeys(("users", "groups", "memberships", "found", "removals"), 1)
    stamps = dict.fromkeys(("started_at", "cutoff", "finished_at"), clock.now())
    keys = {"tenant_id": tenant.id, "id": new_id(), "connection_id": connections.first_of(connection, tenant)}
    row = {**keys, **numbers, **stamps, "state": "held", "policy": "repair"}
    connection.run(Statement(insert(TABLES["reconciliation"]).values(**row)), {})


def plant_webhook(connection: Connection, contoso: Contoso) -> None:
    """Plant a webhook that is paused, with an event that it was not told of."""
    tenant_id, key, now = contoso.secrets.tenant_id, new_id(), clock.now()
    numbers = {"position": 1, "attempt": 0, "failures": 0}
    texts = {"url": "https://app.example.com/hooks", "description": "", "types": "", "secret": "", "state": "disabled"}
    stamps = dict.fromkeys(("leased_until", "created_at", "modified_at"), now)
    webhook = {"tenant_id": tenant_id, "id": key, **numbers, **texts, **stamps}
    subject = {"type": "team.renamed", "subject_type": "team", "subject_id": new_id(), "occurred_at": now}
    place = {"tenant_id": tenant_id, "webhook_id": key, "position": 1, "event_id": new_id(), "created_at": now}
    delivery = {**place, **subject, "state": "dead", "attempts": 10}
    connection.run(Statement(insert(TABLES["webhook"]).values(**webhook)), {})
    connection.run(Statement(insert(TABLES["webhook_delivery"]).values(**delivery)), {})


def is_at_rest(contoso: Contoso) -> bool:
    """Say whether the worker has nothing left to do."""
    jobs = TABLES["job"]
    waiting = Statement(select(jobs.c.id).where(jobs.c.finished_at.is_(None)))
    return not contoso.core(lambda connection: connection.rows(waiting, {}))


def test_what_is_contosos_is_not_there_for_another_tenant(contoso: Contoso, fabrikam: Reader, admin: Reader) -> None:
    """By every path and method of the console that names something; nothing of Contoso changes."""
    contoso.core(lambda connection: plant_run(connection, contoso))
    contoso.core(lambda connection: plant_webhook(connection, contoso))
    wait_for(lambda: is_at_rest(contoso))
    before = held_by(contoso)
    theirs = [path for method, path in addressed(contoso) if method == "GET" and not path.endswith("/photo")]
    assert [] == [path for path in theirs if send(admin, "GET", path).status == 404]
    answers = {(method, path): send(fabrikam, method, path).status for method, path in addressed(contoso)}

    assert len(NAMED) == len(answers)
    assert {asked: status for asked, status in answers.items() if status != 404} == {}
    assert before == held_by(contoso)


def test_nor_does_it_come_in_by_a_form(contoso: Contoso, fabrikam: Reader) -> None:
    """Named within something of Fabrikam's own it is not there either."""
    ids = ids_of(contoso)
    team, template = made(fabrikam, "/console/teams", "Own team"), made(fabrikam, "/console/templates", "Own card")
    wait_for(lambda: is_at_rest(contoso))
    before = held_by(contoso)
    answers = [
        send(fabrikam, "POST", f"{team}/members", person_id=ids["people"]),
        send(fabrikam, "POST", f"{template}/groups", group=ids["groups"]),
        send(fabrikam, "POST", "/console/people/activate", person=ids["people"]),
        send(fabrikam, "POST", "/console/invitations", template=ids["templates"], display_name="Eve"),
    ]

    assert [404] * 4 == [each.status for each in answers]
    assert before == held_by(contoso)
