"""G1, G3, G4, G7 in the small: what the directory does arrives by Graph, against a simulated Entra on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from sqlalchemy import bindparam, select, update

from app_core import directory, graph_links, jobs, migrations, people, tenants, vault
from app_core.connections import TOKEN
from app_core.db import Connection, Statement, open_database
from app_core.errors import TeamHasLogins
from app_core.resource import attributes_of
from app_core.teams import TEAM_TABLE
from app_core.work import Work
from graph_fallback import pull
from graph_fallback.tokens import GraphRefused
from runtime import settings
from runtime.by_hand import ByHand
from runtime.graph import opened
from tests.processes import Customer, empty_database, new_customer
from tests.simulator import Entra, EntraTenant, simulated

T = TypeVar("T")
USED = Statement(update(TOKEN).where(TOKEN.c.tenant_id == bindparam("tenant_id")).values(last_used_at=bindparam("now")))
EVENTS = "SELECT type, count(*) FROM outbox_event GROUP BY type"


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entra]:
    with simulated(tmp_path_factory.mktemp("entra")) as running:
        yield running


@pytest.fixture(scope="module")
def graph_url(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with empty_database(database_url, tmp_path_factory.mktemp("graph")) as url:
        migrations.upgrade(url)
        yield url


@dataclass
class Joined:
    """A tenant here, and its directory there."""

    url: str
    entra: Entra
    there: EntraTenant
    customer: Customer

    def do(self, act: Callable[[ByHand], Awaitable[T]]) -> T:
        """Do something by hand, as `scim-server graph …` does."""

        async def run() -> T:
            database = await open_database(self.url)
            known = settings.load(
                {f"SCIM_SERVER_{name.upper()}": value for name, value in self.entra.server_settings.items()}
            )
            try:
                async with opened(known) as graph:
                    assert graph is not None
                    tenant = await database.read(lambda it: tenants.find(it, self.customer.tenant_id))
                    return await act(ByHand(database, graph, tenant))
            finally:
                await database.close()

        return asyncio.run(run())

    def sync(self) -> dict[str, Any]:
        return self.do(lambda hand: hand.sync(lambda text: None))

    def read(self, act: Callable[[Work], T]) -> T:
        """Look into the core."""

        async def run() -> T:
            database = await open_database(self.url)
            try:
                return await database.write(lambda connection: act(self.customer.work(connection)))
            finally:
                await database.close()

        return asyncio.run(run())

    def user(self, object_id: str) -> dict[str, Any] | None:
        """Give what the mirror says of a user, with `active`; None when it has none."""

        def look(work: Work) -> dict[str, Any] | None:
            key = directory.user_by_object_id(work, object_id)
            user = None if key is None else directory.find_user(work, key)
            return None if user is None else {**attributes_of(user.document), "active": bool(user.active)}

        return self.read(look)

    def team(self, name: str) -> set[str] | None:
        """Give the userNames in a team of this name; None when there is none."""

        def look(work: Work) -> set[str] | None:
            found = work.row(
                Statement(
                    select(TEAM_TABLE.c.group_id).where(
                        TEAM_TABLE.c.tenant_id == directory.tenant, TEAM_TABLE.c.name == bindparam("name")
                    )
                ),
                name=name,
            )
            if found is None:
                return None
            rows = work.rows(
                Statement(
                    select(directory.U.c.user_name)
                    .select_from(directory.M.join(directory.U, directory.U.c.id == directory.M.c.user_id))
                    .where(directory.M.c.tenant_id == directory.tenant, directory.M.c.group_id == bindparam("group_id"))
                ),
                group_id=found[0],
            )
            return {str(row[0]).partition("@")[0] for row in rows}

        return self.read(look)

    def events(self, *types: str) -> int:
        """Count what was told, or of it what is of some types."""
        from app_core import outbox

        return len(self.read(lambda work: outbox.read(work, types=types, limit=10_000)))


@pytest.fixture
def joined(graph_url: str, entra: Entra) -> Iterator[Joined]:
    """A tenant that only pulls, connected to a directory that no other test knows."""
    entra.reset()
    both = Joined(graph_url, entra, entra.new_tenant(), new_customer(graph_url))
    both.do(lambda hand: hand.connect(both.there.id))
    yield both
    entra.reset()


def test_a_directory_is_imported_and_a_group_added(joined: Joined) -> None:
    """Everybody comes; groups only when they are added, and then with their people (G2, G3)."""
    anna = joined.there.user("anna", displayName="Anna A", department="Sales", accountEnabled=True)
    bert = joined.there.user("bert", displayName="Bert B", accountEnabled=False)
    sales = joined.there.group("Sales", anna, bert)

    assert "done" == joined.sync()["state"]

    assert ("Anna A", True) == (joined.user(anna)["displayName"], joined.user(anna)["active"])  # type: ignore[index]
    assert joined.user(bert)["active"] is False  # type: ignore[index]
    assert joined.team("Sales") is None
    added = joined.do(lambda hand: hand.add(sales))
    assert ("Sales", "Synced") == (added["name"], added["status"])
    assert {"anna", "bert"} == joined.team("Sales")
    assert {("Sales", "Synced")} == {
        (each["name"], each["status"]) for each in joined.do(lambda hand: hand.groups("", None))["items"]
    }


def test_changes_arrive_once(joined: Joined) -> None:
    """Renames, members, cleared attributes, disabling, soft deletion and purge; saying it again tells nothing (G4)."""
    anna = joined.there.user("anna", displayName="Anna A", department="Sales", jobTitle="Guide")
    bert = joined.there.user("bert", displayName="Bert B")
    carl = joined.there.user("carl", displayName="Carl C")
    sales = joined.there.group("Sales", anna, bert)
    joined.sync()
    joined.do(lambda hand: hand.add(sales))

    joined.there.do("rename_group", group=sales, name="Sales EMEA")
    joined.there.do("add_members", group=sales, members=[carl])
    joined.there.do("remove_members", group=sales, members=[bert])
    joined.there.do("clear_attribute", user=anna, name="department")
    joined.there.do("change_user", user=bert, accountEnabled=False)
    joined.sync()

    assert {"anna", "carl"} == joined.team("Sales EMEA")
    assert "department" not in str(joined.user(anna))
    assert joined.user(bert)["active"] is False  # type: ignore[index]
    before = joined.events()
    joined.sync()
    assert before == joined.events()

    joined.there.do("delete", object=carl)
    joined.sync()
    assert joined.user(carl)["active"] is False  # type: ignore[index]
    assert "carl" == joined.user(carl)["userName"].partition("@")[0]  # type: ignore[index]
    joined.there.do("purge", object=carl)
    joined.sync()
    assert joined.user(carl) is None
    assert {"anna"} == joined.team("Sales EMEA")


def test_the_manager_follows(joined: Joined) -> None:
    """A manager is the mirror's own id, and goes when it is taken away."""
    boss = joined.there.user("boss", displayName="Boss")
    joined.sync()
    anna = joined.there.user("anna", displayName="Anna A")
    joined.there.do("set_manager", user=anna, manager=boss)
    joined.sync()

    enterprise = next(value for name, value in joined.user(anna).items() if name.startswith("urn:"))  # type: ignore[union-attr]
    assert joined.read(lambda work: directory.user_by_object_id(work, boss)) == enterprise["manager"]["value"]
    joined.there.do("set_manager", user=anna, manager=None)
    joined.sync()
    assert "manager" not in str(joined.user(anna))


