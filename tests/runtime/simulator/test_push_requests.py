"""What the provisioning service sends, byte for byte as the fact sheet has it in 1.1, 2 and 4, and how it takes answers."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from jose import jwt

from tests.runtime.simulator.other_end import OtherEnd, listening
from tests.simulator import EntraTenant

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
OLD_GROUP = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

BARBARA = {
    "userPrincipalName": "bjensen@contoso.com",
    "displayName": "Barbara Jensen",
    "jobTitle": "Tour Guide",
    "preferredLanguage": "en-US",
    "mail": "bjensen@contoso.com",
    "officeLocation": "18/2111",
    "streetAddress": "9256 Towne Center Dr.",
    "city": "San Diego",
    "state": "CA",
    "postalCode": "92121",
    "country": "United States",
    "businessPhones": ["+1 858 555 0109"],
    "mobilePhone": "+1 858 555 0110",
    "faxNumber": "+1 858 555 0111",
    "givenName": "Barbara",
    "surname": "Jensen",
    "employeeId": "701984",
    "department": "Tours",
}


@pytest.fixture
def end() -> Iterator[OtherEnd]:
    with listening() as end:
        yield end


def pushed(contoso: EntraTenant, end: OtherEnd, cycle: str = "incremental", **options: Any) -> dict[str, Any]:
    """Run a cycle with the other end's notes empty."""
    end.received.clear()
    return contoso.push(end.url, "secret", cycle, **options)


def patched(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH_OP], "Operations": list(operations)}


# ── The credential check and matching (1.1, 2.1, 2.9) ───────────────────────────────────────────────────────────────


def test_connection_test(contoso: EntraTenant, end: OtherEnd) -> None:
    """A user and a group that cannot exist; no User-Agent, and the version header."""
    contoso.user("ada")

    report = pushed(contoso, end, "test")

    guid = r"%22[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}%22"
    [users, groups] = end.received
    assert re.fullmatch(rf"/scim/Users\?filter=userName\+eq\+{guid}", users.target)
    assert re.fullmatch(rf"/scim/Groups\?excludedAttributes=members&filter=displayName\+eq\+{guid}", groups.target)
    assert ("Bearer secret", "5.0") == (users.headers["authorization"], users.headers["adscimversion"])
    assert "user-agent" not in users.headers
    assert ("done", 2) == (report["state"], report["requests"])


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, "/scim/Users?filter=userName+eq+%22bjensen%40contoso.com%22"),
        ({"match_users": "externalId"}, "/scim/Users?filter=externalId+eq+%22bjensen%22"),
        (
            {"match_users": 'emails[type eq "work"].value'},
            "/scim/Users?filter=emails%5Btype+eq+%22work%22%5D.value+eq+%22bjensen%40contoso.com%22",
        ),
    ],
)
def test_matching_query(contoso: EntraTenant, end: OtherEnd, options: dict[str, str], target: str) -> None:
    """Blanks are plus signs, quotes %22, the at sign %40; the attribute is the administrator's choice."""
    contoso.user("", mailNickname="bjensen", **BARBARA)

    pushed(contoso, end, "initial", **options)

    assert target in [each.target for each in end.of("GET")]


def test_groups_are_matched_without_members(contoso: EntraTenant, end: OtherEnd) -> None:
    """By name or by object id, and read by id in later cycles, always with `excludedAttributes=members`."""
    design = contoso.group("Design")

    pushed(contoso, end, "initial")
    assert "/scim/Groups?excludedAttributes=members&filter=displayName+eq+%22Design%22" in [
        each.target for each in end.received
    ]
    contoso.do("rename_group", group=design, name="Design 2")
    pushed(contoso, end)
    assert ["/scim/Groups/g1?excludedAttributes=members"] == [each.target for each in end.of("GET")]
    pushed(contoso, end, "initial", match_groups="externalId")
    assert f"/scim/Groups?excludedAttributes=members&filter=externalId+eq+%22{design}%22" in [
        each.target for each in end.received
    ]


