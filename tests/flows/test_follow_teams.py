"""Groups that Entra pushes become teams, and teams that hold logins stay: P3, P4, T1 and T2, from SCIM to the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.answers import JSON, ok, read, refused, unique, values
from tests.api import Company, MakeCompany, Push, bulk, problem
from tests.builders import GROUP, a_group, created, patch
from tests.conftest import Server
from tests.raw import sql

# P3 ---------------------------------------------------------------------------------------------------------------------


def test_p3_a_pushed_group_becomes_a_team(company: Company) -> None:
    """Entra creates people, then the group without members, then adds them: the team has its name and its people."""
    users = [company.hire(), company.hire()]
    name = unique("Tour Guides")
    made = company.push("POST", "Groups", a_group(name), status=201)
    group = created(made.answer)
    joined = company.join(group, *users)

    people = [company.person(user) for user in users]
    team = company.team(group)
    assert (name, "synced", "synced", group["id"]) == (
        team["name"],
        team["kind"],
        team["sync_status"],
        team["group_id"],
    )
    assert (2, 0, None) == (team["member_count"], team["login_count"], team["deletion_requested_at"])
    assert {person["id"] for person in people} == company.members(team)
    assert [("team.created", team["id"])] == made.told
    assert {"name": name, "kind": "synced"} == made.payload("team.created")
    assert [("team.members_changed", team["id"])] == joined.told
    assert {
        "added": sorted(person["id"] for person in people),
        "removed": [],
        "added_count": 2,
        "removed_count": 0,
    } == joined.payload("team.members_changed")


@pytest.mark.parametrize(
    "operation",
    [
        lambda name: {"op": "Replace", "path": "displayName", "value": name},
        lambda name: {"op": "replace", "value": {"displayName": name}},
    ],
    ids=["default", "aadOptscim062020"],
)
def test_p3_a_rename_renames_the_team(company: Company, operation: Callable[[str], JSON]) -> None:
    """In both dialects; the event names the former name, and the team is the same."""
    group = company.found()
    before, name = company.team(group), unique("Sales EMEA")

    renamed = company.change(group, operation(name))

    assert [("team.renamed", before["id"])] == renamed.told
    assert {"name": name, "former_name": before["name"]} == renamed.payload("team.renamed")
    after = company.team(group)
    assert (before["id"], name) == (after["id"], after["name"])
    assert after["version"] > before["version"]
    assert [after] == company.all("teams", q=name.upper())


def test_p3_a_replaced_group_renames_the_team_and_its_members(company: Company) -> None:
    """PUT says the whole group anew: what differs is followed, and nothing else is told."""
    one, two, three = (company.hire() for _ in range(3))
    group = company.found(one, two)
    team, name = company.team(group), unique("Replaced")

    replaced = company.push(
        "PUT",
        f"Groups/{group['id']}",
        {"schemas": [GROUP], "displayName": name, "externalId": group["externalId"], "members": values(two, three)},
        status=200,
    )

    assert [("team.renamed", team["id"]), ("team.members_changed", team["id"])] == replaced.told
    changed = replaced.payload("team.members_changed")
    assert [company.person(three)["id"]] == changed["added"]
    assert [company.person(one)["id"]] == changed["removed"]
    assert name == company.team(group)["name"]
    assert {company.person(two)["id"], company.person(three)["id"]} == company.members(team)


@pytest.mark.parametrize(
    "operation",
    [
        lambda user: {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": user["id"]}]},
        lambda user: {"op": "remove", "path": f'members[value eq "{user["id"]}"]'},
    ],
    ids=["default", "aadOptscim062020"],
)
def test_p3_members_come_and_go(company: Company, operation: Callable[[JSON], JSON]) -> None:
    """One member leaves, the others stay; who leaves and comes in one PATCH has done neither."""
    stays, goes = company.hire(), company.hire()
    group = company.found(stays, goes)
    team, gone = company.team(group), company.person(goes)

    left = company.change(group, operation(goes))

    assert [("team.members_changed", team["id"])] == left.told
    assert ([], [gone["id"]]) == (
        left.payload("team.members_changed")["added"],
        left.payload("team.members_changed")["removed"],
    )
    assert {company.person(stays)["id"]} == company.members(team)
    assert 1 == company.team(group)["member_count"]

    back_and_forth = company.change(group, operation(stays), {"op": "Add", "path": "members", "value": values(stays)})
    assert [] == back_and_forth.told
    assert {company.person(stays)["id"]} == company.members(team)


def test_p3_membership_is_row_by_row(company: Company) -> None:
    """One more in a large group changes one row: all are counted, and up to a hundred are named in the event."""
    users = company.hire_many(120)
    group = company.found()

    joined = company.join(group, *users).payload("team.members_changed")

    team = company.team(group)
    assert (120, 100) == (joined["added_count"], len(joined["added"]))
    assert 120 == team["member_count"] == len(company.members(team))
    assert set(joined["added"]) <= company.members(team)
    one_more = company.join(group, users[0], company.hire()).payload("team.members_changed")
    assert (1, 1) == (one_more["added_count"], len(one_more["added"]))
    assert 121 == company.team(group)["member_count"]


def test_p3_only_selected_groups_become_teams(make_company: MakeCompany) -> None:
    """With `group_sync: selected` a group is mirrored; once an administrator adds it, the team follows it."""
    company = make_company()
    assert "selected" == company.set(group_sync="selected")["group_sync"]
    user = company.hire()
    made = company.push("POST", "Groups", a_group("Quiet"), status=201)
    group = created(made.answer)
    joined = company.join(group, user)
    assert ([], []) == (made.told, joined.told)
    assert [] == company.all("teams")
    (mirrored,) = company.all("groups")
    assert ("Quiet", 1, None, None) == tuple(
        mirrored[name] for name in ("display_name", "member_count", "team_id", "sync_status")
    )

    team = company.call("POST", f"groups/{group['id']}/team", 201)

    assert ("Quiet", "synced", 1) == (team["name"], team["kind"], team["member_count"])
    assert {company.person(user)["id"]} == company.members(team)
    told = [(each["type"], each["subject"]["id"]) for each in company.news()]
    assert [("team.created", team["id"]), ("team.members_changed", team["id"])] == told
    assert team["id"] == company.call("POST", f"groups/{group['id']}/team", 201)["id"]
    assert [] == company.news()
    renamed = company.set_attribute(group, "displayName", "Loud")
    assert [("team.renamed", team["id"])] == renamed.told
    assert "Loud" == company.team(group)["name"]

    # When the policy is `all` again, the groups that are there become teams too.
    other = company.found(user)
    company.news()
    company.set(group_sync="all")
    made_now = [event for event in company.news() if event["type"] == "team.created"]
    assert [company.team(other)["id"]] == [event["subject"]["id"] for event in made_now]
    assert {company.person(user)["id"]} == company.members(company.team(other))
    assert team["id"] == company.team(group)["id"]


def test_p3_a_group_that_goes_takes_its_empty_team_along(company: Company) -> None:
    """Deleted or unassigned in Entra: the team is gone, its people stay."""
    user = company.hire()
    group = company.found(user)
    team = company.team(group)

    gone = company.delete(group)

    assert [("team.deleted", team["id"])] == gone.told
    problem(company.api.get(f"teams/{team['id']}"), 404, "not-found")
    problem(company.api.get(f"groups/{group['id']}"), 404, "not-found")
    assert "active" == company.person(user)["state"]


# P4 ---------------------------------------------------------------------------------------------------------------------


def test_p4_a_team_that_holds_logins_stays(company: Company) -> None:
    """The deletion is refused with a sentence, marked once, logged and told; emptied, Entra's next retry succeeds."""
    user = company.hire()
    group = company.found(user, displayName=unique("Sales EMEA"))
    team = company.team(group)
    logins = [company.add_login(team) for _ in range(3)]
    before = read(company.scim, group)

    tried = company.delete(group, 409)

    sentence = f"Team '{team['name']}' still holds 3 logins; move or delete them first."
    assert sentence == refused(tried.answer, 409)
    assert [("team.deletion_refused", team["id"])] == tried.told
    assert {"name": team["name"], "login_count": 3} == tried.payload("team.deletion_refused")
    marked = company.team(group)
    assert tried.event("team.deletion_refused")["occurred_at"] == marked["deletion_requested_at"]
    assert {**team, "login_count": 3} == {**marked, "deletion_requested_at": None}
    assert before == read(company.scim, group)
    assert {company.person(user)["id"]} == company.members(team)
    # Entra tries again and again: each try is logged, the mark and the event are of the first (push sends twice).
    entries = company.log(group["id"], outcome="failure")
    assert [("delete", "scim", 409, sentence)] * 2 == [
        (each["action"], each["source"], each["status"], each["reason"]) for each in entries
    ]

    company.call("DELETE", f"teams/{team['id']}/logins/{logins[0]['id']}", 204)
    company.call("DELETE", f"teams/{team['id']}/logins/{logins[1]['id']}", 204)
    again = company.delete(group, 409)
    assert f"Team '{team['name']}' still holds 1 login; move or delete it first." == refused(again.answer, 409)
    assert [] == again.told
    assert marked["deletion_requested_at"] == company.team(group)["deletion_requested_at"]

    elsewhere = company.call("POST", "teams", 201, {"name": unique("Archive")})
    company.call("POST", f"teams/{team['id']}/logins/{logins[2]['id']}/move", 200, {"team_id": elsewhere["id"]})
    retried = company.delete(group)
    assert [("team.deleted", team["id"])] == retried.told
    problem(company.api.get(f"teams/{team['id']}"), 404, "not-found")
    refused(company.scim.get(f"Groups/{group['id']}"), 404)
    assert 1 == company.get(f"teams/{elsewhere['id']}")["login_count"]


