"""Delta rounds, shape by shape as the fact sheet has them in 8.2 to 8.6."""

from __future__ import annotations

import httpx

from tests.runtime.simulator.rounds import DELTA, NEXT, Mirror, error_code, items, latest, ok, pages, read
from tests.simulator import EntraTenant

USER = "#microsoft.graph.user"

# ── The loop (8.2) ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_first_round_ends_in_a_delta_link(contoso: EntraTenant, graph: httpx.Client) -> None:
    """The last page of the first round has the literal form of 8.2."""
    lidia = contoso.user("lidia", displayName="Lidia Holloway", givenName="Lidia", surname="Holloway")

    page = ok(graph.get("/users/delta?$select=displayName,givenName,surname"))

    link = page.pop(DELTA)
    assert link.startswith(f"{contoso.entra.url}/v1.0/users/delta?$deltatoken=")
    assert {
        "@odata.context": f"{contoso.entra.url}/v1.0/$metadata#users",
        "value": [{"displayName": "Lidia Holloway", "givenName": "Lidia", "surname": "Holloway", "id": lidia}],
    } == page


def test_round_without_changes_is_empty_and_has_a_new_link(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Nothing changed: `value` is empty, and the deltaLink goes on working."""
    contoso.user("lidia")
    _, link = read(graph, "/users/delta")

    page = ok(graph.get(link))

    assert [] == page["value"]
    assert [] == ok(graph.get(page[DELTA]))["value"]


def test_pages_are_cut_and_end_once(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Every page but the last has a nextLink, only the last one a deltaLink; everybody is there once."""
    contoso.entra.do("settings", delta_page=3)
    people = {contoso.user(f"person{n}") for n in range(8)}

    found = pages(graph, "/users/delta?$select=id")

    assert [3, 3, 2] == [len(page["value"]) for page in found]
    assert [(True, False), (True, False), (False, True)] == [(NEXT in page, DELTA in page) for page in found]
    assert sorted(people) == sorted(item["id"] for item in items(found))


def test_page_can_be_read_again(contoso: EntraTenant, graph: httpx.Client) -> None:
    """A client that lost an answer asks for the same page again."""
    contoso.entra.do("settings", delta_page=1)
    for n in range(3):
        contoso.user(f"person{n}")
    first = ok(graph.get("/users/delta"))

    assert ok(graph.get(first[NEXT])) == ok(graph.get(first[NEXT]))


def test_latest_gives_only_a_link(contoso: EntraTenant, graph: httpx.Client) -> None:
    """`$deltatoken=latest` skips what is there; what comes after is told."""
    contoso.user("old")

    page = ok(graph.get("/users/delta?$select=displayName&$deltatoken=latest"))
    new = contoso.user("new", displayName="New")

    assert [] == page["value"]
    assert [{"displayName": "New", "id": new}] == ok(graph.get(page[DELTA]))["value"]


def test_change_in_the_middle_of_a_round_is_not_lost(contoso: EntraTenant, graph: httpx.Client) -> None:
    """What changes after its page was read comes in the next round."""
    contoso.entra.do("settings", delta_page=1)
    first, second = contoso.user("first"), contoso.user("second")
    page = ok(graph.get("/users/delta?$select=jobTitle"))
    contoso.do("change_user", user=first, jobTitle="Guide")

    rest, link = read(graph, page[NEXT])

    assert [{"id": second}] == rest
    assert [{"id": first, "jobTitle": "Guide"}] == ok(graph.get(link))["value"]


# ── Options (8.3) ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_change_of_what_is_not_selected_does_not_show(contoso: EntraTenant, graph: httpx.Client) -> None:
    """An object whose only change is in another property is not in the round; without `$select` all are tracked."""
    ada = contoso.user("ada", department="Tours")
    narrow, wide = latest(graph, "/users/delta?$select=displayName"), latest(graph, "/users/delta")
    contoso.do("change_user", user=ada, department="Sales")

    assert [] == ok(graph.get(narrow))["value"]
    [item] = ok(graph.get(wide))["value"]
    assert ada == item["id"]
    assert "department" not in item


def test_default_rendering_shows_unchanged_and_cleared_but_not_unset(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Without `Prefer`: changed and unchanged properties, null for a cleared one, nothing for one never set."""
    ada = contoso.user("ada", displayName="Ada", department="Tours", jobTitle="Guide")
    _, link = read(graph, "/users/delta?$select=displayName,department,jobTitle,faxNumber")
    contoso.do("clear_attribute", user=ada, name="department")

    [item] = ok(graph.get(link))["value"]

    assert {"id": ada, "displayName": "Ada", "department": None, "jobTitle": "Guide"} == item


def test_minimal_rendering_shows_only_changes(contoso: EntraTenant, graph: httpx.Client) -> None:
    """With `Prefer: return=minimal` only changed properties come; the same objects appear."""
    ada = contoso.user("ada", displayName="Ada", department="Tours", jobTitle="Guide")
    _, link = read(graph, "/users/delta?$select=displayName,department,jobTitle,faxNumber")
    contoso.do("change_user", user=ada, department=None, jobTitle="Lead")

    [item] = ok(graph.get(link, headers={"Prefer": "return=minimal"}))["value"]

    assert {"id": ada, "department": None, "jobTitle": "Lead"} == item


def test_filter_takes_ids_only(contoso: EntraTenant, graph: httpx.Client) -> None:
    """`$filter` names up to 50 objects, and the token remembers them."""
    ada, bob, eve = (contoso.user(name) for name in ("ada", "bob", "eve"))

    found, link = read(graph, f"/users/delta?$select=jobTitle&$filter=id eq '{ada}' or id eq '{bob}'")
    for user in (ada, eve):
        contoso.do("change_user", user=user, jobTitle="Guide")

    assert {ada, bob} == {item["id"] for item in found}
    assert [{"id": ada, "jobTitle": "Guide"}] == ok(graph.get(link))["value"]
    assert 400 == graph.get("/users/delta?$filter=displayName eq 'x'").status_code
    many = " or ".join(f"id eq '{n}'" for n in range(51))
    assert 400 == graph.get(f"/users/delta?$filter={many}").status_code


def test_other_options_are_refused(contoso: EntraTenant, graph: httpx.Client) -> None:
    """`$top`, `$expand` and the like are not taken, and none can be added to a token."""
    for option in ("$top=5", "$expand=members", "$orderby=displayName", "$count=true", '$search="displayName:a"'):
        assert 400 == graph.get(f"/groups/delta?{option}").status_code, option
    assert "Request_BadRequest" == error_code(graph.get(latest(graph, "/users/delta") + "&$select=mail"))
    assert 400 == graph.get("/users/delta?$select=shoeSize").status_code


# ── Object forms (8.4) ──────────────────────────────────────────────────────────────────────────────────────────────


def test_soft_deleted_restored_and_purged_user(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Soft-deleted: reason `changed`; restored: a whole entry without annotation; purged: reason `deleted`."""
    ada = contoso.user("ada", displayName="Ada", jobTitle="Guide")
    _, link = read(graph, "/users/delta?$select=displayName,jobTitle")

    contoso.do("delete", object=ada)
    deleted, link = read(graph, link)
    contoso.do("restore", object=ada)
    restored, link = read(graph, link, Prefer="return=minimal")
    contoso.do("delete", object=ada)
    contoso.do("purge", object=ada)
    purged, _ = read(graph, link)

    assert [{"id": ada, "@removed": {"reason": "changed"}}] == deleted
    assert [{"id": ada, "displayName": "Ada", "jobTitle": "Guide"}] == restored
    assert [{"id": ada, "@removed": {"reason": "deleted"}}] == purged


def test_first_round_may_hold_removed_objects(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Whether it does is a setting: the documents say that it may."""
    ada = contoso.user("ada")
    contoso.do("delete", object=ada)

    without, _ = read(graph, "/users/delta")
    contoso.entra.do("settings", removed_in_first_round=True)
    held, _ = read(graph, "/users/delta")

    assert [] == without
    assert [{"id": ada, "@removed": {"reason": "changed"}}] == held


def test_manager_comes_as_a_relation(contoso: EntraTenant, graph: httpx.Client) -> None:
    """`manager@delta` names the manager; a change gives the old one as removed and the new one."""
    old, new = contoso.user("old"), contoso.user("new")
    ada = contoso.user("ada", manager=old)
    first, link = read(graph, "/users/delta?$select=manager")
    contoso.do("set_manager", user=ada, manager=new)

    [changed] = ok(graph.get(link))["value"]

    assert {"id": ada, "manager@delta": [{"@odata.type": USER, "id": old}]} in first
    removed = {"@odata.type": USER, "id": old, "@removed": {"reason": "deleted"}}
    added = {"@odata.type": USER, "id": new}
    assert {"id": ada, "manager@delta": [removed, added]} == changed


def test_group_with_membership_changes(contoso: EntraTenant, graph: httpx.Client) -> None:
    """The literal form of a group whose members changed: one removed, one added."""
    ada, bob = contoso.user("ada"), contoso.user("bob")
    group = contoso.group("TestGroup3", ada, description="A test group for change tracking")
    link = latest(graph, "/groups/delta?$select=displayName,description,members")
    contoso.do("remove_members", group=group, members=[ada])
    contoso.do("add_members", group=group, members=[bob])

    page = ok(graph.get(link))

    assert page.pop(DELTA)
    assert {
        "@odata.context": f"{contoso.entra.url}/v1.0/$metadata#groups",
        "value": [
            {
                "displayName": "TestGroup3",
                "description": "A test group for change tracking",
                "id": group,
                "members@delta": [
                    {"@odata.type": USER, "id": ada, "@removed": {"reason": "deleted"}},
                    {"@odata.type": USER, "id": bob},
                ],
            }
        ],
    } == page


def test_members_are_told_only_when_selected(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Without `$select` groups tell their members, with one only if it names them; a group without any tells none."""
    group, empty = contoso.group("Sales", contoso.user("ada")), contoso.group("Empty")

    everything, _ = read(graph, "/groups/delta")
    names, link = read(graph, "/groups/delta?$select=displayName")
    contoso.do("add_members", group=group, members=[contoso.user("bob")])

    assert {group: True, empty: False} == {item["id"]: "members@delta" in item for item in everything}
    assert not any("members@delta" in item for item in names)
    assert [] == ok(graph.get(link))["value"]


def test_members_of_other_kinds(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Groups, devices, contacts and service principals are members too, and say what they are."""
    kinds = ("device", "orgContact", "servicePrincipal")
    others = {contoso.do("create_object", kind=kind, name=kind)["id"]: kind for kind in kinds}
    inner = contoso.group("Inner")
    outer = contoso.group("Outer", inner, *others)

    found, _ = read(graph, "/groups/delta?$select=members")

    [told] = [item["members@delta"] for item in found if item["id"] == outer]
    expected = {inner: "#microsoft.graph.group"} | {key: f"#microsoft.graph.{kind}" for key, kind in others.items()}
    assert expected == {member["id"]: member["@odata.type"] for member in told}


def test_large_group_is_sliced_over_pages(contoso: EntraTenant, graph: httpx.Client) -> None:
    """The same group comes on several pages with different members, removed ones among them, and with its name."""
    contoso.entra.do("settings", members_page=4)
    people = [contoso.user(f"person{n}") for n in range(10)]
    group = contoso.group("Large", *people)
    first = pages(graph, "/groups/delta?$select=displayName,members")
    contoso.do("remove_members", group=group, members=people[:6])

    later = pages(graph, first[-1][DELTA])

    assert [4, 4, 2] == [len(item["members@delta"]) for item in items(first)]
    assert {("Large", group)} == {(item["displayName"], item["id"]) for item in items(first)}
    removed = [each["id"] for item in items(later) for each in item["members@delta"] if "@removed" in each]
    assert 2 == len(items(later))
    assert people[:6] == removed


def test_soft_deleted_members_stay_and_purged_ones_are_not_reported(contoso: EntraTenant, graph: httpx.Client) -> None:
    """The groups' rounds say nothing of a member's deletion, not even of a permanent one, unless it is set."""
    ada, bob = contoso.user("ada"), contoso.user("bob")
    group = contoso.group("Sales", ada, bob)
    _, link = read(graph, "/groups/delta?$select=displayName,members")

    contoso.do("delete", object=ada)
    assert [] == ok(graph.get(link))["value"]
    assert [bob] == [each["id"] for each in ok(graph.get(f"/groups/{group}/members"))["value"]]
    contoso.do("purge", object=ada)
    assert [] == ok(graph.get(link))["value"]
    contoso.entra.do("settings", purge_reports_members=True)
    contoso.do("purge", object=bob)

    [item] = ok(graph.get(link))["value"]
    assert [{"@odata.type": USER, "id": bob, "@removed": {"reason": "deleted"}}] == item["members@delta"]


def test_restored_user_is_in_their_groups_again(contoso: EntraTenant, graph: httpx.Client) -> None:
    """The membership was kept; whether the group's round mentions it is a setting."""
    ada = contoso.user("ada")
    group = contoso.group("Sales", ada)
    contoso.do("delete", object=ada)
    first, link = read(graph, "/groups/delta?$select=members")

    contoso.do("restore", object=ada)

    assert [{"id": group}] == first
    assert [] == ok(graph.get(link))["value"]
    assert [ada] == [each["id"] for each in ok(graph.get(f"/groups/{group}/members"))["value"]]
    contoso.entra.do("settings", restore_reports_members=True)
    contoso.do("delete", object=ada)
    contoso.do("restore", object=ada)
    [item] = ok(graph.get(link))["value"]
    assert [{"@odata.type": USER, "id": ada}] == item["members@delta"]


def test_security_group_is_gone_at_once_and_a_unified_one_is_not(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Only Microsoft 365 groups go to the recycle bin."""
    security, unified = contoso.group("Security"), contoso.group("Team", groupTypes=["Unified"])
    link = latest(graph, "/groups/delta")

    for group in (security, unified):
        contoso.do("delete", object=group)

    told = {item["id"]: item["@removed"]["reason"] for item in ok(graph.get(link))["value"]}
    assert {security: "deleted", unified: "changed"} == told


# ── Order (8.5) and the whole ───────────────────────────────────────────────────────────────────────────────────────


def test_shuffled_slices_add_up_to_the_directory(contoso: EntraTenant, graph: httpx.Client) -> None:
    """In any order, with slices of a group far apart, a round still tells everything once."""
    contoso.entra.do("settings", delta_page=3, members_page=5, shuffle=True)
    people = [contoso.user(f"person{n}") for n in range(20)]
    for n in range(6):
        contoso.group(f"Group {n}", *people[n : n + 12])
    mirror = Mirror()

    found, link = read(graph, "/groups/delta?$select=displayName,members")
    for item in found:
        mirror.take(item)
    for seed in range(5):
        contoso.do("churn", count=30, seed=seed)
        found, link = read(graph, link)
        for item in found:
            mirror.take(item)

    truth = contoso.truth()
    gone = set(truth["gone"]) | {entry["id"] for entry in truth["deleted"]}
    expected = {group["id"]: {member["id"] for member in group["members"]} for group in truth["groups"]}
    # What a purge takes away is told by the users' round alone.
    assert expected == {key: members - gone for key, members in mirror.members.items()}
    assert {group["id"]: group["displayName"] for group in truth["groups"]} == mirror.names


# ── Tokens (8.6) ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_old_delta_token_is_expired(contoso: EntraTenant, graph: httpx.Client) -> None:
    """After seven days the token answers 400 syncStateNotFound, in Graph's form of an error."""
    link = latest(graph, "/users/delta")
    contoso.entra.do("advance_clock", seconds=6 * 86400)
    assert 200 == graph.get(link).status_code
    contoso.entra.do("advance_clock", seconds=2 * 86400)

    answer = graph.get(link, headers={"client-request-id": "mine"})

    assert 400 == answer.status_code
    error = answer.json()["error"]
    inner = error.pop("innerError")
    assert {
        "code": "syncStateNotFound",
        "message": "The sync state generation is not found. The delta token is expired and data must be "
        "synchronized again.",
    } == error
    assert {"date", "request-id", "client-request-id"} == set(inner)
    assert "mine" == inner["client-request-id"]


def test_tokens_can_be_expired_at_will(contoso: EntraTenant, graph: httpx.Client) -> None:
    """All delta tokens at once; with `rounds` those in the middle of a round too."""
    contoso.entra.do("settings", delta_page=1)
    for n in range(3):
        contoso.user(f"person{n}")
    link, page = latest(graph, "/users/delta"), ok(graph.get("/users/delta"))

    contoso.entra.do("expire_delta_tokens")
    assert "syncStateNotFound" == error_code(graph.get(link))
    assert 200 == graph.get(page[NEXT]).status_code
    contoso.entra.do("expire_delta_tokens", rounds=True)
    assert "Directory_ExpiredPageToken" == error_code(graph.get(page[NEXT]))


def test_reset_by_410_leads_to_a_full_round(contoso: EntraTenant, graph: httpx.Client) -> None:
    """410 has a Location with an empty delta token; a full round begins there."""
    ada = contoso.user("ada", displayName="Ada")
    link = latest(graph, "/users/delta?$select=displayName")
    contoso.entra.do("fault", kind="gone")

    answer = graph.get(link)

    assert 410 == answer.status_code
    assert f"{contoso.entra.url}/v1.0/users/delta?$deltatoken=&$select=displayName" == answer.headers["Location"]
    assert [{"displayName": "Ada", "id": ada}] == ok(graph.get(answer.headers["Location"]))["value"]


def test_tokens_are_bound_to_tenant_and_resource(contoso: EntraTenant, graph: httpx.Client) -> None:
    """A token says nothing to another tenant, nor to another collection; a made-up one is expired."""
    link = latest(graph, "/users/delta")

    with contoso.entra.new_tenant().graph() as other:
        assert "syncStateNotFound" == error_code(other.get(link))
    assert 400 == graph.get(link.replace("/users/", "/groups/")).status_code
    assert "syncStateNotFound" == error_code(graph.get("/users/delta?$deltatoken=nonsense"))
    assert "Directory_ExpiredPageToken" == error_code(graph.get("/users/delta?$skiptoken=nonsense"))


def test_tokens_can_be_long(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Links of several kilobytes are real; they work as short ones do."""
    contoso.entra.do("settings", token_padding=6000)
    contoso.user("ada")

    found, link = read(graph, "/users/delta")

    assert 1 == len(found)
    assert len(link) > 6000
    assert [] == ok(graph.get(link))["value"]