# ── Users (2.2 to 2.8) ──────────────────────────────────────────────────────────────────────────────────────────────


def test_create_user(contoso: EntraTenant, end: OtherEnd) -> None:
    """The literal body, `active` a real boolean, mapped nulls left out."""
    barbara = contoso.user("", **BARBARA)

    pushed(contoso, end, "initial", external_id="objectId")

    [request] = end.of("POST")
    assert "application/scim+json; charset=utf-8" == request.headers["content-type"]
    assert {
        "schemas": [USER, ENTERPRISE],
        "externalId": barbara,
        "userName": "bjensen@contoso.com",
        "active": True,
        "displayName": "Barbara Jensen",
        "title": "Tour Guide",
        "preferredLanguage": "en-US",
        "emails": [{"primary": True, "type": "work", "value": "bjensen@contoso.com"}],
        "addresses": [
            {
                "type": "work",
                "formatted": "18/2111",
                "streetAddress": "9256 Towne Center Dr.",
                "locality": "San Diego",
                "region": "CA",
                "postalCode": "92121",
                "country": "United States",
                "primary": True,
            }
        ],
        "phoneNumbers": [
            {"type": "work", "value": "+1 858 555 0109", "primary": True},
            {"type": "mobile", "value": "+1 858 555 0110"},
            {"type": "fax", "value": "+1 858 555 0111"},
        ],
        "name": {"givenName": "Barbara", "familyName": "Jensen", "formatted": "Barbara Jensen"},
        ENTERPRISE: {"employeeNumber": "701984", "department": "Tours"},
        "roles": [],
        "meta": {"resourceType": "User"},
    } == request.body


def test_create_user_without_mail(contoso: EntraTenant, end: OtherEnd) -> None:
    """Cloud-only users have none: no `emails`. `externalId` is the mailNickname by default."""
    contoso.user("ada", displayName="Ada")

    pushed(contoso, end, "initial")

    [body] = end.bodies("POST")
    assert ("ada", False) == (body["externalId"], "emails" in body)


def test_update_in_the_default_style(contoso: EntraTenant, end: OtherEnd) -> None:
    """One operation an attribute, with a capital; `Add` where the other end has nothing."""
    barbara = contoso.user("", **{**BARBARA, "department": None})
    pushed(contoso, end, "initial")
    contoso.do(
        "change_user",
        user=barbara,
        displayName="Pvlo",
        mail="TestBcwqnm@test.microsoft.com",
        givenName="Gtfd",
        department="Retail",
    )

    pushed(contoso, end)

    assert ["/scim/Users/u1"] == [each.target for each in end.of("GET")]
    assert [
        patched(
            {"op": "Replace", "path": "displayName", "value": "Pvlo"},
            {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "TestBcwqnm@test.microsoft.com"},
            {"op": "Replace", "path": "name.givenName", "value": "Gtfd"},
            {"op": "Replace", "path": "name.formatted", "value": "Gtfd Jensen"},
            {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "Retail"},
        )
    ] == end.bodies("PATCH")


def test_update_with_the_flag(contoso: EntraTenant, end: OtherEnd) -> None:
    """Filtered paths stay apart, simple attributes collapse into one operation without a path."""
    barbara = contoso.user("", **BARBARA)
    pushed(contoso, end, "initial", flag=True)
    contoso.do(
        "change_user",
        user=barbara,
        displayName="Bjfe",
        givenName="Kkom",
        mail="TestMhvaes@x.example",
        employeeId="Aklq",
    )

    contoso.push(f"{end.url}?aadOptscim062020", "secret")

    assert [
        patched(
            {"op": "replace", "path": 'emails[type eq "work"].value', "value": "TestMhvaes@x.example"},
            {
                "op": "replace",
                "value": {
                    "displayName": "Bjfe",
                    "name.givenName": "Kkom",
                    "name.formatted": "Kkom Jensen",
                    f"{ENTERPRISE}:employeeNumber": "Aklq",
                },
            },
        )
    ] == end.bodies("PATCH")