@pytest.mark.parametrize(
    "speak",
    [
        lambda company, group: company.set_attribute(group, "displayName", unique("Renamed")),
        lambda company, group: company.join(group, company.hire()),
        lambda company, group: company.push(
            "PUT", f"Groups/{group['id']}", {**group, "displayName": unique("Replaced")}, status=200
        ),
        lambda company, group: company.join(group, {"id": company.all("people")[0]["directory_user_id"]}),
        lambda company, group: company.set_attribute(group, "displayName", group["displayName"]),
    ],
    ids=["renamed", "somebody-joins", "replaced", "a-member-is-added-again", "the-name-is-said-again"],
)
def test_p4_the_mark_goes_when_the_directory_speaks_of_the_group_again(
    make_company: MakeCompany, speak: Callable[[Company, JSON], Push]
) -> None:
    """Whoever restores a group in Entra wants its team: nobody is asked to empty it any more."""
    company = make_company()
    group = company.found(company.hire())
    company.add_login(company.team(group))
    company.delete(group, 409)
    assert company.team(group)["deletion_requested_at"]

    speak(company, group)

    assert company.team(group)["deletion_requested_at"] is None
    tried = company.delete(group, 409)
    assert ["team.deletion_refused"] == tried.types
    assert company.team(group)["deletion_requested_at"]


