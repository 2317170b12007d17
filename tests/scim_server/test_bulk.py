"""Many operations in one request, and the references between them (RFC 7644 §3.7)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.answers import (
    BULK_REQUEST,
    BULK_RESPONSE,
    JSON,
    is_error,
    members_of,
    new_group,
    new_user,
    new_users,
    ok,
    read,
    refused,
    resources,
    unique,
    values,
)
from tests.builders import ENTERPRISE_USER, GROUP, PATCH_OP, USER, patch

NOBODY = "00000000-0000-7000-8000-000000000000"


def post_user(bulk_id: str, **attributes: Any) -> JSON:
    data = {"schemas": [USER], "userName": unique("bulk"), **attributes}
    return {"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": data}


def post_group(bulk_id: str, *members: str, **attributes: Any) -> JSON:
    """Create a group whose members are named by their bulkIds or ids."""
    data = {"schemas": [GROUP], "displayName": unique("Bulk"), "members": values(*members), **attributes}
    return {"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": data}


def send(door: httpx.Client, *operations: Any, **more: Any) -> httpx.Response:
    return door.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": list(operations), **more})


def run(door: httpx.Client, *operations: JSON, **more: Any) -> list[JSON]:
    """Send a bulk request and hold its results against RFC 7644 §3.7.3."""
    body = ok(send(door, *operations, **more))
    assert [BULK_RESPONSE] == body["schemas"], body
    results: list[JSON] = body["Operations"]
    for result in results:
        holds_together(door, result)
    return results


def holds_together(door: httpx.Client, result: JSON) -> None:
    """Hold one result against what §3.7 says of `status`, `location`, `version` and `response`."""
    assert isinstance(result["status"], str), result
    status = int(result["status"])
    if status >= 400:
        is_error(result["response"], status)
        return
    assert result["location"].startswith(str(door.base_url)), result
    if result["method"] == "DELETE":
        assert 204 == status, result
        return
    assert status in ({201} if result["method"] == "POST" else {200, 204}), result
    assert "response" not in result or status == 200, result


def statuses(results: list[JSON]) -> list[str]:
    return [result["status"] for result in results]


def made(door: httpx.Client, result: JSON) -> JSON:
    """Read what an operation has made or changed, by its location, in its version."""
    resource = ok(door.get(result["location"]))
    # A user's version goes on with the groups that later operations put it into.
    assert "groups" in resource or result["version"] == resource["meta"]["version"]
    return resource


# The examples of the RFC ------------------------------------------------------------------------------------------------


def test_all_methods_in_one_request(door: httpx.Client) -> None:
    """Figure of §3.7: POST, PUT, PATCH, DELETE, the last three on a version; results in the order sent."""
    replaced, patched, deleted = new_users(door, 3)
    operations = [
        post_user("qwerty", userName="Alice-of-3.7"),
        {
            "method": "PUT",
            "path": f"/Users/{replaced['id']}",
            "version": replaced["meta"]["version"],
            "data": {"schemas": [USER], "userName": "Bob-of-3.7", "id": replaced["id"]},
        },
        {
            "method": "PATCH",
            "path": f"/Users/{patched['id']}",
            "version": patched["meta"]["version"],
            "data": [
                {"op": "remove", "path": "nickName"},
                {"op": "add", "path": "userName", "value": "Dave-of-3.7"},
            ],
        },
        {"method": "DELETE", "path": f"/Users/{deleted['id']}", "version": deleted["meta"]["version"]},
    ]
    # The figure's PATCH data is a bare list; §3.7 says that data is what the method takes, a PatchOp message.
    operations[2]["data"] = patch(*operations[2]["data"])

    results = run(door, *operations)

    assert ["201", "200", "200", "204"] == statuses(results)
    assert ["POST", "PUT", "PATCH", "DELETE"] == [result["method"] for result in results]
    assert ["qwerty"] == [result["bulkId"] for result in results if "bulkId" in result]
    assert ["Alice-of-3.7", "Bob-of-3.7", "Dave-of-3.7"] == [made(door, each)["userName"] for each in results[:3]]
    assert [replaced["id"], patched["id"], deleted["id"]] == [
        each["location"].rpartition("/")[2] for each in results[1:]
    ]
    refused(door.get(f"Users/{deleted['id']}"), 404)


def test_group_of_a_user_made_before(door: httpx.Client) -> None:
    """Figure of §3.7.2: Alice, and the tour guides with her as a member."""
    results = run(door, post_user("qwerty"), post_group("ytrewq", "bulkId:qwerty"))

    alice, guides = (made(door, result) for result in results)
    assert {alice["id"]} == members_of(guides)


def test_groups_that_hold_each_other(door: httpx.Client) -> None:
    """Figure of §3.7.1: a circular reference must be resolved."""
    operations = [
        {
            "method": "POST",
            "path": "/Groups",
            "bulkId": "qwerty",
            "data": {
                "schemas": [GROUP],
                "displayName": "Group A",
                "members": [{"type": "Group", "value": "bulkId:ytrewq"}],
            },
        },
        {
            "method": "POST",
            "path": "/Groups",
            "bulkId": "ytrewq",
            "data": {
                "schemas": [GROUP],
                "displayName": "Group B",
                "members": [{"type": "Group", "value": "bulkId:qwerty"}],
            },
        },
    ]

    results = run(door, *operations, failOnErrors=1)

    assert ["201", "201"] == statuses(results)
    assert ["qwerty", "ytrewq"] == [result["bulkId"] for result in results]
    one, other = (made(door, result) for result in results)
    assert {other["id"]} == members_of(one)
    assert {one["id"]} == members_of(other)


# References -------------------------------------------------------------------------------------------------------------


def test_references_may_point_forward(door: httpx.Client) -> None:
    """The order of the operations does not matter, and the results keep it (§3.7.2)."""
    boss = {ENTERPRISE_USER: {"manager": {"value": "bulkId:boss"}}}
    operations = [
        post_group("g", "bulkId:u", "bulkId:boss", "bulkId:inner"),
        post_user("u", **boss),
        post_group("inner"),
        post_user("boss"),
    ]

    results = run(door, *operations)

    assert ["g", "u", "inner", "boss"] == [result["bulkId"] for result in results]
    group, user, inner, manager = (made(door, result) for result in results)
    assert {user["id"], manager["id"], inner["id"]} == members_of(group)
    assert manager["id"] == user[ENTERPRISE_USER]["manager"]["value"]


def test_people_who_manage_each_other(door: httpx.Client) -> None:
    """A circle by manager, of two and of one (§3.7.1)."""
    managed = [{ENTERPRISE_USER: {"manager": {"value": f"bulkId:{other}"}}} for other in "bac"]

    one, other, own = (
        made(door, each) for each in run(door, *(post_user(key, **managed[at]) for at, key in enumerate("abc")))
    )

    assert other["id"] == one[ENTERPRISE_USER]["manager"]["value"]
    assert one["id"] == other[ENTERPRISE_USER]["manager"]["value"]
    assert own["id"] == own[ENTERPRISE_USER]["manager"]["value"]


@pytest.mark.parametrize("size", [3, 40])
def test_groups_in_a_ring(door: httpx.Client, size: int) -> None:
    """Longer circles, with other members in them, are resolved as well (§3.7.1)."""
    ring = [post_group(f"g{n}", f"bulkId:g{(n + 1) % size}", "bulkId:u") for n in range(size)]

    results = run(door, *ring, post_user("u"))

    *groups, user = (made(door, result) for result in results)
    for at, group in enumerate(groups):
        assert {groups[(at + 1) % size]["id"], user["id"]} == members_of(group)


def test_each_shape_of_members_may_refer(door: httpx.Client) -> None:
    """A reference counts in whatever shape members may come, in a circle too."""
    shapes: list[Any] = [
        {"value": "bulkId:u"},
        "bulkId:u",
        ["bulkId:u"],
        [{"value": "bulkId:u"}, {"value": "bulkId:u"}],
    ]
    groups = [post_group(f"g{at}", members=shape) for at, shape in enumerate(shapes)]
    pair = [post_group("left", members={"value": "bulkId:right"}), post_group("right", members="bulkId:left")]

    results = run(door, *groups, *pair, post_user("u"))

    assert ["201"] * 7 == statuses(results)
    *held, left, right, user = (made(door, result) for result in results)
    assert [{user["id"]}] * 4 == [members_of(group) for group in held]
    assert ({right["id"]}, {left["id"]}) == (members_of(left), members_of(right))


def test_existing_groups_take_new_members(door: httpx.Client) -> None:
    """PATCH and PUT refer too, wherever the user is made (§3.7.2)."""
    patched, replaced, selected = new_group(door), new_group(door), new_group(door)
    operations = [
        {"method": "PATCH", "path": f"/Groups/{patched['id']}", "data": patch({"op": "add", "path": "members", "value": values("bulkId:u")})},
        {"method": "PUT", "path": f"/Groups/{replaced['id']}", "data": {"displayName": replaced["displayName"], "members": values("bulkId:u")}},
        post_user("u"),
        {"method": "PATCH", "path": f"/Groups/{selected['id']}", "data": patch({"op": "add", "value": {"members": values("bulkId:u")}})},
    ]  # fmt: skip

    results = run(door, *operations)

    user = made(door, results[2])
    for group in (patched, replaced, selected):
        assert {user["id"]} == members_of(read(door, group))


def test_paths_may_refer(door: httpx.Client) -> None:
    """What is made can be changed and deleted in the same request (§3.7.2: `path` as well)."""
    operations = [
        post_user("u"),
        post_user("gone"),
        {
            "method": "PATCH",
            "path": "/Users/bulkId:u",
            "data": patch({"op": "add", "path": "title", "value": "patched"}),
        },
        {"method": "DELETE", "path": "/Users/bulkId:gone"},
    ]

    results = run(door, *operations)

    assert ["201", "201", "200", "204"] == statuses(results)
    assert "patched" == ok(door.get(results[0]["location"]))["title"]
    assert results[0]["location"] == results[2]["location"]
    refused(door.get(results[1]["location"]), 404)


def test_text_that_looks_like_a_reference(door: httpx.Client) -> None:
    """Only references are replaced; other values stay as sent."""
    result, _ = run(door, post_user("u", title="see bulkIds", nickName="bulk Id:u"), post_user("other"))

    assert ("see bulkIds", "bulk Id:u") == (made(door, result)["title"], made(door, result)["nickName"])


UNKNOWN = [
    post_group("g", "bulkId:nobody"),
    post_group("g", "bulkId:"),
    {"method": "PATCH", "path": "/Users/bulkId:nobody", "data": patch({"op": "add", "path": "title", "value": "x"})},
    {"method": "DELETE", "path": "/Users/bulkId:nobody"},
    post_user("u", **{ENTERPRISE_USER: {"manager": {"value": "bulkId:nobody"}}}),
]


@pytest.mark.parametrize("operation", UNKNOWN, ids=str)
def test_unknown_references_fail_alone(door: httpx.Client, operation: JSON) -> None:
    """The operation is refused, the others are done (§3.7.1)."""
    first, failed, last = run(door, post_user("a"), operation, post_user("z"))

    assert ("201", "201") == (first["status"], last["status"])
    assert failed["status"] in ("400", "404", "409"), failed


# Errors -----------------------------------------------------------------------------------------------------------------


def test_one_failure_leaves_the_others(door: httpx.Client) -> None:
    """Each operation stands for itself; the failed one says why as it would alone (§3.7.3)."""
    there, group = new_user(door), new_group(door, new_user(door))
    stale = {
        "method": "PATCH",
        "path": f"/Users/{there['id']}",
        "version": 'W/"0"',
        "data": patch({"op": "add", "path": "title", "value": "x"}),
    }
    operations: list[tuple[JSON, str, str | None]] = [
        (post_user("fine"), "201", None),
        (post_user("taken", userName=there["userName"].upper()), "409", "uniqueness"),
        (post_user("wrong", active="perhaps"), "400", "invalidValue"),
        (post_user("nameless", userName=None), "400", "invalidValue"),
        ({"method": "PUT", "path": f"/Users/{NOBODY}", "data": {"schemas": [USER], "userName": unique()}}, "404", None),
        ({"method": "DELETE", "path": f"/Groups/{NOBODY}"}, "404", None),
        (stale, "412", None),
        ({"method": "PATCH", "path": f"/Groups/{group['id']}", "data": patch({"op": "remove", "path": "members"}, {"op": "move", "path": "x"})}, "400", "invalidSyntax"),
        ({"method": "PATCH", "path": f"/Groups/{group['id']}", "data": patch({"op": "add", "path": "members", "value": values(NOBODY)})}, "400", "invalidValue"),
        (post_group("doubled", displayName=group["displayName"]), "409", "uniqueness"),
        ({"method": "PATCH", "path": f"/Users/{there['id']}", "data": {"schemas": [PATCH_OP]}}, "400", "invalidSyntax"),
        (post_user("fine-too"), "201", None),
    ]  # fmt: skip

    results = run(door, *(operation for operation, _, _ in operations))

    assert [status for _, status, _ in operations] == statuses(results)
    for (operation, status, scim_type), result in zip(operations, results, strict=True):
        assert operation.get("bulkId") == result.get("bulkId")
        assert operation["method"] == result["method"]
        if status >= "400":
            assert scim_type == result["response"].get("scimType"), result
            # "REQUIRED in a response, except in the event of a POST failure"
            assert ("location" in result) is (operation["method"] != "POST"), result
    assert (there, group) == (read(door, there), read(door, group))


IMPOSSIBLE: list[JSON] = [
    {"method": "POST", "path": "/Users", "data": {"schemas": [USER], "userName": "without-bulk-id"}},
    {"method": "POST", "path": "/Users", "bulkId": "", "data": {"schemas": [USER], "userName": "empty-bulk-id"}},
    {"method": "POST", "path": "/Users", "bulkId": "b"},
    {"method": "POST", "path": f"/Users/{NOBODY}", "bulkId": "b", "data": {"schemas": [USER], "userName": "with-id"}},
    {"method": "POST", "path": "/Nosuch", "bulkId": "b", "data": {"schemas": [USER], "userName": "elsewhere"}},
    {"method": "POST", "path": "/Users/.search", "bulkId": "b", "data": {}},
    {"method": "POST", "path": "/Bulk", "bulkId": "b", "data": {"schemas": [BULK_REQUEST], "Operations": []}},
    {"method": "POST", "bulkId": "b", "data": {"schemas": [USER], "userName": "without-path"}},
    {"method": "POST", "path": "", "bulkId": "b", "data": {"schemas": [USER], "userName": "empty-path"}},
    {"method": "POST", "path": "/Users", "bulkId": "b", "data": "text"},
    {"method": "POST", "path": "/Users", "bulkId": "b", "data": []},
    {"method": "PUT", "path": "/Users", "data": {"schemas": [USER], "userName": "without-id"}},
    {"method": "PATCH", "path": "/Groups", "data": patch({"op": "add", "path": "displayName", "value": "x"})},
    {"method": "DELETE", "path": "/Users"},
    {"method": "DELETE", "path": "/Users/"},
    {"method": "DELETE", "path": "/Users/a/b"},
    {"method": "GET", "path": "/Users"},
    {"method": "OPTIONS", "path": "/Users"},
    {"path": "/Users", "bulkId": "b", "data": {"schemas": [USER], "userName": "without-method"}},
]


@pytest.mark.parametrize("operation", IMPOSSIBLE, ids=str)
def test_operations_that_are_none(door: httpx.Client, operation: JSON) -> None:
    """A 4xx for that operation, or for the request; never half of it without a word (§3.7)."""
    before = ok(door.get("Users", params={"count": 0}))["totalResults"]

    answer = send(door, post_user("fine"), operation)

    if answer.status_code == 200:
        first, failed = answer.json()["Operations"]
        holds_together(door, failed)
        assert "201" == first["status"]
        assert failed["status"][0] == "4", failed
        before += 1
    else:
        refused(answer, 400)
    assert before == ok(door.get("Users", params={"count": 0}))["totalResults"]


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 10])
def test_fail_on_errors(door: httpx.Client, limit: int) -> None:
    """After so many errors it ends: what was done stands, what was not begun is not reported (§3.7, §3.7.3)."""
    wrong = {"method": "DELETE", "path": f"/Users/{NOBODY}"}
    operations = [post_user("a"), wrong, post_user("b"), wrong, wrong, post_user("c")]

    results = run(door, *operations, **({"failOnErrors": limit} if limit else {}))

    whole = ["201", "404", "201", "404", "404", "201"]
    expected = {0: whole, 1: whole[:2], 2: whole[:4], 3: whole[:5], 10: whole}[limit]
    assert expected == statuses(results)
    names = [operation["data"]["userName"] for operation in operations if operation["method"] == "POST"]
    there = [name for name in names if resources(door.get("Users", params={"filter": f'userName eq "{name}"'}))]
    assert names[: expected.count("201")] == there


def test_a_group_in_itself_fails_alone(door: httpx.Client) -> None:
    """It is refused as it is by PATCH, and the others stand."""
    first, failed, last = run(door, post_user("a"), post_group("g", "bulkId:g", "bulkId:a"), post_user("z"))

    assert ("201", "400", "201") == (first["status"], failed["status"], last["status"])
    made(door, first)
    made(door, last)


def test_a_circle_that_cannot_be_closed(door: httpx.Client) -> None:
    """If one of it fails, so does the other, and neither is left behind (§3.7.1: 409)."""
    half = post_group("half", "bulkId:other")
    other = post_group("other", "bulkId:half", displayName=None)

    first, failed, last = run(door, half, other, post_user("z"))

    assert ("4", "400", "201") == (first["status"][0], failed["status"], last["status"])
    assert [] == resources(door.get("Groups", params={"filter": f'displayName eq "{half["data"]["displayName"]}"'}))


def test_what_depends_on_a_failure_fails(door: httpx.Client) -> None:
    """A group of somebody who could not be made is not made without them."""
    group = post_group("g", "bulkId:u")

    failed, dependent = run(door, post_user("u", active="perhaps"), group)

    assert ("400", "4") == (failed["status"], dependent["status"][0])
    assert [] == resources(door.get("Groups", params={"filter": f'displayName eq "{group["data"]["displayName"]}"'}))


def test_conflicts_within_a_request(door: httpx.Client) -> None:
    """The second of one name is refused as it would be later."""
    user = post_user("a")
    twin = {**user, "bulkId": "b"}

    assert ["201", "409"] == statuses(run(door, user, twin))
    again = run(
        door, {"method": "DELETE", "path": f"/Users/{NOBODY}"}, {**user, "data": {**user["data"], "userName": unique()}}
    )
    assert ["404", "201"] == statuses(again)


def test_later_operations_see_earlier_ones(door: httpx.Client) -> None:
    """Changes of one resource are made in the order sent."""
    user = new_user(door, title="a")

    def retitle(title: str) -> JSON:
        return {
            "method": "PATCH",
            "path": f"/Users/{user['id']}",
            "data": patch({"op": "replace", "path": "title", "value": title}),
        }

    results = run(door, retitle("b"), retitle("c"), retitle("d"))

    assert 3 == len({result["version"] for result in results})
    assert ("d", results[-1]["version"]) == (read(door, user)["title"], read(door, user)["meta"]["version"])


def test_names_in_any_case_and_order(door: httpx.Client) -> None:
    """Attribute names are case-insensitive (RFC 7643 §2.1), `path` with and without its slash."""
    user, name = new_user(door), unique()
    body = {
        "OPERATIONS": [
            {"DATA": {"userName": name}, "BulkID": "x", "PATH": "Users", "METHOD": "post"},
            {"method": "Delete", "path": f"Users/{user['id']}/"},
        ],
        "SCHEMAS": [BULK_REQUEST],
    }

    assert ["201", "204"] == statuses(ok(door.post("Bulk", json=body))["Operations"])


# The request ------------------------------------------------------------------------------------------------------------


def test_two_of_one_bulk_id(door: httpx.Client) -> None:
    """bulkIds are unique in a request (§3.7); a reference to two would mean neither."""
    operations = [post_user("same"), post_user("same"), post_group("g", "bulkId:same")]

    refused(send(door, *operations), 400)

    for operation in operations[:2]:
        assert [] == resources(door.get("Users", params={"filter": f'userName eq "{operation["data"]["userName"]}"'}))


REQUESTS: list[Any] = [
    None,
    5,
    "text",
    [],
    {},
    {"schemas": [BULK_REQUEST]},
    {"schemas": [], "Operations": []},
    {"schemas": [USER], "Operations": []},
    {"schemas": BULK_REQUEST, "Operations": []},
    {"Operations": []},
    {"schemas": [BULK_REQUEST], "Operations": {}},
    {"schemas": [BULK_REQUEST], "Operations": "x"},
    {"schemas": [BULK_REQUEST], "Operations": [5]},
    {"schemas": [BULK_REQUEST], "Operations": [None]},
    {"schemas": [BULK_REQUEST], "Operations": [[]]},
    {"schemas": [BULK_REQUEST], "Operations": [{"method": 5, "path": "/Users"}]},
    {"schemas": [BULK_REQUEST], "Operations": [{"method": "POST", "path": ["/Users"], "bulkId": "b"}]},
    {"schemas": [BULK_REQUEST], "Operations": [{"method": "POST", "path": "/Users", "bulkId": 5, "data": {}}]},
    {"schemas": [BULK_REQUEST], "Operations": [{"method": "DELETE", "path": "/Users/x", "version": 5}]},
    {"schemas": [BULK_REQUEST], "Operations": [], "failOnErrors": "one"},
    {"schemas": [BULK_REQUEST], "Operations": [], "failOnErrors": -1},
    {"schemas": [BULK_REQUEST], "Operations": [], "failOnErrors": True},
    {"schemas": [BULK_REQUEST], "Operations": [], "failOnErrors": 1.5},
]


@pytest.mark.parametrize("body", REQUESTS, ids=str)
def test_requests_that_are_none(door: httpx.Client, body: Any) -> None:
    """400 for the whole (§3.7, §3.12)."""
    refused(door.post("Bulk", json=body), 400, "invalidSyntax", "invalidValue")


def test_too_many_operations(door: httpx.Client) -> None:
    """413 beyond maxOperations, naming the limit, and nothing is done (§3.7.4)."""
    most = read(door, "ServiceProviderConfig")["bulk"]["maxOperations"]
    operations = [post_user(f"u{n}") for n in range(most + 1)]

    sentence = refused(send(door, *operations), 413)

    assert str(most) in sentence
    assert [] == resources(door.get("Users", params={"filter": f'userName eq "{operations[0]["data"]["userName"]}"'}))


def test_too_large_a_request(door: httpx.Client) -> None:
    """413 beyond maxPayloadSize, naming the limit (§3.7.4); just below it is taken."""
    most = read(door, "ServiceProviderConfig")["bulk"]["maxPayloadSize"]

    def padded(size: int) -> bytes:
        head, tail = f'{{"schemas":["{BULK_REQUEST}"],"Operations":['.encode(), b"]}"
        return head + b" " * (size - len(head) - len(tail)) + tail

    assert str(most) in refused(door.post("Bulk", content=padded(most + 1)), 413)
    ok(door.post("Bulk", content=padded(most)))


def test_as_many_operations_as_may_be(door: httpx.Client) -> None:
    """maxOperations of them are carried out, each with its result."""
    most = read(door, "ServiceProviderConfig")["bulk"]["maxOperations"]

    results = run(door, *(post_group(f"g{n}") for n in range(most)))

    assert ["201"] * most == statuses(results)
    there = ok(door.get("Groups", params={"count": 0}))["totalResults"]
    pages = [door.get("Groups", params={"startIndex": start, "count": 500}) for start in range(1, there + 1, 500)]
    assert {result["location"].rpartition("/")[2] for result in results} <= {
        each["id"] for page in pages for each in resources(page)
    }
