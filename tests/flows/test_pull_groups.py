"""G3: where only we pull, all groups are mirrored, and teams are the administrator's choice; and what a push changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app_core import administration, directory, provisioning, reconciliations, tenants, vault
from app_core.resource import UserRecord
from app_core.work import Work
from tests.flows.test_pull import USED, Joined, entra, graph_url, joined
from tests.processes import ServerProcess, serving
from tests.pulling import COUNT_GROUPS, group_members, managers, stepping, team_of

__all__ = ["entra", "graph_url", "joined"]  # fixtures


@pytest.fixture(scope="module")
def door(graph_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server on the same database, for Entra to push to."""
    with serving(graph_url, tmp_path_factory.mktemp("door")) as running:
        yield running


def push(joined: Joined, door: ServerProcess, cycle: str = "initial", **options: Any) -> dict[str, Any]:
    report = joined.there.push(door.scim_url, joined.customer.token, cycle, external_id="objectId", **options)
    assert ("done", []) == (report["state"], report["failures"])
    return report


def counts(joined: Joined) -> tuple[int, int]:
    """Count users and groups in the mirror."""

    def look(work: Work) -> tuple[int, int]:
        return directory.total(work, "User"), int((work.row(COUNT_GROUPS) or (0,))[0])

    return joined.read(look)


def members(joined: Joined, object_id: str) -> set[str] | None:
    return joined.read(lambda work: group_members(work, object_id))


def group_id(joined: Joined, object_id: str) -> str | None:
    return joined.read(lambda work: directory.group_by_object_id(work, object_id))


# Where only we pull ---------------------------------------------------------------------------------------------------


def test_all_groups_are_mirrored_and_none_is_a_team(joined: Joined) -> None:
    """Groups come as users do, with their members; teams come by Add alone; the same again tells nothing (G2, G3)."""
    anna, bert = joined.there.user("anna"), joined.there.user("bert")
    sales, empty = joined.there.group("Sales", anna, bert), joined.there.group("Nobody")

    joined.sync()

    assert ({"anna", "bert"}, set()) == (members(joined, sales), members(joined, empty))
    before = joined.events()
    joined.there.do("rename_group", group=sales, name="Sales EMEA")
    joined.there.do("remove_members", group=sales, members=[bert])
    joined.sync()
    assert {"anna"} == members(joined, sales)
    assert joined.team("Sales EMEA") is None
    joined.sync()
    assert before == joined.events()


def test_a_large_group_comes_in_slices(joined: Joined) -> None:
    """A group whose members lie on several pages, in any order, is one group with all of them (entra.md §8.4)."""
    people = [joined.there.user(f"p{at}") for at in range(23)]
    sales = joined.there.group("Sales", *people)
    joined.entra.do("settings", delta_page=4, members_page=3, shuffle=True)

    joined.sync()

    assert {f"p{at}" for at in range(23)} == members(joined, sales)
    assert (23, 1) == counts(joined)


def test_remove_group_leaves_the_mirror(joined: Joined) -> None:
    """The team goes, the group stays as it is in Entra, and no pull makes a team of it again; it can be added (G3)."""
    anna = joined.there.user("anna")
    sales = joined.there.group("Sales", anna)
    joined.sync()
    added = joined.do(lambda hand: hand.add(sales))
    assert {"anna"} == joined.team("Sales")

    joined.do(lambda hand: hand.remove(sales))
    bert = joined.there.user("bert")
    joined.there.do("add_members", group=sales, members=[bert])
    joined.there.do("rename_group", group=sales, name="Sales EMEA")
    joined.sync()

    assert {"anna", "bert"} == members(joined, sales)
    assert (None, None) == (joined.team("Sales"), joined.team("Sales EMEA"))
    again = joined.do(lambda hand: hand.add(sales))
    assert added["group_id"] == again["group_id"]
    assert {"anna", "bert"} == joined.team("Sales EMEA")


def test_a_policy_for_all_groups_means_those_that_are_pushed(joined: Joined) -> None:
    """Choosing `all` again makes no teams of what a pull has brought (P3)."""
    sales = joined.there.group("Sales", joined.there.user("anna"))
    joined.sync()

    for policy in ("selected", "all"):
        joined.read(lambda work, policy=policy: administration.change_settings(work, {"group_sync": policy}))  # type: ignore[misc]

    assert "all" == joined.read(tenants.acting).group_sync
    assert joined.read(lambda work: team_of(work, sales)) is None