def test_p4_no_request_gets_around_the_refusal(company: Company) -> None:
    """Neither Bulk nor PUT, nor the administrator: the team, its group and its logins are there after all of them."""
    group = company.found(company.hire(), displayName=unique("Bulky"))
    team = company.team(group)
    company.add_login(team)
    path = f"Groups/{group['id']}"
    company.news()

    deleted = company.push("POST", "Bulk", bulk({"method": "DELETE", "path": f"/{path}"}), status=200)
    (operation,) = deleted.answer.json()["Operations"]
    assert "409" == operation["status"]
    assert f"Team '{team['name']}' still holds 1 login; move or delete it first." == operation["response"]["detail"]
    assert [("team.deletion_refused", team["id"])] == deleted.told
    assert company.team(group)["deletion_requested_at"]
    assert "failure" == company.log(group["id"])[0]["outcome"]

    # A second group with the same object id would be a way to have the first one replaced.
    both = bulk(
        {"method": "DELETE", "path": f"/{path}"},
        {"method": "POST", "path": "/Groups", "bulkId": "g", "data": a_group(externalId=group["externalId"])},
    )
    answer = ok(company.scim.post("Bulk", json=both))
    assert ["409", "409"] == [each["status"] for each in answer["Operations"]]

    ok(company.scim.put(path, json={"schemas": [GROUP], "displayName": unique("Other"), "members": []}))
    ok(company.scim.patch(path, json=patch({"op": "remove", "path": "members"})), 204)
    refused(company.scim.put(path, json={"schemas": [GROUP], "displayName": ""}), 400)
    problem(company.api.delete(f"groups/{group['id']}/team"), 409, "team-has-logins")
    problem(company.api.delete(f"teams/{team['id']}"), 409, "not-possible")

    after = company.team(group)
    assert (team["id"], 1, 0) == (after["id"], after["login_count"], after["member_count"])
    assert 1 == len(company.all(f"teams/{team['id']}/logins"))


