"""The same against the simulated Entra, which knows nothing of this product: what it says is what arrives."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from graph_fallback import pages, search
from graph_fallback.client import CONCURRENCY, DeltaExpired, ForeignLink, GraphClient
from graph_fallback.consent import consent_url, prove_tenant, returned_from
from graph_fallback.pages import GROUPS_DELTA, USERS_DELTA, ListingBroken
from graph_fallback.payloads import UNSET, GraphGroup, GraphUser, ManagerDelta, MemberDelta, groups_of, users_of
from graph_fallback.tokens import (
    ClientCertificate,
    ClientSecret,
    EntraTokens,
    GraphError,
    GraphRefused,
    MissingPermission,
    NotConsented,
    UnknownDirectory,
)
from tests.graph_fallback.loopback import StillClock
from tests.graph_fallback.test_tokens import a_certificate
from tests.simulator import Entra, simulated

T = TypeVar("T")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entra]:
    with simulated(tmp_path_factory.mktemp("simulator")) as entra:
        yield entra


@pytest.fixture
def entra(running: Entra) -> Iterator[Entra]:
    """The simulator without the faults and settings of the test before."""
    running.reset()
    yield running
    running.reset()


def a_tenant(entra: Entra, *, consented: bool = True) -> str:
    """Make a tenant with an empty directory that no other test knows."""
    name = f"t{uuid.uuid4().hex[:10]}"
    return str(entra.do("create_tenant", name=name, domain=f"{name}.example", consented=consented)["id"])


def truth(entra: Entra, directory: str) -> dict[str, Any]:
    return entra.do("directory", tenant=directory)


@pytest.fixture
def company(entra: Entra) -> str:
    """A directory of its own with some people, groups and oddities."""
    directory = a_tenant(entra)
    entra.do("company", people=40, groups=6, oddities=True, tenant=directory)
    return directory


def asking(
    entra: Entra,
    directory: str,
    use: Callable[[GraphClient], Awaitable[T]],
    clock: StillClock | None = None,
    credential: ClientSecret | ClientCertificate | None = None,
) -> T:
    """Run something with a client of a directory of the simulator; `clock` only where there is nothing to wait for."""

    async def main() -> T:
        credentials = credential or ClientSecret(entra.client_secret)
        tokens = EntraTokens(entra.client_id, credentials, login_url=entra.url, graph_url=entra.url, clock=clock)
        with contextlib.closing(tokens):
            async with httpx.AsyncClient(verify=False) as http:
                return await use(GraphClient(http, tokens, entra.url, directory, clock=clock))

    return asyncio.run(main())


class Round:
    """What a round of changes said."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.links: list[str] = []

    @property
    def users(self) -> dict[str, GraphUser]:
        return {user.id: user for user in users_of(self.items)}

    @property
    def groups(self) -> dict[str, GraphGroup]:
        return {group.id: group for group in groups_of(self.items)}


def a_round(entra: Entra, directory: str, start: str, *, minimal: bool = False) -> Round:
    """Walk a round to its end, and go on with the link of the last page where it is interrupted."""
    done = Round()

    async def walk(client: GraphClient) -> None:
        async for page in pages.delta(client, start, minimal=minimal):
            assert page.link is not None
            assert 0 == page.unreadable
            done.items += page.items
            done.links.append(page.link)

    asking(entra, directory, walk, StillClock())
    return done


def is_whole(entra: Entra, directory: str, users: Round, groups: Round) -> None:
    """Hold rounds from the beginning against the directory itself."""
    whole = truth(entra, directory)
    people = {user["id"]: user for user in whole["users"]}
    assert set(people) == {key for key, user in users.users.items() if not user.gone}
    for key, user in users.users.items():
        if user.gone:
            continue
        said = people[key]
        assert (said.get("displayName"), said.get("department")) == (user.display_name, user.department or None)
        assert said["accountEnabled"] is user.account_enabled
        manager = user.manager.now if isinstance(user.manager, ManagerDelta) else None
        assert manager == (said["manager"] if said["manager"] in people else None)
    teams = {group["id"]: group for group in whole["groups"]}
    assert set(teams) == {key for key, group in groups.groups.items() if not group.gone}
    for key, group in groups.groups.items():
        if not group.gone:
            assert teams[key]["displayName"] == group.display_name
            members = group.members if isinstance(group.members, MemberDelta) else MemberDelta()
            for change, kind in ((members.users, "user"), (members.groups, "group")):
                assert {each["id"] for each in teams[key]["members"] if each["kind"] == kind} == change.added


