"""What a process says about itself: JSON lines without anybody's values; and what housekeeping takes away."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import bindparam, select, update

from app_core import clock, ids, jobs, migrations, provisioning_log
from app_core.db import Connection, Database, Statement, open_database
from app_core.directory import U
from app_core.jobs import Progress
from app_core.provisioning_log import Entry, Outcome
from app_core.work import Work
from runtime import maintenance, settings
from runtime.logging import JsonLines
from tests.builders import ENTERPRISE_USER, PATCH_OP, a_group, a_user, create_user, patch
from tests.processes import Customer, ServerProcess, in_core, log_of, new_customer, serving, wait_for

T = TypeVar("T")

# No other text contains these, and no server invents them.
SECRETS = {
    "token": "scim_Kq7vZr2XwPl9uYb4",
    "password": "tr0ub4dor-Zx81",
    "email": "quentin.zwiebelfisch",
    "phone": "8675309421",
    "given name": "Quetzalcoatl",
    "family name": "Zwiebelfisch-Ölzweig",
    "department": "Xylophonabteilung",
    "key": "schluesselwert-q7",
}


def a_person(n: int) -> dict[str, Any]:
    """Build a user all of whose values would be recognised."""
    email = f"{SECRETS['email']}{n}@contoso.com"
    given, family = SECRETS["given name"], SECRETS["family name"]
    return a_user(
        n,
        userName=email,
        displayName=f"{given} {family}",
        name={"givenName": given, "familyName": family, "formatted": f"{given} {family}"},
        emails=[{"primary": True, "type": "work", "value": email}],
        phoneNumbers=[{"type": "work", "value": SECRETS["phone"], "primary": True}],
        title=SECRETS["department"],
        password=SECRETS["password"],
        **{ENTERPRISE_USER: {"department": SECRETS["department"], "employeeNumber": SECRETS["phone"]}},
    )


def test_no_secret_and_no_personal_value_is_said(own_database: str, tmp_path: Path) -> None:
    """Whatever is asked, in whatever form, leaves no token and nobody's values on stdout and stderr."""
    migrations.upgrade(own_database)
    customer = new_customer(own_database)
    with serving(own_database, tmp_path, worker=True, log_level="debug") as server:
        with customer.client(server.scim_url) as scim:
            statuses = {*accepted(scim), *refused(scim), *malformed(server, customer)}
            failed = internal_errors(own_database, customer, scim)
        assert 0 == server.terminate()
        said = server.output()
        lines = server.stderr.read_text().splitlines()

    # All of that has really been tried.
    assert {200, 201, 204, 400, 401, 404, 405, 409, 412, 413, 414, 415} <= statuses
    assert [500] * 3 == [answer.status_code for answer in failed]
    assert [] == [what for what, value in {**SECRETS, "live token": customer.token}.items() if value in said]
    assert customer.token[5:] not in said
    assert_json_lines(lines)
    # What went wrong is there, under the id that the client was told.
    told = [json.loads(line) for line in lines if '"exception"' in line]
    assert 3 == len(told)
    for answer, line in zip(failed, told, strict=True):
        assert answer.headers["x-request-id"] in answer.json()["detail"]
        assert answer.headers["x-request-id"] in line["message"]
        assert "error" == line["level"]
        assert re.search(r"scim_server/users\.py:\d+ ", line["trace"])
    for answer in failed:
        assert not [what for what, value in SECRETS.items() if value in answer.text]
        assert "Traceback" not in answer.text


def assert_json_lines(lines: list[str]) -> None:
    for line in lines:
        parsed = json.loads(line)
        assert {"at", "level", "logger", "message"} <= set(parsed)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", parsed["at"])