def test_p4_the_administrator_is_refused_with_the_facts(company: Company) -> None:
    """Remove group and delete team name the team and the number of logins, change nothing, and leave no mark."""
    group = company.found()
    synced = company.team(group)
    manual = company.call("POST", "teams", 201, {"name": unique("By hand")})
    for team in (synced, manual):
        company.add_login(team)
    company.news()

    for path, team in ((f"groups/{group['id']}/team", synced), (f"teams/{manual['id']}", manual)):
        said = problem(company.api.delete(path), 409, "team-has-logins")
        assert (team["id"], team["name"], 1) == (said["team_id"], said["team_name"], said["login_count"])
        assert f"Team '{team['name']}' still holds 1 login; move or delete it first." == said["detail"]
        after = company.get(f"teams/{team['id']}")
        assert {**team, "login_count": 1} == after

    assert [] == company.news()
    assert ["failure", "admin"] == [company.log(group["id"])[0][name] for name in ("outcome", "source")]


def test_p4_the_operator_cannot_delete_the_tenant(server: Server, make_company: MakeCompany) -> None:
    """Not even `tenant delete` takes logins along."""
    company = make_company()
    team = company.call("POST", "teams", 201, {"name": "By hand"})
    company.add_login(team)

    with pytest.raises(AssertionError, match=r"1 login;"):
        server.cli("tenant", "delete", company.tenant_id)

    assert 1 == company.get(f"teams/{team['id']}")["login_count"]


def test_p4_detached_the_team_stays_without_its_group(make_company: MakeCompany) -> None:
    """With `on_group_delete: detach` Entra gets its 204, and the administrator keeps team, people and logins."""
    company = make_company()
    company.set(on_group_delete="detach")
    users = [company.hire(), company.hire()]
    company.disable(users[1])
    group = company.found(*users)
    team = company.team(group)
    login = company.add_login(team)
    members = {company.person(user)["id"] for user in users}

    detached = company.delete(group)

    assert [("team.detached", team["id"])] == detached.told
    after = company.get(f"teams/{team['id']}")
    assert ("manual", "source_deleted", None, None) == tuple(
        after[name] for name in ("kind", "sync_status", "group_id", "deletion_requested_at")
    )
    assert (2, 1) == (after["member_count"], after["login_count"])
    assert members == company.members(team)
    assert [login["id"]] == [each["id"] for each in company.all(f"teams/{team['id']}/logins")]
    refused(company.scim.get(f"Groups/{group['id']}"), 404)

    # From here on it is like any team by hand: people leave it one by one, and emptied of logins it may go.
    company.call("DELETE", f"teams/{team['id']}/members/{company.person(users[0])['id']}", 204)
    assert 1 == company.get(f"teams/{team['id']}")["member_count"]
    problem(company.api.delete(f"teams/{team['id']}"), 409, "team-has-logins")
    company.call("DELETE", f"teams/{team['id']}/logins/{login['id']}", 204)
    company.call("DELETE", f"teams/{team['id']}", 204)

    # The same group may come again, and is a team of its own.
    again = company.push("POST", "Groups", a_group(team["name"], externalId=group["externalId"]), status=201)
    assert ["team.created"] == again.types


