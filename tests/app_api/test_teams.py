"""Teams, their members and logins, and groups as teams, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from tests.app_api.held import (
    ids,
    items,
    new_login,
    new_person,
    new_team,
    ok,
    person_of,
    push_group,
    push_user,
    refused,
    team_of,
    walk,
)
from tests.builders import patch

MEMBERS = {
    *("id", "name", "kind", "sync_status", "group_id", "member_count", "login_count", "deletion_requested_at"),
    *("version", "created_at", "modified_at"),
}


def test_a_manual_team(api: httpx.Client) -> None:
    """It is made, read, renamed, counted and deleted."""
    made = api.post("teams", json={"name": " Sales "})
    team = ok(made, 201)

    assert MEMBERS == set(team)
    assert ("Sales", "manual", None, None, 0, 0) == tuple(
        team[name] for name in ("name", "kind", "sync_status", "group_id", "member_count", "login_count")
    )
    assert made.headers["location"].endswith(f"/teams/{team['id']}")
    renamed = ok(api.patch(f"teams/{team['id']}", json={"name": "Sales EMEA"}))
    assert ("Sales EMEA", 2) == (renamed["name"], renamed["version"])
    assert renamed == ok(api.patch(f"teams/{team['id']}", json={"name": "Sales EMEA"}))
    ok(api.delete(f"teams/{team['id']}"), 204)
    refused(api.get(f"teams/{team['id']}"), 404, "not-found")


def test_a_synced_team_is_its_groups(api: httpx.Client, scim: httpx.Client) -> None:
    """Name and members come from the group; here they are read only, and the team goes with its group."""
    users = [push_user(scim) for _ in range(3)]
    group = push_group(scim, *users, displayName="Sales")
    team = team_of(api, group)

    assert ("Sales", "synced", "synced", group["id"], 3) == tuple(
        team[name] for name in ("name", "kind", "sync_status", "group_id", "member_count")
    )
    people = [person_of(api, user)["id"] for user in users]
    assert sorted(people) == ids(api.get(f"teams/{team['id']}/members"))
    assert sorted(people) == [each["id"] for each in walk(api, f"teams/{team['id']}/members")]
    by_hand = new_person(api)
    refused(api.patch(f"teams/{team['id']}", json={"name": "Other"}), 409, "not-possible")
    refused(api.put(f"teams/{team['id']}/members/{by_hand['id']}"), 409, "not-possible")
    refused(api.delete(f"teams/{team['id']}/members/{people[0]}"), 409, "not-possible")
    refused(api.delete(f"teams/{team['id']}"), 409, "not-possible")

    rename = patch({"op": "Replace", "path": "displayName", "value": "Sales EMEA"})
    assert scim.patch(f"Groups/{group['id']}", json=rename).status_code < 300
    assert "Sales EMEA" == ok(api.get(f"teams/{team['id']}"))["name"]
    ok(scim.delete(f"Groups/{group['id']}"), 204)
    refused(api.get(f"teams/{team['id']}"), 404, "not-found")


def test_members_of_a_manual_team(api: httpx.Client) -> None:
    """They are put in and taken out, as often as one likes; nobody is put in who does not exist."""
    team, people = new_team(api), [new_person(api) for _ in range(3)]
    for person in [*people, people[0]]:
        ok(api.put(f"teams/{team['id']}/members/{person['id']}"), 204)

    assert [person["id"] for person in people] == ids(api.get(f"teams/{team['id']}/members"))
    assert 3 == ok(api.get(f"teams/{team['id']}"))["member_count"]
    for _ in range(2):
        ok(api.delete(f"teams/{team['id']}/members/{people[1]['id']}"), 204)
    assert [people[0]["id"], people[2]["id"]] == ids(api.get(f"teams/{team['id']}/members"))
    refused(api.put(f"teams/{team['id']}/members/nobody"), 404, "not-found")


def test_lists_of_teams(api: httpx.Client, scim: httpx.Client) -> None:
    """By name and by kind, with their counts; page by page each once."""
    user = push_user(scim)
    team = team_of(api, push_group(scim, user, displayName="Straße"))
    manual = [new_team(api) for _ in range(3)]
    new_login(api, manual[0])
    new_login(api, manual[0])

    def found(**params: Any) -> list[str]:
        assert items(api.get("teams", params=params)) == walk(api, "teams", **params)
        return ids(api.get("teams", params=params))

    assert [team["id"], *(each["id"] for each in manual)] == found()
    assert [team["id"]] == found(kind="synced") == found(q="STRAß") == found(q="traß", kind="synced")
    assert [] == found(q="traß", kind="manual")
    counts = {each["id"]: (each["member_count"], each["login_count"]) for each in items(api.get("teams"))}
    assert ((1, 0), (0, 2), (0, 0)) == tuple(counts[each["id"]] for each in (team, manual[0], manual[1]))


def test_logins_of_a_team(api: httpx.Client) -> None:
    """They are added, read, changed member by member, and deleted; what is not sent stays, null clears."""
    team = new_team(api)
    made = api.post(
        f"teams/{team['id']}/logins", json={"title": "Mail", "url": "https://m.example", "ciphertext": "c1"}
    )
    login = ok(made, 201)
    path = f"teams/{team['id']}/logins/{login['id']}"

    assert made.headers["location"].endswith(f"/{path}")
    assert login == ok(api.get(path))
    changed = ok(api.patch(path, json={"title": None, "ciphertext": "c2"}))
    assert (None, "https://m.example", "c2", 2) == tuple(
        changed[name] for name in ("title", "url", "ciphertext", "version")
    )
    assert changed == ok(api.patch(path, json={"ciphertext": "c2"})) == ok(api.patch(path, json={}))
    others = [new_login(api, team)["id"] for _ in range(3)]
    assert [login["id"], *others] == [each["id"] for each in walk(api, f"teams/{team['id']}/logins")]
    ok(api.delete(path), 204)
    refused(api.get(path), 404, "not-found")
    assert others == ids(api.get(f"teams/{team['id']}/logins"))


def test_a_login_is_found_in_its_team_alone(api: httpx.Client) -> None:
    """A login of another team of the same tenant is not found, nor moved from there."""
    team, other = new_team(api), new_team(api)
    login = new_login(api, team)
    path = f"teams/{other['id']}/logins/{login['id']}"

    for answer in (
        api.get(path),
        api.patch(path, json={"title": "x"}),
        api.delete(path),
        api.post(f"{path}/move", json={"team_id": other["id"]}),
    ):
        refused(answer, 404, "not-found")
    refused(api.get("teams/nowhere/logins"), 404, "not-found")
    refused(api.post("teams/nowhere/logins", json={"ciphertext": "c"}), 404, "not-found")


def test_inv_09_a_team_with_logins_stays(api: httpx.Client, scim: httpx.Client) -> None:
    """By every path of this door: deleting the team, removing the group; nothing changes, and the refusal says why."""
    manual, group = new_team(api), push_group(scim, push_user(scim))
    synced = team_of(api, group)
    logins = {team["id"]: [new_login(api, team) for _ in range(2)] for team in (manual, synced)}

    for path, team in ((f"teams/{manual['id']}", manual), (f"groups/{group['id']}/team", synced)):
        body = refused(api.delete(path), 409, "team-has-logins")
        assert (team["id"], team["name"], 2) == (body["team_id"], body["team_name"], body["login_count"])
        assert f"Team '{team['name']}' still holds 2 logins" in body["detail"]
        [entry] = items(api.get("provisioning-log", params={"outcome": "failure", "limit": 1}))
        assert ("team-has-logins", body["detail"], 409) == (entry["reason_code"], entry["reason"], entry["status"])
    assert {manual["id"], synced["id"]} == set(ids(api.get("teams")))

    target = new_team(api)
    for team in (manual, synced):
        moved, deleted = logins[team["id"]]
        ok(api.post(f"teams/{team['id']}/logins/{moved['id']}/move", json={"team_id": target["id"]}))
        ok(api.delete(f"teams/{team['id']}/logins/{deleted['id']}"), 204)
    ok(api.delete(f"teams/{manual['id']}"), 204)
    ok(api.delete(f"groups/{group['id']}/team"), 204)
    assert [target["id"]] == ids(api.get("teams"))


def test_the_directorys_wish_is_shown(api: httpx.Client, scim: httpx.Client) -> None:
    """A group that the directory could not delete is marked at its team, and told once."""
    group = push_group(scim)
    team = team_of(api, group)
    login = new_login(api, team)

    for _ in range(2):
        assert 409 == scim.delete(f"Groups/{group['id']}").status_code
    assert ok(api.get(f"teams/{team['id']}"))["deletion_requested_at"] is not None
    [event] = items(api.get("events", params={"types": "team.deletion_refused"}))
    assert ({"version": 1, "name": team["name"], "login_count": 1}, {"type": "team", "id": team["id"]}) == (
        event["payload"],
        event["subject"],
    )
    ok(api.delete(f"teams/{team['id']}/logins/{login['id']}"), 204)
    ok(scim.delete(f"Groups/{group['id']}"), 204)


# Groups -------------------------------------------------------------------------------------------------------------


def test_groups_are_added_and_removed_as_teams(api: httpx.Client, scim: httpx.Client) -> None:
    """With `selected` no group is a team until it is added; removed, the group stays and can be added again."""
    ok(api.patch("settings", json={"group_sync": "selected"}))
    user = push_user(scim)
    group = push_group(scim, user, displayName="Chosen")
    path = f"groups/{group['id']}"

    assert (None, None, 1, "Chosen", group["externalId"]) == tuple(
        ok(api.get(path))[name] for name in ("team_id", "sync_status", "member_count", "display_name", "external_id")
    )
    assert [] == items(api.get("teams"))
    refused(api.delete(f"{path}/team"), 404, "not-found")

    added = api.post(f"{path}/team")
    team = ok(added, 201)
    assert ("Chosen", 1, group["id"]) == (team["name"], team["member_count"], team["group_id"])
    assert added.headers["location"].endswith(f"/teams/{team['id']}")
    assert (team["id"], "synced") == tuple(ok(api.get(path))[name] for name in ("team_id", "sync_status"))
    assert team["id"] == ok(api.post(f"{path}/team"), 201)["id"]

    ok(api.delete(f"{path}/team"), 204)
    assert ok(api.get(path))["team_id"] is None
    assert team["id"] != ok(api.post(f"{path}/team"), 201)["id"]


def test_lists_of_groups(api: httpx.Client, scim: httpx.Client) -> None:
    """All groups of the mirror, teams or not, by name in any case; page by page each once."""
    groups = [push_group(scim, displayName=name) for name in ("Alpha", "Beta", "alphabet")]

    assert [group["id"] for group in groups] == ids(api.get("groups")) == [each["id"] for each in walk(api, "groups")]
    assert [groups[0]["id"], groups[2]["id"]] == ids(api.get("groups", params={"q": "ALPHA"}))
    assert [] == items(api.get("groups", params={"q": "gamma"}))
