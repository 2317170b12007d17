"""The connection over the API, against a simulated Entra: consent, sync, groups, user filter, and what Graph refuses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app_core import entra_directory, graph_links, migrations
from app_core.db import Connection
from app_core.ports import DirectoryProof
from tests.app_api.conftest import House, new_house
from tests.app_api.held import JSON, PREFIX, is_problem, items, new_login, ok, places, refused, walk
from tests.processes import empty_database, in_core, serving, wait_for
from tests.raw import sql
from tests.simulator import Entra, EntraTenant, simulated

if TYPE_CHECKING:
    from tests.conftest import Server


@dataclass(frozen=True)
class Served:
    """A server with an Entra application and a worker; as much of `Server` as a house needs."""

    url: str
    database_url: str


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entra]:
    with simulated(tmp_path_factory.mktemp("entra")) as running:
        yield running


@pytest.fixture(scope="module")
def served(database_url: str, entra: Entra, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("connected")
    with empty_database(database_url, folder) as url:
        migrations.upgrade(url)
        with serving(url, folder, worker=True, **entra.server_settings) as server:
            yield Served(server.url, url)
            assert 0 == server.terminate(), server.output()


@dataclass(frozen=True)
class Joined:
    """A tenant here, and its directory there."""

    house: House
    there: EntraTenant
    api: httpx.Client

    def connect(self) -> None:
        """Connect as the console does once consent has come back."""
        connect(self.house, self.there.id)

    def plain(self) -> httpx.Client:
        """Open a client that takes 5xx for an answer."""
        headers = {"Authorization": f"Bearer {self.house.keys['admin']}"}
        return httpx.Client(base_url=self.house.url + PREFIX, headers=headers, timeout=60)

    def log(self, **params: str) -> JSON:
        """Give the newest entry of the log."""
        return items(self.api.get("provisioning-log", params=params))[0]


def connect(house: House, directory_id: str) -> None:
    def act(connection: Connection) -> None:
        work = house.customer.work(connection)
        entra_directory.connect(work, DirectoryProof(directory_id, frozenset()))
        # The hour's own pull would come in between at any moment.
        assert graph_links.take_slot(work, graph_links.slot_of(work.now))

    in_core(house.database_url, lambda database: database.write(act))


@pytest.fixture
def apart(served: Served, entra: Entra) -> Iterator[Joined]:
    """A tenant that is not connected, and a directory that no other test knows."""
    entra.reset()
    house = new_house(served)  # type: ignore[arg-type]
    with house.client() as api:
        yield Joined(house, entra.new_tenant(), api)
    entra.reset()


@pytest.fixture
def joined(apart: Joined) -> Joined:
    """The same, connected."""
    apart.connect()
    return apart


def graph_of(api: httpx.Client) -> JSON:
    """Give the Graph side of the connection."""
    found: JSON = ok(api.get("connection"))["graph"]
    return found


def synced(joined: Joined) -> JSON:
    """Sync now, and wait for the end; give the job."""
    asked = joined.api.post("connection/sync")
    job = ok(asked, 202)
    assert f"{PREFIX}/jobs/{job['id']}" == asked.headers["location"]
    wait_for(lambda: ok(joined.api.get(f"jobs/{job['id']}"))["finished_at"] is not None)
    return ok(joined.api.get(f"jobs/{job['id']}"))


# How it stands --------------------------------------------------------------------------------------------------------


def test_both_sides_are_shown(apart: Joined) -> None:
    """Before anything is connected: where to push, how many tokens live, what will be asked for."""
    found = ok(apart.api.get("connection"))

    assert {"tenant_url": f"{apart.house.url}/scim/v2", "live_tokens": 1, "last_push_at": None} == found["scim"]
    expected = {
        "available": True,
        "status": "none",
        "reason": None,
        "entra_tenant_id": None,
        "permissions": ["User.Read.All", "Group.Read.All"],
        "missing_permissions": [],
        "connected_at": None,
        "pulled_at": None,
        "next_pull_at": None,
        "job": None,
    }
    assert expected == found["graph"]


def test_a_push_is_noticed(apart: Joined) -> None:
    """When Entra last came; a token that is revoked counts no more among the living."""
    with apart.house.scim() as scim:
        ok(scim.get("Users"))
    wait_for(lambda: ok(apart.api.get("connection"))["scim"]["last_push_at"] is not None)
    revoked = "UPDATE scim_token SET revoked_at = ? WHERE tenant_id = ?"
    sql(apart.house.database_url, revoked, "2026-01-01T00:00:00.000Z", apart.house.customer.tenant_id)

    assert 0 == ok(apart.api.get("connection"))["scim"]["live_tokens"]


def test_sync_now(joined: Joined) -> None:
    """The directory's people come; the job says how far it is, the connection when it was and will be."""
    joined.there.user("anna", displayName="Anna A")

    job = synced(joined)

    assert ("pull", "done", None) == (job["kind"], job["state"], job["error"])
    assert ["Anna A"] == [each["display_name"] for each in walk(joined.api, "people", 200)]
    found = graph_of(joined.api)
    assert ("connected", joined.there.id, None) == (found["status"], found["entra_tenant_id"], found["job"])
    assert found["connected_at"] <= found["pulled_at"] <= found["next_pull_at"]