def test_p4_an_empty_team_is_deleted_though_the_policy_is_to_detach(make_company: MakeCompany) -> None:
    """There is nothing that anybody could lose."""
    company = make_company()
    company.set(on_group_delete="detach")
    group = company.found(company.hire())
    team = company.team(group)

    assert [("team.deleted", team["id"])] == company.delete(group).told
    assert [] == company.all("teams")


def test_p4_a_marked_team_may_be_detached_later(make_company: MakeCompany) -> None:
    """When the administrator changes the policy, Entra's next retry succeeds; the mark is gone."""
    company = make_company()
    group = company.found()
    team = company.team(group)
    company.add_login(team)
    company.delete(group, 409)
    company.set(on_group_delete="detach")

    assert [("team.detached", team["id"])] == company.delete(group).told
    assert company.get(f"teams/{team['id']}")["deletion_requested_at"] is None


# T1 ---------------------------------------------------------------------------------------------------------------------


def test_t1_manual_teams_beside_synced_ones(company: Company) -> None:
    """A manual team has whom the administrator puts in; a synced one has its group's users and nobody else."""
    users = [company.hire(), company.hire()]
    one, two = (company.person(user) for user in users)
    guest = company.call("POST", "people", 201, {"display_name": unique("Guest")})
    group = company.found(users[0])
    synced = company.team(group)
    manual = company.call("POST", "teams", 201, {"name": unique("By hand")})

    for person in (two, guest, guest):
        company.call("PUT", f"teams/{manual['id']}/members/{person['id']}", 204)
    assert ["team.created", "team.members_changed", "team.members_changed"] == [
        each["type"] for each in company.news() if each["subject"]["id"] == manual["id"]
    ]
    assert {two["id"], guest["id"]} == company.members(manual)

    said = problem(company.api.put(f"teams/{synced['id']}/members/{two['id']}"), 409, "not-possible")
    assert "add them in Entra" in said["detail"]
    problem(company.api.delete(f"teams/{synced['id']}/members/{one['id']}"), 409, "not-possible")
    problem(company.api.patch(f"teams/{synced['id']}", json={"name": "Mine"}), 409, "not-possible")
    problem(company.api.delete(f"teams/{synced['id']}"), 409, "not-possible")
    assert {one["id"]} == company.members(synced)
    assert [] == company.news()

    # What Entra says of the group does not touch the manual team.
    company.join(group, users[1])
    company.leave(group, users[0])
    assert {two["id"]} == company.members(synced)
    assert {two["id"], guest["id"]} == company.members(manual)
    assert {manual["id"]} <= {each["id"] for each in company.all("teams", kind="manual")}
    assert synced["id"] in {each["id"] for each in company.all("teams", kind="synced")}


def test_t1_removing_a_group_keeps_it_in_the_mirror(company: Company) -> None:
    """Remove group takes the team and leaves what the directory says; it may be added again."""
    user = company.hire()
    group = company.found(user)
    team = company.team(group)
    company.news()

    company.call("DELETE", f"groups/{group['id']}/team", 204)

    assert [("team.deleted", team["id"])] == [(each["type"], each["subject"]["id"]) for each in company.news()]
    problem(company.api.get(f"teams/{team['id']}"), 404, "not-found")
    mirrored = company.get(f"groups/{group['id']}")
    assert (None, None, 1) == (mirrored["team_id"], mirrored["sync_status"], mirrored["member_count"])
    problem(company.api.delete(f"groups/{group['id']}/team"), 404, "not-found")
    assert {user["id"]} == {each["value"] for each in read(company.scim, group)["members"]}

    # Entra goes on as if nothing were; the administrator decides.
    assert [] == company.join(group, company.hire()).told
    again = company.call("POST", f"groups/{group['id']}/team", 201)
    assert (2, True) == (again["member_count"], again["id"] != team["id"])


