"""Many clients at once on the same objects: what is stored afterwards is what all of them said, and nothing else.

On PostgreSQL the clients are spread over two server processes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.builders import ENTERPRISE_USER, a_group, a_user, create_group, create_user, patch
from tests.processes import Customer, Job, new_customer, together

if TYPE_CHECKING:
    from tests.conftest import Server

CLIENTS = 64
BULK_REQUEST = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
# Attributes of one value each that clients can own; the others own a value path.
SINGLE = [
    *("displayName", "nickName", "title", "userType", "preferredLanguage", "locale", "timezone", "profileUrl"),
    *("name.givenName", "name.familyName", "name.middleName", "name.honorificPrefix", "name.honorificSuffix"),
    *(f"{ENTERPRISE_USER}:{name}" for name in ("department", "costCenter", "division", "organization")),
]


# ── Everything at once ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("processes", ["one process", "all processes"])
def test_64_clients_on_one_group_and_the_same_users(doors: list[str], customer: Customer, processes: str) -> None:
    """Each client owns members of one group and an attribute of all shared users; nothing of anyone is lost."""
    if processes == "one process":
        doors = doors[:1]
    elif len(doors) == 1:
        pytest.skip("SQLite is served by one process")
    run_64_clients(doors, customer, rounds=2, shared_users=2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_64_clients_for_long(doors: list[str], customer: Customer) -> None:
    """The same with twenty-five rounds of changes."""
    run_64_clients(doors, customer, rounds=25, shared_users=4)


def run_64_clients(doors: list[str], customer: Customer, *, rounds: int, shared_users: int) -> None:
    with customer.client(doors[0]) as scim:
        shared = [create_user(scim, n)["id"] for n in range(shared_users)]
        group = create_group(scim, "Everybody")["id"]
        other = create_group(scim, "Shared")["id"]

    def job(client_number: int) -> Job[list[str]]:
        return lambda client: one_client(client, client_number, group, other, shared, rounds)

    owned = together(doors, customer, [job(number) for number in range(CLIENTS)])

    with customer.client(doors[-1]) as scim:
        # Of its three users a client leaves the first in the group, takes the second out, and deletes the third.
        staying = sorted(ids[0] for ids in owned)
        assert staying == members_of(scim, group)
        assert sorted(shared[:1]) == members_of(scim, other)
        # 1 for the create; per client and round: 3 adds, 2 removes (1 in the first round) and the delete of a member.
        assert 1 + CLIENTS * (6 * rounds - 1) == version_of(scim.get(f"Groups/{group}"))
        assert 2 == version_of(scim.get(f"Groups/{other}"))
        users = everyone(scim)
        assert sorted([*shared, *(member for ids in owned for member in ids)]) == sorted(users)
        for ids in owned:
            assert [group] == groups_of(users[ids[0]])
            assert [] == groups_of(users[ids[1]])
        for user_id in shared:
            answer = scim.get(f"Users/{user_id}")
            assert users[user_id] == answer.json()
            assert 1 + CLIENTS * rounds == version_of(answer)
            for number in range(CLIENTS):
                assert mark(number, rounds - 1) == read_mark(answer.json(), number)
            # What nobody owns is as it was created.
            expected = a_user(shared.index(user_id))
            assert expected["addresses"] == answer.json()["addresses"]
            assert expected["emails"] == [each for each in answer.json()["emails"] if each["type"] == "work"]


async def one_client(
    client: httpx.AsyncClient, number: int, group: str, other: str, shared: Sequence[str], rounds: int
) -> list[str]:
    """Do what one client does, checking each answer; give the two users that it leaves behind."""
    ids = [(await create(client, 1000 + 10 * number + k))["id"] for k in range(2)]
    path = f"Groups/{group}"
    for turn in range(rounds):
        if turn:
            await change(client, path, remove_member(ids[0]))
        passing = (await create(client, 1000 + 10 * number + 5))["id"]
        await change(client, path, add_members([ids[0]]))
        await change(client, path, add_members([ids[1], ids[0]]))
        for user_id in [*shared[number % len(shared) :], *shared[: number % len(shared)]]:
            body = patch(set_mark(number, turn))
            answer = await client.patch(f"Users/{user_id}", json=body)
            assert 200 == answer.status_code, answer.text
            assert mark(number, turn) == read_mark(answer.json(), number)
            # Said twice, it is no change.
            again = await client.patch(f"Users/{user_id}", json=body)
            assert 200 == again.status_code, again.text
        await change(client, path, remove_member(ids[1]))
        await change(client, path, remove_member(ids[1]))
        await change(client, path, add_members([passing, ids[0]]))
        # All put the same person in and take the same others out.
        await change(client, f"Groups/{other}", add_members(shared[:1]))
        await change(client, f"Groups/{other}", remove_member(shared[-1]))
        deleted = await client.delete(f"Users/{passing}")
        assert 204 == deleted.status_code, deleted.text
    return ids


# ── One group, hundreds of requests ─────────────────────────────────────────────────────────────────────────────────


def test_hundreds_of_single_member_patches_lose_nothing(doors: list[str], customer: Customer) -> None:
    """Entra patches one member a request: 300 in parallel are 300 members and 300 versions, and back again."""
    with customer.client(doors[0]) as scim:
        people = create_in_bulk(scim, range(300))
        group = create_group(scim, "Design")["id"]
    path = f"Groups/{group}"

    together(doors, customer, in_shares(lambda person: (path, add_members([person])), people))

    with customer.client(doors[-1]) as scim:
        assert sorted(people) == members_of(scim, group)
        assert 301 == version_of(scim.get(path))

    together(doors, customer, in_shares(lambda person: (path, remove_member(person)), people[:200]))

    with customer.client(doors[-1]) as scim:
        assert sorted(people[200:]) == members_of(scim, group)
        assert 501 == version_of(scim.get(path))
        users = everyone(scim)
        assert sorted(people[200:]) == sorted(key for key, user in users.items() if groups_of(user))


def test_renames_and_members_at_once_on_one_group(doors: list[str], customer: Customer) -> None:
    """A rename keeps the members that come meanwhile, and members keep the last name."""
    with customer.client(doors[0]) as scim:
        people = create_in_bulk(scim, range(60))
        group = create_group(scim, "Name 0")["id"]
    path = f"Groups/{group}"
    names = [f"Name {n}" for n in range(1, 31)]

    def step(what: str) -> tuple[str, dict[str, Any]]:
        if what.startswith("Name"):
            return path, {"op": "Replace", "path": "displayName", "value": what}
        return path, add_members([what])

    mixed = [what for pair in zip(people[::2], people[1::2], names, strict=True) for what in pair]
    together(doors, customer, in_shares(step, mixed, clients=30))

    with customer.client(doors[-1]) as scim:
        answer = scim.get(path)
        assert sorted(people) == members_of(scim, group)
        assert answer.json()["displayName"] in names
        assert 1 + len(mixed) == version_of(answer)
        shown = {user["groups"][0]["display"] for user in everyone(scim).values()}
        assert {answer.json()["displayName"]} == shown


# ── One name for many ───────────────────────────────────────────────────────────────────────────────────────────────


def test_parallel_creates_of_one_user_name(doors: list[str], customer: Customer) -> None:
    """One of 32 creates of a userName, in whatever case, is 201; the others are 409 and leave nothing."""
    bodies = [
        a_user(1, userName=name, nickName=f"nick{n}")
        for n, name in enumerate(["Anna.Ä@contoso.com", "anna.ä@CONTOSO.com"] * 16)
    ]

    answers = together(doors, customer, [posting("Users", body) for body in bodies])

    assert Counter({409: 31, 201: 1}) == Counter(answer.status_code for answer in answers)
    assert {"uniqueness"} == {answer.json()["scimType"] for answer in answers if answer.status_code == 409}
    winner = next(answer.json() for answer in answers if answer.status_code == 201)
    with customer.client(doors[-1]) as scim:
        assert {winner["id"]: winner} == everyone(scim)
        found = [
            scim.get("Users", params={"filter": f'nickName eq "nick{n}"'}).json()["totalResults"] for n in range(32)
        ]
        assert 1 == sum(found)


def test_parallel_changes_to_one_user_name(doors: list[str], customer: Customer) -> None:
    """Of many users that are to take one new userName at once, one has it."""
    with customer.client(doors[0]) as scim:
        people = create_in_bulk(scim, range(16))
    wanted = {"op": "Replace", "path": "userName", "value": "wanted@contoso.com"}

    answers = together(doors, customer, [patching(f"Users/{person}", wanted) for person in people])

    assert Counter({409: 15, 200: 1}) == Counter(answer.status_code for answer in answers)
    with customer.client(doors[-1]) as scim:
        names = Counter(user["userName"] for user in everyone(scim).values())
        assert 1 == names["wanted@contoso.com"]
        assert 16 == len(names)


GUID_ONE = "7c5b6c3e-7a0e-4d0b-9d5c-1f3d0a1b2c3d"


@pytest.mark.parametrize(
    ("external_ids", "made"),
    [
        pytest.param([None] * 12, 1, id="without externalId"),
        pytest.param([GUID_ONE, GUID_ONE.upper()] * 6, 1, id="one externalId"),
        pytest.param(["first"] * 12, 1, id="one externalId that is no GUID"),
        pytest.param([str(uuid.UUID(int=n + 1)) for n in range(12)], 12, id="different externalIds"),
    ],
)
def test_parallel_creates_of_one_group_name(
    doors: list[str], customer: Customer, external_ids: list[str | None], made: int
) -> None:
    """Groups of one displayName are made only as far as their externalIds tell them apart."""
    bodies = [a_group("Same", externalId=each) for each in external_ids]

    answers = together(doors, customer, [posting("Groups", body) for body in bodies])

    expected = Counter({201: made}) + Counter({409: len(bodies) - made})
    assert expected == Counter(answer.status_code for answer in answers)
    with customer.client(doors[-1]) as scim:
        listed = scim.get("Groups").json()
        assert made == listed["totalResults"] == len(listed["Resources"])


def test_parallel_creates_of_a_group_name_with_and_without_external_id(doors: list[str], customer: Customer) -> None:
    """A group without externalId never stands beside one of the same name."""
    bodies = [a_group(f"Pair {n}", externalId=each) for n in range(12) for each in (str(uuid.uuid4()), None)]

    answers = together(doors, customer, [posting("Groups", body) for body in bodies])

    for n in range(12):
        assert [201, 409] == sorted(answer.status_code for answer in answers[2 * n : 2 * n + 2])


def test_parallel_renames_to_one_group_name(doors: list[str], customer: Customer) -> None:
    """Of many groups without externalId that are to take one name at once, one has it."""
    with customer.client(doors[0]) as scim:
        groups = [create_group(scim, f"Old {n}", externalId=None)["id"] for n in range(12)]
    wanted = {"op": "Replace", "path": "displayName", "value": "Wanted"}

    answers = together(doors, customer, [patching(f"Groups/{group}", wanted) for group in groups])

    assert Counter({409: 11, 204: 1}) == Counter(answer.status_code for answer in answers)


# ── Deletes in between ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("collection", ["Users", "Groups"])
def test_deletes_of_members_and_adds_of_them_at_once(doors: list[str], customer: Customer, collection: str) -> None:
    """Who is deleted while others put it into groups leaves no orphan, and every change counts once."""
    run_deletes_against_adds(doors, customer, collection, count=24)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("collection", ["Users", "Groups"])
def test_deletes_of_members_and_adds_of_them_for_long(doors: list[str], server: Server, collection: str) -> None:
    """The same twenty times."""
    for _ in range(20):
        run_deletes_against_adds(doors, new_customer(server.database_url), collection, count=60)


def run_deletes_against_adds(doors: list[str], customer: Customer, collection: str, *, count: int) -> None:
    with customer.client(doors[0]) as scim:
        if collection == "Users":
            passing = create_in_bulk(scim, range(count))
        else:
            passing = [create_group(scim, f"Member {n}")["id"] for n in range(count)]
        groups = [create_group(scim, f"Group {n}")["id"] for n in range(3)]

    def lane(share: Sequence[str]) -> Job[Counter[str]]:
        async def job(client: httpx.AsyncClient) -> Counter[str]:
            added: Counter[str] = Counter()
            for at, member in enumerate(share):
                requests = [client.patch(f"Groups/{group}", json=patch(add_members([member]))) for group in groups]
                # The delete starts first, last, and in between.
                requests.insert(at % (len(groups) + 1), client.delete(f"{collection}/{member}"))
                answers = await asyncio.gather(*requests)
                for answer in answers:
                    # Members that do not exist are refused as a value (400); nobody else is at fault.
                    assert answer.status_code in (204, 400), answer.text
                    if answer.is_success and answer.request.method == "PATCH":
                        added[answer.url.path.rpartition("/")[2]] += 1
            return added

        return job

    lanes = together(doors, customer, [lane(passing[at::4]) for at in range(4)])

    added = sum(lanes, Counter())
    with customer.client(doors[-1]) as scim:
        assert {} == everyone(scim)
        assert sorted(groups) == sorted(group["id"] for group in scim.get("Groups").json()["Resources"])
        for group in groups:
            assert [] == members_of(scim, group)
            # Whoever came in also left: one version each.
            assert 1 + 2 * added[group] == version_of(scim.get(f"Groups/{group}"))


def test_delete_of_a_group_and_adds_to_it_at_once(doors: list[str], customer: Customer) -> None:
    """A group that is deleted while members come is gone with all of them; the late ones are told 404."""
    with customer.client(doors[0]) as scim:
        people = create_in_bulk(scim, range(16))
        groups = [create_group(scim, f"Group {n}")["id"] for n in range(8)]

    def adds(person: str) -> Job[None]:
        async def job(client: httpx.AsyncClient) -> None:
            for group in groups:
                answer = await client.patch(f"Groups/{group}", json=patch(add_members([person])))
                assert answer.status_code in (204, 404), answer.text

        return job

    async def deletes(client: httpx.AsyncClient) -> None:
        for group in groups:
            answer = await client.delete(f"Groups/{group}")
            assert 204 == answer.status_code, answer.text

    together(doors, customer, [*map(adds, people), deletes])

    with customer.client(doors[-1]) as scim:
        assert 0 == scim.get("Groups").json()["totalResults"]
        users = everyone(scim)
        assert sorted(people) == sorted(users)
        assert [] == [user for user in users.values() if groups_of(user)]


def test_parallel_deletes_of_one_user(doors: list[str], customer: Customer) -> None:
    """One delete is 204, the others are 404, and the total counts the user once."""
    with customer.client(doors[0]) as scim:
        create_user(scim, 1)
        gone = create_user(scim, 2)["id"]

    async def job(client: httpx.AsyncClient) -> int:
        return (await client.delete(f"Users/{gone}")).status_code

    statuses = together(doors, customer, [job] * 12)

    assert [204, *[404] * 11] == sorted(statuses)
    with customer.client(doors[-1]) as scim:
        assert 1 == scim.get("Users").json()["totalResults"] == len(everyone(scim))


# ── Conditions ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("collection", ["Users", "Groups"])
def test_one_put_per_version_wins(doors: list[str], customer: Customer, collection: str) -> None:
    """Of parallel PUTs with the same If-Match one is carried out, the others are told 412."""
    with customer.client(doors[0]) as scim:
        body = a_user(1) if collection == "Users" else a_group("Name")
        resource = scim.post(collection, json=body).json()
    field = "title" if collection == "Users" else "displayName"

    for turn in range(5):
        with customer.client(doors[0]) as scim:
            before = scim.get(f"{collection}/{resource['id']}")
        assert 1 + turn == version_of(before)

        def putting(number: int, turn: int = turn, tag: str = before.headers["etag"]) -> Job[httpx.Response]:
            changed = {**body, field: f"turn {turn} client {number}"}
            path = f"{collection}/{resource['id']}"
            return lambda client: client.put(path, json=changed, headers={"If-Match": tag})

        answers = together(doors, customer, [putting(number) for number in range(12)])

        assert Counter({412: 11, 200: 1}) == Counter(answer.status_code for answer in answers)
        winner = next(answer for answer in answers if answer.status_code == 200)
        with customer.client(doors[-1]) as scim:
            assert winner.json() == scim.get(f"{collection}/{resource['id']}").json()


# ── Bulk ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_parallel_bulk_requests(doors: list[str], customer: Customer) -> None:
    """Large bulk requests at once, each making users and filling one shared group, are all carried out."""
    with customer.client(doors[0]) as scim:
        group = create_group(scim, "Everybody")["id"]

    def job(number: int) -> Job[httpx.Response]:
        makes = [
            {
                "method": "POST",
                "path": "/Users",
                "bulkId": f"u{n}",
                "data": a_user(1000 * number + n),
            }
            for n in range(25)
        ]
        members = [{"value": f"bulkId:u{n}"} for n in range(25)]
        fills = {
            "method": "PATCH",
            "path": f"/Groups/{group}",
            "data": patch({"op": "add", "path": "members", "value": members}),
        }
        body = {"schemas": [BULK_REQUEST], "Operations": [*makes, fills]}
        return lambda client: client.post("Bulk", json=body)

    answers = together(doors, customer, [job(number) for number in range(8)])

    assert {200} == {answer.status_code for answer in answers}, [answer.text[:300] for answer in answers]
    operations = [each for answer in answers for each in answer.json()["Operations"]]
    assert Counter({"201": 200, "204": 8}) == Counter(each["status"] for each in operations)
    with customer.client(doors[-1]) as scim:
        assert sorted(everyone(scim)) == members_of(scim, group)
        assert 9 == version_of(scim.get(f"Groups/{group}"))


def test_parallel_bulk_requests_of_the_same_users(doors: list[str], customer: Customer) -> None:
    """The same users in every bulk request and in different orders: each is made once, the others are 409."""

    def job(number: int) -> Job[httpx.Response]:
        order = range(12) if number % 2 else reversed(range(12))
        operations = [{"method": "POST", "path": "/Users", "bulkId": f"u{n}", "data": a_user(n)} for n in order]
        return lambda client: client.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": operations})

    answers = together(doors, customer, [job(number) for number in range(3)])

    assert {200} == {answer.status_code for answer in answers}, [answer.text[:300] for answer in answers]
    operations = [each for answer in answers for each in answer.json()["Operations"]]
    assert Counter({"201": 12, "409": 24}) == Counter(each["status"] for each in operations)
    with customer.client(doors[-1]) as scim:
        assert 12 == len(everyone(scim)) == scim.get("Users").json()["totalResults"]


# ── What clients do, and what is read afterwards ────────────────────────────────────────────────────────────────────


async def create(client: httpx.AsyncClient, n: int) -> dict[str, Any]:
    answer = await client.post("Users", json=a_user(n))
    assert 201 == answer.status_code, answer.text
    resource: dict[str, Any] = answer.json()
    return resource


async def change(client: httpx.AsyncClient, path: str, operation: dict[str, Any]) -> None:
    answer = await client.patch(path, json=patch(operation))
    assert answer.status_code in (200, 204), answer.text


def add_members(ids: Sequence[str]) -> dict[str, Any]:
    return {"op": "Add", "path": "members", "value": [{"value": member} for member in ids]}


def remove_member(member: str) -> dict[str, Any]:
    return {"op": "Remove", "path": f'members[value eq "{member}"]'}


def in_shares(step: Any, all_of_it: Sequence[str], clients: int = CLIENTS) -> list[Job[None]]:
    """Spread single-operation PATCHes over clients; `step` gives the path and the operation for each."""

    def job(share: Sequence[str]) -> Job[None]:
        async def run(client: httpx.AsyncClient) -> None:
            for each in share:
                await change(client, *step(each))

        return run

    return [job(all_of_it[at::clients]) for at in range(clients)]


def posting(collection: str, body: dict[str, Any]) -> Job[httpx.Response]:
    return lambda client: client.post(collection, json=body)


def patching(path: str, operation: dict[str, Any]) -> Job[httpx.Response]:
    return lambda client: client.patch(path, json=patch(operation))


def create_in_bulk(scim: httpx.Client, numbers: Iterable[int]) -> list[str]:
    operations = [{"method": "POST", "path": "/Users", "bulkId": f"u{n}", "data": a_user(n)} for n in numbers]
    answer = scim.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": operations})
    assert 200 == answer.status_code, answer.text
    return [each["location"].rpartition("/")[2] for each in answer.json()["Operations"]]


def set_mark(number: int, turn: int) -> dict[str, Any]:
    """Build the operation with which a client changes the attribute that it owns."""
    path = SINGLE[number] if number < len(SINGLE) else f'emails[type eq "client{number}"].value'
    return {"op": "Replace", "path": path, "value": mark(number, turn)}


def mark(number: int, turn: int) -> str:
    return f"client{number}-turn{turn}"


def read_mark(user: dict[str, Any], number: int) -> object:
    if number >= len(SINGLE):
        return next((each["value"] for each in user["emails"] if each["type"] == f"client{number}"), None)
    home, _, name = SINGLE[number].rpartition(":" if ":" in SINGLE[number] else ".")
    return user.get(home, {}).get(name) if home else user.get(name)


def everyone(scim: httpx.Client) -> dict[str, dict[str, Any]]:
    """Read all users page by page, and hold the total against their number."""
    found: dict[str, dict[str, Any]] = {}
    while True:
        page = scim.get("Users", params={"startIndex": len(found) + 1, "count": 500}).json()
        found |= {user["id"]: user for user in page["Resources"]}
        if not page["Resources"] or len(found) >= page["totalResults"]:
            break
    assert page["totalResults"] == len(found)
    return found


def members_of(scim: httpx.Client, group: str) -> list[str]:
    members = scim.get(f"Groups/{group}").json().get("members", [])
    return sorted(member["value"] for member in members)


def groups_of(user: dict[str, Any]) -> list[str]:
    return sorted(group["value"] for group in user.get("groups", []))


def version_of(answer: httpx.Response) -> int:
    """Give the number in a weak ETag; what follows a dash says which groups a user is in."""
    assert 200 == answer.status_code, answer.text
    tag: str = answer.headers["etag"]
    return int(tag.removeprefix('W/"').removesuffix('"').partition("-")[0])
