"""Lists, single objects, members, photos and batches as the fact sheet has them in 8.7 to 8.12."""

from __future__ import annotations

import base64

import httpx
import pytest

from tests.runtime.simulator.rounds import NEXT, error_code, items, ok, pages, quoted
from tests.simulator import EntraTenant

EVENTUAL = {"ConsistencyLevel": "eventual"}
USER = "#microsoft.graph.user"


def ids(document: dict[str, list[dict[str, str]]]) -> list[str]:
    return [each["id"] for each in document["value"]]


# ── Users and groups ────────────────────────────────────────────────────────────────────────────────────────────────


def test_user_without_select_has_the_default_set(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Everything else has to be named; what is not set is null, and telephone numbers are an empty list."""
    ada = contoso.user("ada", displayName="Ada", department="Tours")

    plain, chosen = ok(graph.get(f"/users/{ada}")), ok(graph.get(f"/users/{ada}?$select=department,accountEnabled"))

    assert {
        *("@odata.context", "businessPhones", "displayName", "givenName", "id", "jobTitle", "mail", "mobilePhone"),
        *("officeLocation", "preferredLanguage", "surname", "userPrincipalName"),
    } == set(plain)
    assert ([], None) == (plain["businessPhones"], plain["jobTitle"])
    assert ("Tours", True) == (chosen["department"], chosen["accountEnabled"])


def test_user_by_name_and_with_manager(contoso: EntraTenant, graph: httpx.Client) -> None:
    """A userPrincipalName is as good as an id, a guest's too; the manager comes with `$expand`."""
    boss = contoso.user("boss", displayName="Boss")
    contoso.user("ada", manager=boss, userPrincipalName=f"ada_fabrikam.com#EXT#@{contoso.domain}")
    address = f"/users/{quoted(f'ada_fabrikam.com#EXT#@{contoso.domain}')}"

    found = ok(graph.get(f"{address}?$select=id&$expand=manager($select=id,displayName)"))

    assert {"@odata.type": USER, "id": boss, "displayName": "Boss"} == found["manager"]
    assert boss == ok(graph.get(f"{address}/manager"))["id"]
    assert 404 == graph.get(f"/users/{boss}/manager").status_code
    assert ok(graph.get(f"/users/{boss}?$expand=manager"))["manager"] is None


def test_unknown_and_deleted_objects_are_not_found(contoso: EntraTenant, graph: httpx.Client) -> None:
    """404 Request_ResourceNotFound."""
    ada = contoso.user("ada")
    contoso.do("delete", object=ada)

    for address in (f"/users/{ada}", "/users/nobody", "/groups/none", "/groups/none/members"):
        answer = graph.get(address)
        assert (404, "Request_ResourceNotFound") == (answer.status_code, error_code(answer)), address


def test_list_is_paged(contoso: EntraTenant, graph: httpx.Client) -> None:
    """`$top` sets the page, links carry the options on, and nobody is missing when others are deleted meanwhile."""
    people = [contoso.user(f"person{n}") for n in range(7)]

    first = ok(graph.get("/users?$select=id,displayName&$top=3"))
    contoso.do("purge", object=people[0])
    rest = pages(graph, first[NEXT])

    assert f"{contoso.entra.url}/v1.0/users?$select=id,displayName&$top=3&$skiptoken=" in first[NEXT]
    assert people == [each["id"] for each in items([first, *rest])]
    assert 400 == graph.get("/users?$top=1000").status_code
    contoso.entra.do("settings", list_page=2)
    assert 2 == len(ok(graph.get("/users"))["value"])


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("startswith(displayName,'Sal')", ["Sales", "sales EMEA"]),
        ("displayName eq 'SALES'", ["Sales"]),
        ("displayName in ('Design','Sales')", ["Sales", "Design"]),
        ("startswith(displayName,'s') and mailEnabled eq false", ["Sales", "sales EMEA"]),
        ("displayName eq 'Design' or (displayName eq 'It''s')", ["Design", "It's"]),
        ("description eq null", ["Sales", "sales EMEA", "Design", "It's"]),
    ],
)
def test_groups_are_filtered(contoso: EntraTenant, graph: httpx.Client, expression: str, found: list[str]) -> None:
    """`$filter` compares texts in any case."""
    for name in ("Sales", "sales EMEA", "Design", "It's"):
        contoso.group(name)

    answer = ok(graph.get("/groups", params={"$filter": expression, "$select": "displayName"}))

    assert found == [group["displayName"] for group in answer["value"]]