def test_a_pull_that_waits_is_shown(joined: Joined, entra: Entra) -> None:
    """As long as it is not finished it is there with its progress; disconnecting ends it."""
    entra.do("fault", kind="throttle", path="/users/delta", retry_after=120, count=1)
    job = ok(joined.api.post("connection/sync"), 202)
    wait_for(lambda: "cannot be had" in str((graph_of(joined.api)["job"] or {}).get("error")))

    shown = graph_of(joined.api)
    gone = ok(joined.api.post("connection/disconnect"))["graph"]

    assert (job["id"], "queued") == (shown["job"]["id"], shown["job"]["state"])
    assert shown["job"]["next_attempt_at"] > shown["job"]["modified_at"]
    assert ("disconnected", None, None) == (gone["status"], gone["job"], gone["next_pull_at"])
    ended = ok(joined.api.get(f"jobs/{job['id']}"))
    assert ("failed", None) == (ended["state"], ended["next_attempt_at"])


def test_disconnecting_twice_is_once(joined: Joined) -> None:
    """What is there stays; the second time changes nothing, and the log says so."""
    joined.there.user("anna", displayName="Anna A")
    synced(joined)

    for outcome in ("success", "skipped"):
        assert "disconnected" == ok(joined.api.post("connection/disconnect"))["graph"]["status"]
        assert ("disconnect", outcome) == (joined.log()["action"], joined.log()["outcome"])
    assert 1 == len(walk(joined.api, "people", 200))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "connection/sync", None),
        ("GET", "connection/groups", None),
        ("POST", "connection/groups", {"object_id": str(uuid.uuid4())}),
        ("POST", "reconciliations", {"policy": "report"}),
    ],
)
def test_what_needs_a_directory_says_so(apart: Joined, method: str, path: str, body: JSON | None) -> None:
    """Where none is connected there is nothing to ask."""
    said = refused(apart.api.request(method, path, json=body), 409, "not-possible")

    assert "connect it first" in said["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "connection/consent", None),
        ("GET", "connection/groups", None),
        ("POST", "connection/groups", {"object_id": str(uuid.uuid4())}),
    ],
)
def test_without_an_application_it_is_said_which_settings_to_set(
    server: Server, method: str, path: str, body: JSON | None
) -> None:
    """A server that no application is named to: its operator reads by name what is missing."""
    house = new_house(server)
    connect(house, str(uuid.uuid4()))
    with house.client() as api:
        said = refused(api.request(method, path, json=body), 409, "not-possible")

        assert "SCIM_SERVER_ENTRA_CLIENT_ID" in said["detail"]
        assert graph_of(api)["available"] is False


# Consent --------------------------------------------------------------------------------------------------------------