# T2 ---------------------------------------------------------------------------------------------------------------------


def test_t2_logins_of_a_pushed_team(server: Server, company: Company) -> None:
    """Add, list, change, move to another team, delete: what they hold is opaque, title and URL are optional."""
    here, there = (company.team(company.found()) for _ in range(2))
    company.news()
    opaque = "AQID/+8=\n\t\u00e9\u4e2d " * 3

    bare = company.add_login(here, ciphertext=opaque)
    full = company.add_login(here, title="Bank", url="https://bank.example/login", ciphertext="x")
    assert (None, None, opaque) == (bare["title"], bare["url"], bare["ciphertext"])
    assert ("Bank", "https://bank.example/login", "x") == (full["title"], full["url"], full["ciphertext"])
    assert [bare, full] == company.all(f"teams/{here['id']}/logins", limit=1)
    assert 2 == company.get(f"teams/{here['id']}")["login_count"]

    path = f"teams/{here['id']}/logins/{full['id']}"
    changed = company.call("PATCH", path, 200, {"title": None, "ciphertext": "y"})
    assert (None, "https://bank.example/login", "y") == (changed["title"], changed["url"], changed["ciphertext"])

    moved = company.call("POST", f"{path}/move", 200, {"team_id": there["id"]})
    assert (full["id"], there["id"]) == (moved["id"], moved["team_id"])
    problem(company.api.get(path), 404, "not-found")
    assert (1, 1) == tuple(company.get(f"teams/{each['id']}")["login_count"] for each in (here, there))
    problem(
        company.api.post(f"teams/{there['id']}/logins/{full['id']}/move", json={"team_id": "nowhere"}), 404, "not-found"
    )

    company.call("DELETE", f"teams/{there['id']}/logins/{full['id']}", 204)
    assert [] == company.all(f"teams/{there['id']}/logins")
    assert [("login.added", bare["id"])] + [
        (kind, full["id"]) for kind in ("login.added", "login.updated", "login.moved", "login.deleted")
    ] == [(each["type"], each["subject"]["id"]) for each in company.news()]
    # Vault data is in its row and nowhere else (invariant 23).
    for table in ("outbox_event", "provisioning_log"):
        for row in sql(server.database_url, f"SELECT * FROM {table} WHERE tenant_id = ?", company.tenant_id):
            assert "bank.example" not in str(row)
            assert "AQID" not in str(row)


def test_t2_logins_need_a_team_of_the_tenant(company: Company, make_company: MakeCompany) -> None:
    """No login without a team, and none in another tenant's."""
    stranger = make_company()
    theirs = stranger.call("POST", "teams", 201, {"name": "Theirs"})
    ours = company.call("POST", "teams", 201, {"name": unique("Ours")})
    login = company.add_login(ours)

    def asked(method: str, path: str, body: Any = None) -> httpx.Response:
        return company.api.request(method, path, json=body)

    for team_id in (theirs["id"], "nowhere"):
        problem(asked("POST", f"teams/{team_id}/logins", {"ciphertext": "x"}), 404, "not-found")
        problem(asked("GET", f"teams/{team_id}/logins"), 404, "not-found")
        move = f"teams/{ours['id']}/logins/{login['id']}/move"
        problem(asked("POST", move, {"team_id": team_id}), 404, "not-found")
    assert [] == stranger.all(f"teams/{theirs['id']}/logins")
    assert [login] == company.all(f"teams/{ours['id']}/logins")