def test_a_team_with_logins_stays(joined: Joined) -> None:
    """A group that Entra deleted waits for its team to be emptied: by no path it takes logins with it (P4, G3)."""
    anna = joined.there.user("anna", displayName="Anna A")
    sales = joined.there.group("Sales", anna)
    joined.sync()
    team = joined.do(lambda hand: hand.add(sales))["team_id"]
    login = joined.read(lambda work: vault.add(work, team, ciphertext="x"))
    with pytest.raises(TeamHasLogins):
        joined.do(lambda hand: hand.remove(sales))
    joined.there.do("delete", object=sales)

    joined.sync()

    assert {"anna"} == joined.team("Sales")
    joined.read(lambda work: vault.remove(work, vault.lock(work, team, login.id)))
    assert {"anna"} == joined.team("Sales")
    joined.do(lambda hand: hand.remove(sales))
    assert joined.team("Sales") is None


def test_where_entra_pushes_nobody_is_imported(joined: Joined) -> None:
    """Scope is Entra's: unknown people stay away, an enabled account makes nobody active; the rest is mended (G5, §8.17)."""
    anna = joined.there.user("anna", displayName="Anna A", department="Sales", accountEnabled=True)
    joined.sync()
    joined.read(lambda work: work.run(USED, now=work.now))
    joined.read(lambda work: _switch_off(work, anna))
    dora = joined.there.user("dora", displayName="Dora D")
    joined.there.do("change_user", user=anna, department="Tours")

    joined.sync()

    assert joined.user(dora) is None
    assert ("Tours", False) == (str(joined.user(anna)).partition("'department': '")[2][:5], joined.user(anna)["active"])  # type: ignore[index]


def _switch_off(work: Work, object_id: str) -> None:
    from app_core import provisioning
    from app_core.resource import UserRecord

    key = directory.user_by_object_id(work, object_id)
    assert key is not None
    before = provisioning.lock_user(work, key)
    provisioning.save_user(work, before, UserRecord({**attributes_of(before.document), "active": False}, False))


@pytest.mark.parametrize(
    "faults",
    [
        [{"kind": "throttle", "retry_after": 1, "count": 2}],
        [{"kind": "error", "status": 503, "count": 3}],
        [{"kind": "empty_page", "count": 4}],
        [{"kind": "duplicate", "count": None}, {"kind": "reorder", "count": None}],
    ],
    ids=["throttled", "5xx", "empty-pages", "duplicated-and-reordered"],
)
def test_faults_lose_nothing(joined: Joined, faults: list[dict[str, Any]]) -> None:
    """429 with Retry-After, 5xx, empty pages, duplicates in any order: the mirror ends as the directory is (G7)."""
    people = {joined.there.user(f"p{at}", displayName=f"P {at}") for at in range(25)}
    joined.entra.do("settings", delta_page=5)
    for fault in faults:
        joined.entra.do("fault", path="/users/delta", **fault)

    assert "done" == joined.sync()["state"]

    assert people == {each for each in people if joined.user(each) is not None}