# Rounds -------------------------------------------------------------------------------------------------------------

HABITS: list[dict[str, Any]] = [
    {},
    {"delta_page": 3, "members_page": 2},
    {"delta_page": 4, "members_page": 3, "shuffle": True, "removed_in_first_round": True, "token_padding": 5000},
]


@pytest.mark.parametrize("habits", HABITS)
def test_a_first_round_is_the_directory(entra: Entra, company: str, habits: dict[str, Any]) -> None:
    """Small pages, slices of groups in any order, removed objects from the start, tokens of kilobytes."""
    victim = truth(entra, company)["users"][3]["id"]
    entra.do("delete", object=victim, tenant=company)
    entra.do("settings", **habits)

    users, groups = a_round(entra, company, USERS_DELTA), a_round(entra, company, GROUPS_DELTA)

    is_whole(entra, company, users, groups)
    assert ("removed_in_first_round" in habits) == (victim in users.users)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "error", "status": 503},
        {"kind": "error", "status": 504, "html": True},
        {"kind": "truncate"},
        {"kind": "garbage"},
        {"kind": "unauthorized", "count": 1, "chance": 1.0},
        {"kind": "empty_page"},
        {"kind": "duplicate"},
        {"kind": "reorder"},
        {"kind": "replay"},
        {"kind": "throttle"},
        {"kind": "error", "face": "login", "path": "", "status": 500},
    ],
    ids=lambda fault: " ".join(map(str, fault.values())),
)
def test_a_first_round_through_trouble(entra: Entra, company: str, fault: dict[str, Any]) -> None:
    """Whatever passes by itself is passed: the round is whole in the end."""
    entra.do("settings", delta_page=5, members_page=3)
    entra.do("fault", **{"path": "delta", "count": 4, "chance": 0.5, "seed": 7, **fault})

    is_whole(entra, company, a_round(entra, company, USERS_DELTA), a_round(entra, company, GROUPS_DELTA))


def test_a_later_round_says_what_changed(entra: Entra, company: str) -> None:
    """A rename, a cleared value, a new manager, a soft and a final deletion, a member who went: each once, no more."""
    whole = truth(entra, company)
    one, two, three, four = (user["id"] for user in whole["users"][:4])
    group = next(group for group in whole["groups"] if any(each["kind"] == "user" for each in group["members"]))
    leaver = next(each["id"] for each in group["members"] if each["kind"] == "user")
    users_link = a_round(entra, company, USERS_DELTA).links[-1]
    groups_link = a_round(entra, company, GROUPS_DELTA).links[-1]
    entra.do("change_user", user=one, department=None, jobTitle="Director", tenant=company)
    entra.do("set_manager", user=one, manager=two, tenant=company)
    entra.do("delete", object=three, tenant=company)
    entra.do("purge", object=four, tenant=company)
    entra.do("rename_group", group=group["id"], name="Renamed", tenant=company)
    entra.do("remove_members", group=group["id"], members=[leaver], tenant=company)

    users = a_round(entra, company, users_link, minimal=True).users
    groups = a_round(entra, company, groups_link, minimal=True).groups

    assert {one, three, four} <= set(users)
    changed = users[one]
    assert (None, "Director", UNSET) == (changed.department, changed.job_title, changed.city)
    assert isinstance(changed.manager, ManagerDelta)
    assert two == changed.manager.now
    assert ("changed", "deleted") == (users[three].removed, users[four].removed)
    assert "Renamed" == groups[group["id"]].display_name
    members = groups[group["id"]].members
    assert isinstance(members, MemberDelta)
    assert leaver in members.users.removed


def test_nothing_new(entra: Entra, company: str) -> None:
    """A round without changes is one empty page with a new link."""
    link = a_round(entra, company, USERS_DELTA).links[-1]

    again = a_round(entra, company, link)

    assert ([], 1) == (again.items, len(again.links))


@pytest.mark.parametrize("kind", ["expired", "gone"])
def test_a_link_that_is_no_longer_good(entra: Entra, company: str, kind: str) -> None:
    """400 or 410: a full round is due, from where Graph says, and it is whole."""
    link = a_round(entra, company, USERS_DELTA).links[-1]
    entra.do("fault", kind=kind, path="users/delta")

    with pytest.raises(DeltaExpired) as expired:
        a_round(entra, company, link)

    assert (expired.value.restart is not None) == (kind == "gone")
    users = a_round(entra, company, expired.value.restart or USERS_DELTA)
    is_whole(entra, company, users, a_round(entra, company, GROUPS_DELTA))