def test_who_comes_in_the_middle_of_a_pull_is_not_lost(joined: Joined) -> None:
    """A member that is named after the users' round is read by itself, with all of its groups (G7)."""
    anna = joined.there.user("anna")
    sales, tours = joined.there.group("Sales", anna), joined.there.group("Tours")
    joined.sync()
    late: list[str] = []

    def happens(stage: str) -> None:
        if stage == "groups" and not late:
            late.append(joined.there.user("late", department="Tours"))
            joined.there.do("set_manager", user=late[0], manager=anna)
            for group in (sales, tours):
                joined.there.do("add_members", group=group, members=late)

    stages = joined.do(stepping(happens))

    assert ["users", "groups", "arrivals", "arrivals", "scope", "managers", "photos", "photos"] == stages
    assert {"anna", "late"} == members(joined, sales)
    assert {"late"} == members(joined, tours)
    assert {"anna": None, "late": "anna"} == joined.read(managers)
    before = joined.events()
    joined.sync()
    assert before == joined.events()


def test_who_goes_before_being_read_is_no_error(joined: Joined) -> None:
    """Somebody who was named and is deleted by then is awaited no longer."""
    sales = joined.there.group("Sales", joined.there.user("anna"))
    joined.sync()

    def happens(stage: str) -> None:
        if stage == "groups":
            joined.there.do("add_members", group=sales, members=[joined.there.user("late")])
        if stage == "arrivals":
            joined.there.do("purge", object=f"late@{joined.there.domain}") if not gone else None
            gone.append(stage)

    gone: list[str] = []
    joined.do(stepping(happens))

    assert {"anna"} == members(joined, sales)
    assert (1, 1) == counts(joined)


def test_each_step_may_be_taken_twice(joined: Joined) -> None:
    """A worker that dies after each commit leads to the same mirror, and nobody is told twice (G7)."""
    boss = joined.there.user("boss")
    people = [joined.there.user(f"p{at}", manager=boss) for at in range(7)]
    groups = [joined.there.group(f"G{at}", *people[at:]) for at in range(5)]
    joined.entra.do("settings", delta_page=3, members_page=4, shuffle=True)

    joined.do(stepping(twice=True))

    assert (8, 5) == counts(joined)
    assert [7 - at for at in range(5)] == [len(members(joined, key) or ()) for key in groups]
    assert {f"p{at}": "boss" for at in range(7)} | {"boss": None} == joined.read(managers)
    assert 8 == joined.events("person.created")
    before = joined.events()
    joined.sync()
    assert before == joined.events()


def test_a_restored_group_has_its_members_after_a_listing(joined: Joined) -> None:
    """Its round says nobody of them, so a reconciliation is asked for, and finds them."""
    sales = joined.there.group("Sales", joined.there.user("anna"), groupTypes=["Unified"])
    joined.sync()
    joined.there.do("delete", object=sales)
    joined.sync()
    assert members(joined, sales) is None
    joined.there.do("restore", object=sales)

    joined.sync()

    assert set() == members(joined, sales)
    assert 1 == len(joined.read(reconciliations.runs))
    joined.do(lambda hand: hand.reconcile(lambda text: None, grace=0))
    assert {"anna"} == members(joined, sales)


def test_reconciliation_takes_unknown_groups_over(joined: Joined) -> None:
    """A group that no round named is found by a listing, with its members; it is no team by that (G5)."""
    anna = joined.there.user("anna")
    joined.sync()
    sales = joined.there.group("Sales", anna)

    result = joined.do(lambda hand: hand.reconcile(lambda text: None, grace=0))

    assert [("group_unknown", "repaired")] == [(each["kind"], each["outcome"]) for each in result["items"]]
    assert {"anna"} == members(joined, sales)
    assert joined.team("Sales") is None
    assert [] == joined.do(lambda hand: hand.reconcile(lambda text: None, grace=0))["items"]


# Where Entra pushes ---------------------------------------------------------------------------------------------------