@pytest.mark.parametrize(
    ("flag", "operation"),
    [
        (False, {"op": "Replace", "path": "active", "value": "False"}),
        (True, {"op": "replace", "path": "active", "value": False}),
    ],
)
def test_disable(contoso: EntraTenant, end: OtherEnd, flag: bool, operation: dict[str, Any]) -> None:
    """A text by default, a boolean with the flag; the same for `accountEnabled` and for leaving the scope."""
    ada, bob = contoso.user("ada"), contoso.user("bob")
    pushed(contoso, end, "initial", flag=flag, scope=[ada, bob])
    contoso.do("change_user", user=ada, accountEnabled=False)

    pushed(contoso, end, flag=flag, scope=[ada])

    assert [patched(operation), patched(operation)] == end.bodies("PATCH")


def test_disable_adds_when_active_is_not_shown(contoso: EntraTenant, end: OtherEnd) -> None:
    """The value that cannot be seen is added again."""
    ada = contoso.user("ada")
    pushed(contoso, end, "initial")
    del end.stored["u1"]["active"]
    contoso.do("change_user", user=ada, accountEnabled=False)

    pushed(contoso, end)

    assert [patched({"op": "Add", "path": "active", "value": "False"})] == end.bodies("PATCH")


def test_soft_delete_restore_and_purge(contoso: EntraTenant, end: OtherEnd) -> None:
    """A tombstone for a name, back again after a look-up by the clean one, and DELETE when it is for good."""
    ada = contoso.user("ada")
    name = f"ada@{contoso.domain}"
    tombstone = ada.replace("-", "") + name
    pushed(contoso, end, "initial")

    contoso.do("delete", object=ada)
    pushed(contoso, end)
    deleted = [
        {"op": "Replace", "path": "userName", "value": tombstone},
        {"op": "Replace", "path": "active", "value": "False"},
    ]
    assert [patched(*deleted)] == end.bodies("PATCH")

    end.stored["u1"] |= {"userName": tombstone, "active": False}
    contoso.do("restore", object=ada)
    pushed(contoso, end)
    assert [f"/scim/Users?filter=userName+eq+%22{name.replace('@', '%40')}%22", "/scim/Users/u1"] == [
        each.target for each in end.of("GET")
    ]
    restored = [
        {"op": "Replace", "path": "userName", "value": name},
        {"op": "Replace", "path": "active", "value": "True"},
    ]
    assert [patched(*restored)] == end.bodies("PATCH")

    end.stored["u1"] |= {"userName": name, "active": True}
    contoso.do("delete", object=ada)
    pushed(contoso, end)
    contoso.do("purge", object=ada)
    pushed(contoso, end)
    assert [("DELETE", "/scim/Users/u1")] == [(each.method, each.target) for each in end.received]


def test_purges_that_nobody_is_told_of(contoso: EntraTenant, end: OtherEnd) -> None:
    """Purged before a cycle ran, or after leaving the scope: no request at all."""
    ada, bob = contoso.user("ada"), contoso.user("bob")
    pushed(contoso, end, "initial", scope=[ada, bob])
    pushed(contoso, end, scope=[ada])
    for user in (ada, bob):
        contoso.do("delete", object=user)
        contoso.do("purge", object=user)

    pushed(contoso, end, scope=[])

    assert [] == end.received


def test_disabled_and_unassigned_people_are_not_created(contoso: EntraTenant, end: OtherEnd) -> None:
    """Scope is the direct members of assigned groups; groups inside them are not looked into."""
    ada, eve, bob = contoso.user("ada"), contoso.user("eve", accountEnabled=False), contoso.user("bob")
    inner = contoso.group("Inner", bob)
    outer = contoso.group("Outer", ada, eve, inner)

    pushed(contoso, end, "initial", scope=[outer])

    created = end.bodies("POST")
    assert [f"ada@{contoso.domain}", "Outer"] == [body.get("userName") or body["displayName"] for body in created]