def test_an_expired_link_begins_a_full_round(joined: Joined) -> None:
    """400 and 410 are a full round, not an error (G7)."""
    anna = joined.there.user("anna", displayName="Anna A")
    joined.sync()
    joined.there.do("change_user", user=anna, displayName="Anna B")
    joined.entra.do("expire_delta_tokens")

    assert "done" == joined.sync()["state"]

    assert "Anna B" == joined.user(anna)["displayName"]  # type: ignore[index]


def test_a_round_begun_anew_in_the_middle_asks_for_everything(joined: Joined) -> None:
    """Where Graph says to begin may lack our properties: then disabling somebody would never arrive again (410, G7)."""
    anna = joined.there.user("anna", displayName="Anna A", department="Sales", accountEnabled=True)
    joined.there.user("bert", displayName="Bert B")
    joined.entra.do("settings", delta_page=1)
    joined.entra.do("fault", kind="gone", path="/users/delta", when="skiptoken")

    assert "done" == joined.sync()["state"]

    assert "Sales" in str(joined.user(anna))
    joined.there.do("change_user", user=anna, accountEnabled=False)
    joined.sync()
    assert joined.user(anna)["active"] is False  # type: ignore[index]


def test_a_link_to_another_host_is_not_remembered(joined: Joined) -> None:
    """A page that names one is refused, and the next pull asks Graph for it again."""
    joined.entra.do("settings", delta_page=1)
    people = [joined.there.user(f"p{at}", displayName=f"P {at}") for at in range(3)]
    joined.entra.do("fault", kind="foreign_link", path="/users/delta", skip=1)

    refused = joined.sync()

    assert "failed" == refused["state"]
    assert "another host" in refused["error"]
    assert "done" == joined.sync()["state"]
    assert all(joined.user(each) is not None for each in people)


def test_a_refusal_quarantines(joined: Joined) -> None:
    """Consent that was taken back is said on the connection, in words that say what to do (G1)."""
    joined.there.do("revoke_consent", client_id=joined.entra.client_id)

    ended = None
    with pytest.raises(GraphRefused):
        ended = joined.do(lambda hand: hand.connect(joined.there.id))

    assert ended is None


def test_each_hourly_slot_is_asked_for_once(joined: Joined) -> None:
    """Five past the hour begins a slot; whoever looks first takes it (G4)."""
    assert "2026-11-24T21" == graph_links.slot_of("2026-11-24T22:04:59.999Z")
    assert "2026-11-24T22" == graph_links.slot_of("2026-11-24T22:05:00.000Z")

    def ask(connection: Connection) -> int:
        return pull.enqueue_due(connection, "2099-01-01T00:05:00.000Z")

    async def run() -> tuple[int, int]:
        database = await open_database(joined.url)
        try:
            return await database.write(ask), await database.write(ask)
        finally:
            await database.close()

    first, second = asyncio.run(run())

    assert first >= 1
    assert 0 == second
    assert joined.read(lambda work: jobs.unfinished(work, graph_links.pull_slot(work))) is not None


def test_a_name_goes_to_who_has_it_in_entra(joined: Joined) -> None:
    """Somebody new has the name of one who is deleted, and two have swapped theirs: each is called as in Entra (G7)."""
    old, one, two = (joined.there.user(name, displayName=name) for name in ("anna", "one", "two"))
    names = [f"{name}@{joined.there.domain}" for name in ("anna", "one", "two")]
    joined.sync()
    joined.there.do("delete", object=old)
    new = joined.there.user("anna", displayName="Another Anna")
    joined.there.do("change_user", user=one, userPrincipalName=f"aside@{joined.there.domain}")
    joined.there.do("change_user", user=two, userPrincipalName=names[1])
    joined.there.do("change_user", user=one, userPrincipalName=names[2])

    joined.sync()

    assert [names[0], names[2], names[1]] == [joined.user(each)["userName"] for each in (new, one, two)]  # type: ignore[index]
    assert (False, True) == (joined.user(old)["active"], joined.user(new)["active"])  # type: ignore[index]
    assert f"{old.replace('-', '')}{names[0]}" == joined.user(old)["userName"]  # type: ignore[index]
    # The person keeps the address by which it signed in (P5).
    signs_in = joined.read(lambda work: [person.sign_in for person in people.page(work) if not person.active])
    assert [names[0]] == signs_in
    joined.there.do("change_user", user=new, userPrincipalName=f"second@{joined.there.domain}")
    joined.there.do("restore", object=old)
    joined.sync()
    assert (names[0], True) == (joined.user(old)["userName"], joined.user(old)["active"])  # type: ignore[index]