def test_expiry_in_the_middle_of_a_round(entra: Entra, company: str) -> None:
    """A page link that is too old is told as what it is."""
    entra.do("settings", delta_page=5)
    entra.do("fault", kind="expired_page", path="users/delta", skip=2)

    with pytest.raises(DeltaExpired):
        a_round(entra, company, USERS_DELTA)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [({"kind": "short_listing", "skip": 2}, ListingBroken), ({"kind": "foreign_link", "skip": 1}, ForeignLink)],
    ids=["short", "foreign"],
)
def test_a_round_that_is_cut_or_led_astray(
    entra: Entra, company: str, fault: dict[str, Any], kind: type[GraphError]
) -> None:
    """It is not whole, and nobody is told that it were."""
    entra.do("settings", delta_page=5)
    entra.do("fault", path="users/delta", **fault)

    with pytest.raises(kind):
        a_round(entra, company, USERS_DELTA)


def test_nobody_asks_before_the_time(entra: Entra, company: str) -> None:
    """With a real clock: Retry-After is waited by all; impatient are at most those that were under way already."""
    entra.do("fault", kind="throttle", path="users/delta", retry_after=1, count=2)

    async def several(client: GraphClient) -> None:
        await asyncio.gather(*(client.get(USERS_DELTA) for _ in range(12)))

    asking(entra, company, several)

    counters = entra.do("counters")["counters"]
    assert counters.get("impatient", 0) <= 2 * (CONCURRENCY - 1)
    assert 12 == counters["200"]


# Lists, members, photos, batches ------------------------------------------------------------------------------------


def listed(entra: Entra, directory: str, start: str) -> list[dict[str, Any]]:
    async def read(client: GraphClient) -> list[dict[str, Any]]:
        return [item async for page in pages.listed(client, start) for item in page.items]

    return asking(entra, directory, read, StillClock())


def test_lists_are_complete(entra: Entra, company: str) -> None:
    """Users with managers, groups, members of a group of any type, the recycle bin."""
    whole = truth(entra, company)
    deleted = whole["users"][5]["id"]
    entra.do("delete", object=deleted, tenant=company)
    group = max(whole["groups"], key=lambda group: len(group["members"]))

    users = {user.id: user for user in users_of(listed(entra, company, pages.ALL_USERS))}
    groups = groups_of(listed(entra, company, pages.ALL_GROUPS))
    members = listed(entra, company, pages.members_of(group["id"]))

    assert {user["id"] for user in whole["users"]} - {deleted} == set(users)
    for user in whole["users"]:
        if user["id"] != deleted and user["manager"] not in (None, deleted):
            assert ManagerDelta(user["manager"]) == users[user["id"]].manager
    assert {group["id"] for group in whole["groups"]} == {group.id for group in groups}
    assert {each["id"] for each in group["members"]} - {deleted} == {each["id"] for each in members} - {deleted}
    assert [deleted] == [each["id"] for each in listed(entra, company, pages.DELETED_USERS)]


def test_a_list_that_breaks_off(entra: Entra, company: str) -> None:
    """A skip token that ages is a broken list."""
    entra.do("fault", kind="expired_page", path="/users", skip=0)

    with pytest.raises(ListingBroken):
        listed(entra, company, "/users?$select=id&$top=5")


def test_photos_in_batches(entra: Entra, company: str) -> None:
    """Metadata of many at once, some without a photo, some parts failing at first; then the photo itself."""
    people = [user["id"] for user in truth(entra, company)["users"][:25]]
    photo = entra.do("set_photo", user=people[0], tenant=company)
    for user in people[1:]:
        entra.do("remove_photo", user=user, tenant=company)
    entra.do("fault", kind="part", path="photo", status=503, count=5)

    async def read(client: GraphClient) -> Any:
        parts = await client.batch([f"/users/{user}/photo" for user in people])
        binary = await client.batch([f"/users/{people[0]}/photo/$value"])
        return parts, binary, await client.get_bytes(f"/users/{people[0]}/photo/$value")

    parts, binary, blob = asking(entra, company, read, StillClock())

    assert [200] + [404] * 24 == [part.status for part in parts]
    assert photo["etag"] == parts[0].json["@odata.mediaEtag"] == blob.etag
    assert {"ImageNotFound"} == {part.error for part in parts[1:]}
    assert blob.data == binary[0].data
    assert blob.media_type.startswith("image/")