def accepted(scim: httpx.Client) -> list[int]:
    """Write and search with personal values in every place that takes them."""
    answers = [scim.post("Users", json=a_person(n)) for n in range(5)]
    user = answers[0].json()["id"]
    email, family = f"{SECRETS['email']}0@contoso.com", SECRETS["family name"]
    answers += [
        scim.put(f"Users/{user}", json=a_person(0)),
        scim.patch(f"Users/{user}", json=patch({"op": "replace", "path": "nickName", "value": family})),
        scim.patch(
            f"Users/{user}",
            json=patch({"op": "add", "path": f'emails[value eq "{email}"].display', "value": family}),
        ),
        scim.patch(f"Users/{user}", json=patch({"op": "add", "value": {"name.givenName": family}})),
        scim.patch(f"Users/{user}", json=patch({"op": "replace", "path": "password", "value": SECRETS["password"]})),
        scim.get("Users", params={"filter": f'userName eq "{email}"'}),
        scim.get("Users", params={"filter": f'emails.value sw "{email}" or name.familyName eq "{family}"'}),
        scim.post(
            "Users/.search",
            json={
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
                "filter": f'phoneNumbers.value co "{SECRETS["phone"]}"',
            },
        ),
        scim.post("Groups", json=a_group(SECRETS["department"], members=[{"value": user}])),
        scim.get("Groups", params={"filter": f'displayName eq "{SECRETS["department"]}"'}),
        scim.post(
            "Bulk",
            json={
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
                "Operations": [
                    {"method": "POST", "path": "/Users", "bulkId": family, "data": a_person(n)} for n in (8, 0)
                ],
            },
        ),
        scim.delete(f"Users/{answers[4].json()['id']}"),
    ]
    return [answer.status_code for answer in answers]


def refused(scim: httpx.Client) -> list[int]:
    """Ask for what the server refuses, with personal values in every place."""
    email, family, key = f"{SECRETS['email']}1@contoso.com", SECRETS["family name"], SECRETS["key"]
    known = scim.get("Users", params={"filter": f'userName eq "{email}"'}).json()["Resources"][0]["id"]
    unknown_token = {"Authorization": f"Bearer {SECRETS['token']}"}
    answers = [
        scim.post("Users", json=a_person(1)),
        scim.post("Users", json={**a_person(20), "emails": family}),
        scim.post("Users", json={**a_person(21), "active": family}),
        scim.post("Users", json={**a_person(22), key: family}),
        scim.get(f"Users/{email}"),
        scim.get(f"Nothing/{email}"),
        scim.patch(f"Users/{email}", json=patch({"op": "replace", "path": "title", "value": family})),
        scim.patch(f"Users/{known}", json=patch({"op": "replace", "path": f"{key}.{family}", "value": family})),
        scim.patch(f"Users/{known}", json=patch({"op": family, "path": "title", "value": family})),
        scim.patch(f"Users/{known}", json=patch({"op": "add", "path": f'emails[type "{email}"]', "value": "x"})),
        scim.patch(f"Groups/{known}", json=patch({"op": "add", "path": "members", "value": [{"value": email}]})),
        scim.post("Groups", json=a_group(SECRETS["department"], externalId=None)),
        scim.put(f"Users/{known}", json=a_person(1), headers={"If-Match": f'W/"{family.encode().hex()}"'}),
        scim.get("Users", params={"filter": f'userName eq "{email}" and'}),
        scim.get("Users", params={"filter": f"userName eq {email} {family}"}),
        scim.get("Users", params={"sortBy": key, "filter": key}),
        scim.get("Users", params={"filter": f'userName eq "{family * 2000}"'}),
        scim.post("Users", content=b"x" * 9_000_000),
        scim.post("Users", content=json.dumps(a_person(2)), headers={"Content-Type": f"text/{key}"}),
        scim.request("TRACE", f"Users/{email}"),
        scim.post("Users", json=a_person(30), headers=unknown_token),
        scim.get("Users", params={"access_token": SECRETS["token"]}, headers={"Authorization": ""}),
        scim.post("Bulk", json={"schemas": [key], "Operations": [a_person(3)]}),
    ]
    return [answer.status_code for answer in answers]


def malformed(server: ServerProcess, customer: Customer) -> list[int]:
    """Send what is no SCIM, no JSON and no HTTP."""
    email = SECRETS["email"]
    head = f"Host: localhost\r\nAuthorization: Bearer {customer.token}\r\n"
    body = json.dumps(a_person(40))
    raw = [
        f"POST /scim/v2/Users HTTP/1.1\r\n{head}Content-Length: {len(body) - 9}\r\n\r\n{body[:-9]}",
        f"POST /scim/v2/Users HTTP/1.1\r\n{head}Content-Length: {email}\r\n\r\n{body}",
        f"POST /scim/v2/Users HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n{email}\r\n{body}",
        f"GET /scim/v2/Users?filter=%ff%00{email} HTTP/1.1\r\n{head}\r\n",
        f"GET /scim/v2/Users/{email}%00 HTTP/1.1\r\n{head}\r\n",
        f"GET /scim/v2/Users/{email} HTTP/9.9\r\n{head}\r\n",
        f"{email} {SECRETS['password']}\r\n{head}\r\n",
        f"POST /scim/v2/Users HTTP/1.1\r\n{head}X-{email}\r\n\r\n",
        f"GET /{email} HTTP/1.1\r\n{head}Connection: close\r\n\r\n",
        f"GET /scim/v2/Users HTTP/1.1\r\n{head}Upgrade: {email}\r\nConnection: Upgrade\r\n\r\n",
        # The client goes away in the middle of its body.
        f"POST /scim/v2/Users HTTP/1.1\r\n{head}Content-Length: 100000\r\n\r\n{body}",
    ]
    return [status for text in raw if (status := exchanged(server, text.encode()))]


