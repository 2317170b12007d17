"""Whole cycles against our own server: what the directory says is what the server holds in the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api import Company, companies
from tests.conftest import Server
from tests.simulator import EntraTenant

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.fixture
def customer(server: Server) -> Iterator[Company]:
    """A tenant of the server that no other test knows; in the end its rows agree with each other."""
    with companies(server.url, server.database_url) as make:
        yield make()


def pushed(contoso: EntraTenant, customer: Company, cycle: str = "incremental", **options: Any) -> dict[str, Any]:
    """Run a cycle that has to succeed."""
    report = contoso.push(
        str(customer.scim.base_url).rstrip("/"),
        customer.scim.headers["Authorization"].removeprefix("Bearer "),
        cycle,
        **options,
    )
    assert ("done", []) == (report["state"], report["failures"])
    return report


def everything(scim: httpx.Client, collection: str) -> dict[str, dict[str, Any]]:
    """List a collection to its end, by id."""
    found: dict[str, dict[str, Any]] = {}
    while True:
        page = scim.get(collection, params={"startIndex": len(found) + 1, "count": 200}).json()
        found |= {resource["id"]: resource for resource in page["Resources"]}
        if len(found) >= page["totalResults"]:
            return found


def held(customer: Company) -> dict[str, Any]:
    """Give what the server holds: active people with their manager, and groups with their active members, by name."""
    users = everything(customer.scim, "Users")
    names = {key: user["userName"] for key, user in users.items()}
    active = {key for key, user in users.items() if user["active"]}
    people = {}
    for key in active:
        enterprise = users[key].get(ENTERPRISE, {})
        manager = enterprise.get("manager", {}).get("value")
        people[names[key]] = (users[key].get("title"), names.get(manager))
    groups = {
        group["externalId"]: (
            group["displayName"],
            {names[member["value"]] for member in group.get("members", []) if member["value"] in active},
        )
        for group in everything(customer.scim, "Groups").values()
    }
    return {"people": people, "groups": groups}


def said(contoso: EntraTenant) -> dict[str, Any]:
    """Give what the directory says, in the same words."""
    truth = contoso.truth()
    enabled = {user["id"]: user for user in truth["users"] if user["accountEnabled"]}
    names = {user["id"]: user["userPrincipalName"] for user in truth["users"]}
    return {
        "people": {
            user["userPrincipalName"]: (user.get("jobTitle"), names.get(user["manager"])) for user in enabled.values()
        },
        "groups": {
            group["id"]: (
                group["displayName"],
                {names[member["id"]] for member in group["members"] if member["id"] in enabled},
            )
            for group in truth["groups"]
        },
    }


@pytest.mark.parametrize("flag", [False, True], ids=["default", "aadOptscim062020"])
def test_directory_arrives(contoso: EntraTenant, customer: Company, flag: bool) -> None:
    """Initial cycle, then a working day in incremental ones, in both styles."""
    contoso.do("company", people=25, groups=7, seed=1, oddities=True)

    first = pushed(contoso, customer, "initial", flag=flag, members_per_patch=5)

    assert said(contoso) == held(customer)
    assert 26 + 7 == first["done"]["create"]
    for seed in range(4):
        contoso.do("churn", count=15, seed=seed)
        pushed(contoso, customer, flag=flag, members_per_patch=5)
    # A manager that is taken away is never told, and who could not be created while disabled is in no group: a restart
    # mends the second.
    pushed(contoso, customer, "restart", flag=flag)
    assert without_managers(said(contoso)) == without_managers(held(customer))


def without_managers(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "people": {name: title for name, (title, _) in state["people"].items()}}


def test_second_cycle_has_nothing_to_do(contoso: EntraTenant, customer: Company) -> None:
    """Every mapped attribute comes back as it was sent: a restart repeats members only."""
    contoso.do("company", people=8, groups=2, seed=2, oddities=True)
    pushed(contoso, customer, "initial")

    assert 0 == pushed(contoso, customer)["requests"]
    assert {"add members": 2} == pushed(contoso, customer, "restart")["done"]


def test_deletion_restore_and_purge(contoso: EntraTenant, customer: Company) -> None:
    """Somebody goes, comes back into their groups under the same id, and goes for good."""
    ada, bob = contoso.user("ada"), contoso.user("bob")
    group = contoso.group("Design", ada, bob)
    name = f"ada@{contoso.domain}"
    pushed(contoso, customer, "initial")
    before = {user["userName"]: key for key, user in everything(customer.scim, "Users").items()}

    contoso.do("delete", object=ada)
    pushed(contoso, customer)
    deleted = everything(customer.scim, "Users")[before[name]]
    contoso.do("restore", object=ada)
    pushed(contoso, customer)

    assert (ada.replace("-", "") + name, False) == (deleted["userName"], deleted["active"])
    assert {group: ("Design", {name, f"bob@{contoso.domain}"})} == held(customer)["groups"]
    assert before == {user["userName"]: key for key, user in everything(customer.scim, "Users").items()}
    contoso.do("delete", object=ada)
    pushed(contoso, customer)
    contoso.do("purge", object=ada)
    assert {"delete": 1} == pushed(contoso, customer)["done"]
    assert {f"bob@{contoso.domain}"} == {user["userName"] for user in everything(customer.scim, "Users").values()}


def test_assignment_decides(contoso: EntraTenant, customer: Company) -> None:
    """Leaving the assigned group switches off, coming back switches on; the group itself is deleted when unassigned."""
    ada, bob = contoso.user("ada"), contoso.user("bob")
    contoso.user("eve")
    group = contoso.group("Design", ada, bob)

    def active() -> set[str]:
        users = everything(customer.scim, "Users").values()
        return {user["userName"].partition("@")[0] for user in users if user["active"]}

    pushed(contoso, customer, "initial", scope=[group])
    assert {"ada", "bob"} == active()
    contoso.do("remove_members", group=group, members=[bob])
    pushed(contoso, customer, scope=[group])
    assert {"ada"} == active()
    contoso.do("add_members", group=group, members=[bob])
    pushed(contoso, customer, scope=[group])
    assert {"ada", "bob"} == active()
    assert said(contoso)["groups"] == held(customer)["groups"]
    pushed(contoso, customer, scope=[])
    assert (set(), {}) == (active(), everything(customer.scim, "Groups"))


def test_team_with_logins_is_kept_until_it_is_emptied(contoso: EntraTenant, customer: Company) -> None:
    """The refusal reaches the administrator's log with its sentence, and the next retry succeeds."""
    group = contoso.group("Sales EMEA", contoso.user("ada"))
    pushed(contoso, customer, "initial", retry_seconds=[0])
    [scim_group] = everything(customer.scim, "Groups").values()
    team = customer.team(scim_group)
    login = customer.add_login(team)
    contoso.do("delete", object=group)

    refused = contoso.push(
        str(customer.scim.base_url).rstrip("/"),
        customer.scim.headers["Authorization"].removeprefix("Bearer "),
        retry_seconds=[0],
    )
    customer.call("DELETE", f"teams/{team['id']}/logins/{login['id']}", 204)
    emptied = pushed(contoso, customer, retry_seconds=[0])

    assert "Sales EMEA" in refused["failures"][0]["reason"]
    assert "409" in refused["failures"][0]["reason"]
    assert ({"delete": 1}, {}) == (emptied["done"], emptied["escrows"])
    assert {} == everything(customer.scim, "Groups")


def test_large_group_in_parallel_parts(contoso: EntraTenant, customer: Company) -> None:
    """Many PATCHes at once on one group: everybody is in."""
    contoso.do("large", people=150, groups=1, memberships=150)

    pushed(contoso, customer, "initial", members_per_patch=3, concurrency=20)

    assert said(contoso)["groups"] == held(customer)["groups"]
    assert 150 == len(next(iter(held(customer)["groups"].values()))[1])


def test_wrong_token_is_a_quarantine(contoso: EntraTenant, customer: Company) -> None:
    """401 ends the cycle before anything is sent."""
    contoso.user("ada")

    report = contoso.push(str(customer.scim.base_url), "wrong", "initial")

    assert ("quarantined", 1) == (report["state"], report["requests"])
    assert report["reason"].startswith("EncounteredQuarantineException")