def test_advanced_queries_need_the_header(contoso: EntraTenant, graph: httpx.Client) -> None:
    """`$search`, `ne` and counts are only taken with `ConsistencyLevel: eventual`."""
    for name in ("Sales EMEA", "Presales", "Design"):
        contoso.group(name)
    search = {"$search": '"displayName:sal"', "$count": "true", "$select": "displayName"}

    refused = graph.get("/groups", params=search)
    answer = ok(graph.get("/groups", params=search, headers=EVENTUAL))

    assert (400, "Request_UnsupportedQuery") == (refused.status_code, error_code(refused))
    assert "ConsistencyLevel: eventual" in refused.json()["error"]["message"]
    assert (1, ["Sales EMEA"]) == (answer["@odata.count"], [group["displayName"] for group in answer["value"]])
    unequal = {"$filter": "displayName ne 'Design'", "$count": "true"}
    assert 400 == graph.get("/groups", params=unequal).status_code
    assert 2 == len(ok(graph.get("/groups", params=unequal, headers=EVENTUAL))["value"])
    assert "3" == graph.get("/groups/$count", headers=EVENTUAL).text
    assert 400 == graph.get("/groups/$count").status_code


def test_order_and_several_searches(contoso: EntraTenant, graph: httpx.Client) -> None:
    """`$orderby` sorts, searches are joined by AND and OR, and what cannot be read is refused."""
    for name in ("beta one", "Alpha one", "gamma two"):
        contoso.group(name)

    def names(**options: str) -> list[str]:
        answer = graph.get("/groups", params={f"${name}": value for name, value in options.items()}, headers=EVENTUAL)
        return [group["displayName"] for group in ok(answer)["value"]]

    assert ["Alpha one", "beta one", "gamma two"] == names(orderby="displayName")
    assert ["gamma two", "beta one", "Alpha one"] == names(orderby="displayName desc")
    assert ["Alpha one"] == names(search='"displayName:one" AND "displayName:al"')
    assert ["beta one", "Alpha one", "gamma two"] == names(search='"displayName:one" OR "displayName:two"')
    for wrong in ({"$search": "displayName:one"}, {"$filter": "displayName has 'x'"}, {"$orderby": "colour"}):
        assert 400 == graph.get("/groups", params=wrong, headers=EVENTUAL).status_code, wrong


# ── Members (8.10) ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_transitive_members_are_flat(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Nested groups are in the list themselves unless it is cast; a cycle does no harm; each is there once."""
    ada, bob = contoso.user("ada"), contoso.user("bob")
    inner = contoso.group("Inner", ada, bob)
    outer = contoso.group("Outer", ada, inner)
    contoso.do("add_members", group=inner, members=[outer])
    cast = f"/groups/{outer}/transitiveMembers/microsoft.graph.user?$select=id,userPrincipalName&$count=true&$top=999"

    flat, people = ok(graph.get(f"/groups/{outer}/transitiveMembers")), ok(graph.get(cast, headers=EVENTUAL))

    assert [ada, inner, bob] == ids(flat)
    assert [USER, "#microsoft.graph.group", USER] == [each["@odata.type"] for each in flat["value"]]
    assert 2 == people["@odata.count"]
    assert {"id": ada, "userPrincipalName": f"ada@{contoso.domain}"} == people["value"][0]
    assert [ada, inner] == ids(ok(graph.get(f"/groups/{outer}/members")))
    assert 400 == graph.get(cast).status_code