def test_where_entra_pushes_unknown_groups_stay_away(joined: Joined) -> None:
    """Which groups are in scope is Entra's to say; a listing imports none of them either (ADR 0018)."""
    joined.read(lambda work: work.run(USED, now=work.now))
    joined.there.group("Sales", joined.there.user("anna"))

    joined.sync()

    assert (0, 0) == counts(joined)
    assert [] == joined.do(lambda hand: hand.reconcile(lambda text: None, grace=0))["items"]
    assert (0, 0) == counts(joined)


def test_a_customer_begins_to_push(joined: Joined, door: ServerProcess) -> None:
    """Entra finds what a pull has brought: nobody is doubled, teams stay, and just what it pushes becomes a team."""
    anna, bert, carl = (joined.there.user(each, displayName=each) for each in ("anna", "bert", "carl"))
    added, assigned, other = (joined.there.group(name, anna, bert, carl) for name in ("Added", "Assigned", "Other"))
    joined.sync()
    team = joined.do(lambda hand: hand.add(added))["team_id"]
    joined.read(lambda work: vault.add(work, team, ciphertext="x"))
    groups = [group_id(joined, key) for key in (added, assigned, other)]

    push(joined, door, scope=[added, assigned])

    assert (3, 3) == counts(joined)
    assert groups == [group_id(joined, key) for key in (added, assigned, other)]
    assert team == joined.read(lambda work: team_of(work, added))
    assert {"anna", "bert", "carl"} == joined.team("Added") == joined.team("Assigned")
    assert joined.team("Other") is None
    # Level with what is there: neither a pull nor another cycle makes it anything else.
    joined.there.do("rename_group", group=other, name="Other again")
    push(joined, door, "restart", scope=[added, assigned])
    joined.sync()
    assert (3, 3) == counts(joined)
    assert joined.team("Other again") is None
    assert 2 == joined.events("team.created")


def test_a_group_that_was_removed_stays_removed(joined: Joined, door: ServerProcess) -> None:
    """After Remove group neither what Entra pushes nor what a pull says makes a team of it again."""
    anna = joined.there.user("anna")
    sales = joined.there.group("Sales", anna)
    joined.sync()
    push(joined, door, scope=[sales])
    assert {"anna"} == joined.team("Sales")

    joined.do(lambda hand: hand.remove(sales))
    bert = joined.there.user("bert")
    joined.there.do("add_members", group=sales, members=[bert])
    push(joined, door, "incremental", scope=[sales])
    joined.sync()

    assert joined.team("Sales") is None
    assert {"anna", "bert"} == members(joined, sales)


def test_entra_finds_what_was_pulled(joined: Joined, door: ServerProcess) -> None:
    """By name and by externalId; a create of the same is a conflict (409), and one PATCH makes a mirrored group a team."""
    sales = joined.there.group("Sales", joined.there.user("anna"))
    joined.sync()
    with joined.customer.client(door.scim_url) as scim:
        found = [
            scim.get("Groups", params={"filter": text, "excludedAttributes": "members"}).json()
            for text in (f'externalId eq "{sales.upper()}"', 'displayName eq "sales"')
        ]
        (group,) = {each["Resources"][0]["id"] for each in found}
        again = scim.post("Groups", json={"displayName": "Renamed", "externalId": sales})
        user = scim.post("Users", json={"userName": f"ANNA@{joined.there.domain}"})
        assert joined.team("Sales") is None
        member = scim.get("Users").json()["Resources"][0]["id"]
        patched = scim.patch(f"Groups/{group}", json=_adding(member))

    assert [1, 1] == [each["totalResults"] for each in found]
    assert [(409, "uniqueness")] * 2 == [(each.status_code, each.json()["scimType"]) for each in (again, user)]
    assert 204 == patched.status_code
    assert {"anna"} == joined.team("Sales")
    assert (1, 1) == counts(joined)
    # Whoever reads the feed alone knows who is in it, though nobody has come.
    assert (1, 1) == (joined.events("team.created"), joined.events("team.members_changed"))


