"""Invariants 20 to 24 for what follows the directory: start codes, events, the log of the API, API keys."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import httpx
import pytest

from app_core.events import TYPES
from tests.answers import JSON, change, ok, refused, unique, values
from tests.api import NAME, Company, MakeCompany, problem
from tests.builders import GROUP, a_user, created, patch
from tests.conftest import Server
from tests.raw import OF_NO_TENANT, TABLES, sql

# 20 ---------------------------------------------------------------------------------------------------------------------


def rows_of(server: Server, company: Company) -> Iterator[tuple[str, str]]:
    """Give all that the database holds of a tenant, and of no tenant, row by row."""
    for name in sorted(TABLES):
        key = "id" if name == "tenant" else "tenant_id"
        chosen, values = ("true", ()) if name in OF_NO_TENANT else (f"{key} = ?", (company.tenant_id,))
        for row in sql(server.database_url, f"SELECT * FROM {name} WHERE {chosen}", *values):
            yield name, str(row)


def issued(company: Company, person: JSON, **options: Any) -> str:
    """Make a start code."""
    return str(company.call("POST", f"people/{person['id']}/start-code", 200, **options)["start_code"])


def redeemed(company: Company, person: JSON, code: str) -> int:
    """Try a start code; give the status."""
    body = {"sign_in": person["sign_in"], "start_code": code}
    return company.api.post("activations/redeem", json=body).status_code


def test_inv_20_codes_are_nowhere_in_clear(server: Server, company: Company) -> None:
    """Shown once, where they are made: no answer gives them again, and no row of any table holds them."""
    person = company.person(company.hire())
    key = {"Idempotency-Key": str(uuid.uuid4())}
    code = issued(company, person, headers=key)
    assert redeemed(company, person, "WRONG-CODE") == 400

    bare = code.replace("-", "")
    assert len(bare) >= 12
    hidden = {code, bare, code.lower(), bare.lower(), base64.b64encode(code.encode()).decode()}
    for name, row in rows_of(server, company):
        assert not [each for each in hidden if each in row], name
    problem(company.api.post(f"people/{person['id']}/start-code", headers=key), 409, "already-done")
    answers = [company.get(f"people/{person['id']}"), company.log(), company.news()]
    assert not [each for each in hidden if each in str(answers)]
    assert 200 == redeemed(company, person, code)


def test_inv_20_codes_work_once_and_the_latest_alone(company: Company) -> None:
    """A new one makes the former void; redeemed, none works any more; no two are alike."""
    person = company.person(company.hire())
    codes = [issued(company, person) for _ in range(3)]

    assert 3 == len(set(codes))
    assert [400, 400, 200, 400] == [redeemed(company, person, code) for code in (*codes, codes[2])]
    company.call("DELETE", f"people/{person['id']}/activation", 204)
    assert 400 == redeemed(company, person, codes[2])


def test_inv_20_codes_expire(server: Server, company: Company) -> None:
    """At the instant that was shown with them."""
    person = company.person(company.hire())
    shown = company.call("POST", f"people/{person['id']}/start-code", 200)
    ((stored,),) = sql(server.database_url, "SELECT expires_at FROM activation WHERE person_id = ?", person["id"])
    assert shown["expires_at"] == stored
    move = "UPDATE activation SET expires_at = ? WHERE person_id = ?"

    sql(server.database_url, move, "2026-01-01T00:00:00.000Z", person["id"])
    assert 400 == redeemed(company, person, shown["start_code"])
    sql(server.database_url, move, stored, person["id"])
    assert 200 == redeemed(company, person, shown["start_code"])


def test_inv_20_five_tries(server: Server, company: Company) -> None:
    """Each wrong one counts though it is refused; after five the right one is dead, until there is a new one."""
    person = company.person(company.hire())
    other = company.person(company.hire())
    code, other_code = issued(company, person), issued(company, other)
    attempts = "SELECT attempts FROM activation WHERE person_id = ?"

    for count in range(1, 6):
        assert 400 == redeemed(company, person, other_code)
        assert [(count,)] == sql(server.database_url, attempts, person["id"])
    assert 400 == redeemed(company, person, code)
    assert 200 == redeemed(company, other, other_code)
    assert 200 == redeemed(company, person, issued(company, person))


def refused_codes(company: Company) -> list[JSON]:
    return [each for each in company.log() if each["reason_code"] == "wrong-code"]


def test_inv_20_five_tries_at_once(server: Server, company: Company) -> None:
    """Thirty guesses at the same moment: five are compared with the code, each is refused and logged, none spends a key."""
    person = company.person(company.hire())
    code = issued(company, person)
    refusals = len(refused_codes(company))
    keys = [{"Idempotency-Key": str(uuid.uuid4())} for _ in range(30)]
    wrong = {"sign_in": person["sign_in"], "start_code": issued(company, company.person(company.hire()))}

    def guess(key: dict[str, str]) -> int:
        return company.api.post("activations/redeem", json=wrong, headers=key).status_code

    with ThreadPoolExecutor(30) as pool:
        assert [400] * 30 == list(pool.map(guess, keys))

    assert [(5,)] == sql(server.database_url, "SELECT attempts FROM activation WHERE person_id = ?", person["id"])
    right = {"sign_in": person["sign_in"], "start_code": code}
    problem(company.api.post("activations/redeem", json=right, headers=keys[0]), 400, "wrong-code")
    assert refusals + 31 == len(refused_codes(company))


# 21 ---------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def no_inserts(database_url: str, table: str, tenant_id: str) -> Iterator[None]:
    """Have the database refuse every new row of a table, for one tenant."""
    name = f"refuse_{uuid.uuid4().hex[:8]}"
    if database_url.startswith("sqlite"):
        sql(
            database_url,
            f"CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN NEW.tenant_id = '{tenant_id}' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
    else:
        sql(
            database_url,
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF NEW.tenant_id = '{tenant_id}' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$",
        )
        sql(database_url, f"CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
    try:
        yield
    finally:
        sql(database_url, f"DROP TRIGGER {name}" + ("" if database_url.startswith("sqlite") else f" ON {table}"))


@pytest.mark.parametrize("table", ["outbox_event", "provisioning_log"])
def test_inv_21_change_event_and_log_entry_are_one(server: Server, make_company: MakeCompany, table: str) -> None:
    """Where the event or the log entry cannot be written nothing is changed; where it can, all three are there."""
    company = make_company()
    user, other = company.hire(), company.hire()
    group = company.found(user)
    team = company.team(group)
    template = company.new_template(NAME, groups=[group])
    card = company.card(company.person(user))
    company.news()
    add = {"op": "Add", "path": "members", "value": values(other)}
    asks: list[Callable[[httpx.Client], httpx.Response]] = [
        lambda client: client.post("scim/v2/Users", json=a_user(99)),
        lambda client: client.patch(f"scim/v2/Groups/{group['id']}", json=patch(add)),
        lambda client: client.patch(
            f"scim/v2/Users/{user['id']}", json=patch({"op": "Replace", "path": "active", "value": "False"})
        ),
        lambda client: client.delete(f"scim/v2/Users/{user['id']}"),
        lambda client: client.delete(f"scim/v2/Groups/{group['id']}"),
        lambda client: client.post(f"api/v1/teams/{team['id']}/logins", json={"ciphertext": "x"}),
        lambda client: client.patch(f"api/v1/templates/{template['id']}", json={"name": "Other"}),
        lambda client: client.put(f"api/v1/templates/{template['id']}/assignments", json={"group_ids": []}),
    ]
    tables = sorted(set(TABLES) - {"tenant", "scim_token", "api_key", "provisioning_log", *OF_NO_TENANT})

    def stored() -> dict[str, list[Any]]:
        """Give all rows but those that say when a secret was last used."""
        return {
            name: sorted(sql(server.database_url, f"SELECT * FROM {name} WHERE tenant_id = ?", company.tenant_id))
            for name in tables
            if name != "outbox_feed"
        }

    before = stored()
    with (
        no_inserts(server.database_url, table, company.tenant_id),
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        for ask in asks:
            for key in ("scim", "api"):
                side = company.scim if key == "scim" else company.api
                client.headers["Authorization"] = side.headers["Authorization"]
                status = ask(client).status_code
                # SQLite calls a trigger that refuses a reference that does.
                assert status in (401, 409, 500), status
    assert before == stored()
    assert [] == company.news()

    with httpx.Client(base_url=server.url, timeout=60) as client:
        for ask in (asks[1], asks[5], asks[7]):
            side = company.api if ask in asks[5:] else company.scim
            client.headers["Authorization"] = side.headers["Authorization"]
            answer = ask(client)
            assert answer.status_code < 300, answer.text
            request_id = answer.headers["x-request-id"]
            events = company.news()
            assert {request_id} == {event["correlation_id"] for event in events}
            assert request_id == company.log()[0]["correlation_id"]
    assert "paused" == company.get(f"cards/{card['id']}")["state"]


def test_inv_21_the_same_value_records_nothing(company: Company) -> None:
    """Neither by SCIM nor by the API: no event, no version, and the log says that everything was so."""
    user = company.hire()
    group = company.found(user)
    template = company.new_template(NAME, groups=[group])
    person, team = company.person(user), company.team(group)
    company.call("POST", f"people/{person['id']}/activation", 200)
    manual = company.call("POST", "teams", 201, {"name": unique("By hand")})
    company.call("PUT", f"teams/{manual['id']}/members/{person['id']}", 204)
    login = company.add_login(manual, title="Bank")
    card = company.card(person)
    path = f"teams/{manual['id']}/logins/{login['id']}"
    company.news()
    paths = [f"people/{person['id']}", f"teams/{team['id']}", f"teams/{manual['id']}", path, f"cards/{card['id']}"]
    before = [company.get(each) for each in (*paths, f"templates/{template['id']}")]

    for key in ("userName", "displayName", "title", "active"):
        ok(change(company.scim, user, {"op": "Replace", "path": key, "value": user[key]}))
    ok(company.scim.put(f"Users/{user['id']}", json=user))
    ok(change(company.scim, group, {"op": "Replace", "path": "displayName", "value": group["displayName"]}), 204)
    ok(change(company.scim, group, {"op": "Add", "path": "members", "value": values(user)}), 204)
    ok(change(company.scim, group, {"op": "Remove", "path": "members", "value": values("nobody")}), 204)
    ok(company.scim.put(f"Groups/{group['id']}", json={**group, "members": values(user)}))
    asked: list[tuple[str, str, int, Any]] = [
        ("PUT", f"templates/{template['id']}/assignments", 200, {"group_ids": [group["id"]]}),
        ("PATCH", f"templates/{template['id']}", 200, {"name": template["name"], "fields": [NAME]}),
        ("POST", f"people/{person['id']}/activation", 200, None),
        ("PATCH", f"teams/{manual['id']}", 200, {"name": manual["name"]}),
        ("PUT", f"teams/{manual['id']}/members/{person['id']}", 204, None),
        ("PATCH", path, 200, {"title": "Bank", "ciphertext": login["ciphertext"]}),
        ("POST", f"{path}/move", 200, {"team_id": manual["id"]}),
        ("PATCH", f"cards/{card['id']}", 200, {"overrides": {}}),
        ("POST", f"cards/{card['id']}/refresh", 200, None),
        ("POST", f"groups/{group['id']}/team", 201, None),
        ("PATCH", "settings", 200, {"group_sync": "all"}),
    ]
    for method, where, status, body in asked:
        company.call(method, where, status, body)

    assert [] == company.news()
    assert before == [company.get(each) for each in (*paths, f"templates/{template['id']}")]


def test_inv_21_what_is_refused_tells_nobody(company: Company) -> None:
    """The events of a change go with it when it is undone, half of a Bulk or of a PATCH too."""
    user = company.hire()
    group = company.found(user)
    company.new_template(groups=[group])
    team = company.team(group)
    company.news()

    operations: list[JSON] = [
        {"op": "Replace", "path": "displayName", "value": unique("Half")},
        {"op": "Remove", "path": "members", "value": values(user)},
        {"op": "Add", "path": "members", "value": values("nobody")},
    ]
    refused(change(company.scim, group, *operations), 400, "invalidValue")
    refused(
        company.scim.post("Groups", json={"schemas": [GROUP], "displayName": "x", "members": values("nobody")}), 400
    )
    bulk = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            {"method": "PATCH", "path": f"/Groups/{group['id']}", "data": patch(*operations)},
            {"method": "POST", "path": "/Users", "bulkId": "u", "data": a_user(userName=f"{unique()}@contoso.com")},
        ],
    }
    assert ["400", "201"] == [each["status"] for each in ok(company.scim.post("Bulk", json=bulk))["Operations"]]
    problem(company.api.post(f"teams/{team['id']}/logins", json={"ciphertext": "x", "nosuch": 1}), 400, "invalid")

    assert ["person.created"] == [event["type"] for event in company.news()]
    assert team == company.team(group)
    assert "active" == company.card(company.person(user))["state"]


# 22 ---------------------------------------------------------------------------------------------------------------------


def feed(company: Company, **params: Any) -> list[JSON]:
    """Read the whole feed anew, page by page."""
    found: list[JSON] = []
    after: int | None = 0
    while after is not None:
        page = company.get("events", after=after, **params)
        found += page["items"]
        after = page["next"]
    return found


def test_inv_22_events_of_a_subject_are_in_sequence(make_company: MakeCompany) -> None:
    """As they happened, each with an id and a position that stay; the types can be chosen, the positions are the same."""
    company = make_company(seats=1)
    user = company.hire()
    group = company.found(user)
    company.new_template(groups=[group])
    company.disable(user)
    company.enable(user)
    company.leave(group, user)
    company.join(group, user)
    company.set_attribute(group, "displayName", "Renamed")
    card = company.card(company.person(user))

    events = feed(company, limit=200)

    told = [event["type"] for event in events if event["subject"]["id"] == card["id"]]
    assert ["card.issued", "card.paused", "card.revived", "card.paused", "card.revived"] == told
    assert list(range(1, len(events) + 1)) == [event["position"] for event in events]
    assert len(events) == len({event["id"] for event in events})
    assert sorted(event["occurred_at"] for event in events) == [event["occurred_at"] for event in events]
    assert events == feed(company, limit=3)
    chosen = ("card.paused", "team.renamed")
    assert [event for event in events if event["type"] in chosen] == feed(company, types=",".join(chosen), limit=2)
    assert events[5:] == company.get("events", after=5, limit=200)["items"]
    assert {"items": [], "next": None} == company.get("events", after=events[-1]["position"])
    for event in events:
        kind = TYPES[event["type"]]
        assert (kind.subject, {"version", *kind.payload}) == (event["subject"]["type"], set(event["payload"]))
    problem(company.api.get("events", params={"types": "card.lost"}), 400, "invalid")


def test_inv_22_an_event_that_commits_late_is_not_lost(server: Server, make_company: MakeCompany) -> None:
    """Its number is the lower one, its place in the feed the later: whoever has read past it still meets it."""
    if server.database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer: nobody commits late")
    company = make_company()
    user = company.hire()
    before = company.position
    assert before

    async def run() -> list[JSON]:
        late = await asyncpg.connect(server.database_url)
        try:
            transaction = late.transaction()
            await transaction.start()
            await late.execute(
                "INSERT INTO outbox_event "
                "(tenant_id, id, type, subject_type, subject_id, payload, occurred_at, correlation_id) "
                "SELECT tenant_id, 'late', 'team.deleted', 'team', 'late', '{}', occurred_at, 'late' "
                "FROM outbox_event WHERE tenant_id = $1 LIMIT 1",
                company.tenant_id,
            )
            await asyncio.to_thread(change, company.scim, user, {"op": "Replace", "path": "title", "value": "New"})
            seen = await asyncio.to_thread(company.news)
            await transaction.commit()
            return seen
        finally:
            await late.close()

    assert ["person.updated"] == [event["type"] for event in asyncio.run(run())]
    (event,) = company.news()
    assert ("late", before + 2) == (event["id"], event["position"])


def test_inv_22_readers_beside_writers_miss_nothing(make_company: MakeCompany) -> None:
    """Who reads on from the last position sees each event once and in order, whatever is written meanwhile."""
    company = make_company()
    groups = [company.found() for _ in range(3)]
    users = [company.hire() for _ in range(4)]
    company.news()
    start, done = company.position, threading.Event()

    def write(group: JSON) -> None:
        for user in users:
            for op in ("Add", "Remove"):
                ok(change(company.scim, group, {"op": op, "path": "members", "value": values(user)}), 204)

    def follow(seen: list[JSON]) -> None:
        last = False
        while not last:
            last = done.is_set()
            after = seen[-1]["position"] if seen else start
            seen += company.get("events", after=after, limit=7)["items"]
            last = last and not company.get("events", after=seen[-1]["position"])["items"]

    seen: list[list[JSON]] = [[], []]
    readers = [threading.Thread(target=follow, args=(each,)) for each in seen]
    writers = [threading.Thread(target=write, args=(group,)) for group in groups]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()

    number = len(groups) * len(users) * 2
    assert list(range(start + 1, start + number + 1)) == [event["position"] for event in seen[0]]
    assert seen[0] == seen[1]
    for group in groups:
        team_id = company.team(group)["id"]
        moves = [event["payload"]["added_count"] for event in seen[0] if event["subject"]["id"] == team_id]
        assert [1, 0] * len(users) == moves


# 23 ---------------------------------------------------------------------------------------------------------------------


def test_inv_23_the_log_and_the_feed_hold_no_secret_of_the_api(server: Server, make_company: MakeCompany) -> None:
    """No key, code, link, vault data or personal value, whether the request was carried out or refused."""
    company = make_company()
    name, address, title = unique("Zebedee"), f"{unique('zebedee')}@contoso.com", unique("Bank of Zurich")
    opaque, url = unique("ciphertext"), f"https://{unique('vault')}.example/"
    guest = company.call("POST", "people", 201, {"display_name": name, "email": address})
    code = issued(company, guest)
    assert 400 == redeemed(company, guest, "ABCD-EFGH-JKLM")
    assert 200 == redeemed(company, guest, code)
    team = company.call("POST", "teams", 201, {"name": "Vault"})
    login = company.add_login(team, title=title, url=url, ciphertext=opaque)
    path = f"teams/{team['id']}/logins/{login['id']}"
    company.call("PATCH", path, 200, {"title": title + "!", "ciphertext": opaque + "!"})
    problem(company.api.patch(path, json={"title": title, "ciphertext": [opaque]}), 400, "invalid")
    problem(company.api.post("teams/nowhere/logins", json={"title": title, "ciphertext": opaque}), 404, "not-found")
    problem(company.api.delete(f"teams/{team['id']}"), 409, "team-has-logins")
    template = company.new_template({**NAME, "editable": True})
    made = company.call(
        "POST", "invitations", 201, {"template_id": template["id"], "email": address, "display_name": name}
    )
    claim = {"claim_token": made["claim_token"], "display_name": name}
    company.call("POST", "invitations/claim", 200, claim)
    problem(company.api.post("invitations/claim", json=claim), 400, "wrong-code")
    company.call("PATCH", f"cards/{made['card_id']}", 200, {"overrides": {"name": name}})
    problem(company.api.get(f"people/{company.api_key}"), 404, "not-found")
    problem(company.api.delete(f"people/{company.api_key}"), 404, "not-found")
    problem(company.api.post("people", json={"display_name": company.api_key, "nosuch": address}), 400, "invalid")

    entries = company.log()
    assert {"failure", "success"} <= {entry["outcome"] for entry in entries}
    hashed = hashlib.sha256(company.api_key.encode()).hexdigest()
    hidden = [
        company.api_key,
        hashed,
        code,
        code.replace("-", ""),
        made["claim_token"],
        name,
        address,
        title,
        opaque,
        url,
    ]
    for table in ("provisioning_log", "outbox_event"):
        for found in sql(server.database_url, f"SELECT * FROM {table} WHERE tenant_id = ?", company.tenant_id):
            assert not [each for each in hidden if each in str(found)], found
    for table, row in rows_of(server, company):
        assert not [each for each in (company.api_key, made["claim_token"]) if each in row], table


def test_inv_23_refusals_of_the_api_are_logged(company: Company) -> None:
    """Each refused write survives its rollback, with who asked, what was aimed at and why."""
    team = company.call("POST", "teams", 201, {"name": unique("By hand")})
    company.add_login(team)
    problem(company.api.delete(f"teams/{team['id']}"), 409, "team-has-logins")
    problem(company.api.patch(f"teams/{team['id']}", json={"name": 7}), 400, "invalid")
    problem(company.api.patch(f"teams/{team['id']}", json={"name": "x"}, headers={"If-Match": 'W/"99"'}), 412, "stale")

    entries = company.log(team["id"], outcome="failure")

    assert [("update", 412, "stale"), ("update", 400, "invalid"), ("delete", 409, "team-has-logins")] == [
        (entry["action"], entry["status"], entry["reason_code"]) for entry in entries
    ]
    assert {("admin", "Team", team["id"])} == {
        (entry["source"], entry["target"]["type"], entry["target"]["id"]) for entry in entries
    }
    assert f"Team '{team['name']}' still holds 1 login; move or delete it first." == entries[2]["reason"]
    assert all(entry["reason"] for entry in entries)
    assert team["name"] == company.get(f"teams/{team['id']}")["name"]


# 24 ---------------------------------------------------------------------------------------------------------------------


def test_inv_24_api_keys_rotate(server: Server, company: Company) -> None:
    """Several are live; of each only a hash is kept; a revoked one ends at once, and the others live on."""
    made = server.cli("api-key", "create", company.tenant_id, "--scope", "read", "--json")
    with httpx.Client(
        base_url=f"{server.url}/api/v1", headers={"Authorization": f"Bearer {made['api_key']}"}, timeout=30
    ) as client:
        assert 200 == client.get("people").status_code
        problem(client.post("people", json={"display_name": "x"}), 403, "forbidden")

        server.cli("api-key", "revoke", company.tenant_id, made["api_key_id"])

        problem(client.get("people"), 401, "unauthenticated")
    assert company.get("people")
    kept = [row for name, row in rows_of(server, company) if name == "api_key"]
    assert 2 == len(kept)
    assert hashlib.sha256(made["api_key"].encode()).hexdigest() in str(kept)
    for name, row in rows_of(server, company):
        assert made["api_key"] not in row, name
    created(company.scim.post("Users", json=a_user(userName=f"{unique()}@contoso.com")))
    assert 401 == company.scim.get("Users", headers={"Authorization": f"Bearer {company.api_key}"}).status_code