def test_cleared_attributes_are_not_sent(contoso: EntraTenant, end: OtherEnd) -> None:
    """Null is skipped; administrators who map it to an empty text get that."""
    barbara = contoso.user("", **BARBARA)
    pushed(contoso, end, "initial")
    contoso.do("clear_attribute", user=barbara, name="department")

    pushed(contoso, end)
    assert [] == end.bodies("PATCH")
    contoso.do("change_user", user=barbara, jobTitle="Lead")
    pushed(contoso, end, empty_text=True)
    assert [
        patched(
            {"op": "Replace", "path": "title", "value": "Lead"},
            {"op": "Replace", "path": f"{ENTERPRISE}:department", "value": ""},
        )
    ] == end.bodies("PATCH")


# ── Managers (2.5) ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "operation"),
    [
        ({}, {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": "u1"}),
        ({"flag": True}, {"op": "add", "path": f"{ENTERPRISE}:manager", "value": "u1"}),
        (
            {"manager_form": "list"},
            {"op": "Add", "path": "manager", "value": [{"$ref": "{end}/Users/u1", "value": "u1"}]},
        ),
    ],
)
def test_manager_comes_last(
    contoso: EntraTenant, end: OtherEnd, options: dict[str, Any], operation: dict[str, Any]
) -> None:
    """After users and groups are there; a bare text unless it is the list of the tutorial."""
    boss = contoso.user("boss")
    contoso.user("ada", manager=boss)
    contoso.group("Design", boss)

    pushed(contoso, end, "initial", concurrency=1, **options)

    if isinstance(operation["value"], list):
        operation = {**operation, "value": [{**operation["value"][0], "$ref": f"{end.url}/Users/u1"}]}
    assert patched(operation) == end.bodies("PATCH", "Users/u2")[0]
    order = [each.method + " " + each.target.split("?")[0] for each in end.received if each.method != "GET"]
    assert ["POST /scim/Users", "POST /scim/Users", "POST /scim/Groups"] == order[:3]
    assert ["PATCH /scim/Users/u2", "PATCH /scim/Groups/g1"] == order[3:]


def test_manager_is_sent_again_until_it_is_shown(contoso: EntraTenant, end: OtherEnd) -> None:
    """A server that does not return the manager gets it in every cycle that looks at the person."""
    boss = contoso.user("boss")
    contoso.user("ada", manager=boss)
    pushed(contoso, end, "initial", concurrency=1)

    pushed(contoso, end, "restart")
    assert 1 == len(end.of("PATCH", "Users/u2"))
    end.stored["u2"][ENTERPRISE] = {"manager": {"value": "u1"}}
    pushed(contoso, end, "restart")
    assert [] == end.of("PATCH", "Users/u2")
    end.stored["u2"][ENTERPRISE] = {"manager": "u1"}
    report = pushed(contoso, end, "restart")
    assert "deserialize" in report["failures"][0]["reason"]


def test_manager_may_be_in_the_create(contoso: EntraTenant, end: OtherEnd) -> None:
    """Once the manager is there; shown again as an object, nothing more is sent."""
    boss = contoso.user("boss")
    contoso.user("ada", manager=boss)

    pushed(contoso, end, "initial", concurrency=1, manager_in_create=True)

    assert "u1" == end.bodies("POST", "Users")[1][ENTERPRISE]["manager"]
    assert [] == end.of("PATCH")


def test_references_may_be_checked_before(contoso: EntraTenant, end: OtherEnd) -> None:
    """As older jobs do, for managers and for members."""
    boss = contoso.user("boss")
    contoso.group("Design", contoso.user("ada", manager=boss))

    pushed(contoso, end, "initial", concurrency=1, reference_checks=True)

    assert [
        "/scim/Users?filter=id+eq+%22u2%22+and+manager+eq+%22u1%22&attributes=id",
        "/scim/Groups?filter=id+eq+%22g1%22+and+members+eq+%22u2%22&attributes=id",
    ] == [each.target for each in end.of("GET", "attributes=id")]


# ── Groups (2.9) ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("flag", "schemas"), [(False, [GROUP, OLD_GROUP]), (True, [GROUP])])
def test_create_group(contoso: EntraTenant, end: OtherEnd, flag: bool, schemas: list[str]) -> None:
    """Without members, with the object id."""
    design = contoso.group("Design")

    pushed(contoso, end, "initial", flag=flag)

    assert [
        {
            "schemas": schemas,
            "externalId": design,
            "displayName": "Design",
            "members": [],
            "meta": {"resourceType": "Group"},
        }
    ] == end.bodies("POST")


@pytest.mark.parametrize(
    ("flag", "added", "removed"),
    [
        (
            False,
            {"op": "Add", "path": "members", "value": [{"$ref": None, "value": "u1"}]},
            {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": "u1"}]},
        ),
        (
            True,
            {"op": "add", "path": "members", "value": [{"$ref": None, "value": "u1"}]},
            {"op": "remove", "path": 'members[value eq "u1"]'},
        ),
    ],
)
def test_members(
    contoso: EntraTenant, end: OtherEnd, flag: bool, added: dict[str, Any], removed: dict[str, Any]
) -> None:
    """Added and removed in both styles; `$ref` is null and the value is the other end's id."""
    ada = contoso.user("ada")
    group = contoso.group("Design", ada)

    pushed(contoso, end, "initial", flag=flag)
    assert [patched(added)] == end.bodies("PATCH")
    contoso.do("remove_members", group=group, members=[ada])
    pushed(contoso, end, flag=flag)
    assert [patched(removed)] == end.bodies("PATCH")


def test_members_are_sent_in_parts(contoso: EntraTenant, end: OtherEnd) -> None:
    """So many in a PATCH, in one operation or in one each."""
    people = [contoso.user(f"person{n}") for n in range(7)]
    contoso.group("Design", *people)

    pushed(contoso, end, "initial", members_per_patch=3)
    assert [1, 3, 3] == sorted(len(body["Operations"][0]["value"]) for body in end.bodies("PATCH"))
    pushed(contoso, end, "restart", members_per_patch=3, one_member_an_operation=True)
    assert [1, 3, 3] == sorted(len(body["Operations"]) for body in end.bodies("PATCH"))


def test_group_is_renamed_and_deleted(contoso: EntraTenant, end: OtherEnd) -> None:
    """A rename is one operation; a deleted group is deleted, and so is one that is not assigned any more."""
    design, sales = contoso.group("Design"), contoso.group("Sales")
    pushed(contoso, end, "initial", concurrency=1)
    contoso.do("rename_group", group=design, name="new name")

    pushed(contoso, end)
    assert [patched({"op": "Replace", "path": "displayName", "value": "new name"})] == end.bodies("PATCH")
    contoso.do("delete", object=sales)
    pushed(contoso, end)
    assert ["/scim/Groups/g2"] == [each.target for each in end.of("DELETE")]
    pushed(contoso, end, scope=[])
    assert ["/scim/Groups/g1"] == [each.target for each in end.of("DELETE")]


def test_deleted_members_stay_members(contoso: EntraTenant, end: OtherEnd) -> None:
    """Neither a soft delete nor a restore touches memberships."""
    ada = contoso.user("ada")
    contoso.group("Design", ada)
    pushed(contoso, end, "initial")

    for verb in ("delete", "restore"):
        contoso.do(verb, object=ada)
        pushed(contoso, end)
        assert [] == end.of("PATCH", "Groups")


# ── Cycles ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_on_demand_ignores_the_flag(contoso: EntraTenant, end: OtherEnd) -> None:
    """It begins with the check, and always speaks the default style."""
    ada, bob = contoso.user("ada"), contoso.user("bob")
    group = contoso.group("Design", ada, bob)
    pushed(contoso, end, "initial", flag=True, scope=[ada])
    contoso.do("change_user", user=ada, jobTitle="Guide", department="Tours")

    pushed(contoso, end, "on_demand", flag=True, subjects=[ada, group])

    assert 2 == len(end.received[:2])
    assert "filter=userName" in end.received[0].target
    [user, members] = end.bodies("PATCH")
    assert ["Add", "Add"] == [operation["op"] for operation in user["Operations"]]
    assert [{"$ref": None, "value": "u1"}] == members["Operations"][0]["value"]


def test_not_all_requests_need_be_kept(contoso: EntraTenant, end: OtherEnd) -> None:
    """A large cycle is counted in full, and kept as far as told; the report tells it either way."""
    for n in range(5):
        contoso.user(f"person{n}")

    report = pushed(contoso, end, "initial", keep_exchanges=3)

    assert len(end.received) == report["requests"] == 12
    assert 3 == len(contoso.exchanges(report))
    actions = contoso.entra.do("actions", id=report["id"])["actions"]
    assert ["create"] * 5 == [line["action"] for line in actions]


def test_cycle_may_run_on_its_own(contoso: EntraTenant, end: OtherEnd) -> None:
    """Without waiting, the report says how it goes on."""
    contoso.user("ada")
    end.delay = 0.1

    report = pushed(contoso, end, "initial", wait=False)

    assert "running" == report["state"]
    deadline = time.monotonic() + 10
    while report["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
        report = contoso.entra.do("push_report", id=report["id"])
    assert ("done", {"create": 1}) == (report["state"], report["done"])


def test_cycles_of_a_job_come_one_after_the_other(contoso: EntraTenant, end: OtherEnd) -> None:
    """Two that are asked for at once do not create anybody twice, and changes meanwhile do no harm."""
    people = [contoso.user(f"person{n}") for n in range(20)]
    end.delay = 0.01

    first = pushed(contoso, end, "initial", wait=False)
    contoso.do("purge", object=people[19])
    second = contoso.push(end.url, "secret")

    assert ("done", "done") == (contoso.entra.do("push_report", id=first["id"])["state"], second["state"])
    names = [body["userName"] for body in end.bodies("POST")]
    assert len(names) == len(set(names))


def test_assigned_by_a_name_that_nobody_has(contoso: EntraTenant, end: OtherEnd) -> None:
    """A typing error is refused before anything is sent; who has been purged since is just not there."""
    ada = contoso.user("ada")
    contoso.do("purge", object=ada)

    answer = contoso.entra.control.post(
        "/control/push", json={"tenant": contoso.id, "tenant_url": end.url, "scope": ["nobody"]}
    )

    assert (400, []) == (answer.status_code, end.received)
    assert {} == pushed(contoso, end, "initial", scope=[ada])["done"]


def test_restart_keeps_links_and_sends_members_again(contoso: EntraTenant, end: OtherEnd) -> None:
    """Nobody is looked up by name, nothing is created; nobody can see members, so they come again."""
    ada = contoso.user("ada")
    contoso.group("Design", ada)
    pushed(contoso, end, "initial")

    pushed(contoso, end, "restart")

    assert [] == end.of("POST")
    assert ["/scim/Users/u1", "/scim/Groups/g1?excludedAttributes=members"] == [each.target for each in end.of("GET")]
    assert 1 == len(end.of("PATCH", "Groups"))


def test_who_is_there_already_is_matched(contoso: EntraTenant, end: OtherEnd) -> None:
    """A match is linked, and only what differs is sent."""
    contoso.user("ada", jobTitle="Guide")
    there = {"id": "u9", "userName": f"ADA@{contoso.domain}", "active": True, "externalId": "ada", "displayName": "ada"}
    end.stored["u9"] = end.matches[f'userName eq "ada@{contoso.domain}"'] = there

    pushed(contoso, end, "initial")

    assert [] == end.of("POST")
    assert [
        patched(
            {"op": "Replace", "path": "userName", "value": f"ada@{contoso.domain}"},
            {"op": "Add", "path": "title", "value": "Guide"},
        )
    ] == end.bodies("PATCH", "Users/u9")


# ── Answers (3.4) and escrows ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "target", "status", "body"),
    [
        ("GET", "Users", 401, "{}"),
        ("POST", "Users", 403, "{}"),
        ("GET", "Users", 404, "{}"),
        ("GET", "Groups", 404, "{}"),
        ("GET", "Users", 200, "[]"),
        ("GET", "Users", 500, "{}"),
    ],
)
def test_quarantine(contoso: EntraTenant, end: OtherEnd, method: str, target: str, status: int, body: str) -> None:
    """Refused credentials and answers that are no SCIM end the cycle at once; the next one may succeed."""
    for n in range(30):
        contoso.user(f"person{n}")
    end.fail(method, target, status, body)

    report = pushed(contoso, end, "initial")

    assert "quarantined" == report["state"]
    assert report["reason"]
    assert len(end.received) < 60
    assert "done" == pushed(contoso, end)["state"]


@pytest.mark.parametrize("status", [400, 409, 429, 500, 503])
def test_failure_does_not_hold_others_up(contoso: EntraTenant, end: OtherEnd, status: int) -> None:
    """The answer's text is what the administrator sees; the failure is tried again after six hours."""
    contoso.user("ada")
    bob = contoso.user("bob")
    end.fail("POST", "Users", status, '{"detail":"no seat left"}')

    report = pushed(contoso, end, "initial", concurrency=1)

    assert ("done", {"create": 1}, 1) == (report["state"], report["done"], len(report["escrows"]))
    assert "no seat left" in report["failures"][0]["reason"]
    assert [bob] == list(contoso.entra.do("links", job=report["job"])["links"])
    pushed(contoso, end)
    assert [] == end.received
    contoso.entra.do("advance_clock", seconds=6 * 3600)
    assert {} == pushed(contoso, end)["escrows"]


def test_delays_grow(contoso: EntraTenant, end: OtherEnd) -> None:
    """Counted from the first failure: 6, 12, 24 hours, then every 24; after four weeks not any more."""
    contoso.user("ada")
    end.fail("POST", "Users", 400, "{}", times=100)
    pushed(contoso, end, "initial")
    tried = []

    for hour in range(6, 84, 6):
        contoso.entra.do("advance_clock", seconds=6 * 3600)
        pushed(contoso, end)
        tried += [hour] * len(end.of("POST"))
    contoso.entra.do("advance_clock", seconds=28 * 24 * 3600)
    last = pushed(contoso, end)

    assert [6, 12, 24, 48, 72] == tried
    assert (1, {}) == (len(last["failures"]), last["escrows"])


def test_retries_can_be_immediate(contoso: EntraTenant, end: OtherEnd) -> None:
    """For tests: what failed is tried in the next cycle."""
    contoso.group("Design")
    end.fail("POST", "Groups", 409, "{}")

    pushed(contoso, end, "initial", retry_seconds=[0])

    assert {"create": 1} == pushed(contoso, end, retry_seconds=[0])["done"]


def test_group_that_cannot_be_deleted_is_tried_again(contoso: EntraTenant, end: OtherEnd) -> None:
    """A refused DELETE keeps the link; once it succeeds the group is gone."""
    design = contoso.group("Design")
    pushed(contoso, end, "initial")
    contoso.do("delete", object=design)
    end.fail("DELETE", "Groups", 409, '{"detail":"Team \\"Design\\" still holds 3 logins"}')

    report = pushed(contoso, end, retry_seconds=[0])
    assert "still holds 3 logins" in report["failures"][0]["reason"]
    report = pushed(contoso, end, retry_seconds=[0])
    assert {"delete": 1} == report["done"]
    assert ({}, 0) == (report["escrows"], report["links"])


def test_member_that_could_not_be_created_follows(contoso: EntraTenant, end: OtherEnd) -> None:
    """The group waits with its membership until the person is there."""
    contoso.group("Design", contoso.user("ada"))
    end.fail("POST", "Users", 500, "{}")

    report = pushed(contoso, end, "initial", retry_seconds=[0])
    assert 2 == len(report["escrows"])
    assert [] == end.of("PATCH")
    pushed(contoso, end, retry_seconds=[0])
    assert [{"$ref": None, "value": "u1"}] == end.bodies("PATCH")[0]["Operations"][0]["value"]


def test_lost_id_is_looked_up_again(contoso: EntraTenant, end: OtherEnd) -> None:
    """404 on a known id: the next cycle matches, and creates anew."""
    ada = contoso.user("ada")
    pushed(contoso, end, "initial")
    end.stored.clear()
    contoso.do("change_user", user=ada, jobTitle="Guide")

    assert 1 == len(pushed(contoso, end)["failures"])
    report = pushed(contoso, end)

    assert {"create": 1} == report["done"]
    assert {} == report["escrows"]


def test_service_that_cannot_be_reached(contoso: EntraTenant) -> None:
    """CredentialValidationUnavailable."""
    report = contoso.push("http://127.0.0.1:9/scim", "secret", "initial")

    assert "quarantined" == report["state"]
    assert report["reason"].startswith("CredentialValidationUnavailable")


def test_slow_answer_is_a_failure(contoso: EntraTenant, end: OtherEnd) -> None:
    """Who needs longer than the time limit has failed, whatever was done."""
    contoso.user("ada")
    pushed(contoso, end, "initial")
    end.delay = 0.5

    report = pushed(contoso, end, "restart", timeout=0.1)

    assert "ReadTimeout" in report["failures"][0]["reason"]


# ── Authentication (4) ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("placement", "header", "form"),
    [("header", True, False), ("body", False, True), ("both", True, True)],
)
def test_client_credentials(contoso: EntraTenant, end: OtherEnd, placement: str, header: bool, form: bool) -> None:
    """As Basic, in the body, or both; the token is asked for once."""
    contoso.user("ada")
    oauth = {
        "token_endpoint": end.url.replace("/scim", "/token"),
        "client_id": "client:1",
        "client_secret": "s&cret",
        "placement": placement,
    }

    report = contoso.push(end.url, None, "initial", oauth=oauth)

    assert "done" == report["state"]
    [request] = end.of("POST", "token")
    assert header == ("authorization" in request.headers)
    if header:
        basic = base64.b64decode(request.headers["authorization"].removeprefix("Basic "))
        assert b"client%3A1:s%26cret" == basic
    assert form == ("client_id=client%3A1&client_secret=s%26cret" in request.body)
    assert {"Bearer granted"} == {each.headers["authorization"] for each in end.received if each is not request}


def test_federation_and_blank_secret(contoso: EntraTenant, end: OtherEnd) -> None:
    """A signed assertion for a token, or a signed token in its place."""
    oauth = {
        "token_endpoint": end.url.replace("/scim", "/token"),
        "client_id": "client",
        "placement": "assertion",
        "appid": "b5ba7a93-4452-4522-aeb4-a2b5da870c16",
    }

    contoso.push(end.url, None, "test", oauth=oauth)
    contoso.push(end.url, None, "test", job="blank")

    [request] = end.of("POST", "token")
    assert "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer" in request.body
    assertion = jwt.get_unverified_claims(re.findall(r"client_assertion=([^&]+)", request.body)[0])
    assert "api://b5ba7a93-4452-4522-aeb4-a2b5da870c16" == assertion["aud"]
    token = jwt.get_unverified_claims(end.received[-1].headers["authorization"].removeprefix("Bearer "))
    assert ("8adf8e6e-67b2-4cf2-a259-e3dc5476c621", contoso.id) == (token["aud"], token["tid"])