def exchanged(server: ServerProcess, request: bytes) -> int:
    """Send bytes and give the status that comes back, 0 for none."""
    parts = urlsplit(server.url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=30) as line:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := line.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(found[1]) if found else 0


def internal_errors(database_url: str, customer: Customer, scim: httpx.Client) -> list[httpx.Response]:
    """Spoil what is stored of a user behind the server's back, so that each change of it fails."""
    user = create_user(scim, 50, userName=f"{SECRETS['email']}50@contoso.com")["id"]
    statement = Statement(
        update(U)
        .where(U.c.tenant_id == bindparam("tenant_id"), U.c.id == bindparam("user_id"))
        .values(document=bindparam("document"))
    )
    params = {"tenant_id": customer.tenant_id, "user_id": user, "document": SECRETS["family name"].encode()}
    in_core(database_url, lambda database: database.write(lambda connection: connection.run(statement, params)))
    path, body = f"Users/{user}", patch({"op": "replace", "path": "title", "value": SECRETS["department"]})
    return [
        scim.patch(path, json=body),
        scim.put(path, json=a_person(50)),
        scim.patch(path, json={**body, "schemas": [PATCH_OP]}),
    ]


def test_an_exception_is_told_without_its_arguments() -> None:
    """A driver's exception holds a client's values: only its type and its places are told, on one line."""
    email = f"{SECRETS['email']}@contoso.com"
    with pytest.raises(ValueError, match="second line") as raised:
        int(f"({email})\nsecond line")
    fault = (raised.type, raised.value, raised.tb)
    record = logging.getLogger("test").makeRecord("test", logging.ERROR, "file", 1, "request %s failed", ("7",), fault)

    line = JsonLines().format(record)

    assert email in str(fault[1])
    assert email not in line
    assert "\n" not in line
    assert ("ValueError", "request 7 failed") == (json.loads(line)["exception"], json.loads(line)["message"])
    assert re.match(r"runtime/test_log\.py:\d+ test_an_exception", json.loads(line)["trace"])


# ── Housekeeping ────────────────────────────────────────────────────────────────────────────────────────────────────

DAY = 86400
SLOTS = Statement(select(jobs.J.c.slot).order_by(jobs.J.c.slot))


class CountingDatabase:
    """The database itself, keeping what each transaction answered."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.answers: list[Any] = []

    async def read(self, job: Callable[[Connection], T]) -> T:
        return await self.database.read(job)

    async def write(self, job: Callable[[Connection], T]) -> T:
        answer = await self.database.write(job)
        self.answers.append(answer)
        return answer

    async def close(self) -> None:
        await self.database.close()


def fill_log(
    database_url: str, customer: Customer, monkeypatch: pytest.MonkeyPatch, ages: Mapping[str, tuple[float, int]]
) -> None:
    """Write entries of different ages: by name, seconds since and how many."""
    now = clock.milliseconds()

    def job(connection: Connection) -> None:
        work = customer.work(connection)
        for name, (age, count) in ages.items():
            monkeypatch.setattr(clock, "milliseconds", lambda age=age: int(now - age * 1000))
            monkeypatch.setattr(ids, "HEADS", ids.Ascending())
            for _ in range(count):
                provisioning_log.record(work, Entry(name, "User", None, Outcome.SUCCESS, 200))

    with monkeypatch.context() as monkeypatch:
        in_core(database_url, lambda database: database.write(job))


def counted(database_url: str, customer: Customer) -> dict[str, int]:
    actions = [str(row["action"]) for row in log_of(database_url, customer)]
    return {action: actions.count(action) for action in set(actions)}


def test_only_old_entries_go_in_batches_from_all_tenants(own_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older than the retention goes, no transaction takes more than a batch, and the rest stays."""
    migrations.upgrade(own_database)
    many, few, none = (new_customer(own_database) for _ in range(3))
    ages = {"ancient": (1000 * DAY, 700), "old": (10 * DAY + 60, 500), "young": (10 * DAY - 60, 7), "new": (0, 5)}
    fill_log(own_database, many, monkeypatch, ages)
    fill_log(own_database, few, monkeypatch, {"old": (11 * DAY, 3), "new": (0, 1)})
    fill_log(own_database, none, monkeypatch, {"young": (9 * DAY, 2)})

    async def purge() -> tuple[int, list[int]]:
        counting = CountingDatabase(await open_database(own_database))
        try:
            log_of_ten_days = maintenance.purges(settings.load({}, log_retention_days="10"))[0]
            return await maintenance.remove_old(counting, log_of_ten_days), counting.answers
        finally:
            await counting.close()

    removed, batches = asyncio.run(purge())

    assert 1203 == removed == sum(batches)
    assert max(batches) <= maintenance.BATCH
    assert len(batches) >= 4
    assert {"young": 7, "new": 5} == counted(own_database, many)
    assert {"new": 1} == counted(own_database, few)
    assert {"young": 2} == counted(own_database, none)
    assert (0, 3) == (asyncio.run(purge())[0], len(asyncio.run(purge())[1]))