def test_search(entra: Entra, company: str) -> None:
    """Found by the beginning of a word, page by page, in order."""
    for name in ("Zebra crossing", "Zebra fish", "zebra stripes", "Plain zebra", "Horse"):
        entra.do("create_group", displayName=name, tenant=company)

    async def read(client: GraphClient) -> list[Any]:
        found, after = [], None
        for _ in range(10):
            page = await search.groups(client, "zebra", after=after, limit=2)
            found += [group.display_name for group in page.items]
            after = page.next
            if after is None:
                break
        everybody = await search.users(client, limit=100)
        return [found, len(everybody.items)]

    found, people = asking(entra, company, read)

    assert ["Plain zebra", "Zebra crossing", "Zebra fish", "zebra stripes"] == sorted(found)
    assert len(truth(entra, company)["users"]) == people


# Consent and credentials --------------------------------------------------------------------------------------------


def test_consent_from_link_to_proof(entra: Entra) -> None:
    """The link leads to Entra, Entra leads back, the directory proves itself, and only then."""
    directory = a_tenant(entra, consented=False)
    link = consent_url(
        "state",
        client_id=entra.client_id,
        redirect_uri="http://127.0.0.1:1/console/consented",
        directory_id=directory,
        login_url=entra.url,
        graph_url=entra.url,
    )

    async def prove(client: GraphClient) -> Any:
        return await prove_tenant(client._tokens, directory)

    with pytest.raises(NotConsented):
        asking(entra, directory, prove)
    answer = httpx.get(link, follow_redirects=False)
    back = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    claimed = returned_from(back)
    proof = asking(entra, directory, prove)

    assert directory == claimed == proof.directory_id
    assert "state" == back["state"]
    assert "https://graph.microsoft.com/.default" in parse_qs(urlsplit(link).query)["scope"]


def test_consent_declined(entra: Entra) -> None:
    """The administrator says no: `admin_consent=True` comes all the same, and is not believed."""
    directory = a_tenant(entra, consented=False)
    entra.do("settings", consent="deny")
    link = consent_url(
        "state",
        client_id=entra.client_id,
        redirect_uri="http://127.0.0.1:1/console/consented",
        directory_id=directory,
        login_url=entra.url,
        graph_url=entra.url,
    )
    back = dict(parse_qsl(urlsplit(httpx.get(link, follow_redirects=False).headers["location"]).query))

    with pytest.raises(NotConsented, match="declined"):
        returned_from(back)


def test_a_missing_permission_is_named(entra: Entra) -> None:
    """Consent to one of two: the other is named by its name."""
    directory = a_tenant(entra)
    entra.do("grant_consent", client_id=entra.client_id, permissions=["User.Read.All"], tenant=directory)

    with pytest.raises(MissingPermission) as refused:
        asking(entra, directory, lambda client: client.get(GROUPS_DELTA))

    assert ("Group.Read.All",) == refused.value.permissions


def test_refused_credentials(entra: Entra) -> None:
    """A wrong secret, an unknown directory: each with its own sentence."""
    with pytest.raises(GraphRefused, match="ENTRA_CLIENT_SECRET"):
        asking(entra, entra.tenant_id, lambda client: client.get(USERS_DELTA), credential=ClientSecret("wrong"))
    with pytest.raises(UnknownDirectory):
        asking(entra, "dddddddd-0000-4000-8000-00000000000d", lambda client: client.get(USERS_DELTA))


def test_a_certificate(entra: Entra) -> None:
    """Registered, it opens; another one does not."""
    _, _, pem = a_certificate()
    certificate = ClientCertificate(pem)
    entra.do(
        "register_application",
        client_id=entra.client_id,
        certificates=[certificate.for_msal()["public_certificate"]],
    )

    asking(entra, entra.tenant_id, lambda client: client.get(USERS_DELTA), credential=certificate)
    with pytest.raises(GraphRefused, match="certificate"):
        asking(
            entra,
            entra.tenant_id,
            lambda client: client.get(USERS_DELTA),
            credential=ClientCertificate(a_certificate()[2]),
        )


def test_keys_roll(entra: Entra, company: str) -> None:
    """A token of a key that is gone is replaced without anybody noticing."""

    async def read(client: GraphClient) -> None:
        await client.get(USERS_DELTA)
        await asyncio.to_thread(entra.do, "rotate_keys", keep_old=False)
        await client.get(USERS_DELTA)

    asking(entra, company, read)