def test_members_are_counted_and_paged(contoso: EntraTenant, graph: httpx.Client) -> None:
    """`/$count` answers plain text; pages hold 100 unless `$top` says otherwise."""
    contoso.entra.do("settings", list_page=100)
    people = [contoso.user(f"person{n}") for n in range(120)]
    group = contoso.group("All", *people)

    found = pages(graph, f"/groups/{group}/members?$select=id")
    count = graph.get(f"/groups/{group}/transitiveMembers/$count", headers=EVENTUAL)

    assert [100, 20] == [len(page["value"]) for page in found]
    assert people == [each["id"] for each in items(found)]
    assert ("120", "text/plain; charset=utf-8") == (count.text, count.headers["Content-Type"])
    of_users = graph.get(f"/groups/{group}/members/microsoft.graph.user/$count", headers=EVENTUAL)
    assert "120" == of_users.text


def test_groups_of_a_user(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Direct ones, and those through others."""
    ada = contoso.user("ada")
    inner = contoso.group("Inner", ada)
    outer = contoso.group("Outer", inner)

    assert [inner] == ids(ok(graph.get(f"/users/{ada}/memberOf")))
    assert [inner, outer] == ids(ok(graph.get(f"/users/{ada}/transitiveMemberOf")))


def test_objects_by_id(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Unknown ids are left out, kinds can be chosen, and a thousand is the most."""
    ada, group = contoso.user("ada"), contoso.group("Sales")

    both = ok(graph.post("/directoryObjects/getByIds", json={"ids": [ada, "unknown", group]}))
    users = ok(graph.post("/directoryObjects/getByIds", json={"ids": [ada, group], "types": ["user"]}))

    assert [(ada, USER), (group, "#microsoft.graph.group")] == [(e["id"], e["@odata.type"]) for e in both["value"]]
    assert [ada] == ids(users)
    assert 400 == graph.post("/directoryObjects/getByIds", json={"ids": ["x"] * 1001}).status_code


def test_recycle_bin(contoso: EntraTenant, graph: httpx.Client) -> None:
    """A soft-deleted user is there under the name with the id before it; a purged one is not."""
    ada, bob = contoso.user("ada"), contoso.user("bob")
    for user in (ada, bob):
        contoso.do("delete", object=user)
    contoso.do("purge", object=bob)

    found = ok(graph.get("/directory/deletedItems/microsoft.graph.user?$select=id,userPrincipalName,deletedDateTime"))

    [deleted] = found["value"]
    assert (ada, f"{ada.replace('-', '')}ada@{contoso.domain}") == (deleted["id"], deleted["userPrincipalName"])
    assert deleted["deletedDateTime"].endswith("Z")
    assert [] == ok(graph.get("/directory/deletedItems/microsoft.graph.group"))["value"]


# ── Photos (8.12) ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_photo_and_its_metadata(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Metadata has a media etag that changes with the photo; sizes above the stored one are missing."""
    ada = contoso.user("ada")
    etag = contoso.do("set_photo", user=ada, seed="red")["etag"]

    metadata = ok(graph.get(f"/users/{ada}/photo"))
    whole, small = graph.get(f"/users/{ada}/photo/$value"), graph.get(f"/users/{ada}/photos/48x48/$value")

    assert metadata.pop("@odata.context").endswith("/photo/$entity")
    assert {
        "@odata.mediaContentType": "image/png",
        "@odata.mediaEtag": etag,
        "id": "240x240",
        "width": 240,
        "height": 240,
    } == metadata
    assert (200, "image/png", etag) == (whole.status_code, whole.headers["Content-Type"], whole.headers["ETag"])
    assert [240, 48] == [int.from_bytes(photo.content[16:20]) for photo in (whole, small)]
    assert 404 == graph.get(f"/users/{ada}/photos/648x648/$value").status_code
    assert etag != contoso.do("set_photo", user=ada, content=base64.b64encode(small.content).decode())["etag"]
    assert small.content == graph.get(f"/users/{ada}/photo/$value").content


def test_missing_photo(contoso: EntraTenant, graph: httpx.Client) -> None:
    """No photo is 404 ImageNotFound; its metadata may also be an image of one pixel, as has been seen."""
    ada = contoso.user("ada")

    assert "ImageNotFound" == error_code(graph.get(f"/users/{ada}/photo/$value"))
    assert 404 == graph.get(f"/users/{ada}/photo").status_code
    contoso.entra.do("settings", photoless="1x1")
    metadata = ok(graph.get(f"/users/{ada}/photo"))
    assert ("1x1", "image/gif", "") == tuple(
        metadata[name] for name in ("id", "@odata.mediaContentType", "@odata.mediaEtag")
    )


def test_photo_change_is_in_no_round(contoso: EntraTenant, graph: httpx.Client) -> None:
    """There is no change feed for photos."""
    ada = contoso.user("ada")
    link = ok(graph.get("/users/delta?$deltatoken=latest"))["@odata.deltaLink"]

    contoso.do("set_photo", user=ada)

    assert [] == ok(graph.get(link))["value"]


# ── Batch (8.8) ─────────────────────────────────────────────────────────────────────────────────────────────────────


def batched(graph: httpx.Client, *requests: dict[str, object]) -> dict[str, dict[str, object]]:
    answer = ok(graph.post("/$batch", json={"requests": list(requests)}))
    return {response["id"]: response for response in answer["responses"]}


def test_batch_answers_each_part(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Binary bodies are base64, failed parts do not fail the whole, and who depends on one gets 424."""
    ada = contoso.user("ada")
    contoso.do("set_photo", user=ada, seed="red")

    parts = batched(
        graph,
        {"id": "photo", "method": "GET", "url": f"/users/{ada}/photo/$value"},
        {"id": "nobody", "method": "GET", "url": "/users/nobody"},
        {"id": "after", "method": "GET", "url": f"/users/{ada}", "dependsOn": ["nobody"]},
        {"id": "ids", "method": "POST", "url": "/directoryObjects/getByIds", "body": {"ids": [ada]}},
        {"id": "again", "method": "POST", "url": "/$batch", "body": {"requests": []}},
    )

    statuses = {"photo": 200, "nobody": 404, "after": 424, "ids": 200, "again": 400}
    assert statuses == {key: part["status"] for key, part in parts.items()}
    assert base64.b64decode(str(parts["photo"]["body"])).startswith(b"\x89PNG")


def test_batch_is_throttled_part_by_part(contoso: EntraTenant, graph: httpx.Client) -> None:
    """A part may get 429 with its own Retry-After while the whole is 200."""
    ada = contoso.user("ada")
    contoso.entra.do("fault", kind="throttle", path=f"^/users/{ada}/photo", retry_after=1)
    contoso.entra.do("fault", kind="part", status=504, path="^/users/nobody")

    parts = batched(
        graph,
        {"id": "1", "method": "GET", "url": f"/users/{ada}/photo"},
        {"id": "2", "method": "GET", "url": "/users/nobody"},
        {"id": "3", "method": "GET", "url": f"/users/{ada}"},
    )

    assert {"1": 429, "2": 504, "3": 200} == {key: part["status"] for key, part in parts.items()}
    headers = parts["1"]["headers"]
    assert isinstance(headers, dict)
    assert "1" == headers["Retry-After"]
    assert 429 == graph.get("/users").status_code


def test_batch_takes_twenty(graph: httpx.Client) -> None:
    """Twenty-one are refused as a whole, and so is none."""
    part = {"method": "GET", "url": "/users"}

    assert 200 == graph.post("/$batch", json={"requests": [{**part, "id": str(n)} for n in range(20)]}).status_code
    assert 400 == graph.post("/$batch", json={"requests": [{**part, "id": str(n)} for n in range(21)]}).status_code
    assert 400 == graph.post("/$batch", json={"requests": []}).status_code
    assert 400 == graph.post("/$batch", content=b"no json").status_code


# ── Permissions (8.9) and costs (8.7) ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("granted", "allowed", "denied"),
    [
        (["User.Read.All"], ["/users", "/users/delta", "/users/{ada}/manager"], ["/groups", "/groups/delta"]),
        (["GroupMember.Read.All"], ["/groups", "/groups/delta", "/groups/{sales}/members"], ["/users", "/users/delta"]),
        (["User.Read.All", "Group.Read.All"], ["/users", "/groups/delta"], ["/organization"]),
        (["Organization.Read.All"], ["/organization"], ["/users", "/groups"]),
        (["Directory.Read.All"], ["/users", "/groups/delta", "/organization"], []),
        ([], [], ["/users", "/groups", "/organization", "/users/{ada}/photo"]),
    ],
)
def test_permissions(contoso: EntraTenant, granted: list[str], allowed: list[str], denied: list[str]) -> None:
    """A missing permission is 403 Authorization_RequestDenied."""
    boss = contoso.user("boss")
    known = {"ada": contoso.user("ada", manager=boss), "sales": contoso.group("Sales")}
    contoso.do("grant_consent", client_id=contoso.entra.client_id, permissions=granted)

    with contoso.graph() as graph:
        for address in allowed:
            assert 200 == graph.get(address.format(**known)).status_code, address
        for address in denied:
            answer = graph.get(address.format(**known))
            assert (403, "Authorization_RequestDenied") == (answer.status_code, error_code(answer)), address


def test_who_may_not_read_a_kind_sees_its_ids(contoso: EntraTenant) -> None:
    """Members of a kind that the token may not read come back with type and id, and null for the rest."""
    ada = contoso.user("ada", displayName="Ada")
    group = contoso.group("Sales", ada)
    contoso.do("grant_consent", client_id=contoso.entra.client_id, permissions=["GroupMember.Read.All"])

    with contoso.graph() as graph:
        [member] = ok(graph.get(f"/groups/{group}/members?$select=id,displayName"))["value"]

    assert {"@odata.type": USER, "id": ada, "displayName": None} == member


def test_organization_tells_the_tenant(contoso: EntraTenant) -> None:
    """The tenant's id and domains."""
    contoso.do("grant_consent", client_id=contoso.entra.client_id, permissions=["Organization.Read.All"])

    with contoso.graph() as graph:
        [organization] = ok(graph.get("/organization"))["value"]

    assert (contoso.id, contoso.domain) == (organization["id"], organization["verifiedDomains"][0]["name"])


@pytest.mark.parametrize(
    ("address", "units"),
    [
        ("/users", 2),
        ("/users?$select=id", 1),
        ("/users?$top=5", 1),
        ("/users?$top=50", 2),
        ("/users/delta", 1),
        ("/groups/none/members", 3),
        ("/groups/none/transitiveMembers?$select=id&$top=5", 3),
        ("/users/none?$expand=manager", 2),
    ],
)
def test_costs_are_told(graph: httpx.Client, address: str, units: int) -> None:
    """`x-ms-resource-unit` says what a request cost."""
    assert str(units) == graph.get(address).headers["x-ms-resource-unit"]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"Authorization": ""}, "empty"),
        ({"Authorization": "Bearer x.y"}, "validation failure"),
        ({"Authorization": "Basic eDp5"}, "empty"),
    ],
)
def test_wrong_token_is_refused(graph: httpx.Client, header: dict[str, str], message: str) -> None:
    """401 InvalidAuthenticationToken with a challenge."""
    answer = graph.get("/users", headers=header)

    assert (401, "InvalidAuthenticationToken") == (answer.status_code, error_code(answer))
    assert message in answer.json()["error"]["message"]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_token_for_another_audience_is_refused(contoso: EntraTenant) -> None:
    """A token of the provisioning service is none for Graph, nor is one that has expired."""
    foreign = contoso.do("mint_token")["token"]
    expired = contoso.do("mint_token", claims={"aud": contoso.entra.url, "exp": 1})["token"]

    with contoso.entra.graph(token=foreign) as graph:
        assert "audience" in graph.get("/users").json()["error"]["message"]
    with contoso.entra.graph(token=expired) as graph:
        assert "expired" in graph.get("/users").json()["error"]["message"]
    contoso.entra.do("settings", token_seconds=60)
    assert 60 == ok(contoso.entra.token(contoso.id))["expires_in"]


def test_unknown_path_is_refused_in_graphs_form(graph: httpx.Client) -> None:
    """A path that this simulator does not know says so."""
    answer = graph.get("/planets")

    assert (400, "BadRequest") == (answer.status_code, error_code(answer))