def test_finished_jobs_go_with_the_log(own_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that ended before the retention go, of every tenant; what is unfinished stays however old it is."""
    migrations.upgrade(own_database)
    one, other = (new_customer(own_database) for _ in range(2))
    now = clock.milliseconds()

    def job_of(work: Work, slot: str, age: float, ended: float | None) -> None:
        monkeypatch.setattr(clock, "milliseconds", lambda: int(now - age * 1000))
        monkeypatch.setattr(ids, "HEADS", ids.Ascending())
        work.now = clock.stamp(now / 1000 - age)
        jobs.enqueue(work, "kind", slot, {})
        if ended is not None:
            job = jobs.lease(work.connection, work.tenant_id, jobs.asked(work, slot).id)
            assert job is not None
            work.now = clock.stamp(now / 1000 - ended)
            jobs.save(work, job, Progress(None, 1))

    def fill(connection: Connection) -> None:
        for customer in (one, other):
            work = customer.work(connection)
            for at in range(600):
                job_of(work, f"old-{at}", 11 * DAY, 11 * DAY - at)
            job_of(work, "long", 12 * DAY, 9 * DAY)
            job_of(work, "young", 9 * DAY, 9 * DAY)
            job_of(work, "waits", 100 * DAY, None)

    with monkeypatch.context() as monkeypatch:
        in_core(own_database, lambda database: database.write(fill))

    async def purge() -> list[int]:
        counting = CountingDatabase(await open_database(own_database))
        try:
            removed = [
                await maintenance.remove_old(counting, each)
                for each in maintenance.purges(settings.load({}, log_retention_days="10"))
            ]
            return [sum(removed), max(counting.answers)]
        finally:
            await counting.close()

    def left(connection: Connection) -> list[str]:
        return [str(row[0]) for row in connection.rows(SLOTS, {})]

    assert [1200, maintenance.BATCH] == asyncio.run(purge())
    assert sorted(["long", "young", "waits"] * 2) == in_core(own_database, lambda database: database.read(left))
    assert 0 == asyncio.run(purge())[0]


def test_a_server_keeps_house(own_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker inside `serve` removes what is older than SCIM_SERVER_LOG_RETENTION_DAYS; --no-worker leaves it."""
    migrations.upgrade(own_database)
    customer = new_customer(own_database)
    fill_log(own_database, customer, monkeypatch, {"old": (3 * DAY, 20), "new": (DAY, 4)})

    with serving(own_database, tmp_path, worker=False, log_retention_days="2") as server:
        with customer.client(server.scim_url) as scim:
            create_user(scim, 1)
        assert {"old": 20, "new": 4, "create": 1} == counted(own_database, customer)
        assert 0 == server.terminate()
    with serving(own_database, tmp_path, worker=True, log_retention_days="2") as server:
        wait_for(lambda: "old" not in counted(own_database, customer))
        assert 0 == server.terminate(), server.output()
        assert "" == server.stderr.read_text()
    assert {"new": 4, "create": 1} == counted(own_database, customer)
