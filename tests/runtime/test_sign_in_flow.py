"""From the browser's first click to a session: the simulated Entra on a socket, the core on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from app_core import administrators, clock, graph_links, migrations, sessions, sign_in_flows
from app_core.db import Connection, Database
from app_core.ports import Identity
from app_core.sessions import Kind, NoAccount, Visitor
from app_core.sign_in_flows import Kept
from graph_fallback.sign_in import MicrosoftSignIn
from runtime import graph, maintenance
from runtime.settings import load
from tests.app_core.builders import a_directory_user, person_of
from tests.processes import Customer, in_core, new_customer
from tests.simulator import Entra, EntraTenant, simulated

T = TypeVar("T")
BACK = "http://127.0.0.1:8000/console/sign-in/microsoft"


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entra]:
    with simulated(tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture
def database(own_database: str) -> str:
    migrations.upgrade(own_database)
    return own_database


def sign_in_of(entra: Entra) -> MicrosoftSignIn:
    found = graph.sign_in_of(load({}, **entra.server_settings))
    assert found is not None
    return found


def came_back(database_url: str, entra: Entra, user: str, purpose: str) -> tuple[Kept, Identity]:
    """Send the browser away and take up what comes back, as the console does."""

    async def run(database: Database) -> tuple[Kept, Identity]:
        sign_in = sign_in_of(entra)
        try:
            flow = await sign_in.begin(BACK)
            kept = Kept(flow.private, purpose, "/console")
            cookie = await database.write(lambda connection: sign_in_flows.keep(connection, kept, clock.now()))
            query = await asyncio.to_thread(chosen, flow.url, user)
            found = await database.write(lambda connection: sign_in_flows.take(connection, cookie, clock.now()))
            assert kept == found
            return found, await sign_in.finish(found.flow, query)
        finally:
            await sign_in.close()

    return in_core(database_url, run)


def chosen(url: str, user: str) -> dict[str, str]:
    """Choose an account on Microsoft's page; give what the browser comes back with."""
    answer = httpx.post(url, data={"user": user})
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def written(database_url: str, job: Callable[[Connection], T]) -> T:
    return in_core(database_url, lambda database: database.write(job))


def opened(database_url: str, identity: Identity, wanted: Kind | None = None) -> Visitor:
    def job(connection: Connection) -> Visitor:
        return sessions.open_for_identity(connection, identity, clock.now(), "test", wanted)[1]

    return written(database_url, job)


def linked_administrator(database_url: str, customer: Customer, identity: Identity) -> str:
    """Add an administrator who signs in by a link and links a Microsoft account; give their id."""

    def job(connection: Connection) -> str:
        work = customer.work(connection)
        link = administrators.new_link(work, administrators.add(work, "ada@contoso.com").id)
        _, visitor = sessions.open_by_link(connection, link, work.now, "test")
        administrators.link_microsoft(connection, visitor, identity)
        return visitor.subject_id

    return written(database_url, job)


def member_of(database_url: str, customer: Customer, entra_tenant: EntraTenant, object_id: str) -> str:
    """Connect the customer to a directory, one of whose users is here; give the person's id."""

    def job(connection: Connection) -> str:
        work = customer.work(connection)
        graph_links.connect(work, entra_tenant.id)
        return person_of(work, a_directory_user(work, "member", externalId=object_id)).id

    return written(database_url, job)


def test_an_administrator_signs_in_with_microsoft(database: str, entra: Entra) -> None:
    """Once linked; the same address in another directory opens nothing."""
    ours, theirs, customer = entra.new_tenant(), entra.new_tenant(), new_customer(database)
    ours.user("ada")
    theirs.user("ada", userPrincipalName=f"ada@{theirs.domain}", displayName="ada@contoso.com")
    kept, identity = came_back(database, entra, f"ada@{ours.domain}", "link")
    assert ("link", "/console") == (kept.purpose, kept.after)
    with pytest.raises(NoAccount):
        opened(database, identity)

    ada = linked_administrator(database, customer, identity)

    _, again = came_back(database, entra, f"ada@{ours.domain}", "sign-in")
    visitor = opened(database, again)
    assert (Kind.ADMINISTRATOR, customer.tenant_id, ada, True) == (*visitor[1:4], visitor.microsoft)
    _, stranger = came_back(database, entra, f"ada@{theirs.domain}", "sign-in")
    with pytest.raises(NoAccount):
        opened(database, stranger)


def test_a_member_signs_in_with_microsoft(database: str, entra: Entra) -> None:
    """As the person of the connected directory; one of a directory that nobody has connected is told why not."""
    ours, theirs, customer = entra.new_tenant(), entra.new_tenant(), new_customer(database)
    person = member_of(database, customer, ours, ours.user("eve"))
    theirs.user("eve")

    _, identity = came_back(database, entra, f"eve@{ours.domain}", "member")
    assert (Kind.MEMBER, customer.tenant_id, person) == opened(database, identity, Kind.MEMBER)[1:4]
    _, stranger = came_back(database, entra, f"eve@{theirs.domain}", "member")
    with pytest.raises(NoAccount, match="provision"):
        opened(database, stranger, Kind.MEMBER)


def test_without_an_application_there_is_no_sign_in() -> None:
    """The pages leave the button out."""
    assert graph.sign_in_of(load({})) is None


def test_housekeeping_removes_what_is_over(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches, whosever it is; what is live stays."""
    customer = new_customer(database)
    monkeypatch.setattr(maintenance, "BATCH", 2)

    def furnish(connection: Connection) -> tuple[str, str, str]:
        work, hour_ago, day_ago = customer.work(connection), clock.later(-3600), clock.later(-86400)
        old, live = (administrators.add(work, f"{name}@contoso.com") for name in ("old", "live"))
        sessions.open_by_link(connection, sessions.new_link(connection, old.subject, day_ago), day_ago, "")
        for _ in range(5):
            sessions.new_link(connection, old.subject, hour_ago)
            sign_in_flows.keep(connection, Kept("", ""), hour_ago)
        cookie, _ = sessions.open_by_link(connection, administrators.new_link(work, live.id), work.now, "")
        return cookie, administrators.new_link(work, live.id), sign_in_flows.keep(connection, Kept("", ""), work.now)

    cookie, link, flow = written(database, furnish)

    assert 11 == in_core(database, maintenance.remove_over)
    assert 0 == in_core(database, maintenance.remove_over)
    assert written(database, lambda connection: sessions.find(connection, cookie, clock.now())) is not None
    assert written(database, lambda connection: sessions.peek_link(connection, link, clock.now())) is not None
    assert written(database, lambda connection: sign_in_flows.take(connection, flow, clock.now())) is not None