def test_a_consent_link(apart: Joined, entra: Entra) -> None:
    """It leads to Entra with our application, a state of its own, and back to the console."""
    link = urlsplit(ok(apart.api.post("connection/consent", json={}))["url"])
    other = urlsplit(ok(apart.api.post("connection/consent", json={"entra_tenant_id": apart.there.id.upper()}))["url"])

    assert "/organizations/v2.0/adminconsent" == link.path
    assert f"/{apart.there.id}/v2.0/adminconsent" == other.path
    asked = parse_qs(link.query)
    assert [entra.client_id] == asked["client_id"]
    assert [f"{apart.house.url}/console/connection/consented"] == asked["redirect_uri"]
    assert ["https://graph.microsoft.com/.default"] == asked["scope"]
    assert asked["state"] != parse_qs(other.query)["state"]
    rows = sql(
        apart.house.database_url,
        "SELECT asker, directory_id FROM consent_request WHERE tenant_id = ? ORDER BY created_at, directory_id",
        apart.house.customer.tenant_id,
    )
    asker = f"api_key:{apart.house.key_ids['admin']}"
    assert {(asker, None), (asker, apart.there.id)} == {tuple(row) for row in rows}


def test_a_consent_link_is_shown_once(apart: Joined) -> None:
    """Its state is a secret: neither the answer to a repetition nor the log holds it."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    url = ok(apart.api.post("connection/consent", headers=headers))["url"]
    [state] = parse_qs(urlsplit(url).query)["state"]

    refused(apart.api.post("connection/consent", headers=headers), 409, "already-done")

    held = sql(
        apart.house.database_url, "SELECT * FROM idempotency WHERE tenant_id = ?", apart.house.customer.tenant_id
    )
    assert state not in str(items(apart.api.get("provisioning-log"))) + str(held)
    assert ["/entra_tenant_id"] == places(apart.api.post("connection/consent", json={"entra_tenant_id": "contoso.com"}))


# Groups ---------------------------------------------------------------------------------------------------------------


def test_groups_are_listed_and_found(joined: Joined) -> None:
    """All that the directory has, by name, page by page; a search by the beginning of a word."""
    made = {joined.there.group(f"Group {at:02}"): f"Group {at:02}" for at in range(7)}
    joined.there.group("Zebra crossing")

    listed = walk(joined.api, "connection/groups", 3)
    found = items(joined.api.get("connection/groups", params={"search": "cross"}))

    assert [*made.values(), "Zebra crossing"] == [each["name"] for each in listed]
    assert list(made) == [each["object_id"] for each in listed[:-1]]
    assert {("Not synced", None, None)} == {(each["status"], each["group_id"], each["team_id"]) for each in listed}
    assert ["Zebra crossing"] == [each["name"] for each in found]


@pytest.mark.parametrize("after", ["x", "$filter=x", "$skiptoken=x&$expand=members", "$skiptoken=made-up"])
def test_a_made_up_place_is_refused(joined: Joined, after: str) -> None:
    """No cursor but ours leads into a directory."""
    refused(joined.api.get("connection/groups", params={"after": after}), 400, "invalid")


def test_a_group_is_added_and_removed(joined: Joined) -> None:
    """Add makes a team with its members; Remove takes sync and team away, but not while it holds logins (G3)."""
    anna = joined.there.user("anna", displayName="Anna A")
    sales = joined.there.group("Sales", anna)
    synced(joined)
    key = {"Idempotency-Key": str(uuid.uuid4())}

    made = joined.api.post("connection/groups", json={"object_id": sales.upper()}, headers=key)
    again = joined.api.post("connection/groups", json={"object_id": sales.upper()}, headers=key)

    team = ok(made, 201)
    assert ("Sales", "synced", 1) == (team["name"], team["kind"], team["member_count"])
    assert made.headers["location"] == f"{PREFIX}/teams/{team['id']}"
    assert (team, "true") == (ok(again, 201), again.headers["idempotent-replayed"])
    assert ["Anna A"] == [each["display_name"] for each in items(joined.api.get(f"teams/{team['id']}/members"))]
    [listed] = items(joined.api.get("connection/groups"))
    assert (sales, "Synced", team["group_id"], team["id"]) == (
        listed["object_id"],
        listed["status"],
        listed["group_id"],
        listed["team_id"],
    )
    entry = joined.log(action="add as team", outcome="success")
    assert ("Group", team["group_id"]) == (entry["target"]["type"], entry["target"]["id"])

    login = new_login(joined.api, team)
    held = refused(joined.api.delete(f"connection/groups/{sales}"), 409, "team-has-logins")
    assert 1 == held["login_count"]
    assert sales == joined.log()["target"]["id"]
    ok(joined.api.delete(f"teams/{team['id']}/logins/{login['id']}"), 204)
    ok(joined.api.delete(f"connection/groups/{sales.upper()}"), 204)
    assert [] == items(joined.api.get("teams"))
    assert ["Not synced"] == [each["status"] for each in items(joined.api.get("connection/groups"))]
    refused(joined.api.delete(f"connection/groups/{sales}"), 404, "not-found")


def test_a_group_that_is_not_there(joined: Joined) -> None:
    """Neither one that the directory does not have, nor what is no object id."""
    refused(joined.api.post("connection/groups", json={"object_id": str(uuid.uuid4())}), 404, "not-found")
    assert ["/object_id"] == places(joined.api.post("connection/groups", json={"object_id": "Sales"}))
    refused(joined.api.delete("connection/groups/x"), 404, "not-found")


# What Graph refuses ---------------------------------------------------------------------------------------------------


def failed(joined: Joined, status: int, code: str) -> httpx.Response:
    """Add a group while Graph is in trouble: refused in our words and logged, and nothing is changed."""
    with joined.plain() as api:
        answer = api.post("connection/groups", json={"object_id": str(uuid.uuid4())})
        listed = api.get("connection/groups")
    for each in (answer, listed):
        refused(each, status, code)
        is_problem(each, status)
    assert [] == items(joined.api.get("teams"))
    entry = joined.log()
    assert ("add as team", "failure", code) == (entry["action"], entry["outcome"], entry["reason_code"])
    assert answer.json()["detail"] == entry["reason"]
    return answer


def test_graph_is_away(joined: Joined, entra: Entra) -> None:
    """503, and when to come back."""
    entra.do("fault", kind="throttle", path="/groups", retry_after=120, count=1)

    answer = failed(joined, 503, "graph-unavailable")

    assert 100 <= int(answer.headers["retry-after"]) <= 120
    assert "come back" in answer.json()["detail"]


def test_graph_refuses(joined: Joined, entra: Entra) -> None:
    """What an administrator of the directory has to mend is said by name."""
    joined.there.do("grant_consent", client_id=entra.client_id, permissions=["User.Read.All"])

    answer = failed(joined, 409, "graph-refused")

    assert ["Group.Read.All"] == answer.json()["permissions"]
    assert "Group.Read.All" in answer.json()["detail"]


def test_consent_was_taken_back(joined: Joined, entra: Entra) -> None:
    """Then there is no token any more."""
    joined.there.do("revoke_consent", client_id=entra.client_id)

    assert "consent" in failed(joined, 409, "graph-refused").json()["detail"]


def test_a_missing_permission_is_shown_until_a_pull_succeeds(joined: Joined, entra: Entra) -> None:
    """The connection says what Graph misses, and no longer once it is granted."""
    entra.do("settings", token_seconds=200)
    joined.there.do("grant_consent", client_id=entra.client_id, permissions=["User.Read.All"])
    ok(joined.api.post("connection/sync"), 202)
    wait_for(lambda: graph_of(joined.api)["status"] == "quarantined")

    found = graph_of(joined.api)
    joined.there.do("grant_consent", client_id=entra.client_id, permissions=["User.Read.All", "Group.Read.All"])
    assert "done" == synced(joined)["state"]
    mended = graph_of(joined.api)

    assert ["Group.Read.All"] == found["missing_permissions"]
    assert "Group.Read.All" in found["reason"]
    assert found["next_pull_at"] is not None
    assert ("connected", None, []) == (mended["status"], mended["reason"], mended["missing_permissions"])


def test_a_bad_request_is_refused_before_graph_is_asked(joined: Joined, entra: Entra) -> None:
    """Who asks and what for is known first: no stranger makes us ask a directory."""
    entra.do("counters", reset=True)
    with joined.house.client("revoked") as revoked, joined.house.client("read") as reader:
        refused(revoked.get("connection/groups"), 401, "unauthenticated")
        refused(reader.post("connection/groups", json={"object_id": str(uuid.uuid4())}), 403, "forbidden")
    assert ["limit"] == places(joined.api.get("connection/groups", params={"limit": "0"}))

    asked = {"GET /groups", "GET /groups/{id}"}
    assert not asked & set(entra.do("counters")["counters"])
    ok(joined.api.get("connection/groups"))
    assert asked & set(entra.do("counters")["counters"])


# User filter ----------------------------------------------------------------------------------------------------------


def test_the_user_filter(joined: Joined) -> None:
    """Only people of chosen groups are imported; which groups are teams is another matter (G2)."""
    anna, bert = joined.there.user("anna", displayName="Anna A"), joined.there.user("bert", displayName="Bert B")
    sales = joined.there.group("Sales", anna)
    joined.there.group("Tours", bert)
    assert {"groups": []} == ok(joined.api.get("connection/user-filter"))

    chosen = ok(joined.api.put("connection/user-filter", json={"object_ids": [sales.upper()]}))
    wait_for(lambda: graph_of(joined.api)["job"] is None)
    again = ok(joined.api.put("connection/user-filter", json={"object_ids": [sales]}))

    assert [sales] == [each["object_id"] for each in chosen["groups"]]
    assert ["Sales"] == [each["name"] for each in again["groups"]]
    assert "skipped" == joined.log(action="choose users")["outcome"]
    assert ["Anna A"] == [each["display_name"] for each in walk(joined.api, "people", 200)]
    assert [] == items(joined.api.get("teams"))
    ok(joined.api.put("connection/user-filter", json={"object_ids": []}))
    wait_for(lambda: graph_of(joined.api)["job"] is None)
    assert ["Anna A", "Bert B"] == sorted(each["display_name"] for each in walk(joined.api, "people", 200))


@pytest.mark.parametrize("ids", [["x"], [str(uuid.uuid4())] * 101, "x", [None]])
def test_a_user_filter_of_nonsense_is_refused(joined: Joined, ids: Any) -> None:
    """Object ids, and not too many of them."""
    [place] = places(joined.api.put("connection/user-filter", json={"object_ids": ids}))

    assert place.startswith("/object_ids")


# When the next pull is ------------------------------------------------------------------------------------------------


def test_the_next_pull_is_at_five_past() -> None:
    """Now, where the present slot is not taken; else when the next begins; never where nothing is connected."""
    blank = dict.fromkeys(graph_links.GraphLink._fields)
    link = graph_links.GraphLink(**{**blank, "status": "connected", "entra_tenant_id": "d"})  # type: ignore[arg-type]

    def at(slot: str | None, now: str) -> str | None:
        return link._replace(pull_slot=slot).next_pull_at(now)

    assert "2026-11-24T22:30:00.000Z" == at(None, "2026-11-24T22:30:00.000Z")
    assert "2026-11-24T22:30:00.000Z" == at("2026-11-24T21", "2026-11-24T22:30:00.000Z")
    assert "2026-11-24T23:05:00.000Z" == at("2026-11-24T22", "2026-11-24T22:30:00.000Z")
    assert "2026-11-24T22:05:00.000Z" == at("2026-11-24T21", "2026-11-24T22:04:59.999Z")
    assert "2026-11-25T00:05:00.000Z" == at("2026-11-24T23", "2026-11-24T23:05:00.000Z")
    assert None is link._replace(status="disconnected").next_pull_at("2026-11-24T22:30:00.000Z")
