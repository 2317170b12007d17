"""What is written down beside the changes: the provisioning log, the feed of events, jobs; and the settings."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
from sqlalchemy import select

from app_core import api_keys, tenants
from app_core.db import Connection, Statement, table_of
from app_core.events import TYPES
from app_core.idempotency import IdempotencyRow
from app_core.outbox import OutboxEventRow
from app_core.provisioning_log import ProvisioningLogRow
from tests.app_api.conftest import House, new_house
from tests.app_api.held import (
    NAME,
    PNG,
    PREFIX,
    items,
    new_login,
    new_person,
    new_team,
    new_template,
    ok,
    places,
    push_group,
    push_user,
    refused,
    team_of,
    unique,
    walk,
)
from tests.processes import in_core

if TYPE_CHECKING:
    from tests.conftest import Server

Row = dict[str, Any]


def log(api: httpx.Client, **params: Any) -> list[Row]:
    return items(api.get("provisioning-log", params={"source": "admin", **params}))


def summary(entry: Row) -> tuple[Any, ...]:
    return (entry["action"], entry["target"]["type"], entry["target"]["id"], entry["outcome"], entry["status"])


# The provisioning log -----------------------------------------------------------------------------------------------


def test_each_write_leaves_an_entry(house: House) -> None:
    """Who did what to what, what of it changed, and how it ended; reads leave none."""
    with house.client() as api:
        team = new_team(api)
        login = new_login(api, team)
        path = f"teams/{team['id']}/logins/{login['id']}"
        deleted = ("delete", "Login", login["id"])
        updated = ("update", "Login", login["id"])
        settings = ("update", "Settings", house.customer.tenant_id)
        steps: list[tuple[httpx.Response, tuple[Any, ...], list[str]]] = [
            (api.patch(path, json={"title": "T"}), (*updated, "success", 200), ["title"]),
            (api.patch(path, json={"title": "T"}), (*updated, "skipped", 200), []),
            (api.patch(path, json={"x": 1}), (*updated, "failure", 400), []),
            (api.delete(path), (*deleted, "success", 204), []),
            (api.delete(path), (*deleted, "failure", 404), []),
            (api.patch("settings", json={"invalid_phone": "reject"}), (*settings, "success", 200), ["invalid_phone"]),
        ]
        api.get("teams/nothing")
        entries = log(api)[: len(steps)][::-1]

        for (answer, expected, changed), entry in zip(steps, entries, strict=True):
            assert expected == summary(entry)
            assert changed == entry["changed"]
            assert answer.headers["x-request-id"] == entry["correlation_id"]
            assert ("admin", house.key_ids["admin"]) == (entry["source"], entry["actor"])
            assert answer.request.method == entry["exchange"]["request"]["method"]
            assert answer.status_code == entry["exchange"]["response"]["status"] == entry["status"]
            assert 0 < entry["duration_us"] < 60_000_000
            assert entry == ok(api.get(f"provisioning-log/{entry['id']}"))


def test_a_refusal_for_want_of_scope_is_logged(house: House) -> None:
    """With the key that tried."""
    with house.client("read") as reader, house.client() as api:
        refused(reader.post("teams", json={"name": "T"}), 403, "forbidden")
        [entry] = log(api)

    assert ("create", "Team", None, "failure", 403) == summary(entry)
    assert (house.key_ids["read"], "forbidden") == (entry["actor"], entry["reason_code"])


def test_without_a_key_nothing_is_logged(house: House) -> None:
    """Nobody's request is no tenant's."""
    with house.client("revoked") as nobody, house.client() as api:
        refused(nobody.post("teams", json={"name": "T"}), 401, "unauthenticated")

        assert [] == log(api)


def test_the_log_is_filtered_and_paged(api: httpx.Client, scim: httpx.Client) -> None:
    """By outcome, action, source and target, one by one and together; newest first, each once."""
    team = new_team(api)
    push_user(scim)
    for name in ("A", "A", "B"):
        ok(api.patch(f"teams/{team['id']}", json={"name": name}))
    refused(api.post(f"teams/{team['id']}/logins", json={}), 400, "invalid")
    everything = walk(api, "provisioning-log")

    assert 6 == len(everything)
    assert sorted((entry["id"] for entry in everything), reverse=True) == [entry["id"] for entry in everything]

    def found(**params: Any) -> int:
        chosen = walk(api, "provisioning-log", **params)
        assert chosen == items(api.get("provisioning-log", params=params))
        for name, value in params.items():
            assert {value} >= {entry["target"]["id"] if name == "target_id" else entry[name] for entry in chosen}
        return len(chosen)

    assert (4, 1, 1) == tuple(found(outcome=outcome) for outcome in ("success", "skipped", "failure"))
    assert (5, 1, 0) == tuple(found(source=source) for source in ("admin", "scim", "graph"))
    assert (3, 3) == (found(action="update"), found(action="create"))
    assert 4 == found(target_id=team["id"])
    assert 2 == found(target_id=team["id"], action="update", outcome="success", source="admin")
    assert ["outcome"] == places(api.get("provisioning-log", params={"outcome": "good"}))


def test_no_secret_and_no_value_is_written_down(house: House) -> None:
    """API keys, start codes, links, ciphertexts, names, addresses: neither the log nor an event holds one."""
    personal = [
        unique("Secretly"),
        f"{unique('hidden')}@example.com",
        "ciphertext-of-mine",
        unique("Title"),
        unique("Val"),
    ]
    name, address, ciphertext, title, value = personal
    with house.client() as api, house.scim() as scim:
        person = new_person(api, display_name=name, email=address)
        code = ok(api.post(f"people/{person['id']}/start-code", headers={"Idempotency-Key": "once"}))["start_code"]
        api.post("activations/redeem", json={"sign_in": address, "start_code": "wrong-code-typed"})
        ok(api.post("activations/redeem", json={"sign_in": address, "start_code": code}))
        team = new_team(api)
        new_login(api, team, ciphertext=ciphertext, title=title)
        ok(api.put(f"people/{person['id']}/photo", content=PNG, headers={"Content-Type": "image/png"}), 204)
        template = new_template(api, NAME)
        body = {"template_id": template["id"], "display_name": name, "email": address, "values": {"name": value}}
        token = ok(api.post("invitations", json=body, headers={"Idempotency-Key": "link"}), 201)["claim_token"]
        ok(api.post("invitations/claim", json={"claim_token": token, "display_name": name}))
        refused(api.patch(f"people/{person['id']}", json={"display_name": name, name: 1}), 400, "invalid")
        refused(api.get("people", params={address: "x"}), 400, "invalid")
        refused(api.post("people", json={"display_name": name, "email": name}), 400, "invalid")
        refused(api.post("people", content=f'{{"display_name": "{name}'.encode()), 400, "invalid")
        refused(api.post("teams", json={"name": token, "x": code, "y": house.keys["admin"]}), 400, "invalid")
        refused(api.delete(f"people/{house.keys['admin']}"), 404, "not-found")
        refused(api.post(f"teams/{address}/logins", json={"ciphertext": ciphertext}), 404, "not-found")
        user = push_user(scim)
        group = push_group(scim, user)
        ok(api.put(f"templates/{template['id']}/assignments", json={"group_ids": [group["id"]]}))
        card = items(api.get("cards", params={"state": "active"}))[-1]
        ok(api.patch(f"cards/{card['id']}", json={"overrides": {"name": value}}))
        refused(api.put(f"templates/{template['id']}/assignments", json={"group_ids": [address]}), 404, "not-found")

    def everything(connection: Connection) -> list[Any]:
        tables = (table_of(ProvisioningLogRow), table_of(OutboxEventRow), table_of(IdempotencyRow))
        return [
            connection.rows(Statement(select(table).where(table.c.tenant_id == house.customer.tenant_id)), {})
            for table in tables
        ]

    written = in_core(house.database_url, lambda database: database.read(lambda each: repr(everything(each))))
    for secret in (*personal, code, token, "wrong-code-typed", *house.keys.values(), house.customer.token):
        assert secret not in written, secret


@pytest.mark.parametrize("name", ["O'Brien's", "Conan O' Brien", "rock 'n' roll", 'say "so"', "Plain name"])
def test_what_a_sentence_quotes_is_masked(api: httpx.Client, name: str) -> None:
    """However the quoted value itself is quoted."""
    new_template(api, name=name)
    body = refused(api.post("templates", json={"name": name}), 409, "conflict")
    [entry] = log(api, outcome="failure")

    assert name in body["detail"]
    assert "A template named '•••' already exists." == entry["reason"]


# Events -------------------------------------------------------------------------------------------------------------


def test_events_are_read_from_a_position_on(api: httpx.Client, scim: httpx.Client) -> None:
    """Each once, without a gap, in order; `next` while there is more, and from the last position on afterwards."""
    group = push_group(scim, push_user(scim))
    team = new_team(api)
    login = new_login(api, team)
    ok(api.delete(f"teams/{team['id']}/logins/{login['id']}"), 204)
    ok(api.delete(f"teams/{team['id']}"), 204)
    everything = items(api.get("events"))

    assert list(range(1, len(everything) + 1)) == [event["position"] for event in everything]
    assert everything == walk(api, "events") == walk(api, "events", 3)
    assert [
        "person.created",
        "team.created",
        "team.members_changed",
        "team.created",
        "login.added",
        "login.deleted",
        "team.deleted",
    ] == [event["type"] for event in everything]
    assert len(everything) == len({event["id"] for event in everything})
    assert {"type": "team", "id": team_of(api, group)["id"]} == everything[1]["subject"]
    last = everything[-1]["position"]
    assert {"items": [], "next": None} == ok(api.get("events", params={"after": last}))

    ok(api.patch("settings", json={"on_group_delete": "detach"}))
    [event] = items(api.get("events", params={"after": last}))
    assert ("settings.changed", last + 1, {"version": 1, "changed": ["on_group_delete"]}) == (
        event["type"],
        event["position"],
        event["payload"],
    )


def test_events_are_chosen_by_type(api: httpx.Client) -> None:
    """One or several; a type that there is not is refused by name."""
    for _ in range(3):
        new_login(api, new_team(api))

    assert ["team.created"] * 3 == [each["type"] for each in walk(api, "events", types="team.created")]
    assert 6 == len(walk(api, "events", types="team.created,login.added", limit=4))
    assert ["types"] == places(api.get("events", params={"types": "team.created,team.exploded"}))
    assert 6 == len(items(api.get("events", params={"types": ""})))
    assert [] == items(
        api.get("events", params={"types": ",".join(sorted(set(TYPES) - {"team.created", "login.added"}))})
    )


def test_a_refused_change_tells_nothing(api: httpx.Client) -> None:
    """Nor does one that changes nothing."""
    team = new_team(api)
    before = items(api.get("events"))

    refused(api.patch(f"teams/{team['id']}", json={"name": ""}), 400, "invalid")
    ok(api.patch(f"teams/{team['id']}", json={"name": team["name"]}))

    assert before == items(api.get("events"))


def test_no_event_is_missed_while_others_write(house: House) -> None:
    """Whoever reads on from the last position sees every event, in order, however many write at the same time."""

    async def run() -> tuple[list[str], list[Row]]:
        headers = {"Authorization": f"Bearer {house.keys['admin']}"}
        async with httpx.AsyncClient(base_url=house.url + PREFIX, headers=headers, timeout=60) as client:
            seen: list[Row] = []
            writing = asyncio.gather(*(client.post("teams", json={"name": f"T{n}"}) for n in range(60)))
            while not writing.done() or len(seen) < 60:
                page = (await client.get("events", params={"after": len(seen), "limit": 7})).json()["items"]
                seen += page
                await asyncio.sleep(0)
            return [answer.json()["id"] for answer in await writing], seen

    made, seen = asyncio.run(asyncio.wait_for(run(), 60))

    assert list(range(1, 61)) == [event["position"] for event in seen]
    assert sorted(made) == sorted(event["subject"]["id"] for event in seen)


def test_each_event_fits_its_description(house: House) -> None:
    """What the feed gives is what openapi/events.yaml promises."""
    import jsonschema_rs

    from app_api.event_feed import description, schema_name

    described = description()
    with house.client() as api, house.scim() as scim:
        user = push_user(scim)
        group = push_group(scim, user)
        template = new_template(api, NAME)
        ok(api.put(f"templates/{template['id']}/assignments", json={"group_ids": [group["id"]]}))
        ok(scim.delete(f"Users/{user['id']}"), 204)
        person = new_person(api, email="fits@example.com")
        ok(api.post(f"people/{person['id']}/start-code"))
        ok(api.delete(f"people/{person['id']}"), 204)
        found = walk(api, "events", 200)

    assert 10 < len({event["type"] for event in found})
    for event in found:
        reference = f"#/components/schemas/{schema_name(event['type'])}"
        schema = {"$ref": reference, "components": described["components"]}
        assert [] == [str(each) for each in jsonschema_rs.validator_for(schema).iter_errors(event)]


# Keys, settings, jobs -----------------------------------------------------------------------------------------------


def test_the_use_of_a_key_is_noted(house: House) -> None:
    """Beside the request, and not for each one."""

    def last_used(connection: Connection) -> dict[str, Any]:
        tenant = tenants.find(connection, house.customer.tenant_id)
        return {key.id: key.last_used_at for key in api_keys.all_of(connection, tenant)}

    def noted() -> dict[str, Any]:
        return in_core(house.database_url, lambda database: database.read(last_used))

    assert {None} == set(noted().values())
    with house.client("read") as api:
        ok(api.get("teams"))
        deadline = time.monotonic() + 10
        while noted()[house.key_ids["read"]] is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        first = noted()
        ok(api.get("teams"))

    assert {house.key_ids["read"]} == {key for key, at in first.items() if at is not None}
    assert first == noted()


def test_settings(server: Server) -> None:
    """They have their defaults, are changed one by one, and the seat limit is not theirs to change."""
    with new_house(server, seats=7).client() as api:
        defaults = {"group_sync": "all", "on_group_delete": "refuse", "invalid_phone": "flag", "seat_limit": 7}
        assert defaults == ok(api.get("settings"))
        assert {**defaults, "group_sync": "selected"} == ok(api.patch("settings", json={"group_sync": "selected"}))
        everything = {"group_sync": "all", "on_group_delete": "detach", "invalid_phone": "reject"}
        assert {**everything, "seat_limit": 7} == ok(api.patch("settings", json=everything)) == ok(api.get("settings"))
        assert ok(api.get("settings")) == ok(api.patch("settings", json={}))
        for wrong, member in (
            ({"seat_limit": 8}, "/seat_limit"),
            ({"group_sync": "none"}, "/group_sync"),
            ({"group_sync": None}, "/group_sync"),
            ({"invalid_phone": True}, "/invalid_phone"),
        ):
            assert [member] == places(api.patch("settings", json=wrong))


def test_settings_decide(api: httpx.Client, scim: httpx.Client) -> None:
    """`detach` lets a group go while its team stays with its logins; `reject` refuses numbers that no card can show."""
    ok(api.patch("settings", json={"on_group_delete": "detach", "invalid_phone": "reject"}))
    group = push_group(scim, push_user(scim))
    team = team_of(api, group)
    new_login(api, team)

    ok(scim.delete(f"Groups/{group['id']}"), 204)
    kept = ok(api.get(f"teams/{team['id']}"))
    assert ("manual", "source_deleted", None, 1, 1) == tuple(
        kept[name] for name in ("kind", "sync_status", "group_id", "member_count", "login_count")
    )
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": unique()}
    answer = scim.post("Users", json={**body, "phoneNumbers": [{"type": "work", "value": "123"}]})
    assert (400, "invalidValue") == (answer.status_code, answer.json()["scimType"])


def test_what_takes_long_is_a_job(api: httpx.Client, scim: httpx.Client) -> None:
    """Cards for many are issued by the worker; the job says how far it is."""
    users = [push_user(scim) for _ in range(30)]
    group = push_group(scim, *users)
    template = new_template(api, NAME)
    ok(api.put(f"templates/{template['id']}/assignments", json={"group_ids": [group["id"]]}))

    [job] = walk(api, "jobs")

    assert ("issue-cards", "queued", 0, 30, None) == tuple(
        job[name] for name in ("kind", "state", "done", "total", "error")
    )
    assert job["next_attempt_at"] == job["created_at"]
    assert job == ok(api.get(f"jobs/{job['id']}"))
    refused(api.get("jobs/nothing"), 404, "not-found")


def test_the_log_shows_what_came_by_other_doors(api: httpx.Client, scim: httpx.Client) -> None:
    """The directory's writes are in the same log, with their exchange."""
    # No number, and nothing that an id could hold by chance.
    user = push_user(scim, phoneNumbers=[{"type": "work", "value": "extension"}])

    [entry] = items(api.get("provisioning-log", params={"source": "scim"}))

    assert ("create", "User", user["id"], "warning", 201) == summary(entry)
    assert entry["reason_code"] == "invalidPhone"
    assert "userName" in entry["changed"]
    assert orjson.dumps(entry["exchange"]).count(b"extension") == 0