def test_a_pushed_group_is_a_team_with_its_new_name(joined: Joined, door: ServerProcess) -> None:
    """One PATCH that renames a mirrored group makes a team of that name, and tells of no other (P3)."""
    sales = joined.there.group("Sales")
    joined.sync()

    with joined.customer.client(door.scim_url) as scim:
        (group,) = scim.get("Groups").json()["Resources"]
        rename = {"op": "Replace", "path": "displayName", "value": "Sales EMEA"}
        assert 204 == scim.patch(f"Groups/{group['id']}", json=_patch(rename)).status_code

    assert joined.read(lambda work: team_of(work, sales)) is not None
    assert (set(), 1, 0) == (joined.team("Sales EMEA"), joined.events("team.created"), joined.events("team.renamed"))


def test_where_an_administrator_selects_a_push_makes_no_team(joined: Joined, door: ServerProcess) -> None:
    """`group_sync` `selected` holds for what was pulled before as well; `all` takes up what was pushed since."""
    sales = joined.there.group("Sales", joined.there.user("anna"))
    joined.there.group("Other")
    joined.sync()
    joined.read(lambda work: administration.change_settings(work, {"group_sync": "selected"}))

    push(joined, door, scope=[sales])

    assert joined.team("Sales") is None
    joined.read(lambda work: administration.change_settings(work, {"group_sync": "all"}))
    assert {"anna"} == joined.team("Sales")
    assert joined.team("Other") is None


def _adding(member: str) -> dict[str, Any]:
    return _patch({"op": "Add", "path": "members", "value": [{"value": member}]})


def _patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)}


# Managers -------------------------------------------------------------------------------------------------------------


def test_managers_that_come_later_in_the_run(joined: Joined) -> None:
    """On whatever page a manager comes, its people have it when the pull is done, and nobody is told twice."""
    names = [f"p{at}" for at in range(40)]
    people = [joined.there.user(name) for name in names]
    # Each is the manager of the one before: the next page's.
    for at in range(39):
        joined.there.do("set_manager", user=people[at], manager=people[at + 1])
    joined.entra.do("settings", delta_page=3)

    joined.sync()

    assert {names[at]: names[at + 1] if at < 39 else None for at in range(40)} == joined.read(managers)
    before = joined.events()
    joined.sync()
    assert before == joined.events()


def test_a_manager_that_is_another_by_then_does_not_come(joined: Joined) -> None:
    """Who is awaited as a manager is forgotten with what Graph says next; of two changes the last counts."""
    joined.read(lambda work: work.run(USED, now=work.now))
    with_manager = {each: joined.there.user(each) for each in ("anna", "bert", "carl", "dora")}
    boss, other = joined.there.user("boss"), joined.there.user("other")
    for each in with_manager.values():
        joined.there.do("set_manager", user=each, manager=boss)
    _push_users(joined, **with_manager)
    joined.sync()
    assert dict.fromkeys(with_manager) == joined.read(managers)
    joined.there.do("set_manager", user=with_manager["bert"], manager=None)
    joined.there.do("set_manager", user=with_manager["carl"], manager=other)
    joined.there.do("set_manager", user=with_manager["dora"], manager=with_manager["anna"])
    joined.sync()

    _push_users(joined, boss=boss, other=other)
    joined.sync()

    found = {"anna": "boss", "bert": None, "carl": "other", "dora": "anna", "boss": None, "other": None}
    assert found == joined.read(managers)


def test_a_former_manager_goes_though_the_next_is_not_here(joined: Joined) -> None:
    """Graph says whose manager somebody is no longer: that is taken over, whoever comes next (entra.md §8.4)."""
    joined.read(lambda work: work.run(USED, now=work.now))
    anna, boss, stranger = (joined.there.user(each) for each in ("anna", "boss", "stranger"))
    joined.there.do("set_manager", user=anna, manager=boss)
    _push_users(joined, anna=anna, boss=boss)
    joined.sync()
    assert {"anna": "boss", "boss": None} == joined.read(managers)

    joined.there.do("set_manager", user=anna, manager=stranger)
    joined.sync()

    assert {"anna": None, "boss": None} == joined.read(managers)


def _push_users(joined: Joined, **people: str) -> None:
    """Create users as Entra does, with the object id as externalId."""
    for name, object_id in people.items():
        resource = {"userName": f"{name}@{joined.there.domain}", "externalId": object_id, "active": True}
        joined.read(lambda work, resource=resource: provisioning.create_user(work, UserRecord(resource, active=True)))  # type: ignore[misc]
