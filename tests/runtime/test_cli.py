"""The command as an operator uses it: real processes on both databases, beside running servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import pytest
from sqlalchemy import bindparam, update

from app_core import clock, db, migrations
from app_core.connections import TOKEN
from app_core.db import Statement, is_sqlite, sqlite_path
from runtime.cli import main
from runtime.settings import PREFIX, Settings
from tests.builders import a_user, create_user
from tests.processes import (
    ROOT,
    Customer,
    command,
    empty_database,
    environment,
    in_core,
    new_customer,
    serving,
    wait_for,
)

if TYPE_CHECKING:
    from tests.conftest import Server

COMMANDS = [
    [],
    ["serve"],
    ["worker"],
    ["graph"],
    ["graph", "connect"],
    ["graph", "disconnect"],
    ["graph", "groups"],
    ["graph", "add"],
    ["graph", "remove"],
    ["graph", "sync"],
    ["graph", "reconcile"],
    ["graph", "approve"],
    ["migrate"],
    ["backup"],
    ["tenant"],
    ["tenant", "create"],
    ["tenant", "list"],
    ["tenant", "show"],
    ["tenant", "set"],
    ["tenant", "delete"],
    ["doctor"],
    ["demo"],
    ["token"],
    ["token", "create"],
    ["token", "list"],
    ["token", "revoke"],
    ["api-key"],
    ["api-key", "create"],
    ["api-key", "list"],
    ["api-key", "revoke"],
    ["admin"],
    ["admin", "create"],
    ["admin", "list"],
    ["admin", "link"],
    ["admin", "revoke"],
]
SECRET = re.compile(r"scim_[A-Za-z0-9_-]{43}")


def all_at_once(
    database_url: str | None, calls: Sequence[Sequence[str]], **settings: str
) -> list[subprocess.CompletedProcess[str]]:
    """Run commands side by side, each as a process."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda call: command(database_url, *call, **settings), calls))


class Here:
    """The same command in this process, for refusals by the dozen: a process takes most of a second to start."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(
        self, database_url: str | None, /, *arguments: str, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        with self.monkeypatch.context() as patched:
            for name in set(os.environ) - set(environment()):
                patched.delenv(name)
            for name, value in environment(database_url, **settings).items():
                patched.setenv(name, value)
            try:
                code = main(arguments)
            except SystemExit as ended:
                code = int(ended.code or 0)
        said = self.capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


# ── Help, and being called wrongly ──────────────────────────────────────────────────────────────────────────────────


def test_every_command_explains_itself(here: Here) -> None:
    """--help of every command says what it does, lists its parts, and touches neither settings nor database."""
    listed: list[list[str]] = [[]]
    for words in COMMANDS:
        answer = here(None, *words, "--help", page_size="wrong")

        assert (0, "") == (answer.returncode, answer.stderr)
        assert answer.stdout.startswith(" ".join(["usage: scim-server", *words]))
        assert len(answer.stdout.splitlines()) > 3
        if re.search(r"^  (COMMAND|ACTION)$", answer.stdout, re.MULTILINE):
            listed += [[*words, name] for name in re.findall(r"^    ([a-z][\w-]*)", answer.stdout, re.MULTILINE)]
    # A command that is added is tested here as well.
    assert sorted(COMMANDS) == sorted(listed)


def test_help_as_a_process() -> None:
    """The module is a program: its help comes on stdout."""
    asked = command(None, "--help")

    assert (0, "") == (asked.returncode, asked.stderr)
    assert "tenant" in asked.stdout


def test_called_wrongly(here: Here) -> None:
    """What cannot be read is refused with exit code 2 and the usage, before anything is done."""
    calls = [
        [],
        ["nonsense"],
        ["tenant"],
        ["tenant", "create"],
        ["tenant", "create", "a", "--seats", "many"],
        ["tenant", "show"],
        ["tenant", "set"],
        ["tenant", "delete"],
        ["doctor", "now"],
        ["token", "create"],
        ["token", "create", "a", "--expires", "1w"],
        ["token", "create", "a", "--expires", "-1d"],
        ["token", "create", "a", "--expires", "200y"],
        ["token", "revoke", "a"],
        ["api-key", "create"],
        ["api-key", "create", "a", "--scope", "all"],
        ["api-key", "create", "a", "--expires", "1w"],
        ["api-key", "revoke", "a"],
        ["tenant", "set", "a", "--group-sync", "none"],
        ["backup"],
        ["serve", "--port", "http"],
        ["serve", "--port", "70000"],
        ["serve", "--port", "-1"],
        ["migrate", "--json"],
    ]

    for call in calls:
        answer = here("sqlite:////nowhere/at-all.db", *call)

        assert (2, "") == (answer.returncode, answer.stdout), call
        assert answer.stderr.startswith("usage: scim-server"), call
        assert "Traceback" not in answer.stderr, call


# ── Settings ────────────────────────────────────────────────────────────────────────────────────────────────────────

WRONG = {
    "database_url": ["mysql://root@localhost/scim", "scim.db", "sqlite://", "sqlite:///", "sqlite:///:memory:"],
    "public_url": ["scim.example.com", "ftp://x", "https://", "https://x?a=1", "http://[::1", "http://x:99999"],
    "log_level": ["loud", "INFO "],
    "log_retention_days": ["0", "-1", "forever", "1.5"],
    "event_retention_days": ["0", "-1", "forever", "4000"],
    "max_body_bytes": ["10", "many", "1000000000000"],
    "max_url_bytes": ["1", "x", "70000"],
    "page_size": ["0", "-5", "x", "20000"],
    "max_page_size": ["0", "x", "20000"],
    "max_bulk_operations": ["0", "x", "1000000"],
    "pool_size": ["0", "x", "5000"],
    "secret_key": ["short"],
    "graph_url": ["graph.microsoft.com", "http://graph.example.com", "ftp://localhost"],
    "login_url": ["x", "http://login.example.com", "https://x?y=z"],
    "smtp_url": ["mail.example.com", "http://mail.example.com", "smtp://"],
}
# Opaque texts of Entra's: only Entra can say whether they are right.
ANY_TEXT = {"entra_client_id", "entra_client_secret", "entra_client_certificate"}


def test_every_setting_has_a_wrong_value_here() -> None:
    """A setting that is added is tested here as well."""
    assert set(Settings.model_fields) == set(WRONG) | ANY_TEXT


@pytest.mark.parametrize("at", range(max(len(values) for values in WRONG.values())))
def test_wrong_settings_are_refused_by_name(here: Here, at: int) -> None:
    """Each wrong value is told with the variable's name, all of them at once; no other variable is named."""
    wrong = {name: values[at] for name, values in WRONG.items() if at < len(values)}

    refused = (here if at else command)(None, "tenant", "list", **wrong)

    assert (2, "") == (refused.returncode, refused.stdout)
    head, *sentences = refused.stderr.splitlines()
    assert "scim-server: wrong setting" == head
    names = [sentence.partition(":")[0] for sentence in sentences]
    assert sorted(f"{PREFIX}{name.upper()}" for name in wrong) == sorted(names)
    assert all(len(sentence) > len(name) + 10 for name, sentence in zip(names, sentences, strict=True))


def test_other_wrong_settings(here: Here) -> None:
    """An unknown variable is refused, and so are settings that contradict each other, by every command."""
    unknown = here("sqlite:///x.db", "migrate", pagesize="3")
    contradiction = here("sqlite:///x.db", "serve", page_size="100", max_page_size="50")
    option = here(None, "serve", "--database-url", "mysql://x")

    assert (2, "") == (unknown.returncode, unknown.stdout)
    assert f"{PREFIX}PAGESIZE: there is no such setting." in unknown.stderr
    assert 2 == contradiction.returncode
    assert f"{PREFIX}PAGE_SIZE: " in contradiction.stderr
    assert 2 == option.returncode
    assert f"{PREFIX}DATABASE_URL: " in option.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", "postgres://scim:hunter2@db/scim"),
        ("smtp_url", "https://mailer:hunter2@mail.example.com"),
        ("secret_key", "hunter2"),
        ("public_url", "https://scim:hunter2@scim.example.com/?q"),
        ("pool_size", "hunter2"),
    ],
)
def test_a_secret_in_a_wrong_setting_is_not_repeated(here: Here, name: str, value: str) -> None:
    """A value with a typo in front still holds its password: the refusal does not show it."""
    refused = here(None, "migrate", **{name: value})

    assert 2 == refused.returncode
    assert f"{PREFIX}{name.upper()}: " in refused.stderr
    assert "hunter2" not in refused.stderr + refused.stdout


def test_an_unusable_database_is_told_in_a_sentence(here: Here, tmp_path: Path) -> None:
    """No database behind the URL: exit code 1 and the variable's name, in place of a stack trace."""
    (tmp_path / "text.db").write_text("This file is not a database, but it is long enough for its header.\n" * 4)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        urls = [
            f"sqlite:///{tmp_path}/no-folder/scim.db",
            f"sqlite:///{tmp_path}/text.db",
            f"postgresql://scim:hunter2@127.0.0.1:{closed.getsockname()[1]}/scim",
        ]
        for url in urls:
            refused = here(url, "tenant", "list")

            assert (1, "") == (refused.returncode, refused.stdout)
            assert refused.stderr.startswith(f"scim-server: {PREFIX}DATABASE_URL: ")
            assert "Traceback" not in refused.stderr
            assert "hunter2" not in refused.stderr


# ── Schema ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_migrate_twice_and_without_drift(own_database: str) -> None:
    """The schema is made once, made again it is left alone, and it is what the models say."""
    first, second = command(own_database, "migrate"), command(None, "migrate", "--database-url", own_database)

    for done in (first, second):
        assert (0, "The schema is up to date.\n", "") == (done.returncode, done.stdout, done.stderr)
    migrations.drift(own_database)


def test_migrate_four_times_at_once(own_database: str) -> None:
    """Processes that start together on an empty database take turns."""
    done = all_at_once(own_database, [["migrate"]] * 4)

    assert [(0, "")] * 4 == [(each.returncode, each.stderr) for each in done]
    migrations.drift(own_database)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_migrate_at_once_again_and_again(database_url: str, tmp_path: Path) -> None:
    """The same on 12 empty databases."""
    for _ in range(12):
        with empty_database(database_url, tmp_path) as url:
            assert [(0, "")] * 4 == [(each.returncode, each.stderr) for each in all_at_once(url, [["migrate"]] * 4)]


def test_drift_is_seen(own_database: str) -> None:
    """The check finds a column that no migration made: it does not just always pass."""
    migrations.upgrade(own_database)
    statement = "ALTER TABLE tenant ADD COLUMN nickname TEXT"
    if is_sqlite(own_database):
        raw = sqlite3.connect(sqlite_path(own_database))
        raw.execute(statement)
        raw.close()
    else:
        asyncio.run(on_postgres(own_database, statement))

    with pytest.raises(Exception, match="nickname"):
        migrations.drift(own_database)


# ── Tenants ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tenants(here: Here, own_database: str) -> None:
    """Create, list and show: by id and by name in any case, as text and as JSON."""
    url = "https://scim.example.com/base"
    made = command(own_database, "tenant", "create", "Zoë & Söhne", "--seats", "25", "--json", public_url=url)
    created = json.loads(made.stdout)
    told = command(own_database, "tenant", "create", "  Contoso  ", public_url=f"{url}/")

    assert {"tenant_id", "scim_url", "token"} == set(created)
    assert f"{url}/scim/v2" == created["scim_url"]
    assert SECRET.fullmatch(created["token"])
    assert re.search(rf"^Tenant URL +{re.escape(url)}/scim/v2$", told.stdout, re.MULTILINE)
    assert re.search(rf"^Secret token +{SECRET.pattern}$", told.stdout, re.MULTILINE)

    calls = [
        ["tenant", "list"],
        ["tenant", "list", "--json"],
        ["tenant", "show", created["tenant_id"], "--json"],
        ["tenant", "show", "ZOË & SÖHNE", "--json"],
        ["tenant", "show", "Contoso"],
    ]
    answers = [here(own_database, *call, public_url=url) for call in calls]

    assert [(0, "")] * len(calls) == [(each.returncode, each.stderr) for each in answers]
    assert [] == [each.stdout for each in answers if SECRET.search(each.stdout)]
    assert ["Contoso", "Zoë & Söhne"] == [line.partition("  ")[2] for line in answers[0].stdout.splitlines()]
    listed = json.loads(answers[1].stdout)
    assert [("Contoso", None), ("Zoë & Söhne", 25)] == [(each["name"], each["seat_limit"]) for each in listed]
    shown = json.loads(answers[2].stdout)
    assert shown == json.loads(answers[3].stdout)
    assert shown["tenant_id"] == created["tenant_id"] == listed[1]["id"]
    assert shown["scim_url"] == created["scim_url"]
    assert "Contoso" in answers[4].stdout


def test_refusals_about_tenants(here: Here, own_database: str) -> None:
    """What cannot be done is told in a sentence with exit code 1, and nothing is changed."""
    before = here(own_database, "tenant", "list", "--json")
    assert (0, []) == (before.returncode, json.loads(before.stdout))
    assert "There is no tenant yet.\n" == here(own_database, "tenant", "list").stdout
    customer = new_customer(own_database, "Contoso")
    other = new_customer(own_database, "Fabrikam")
    calls = {
        "already exists": ["tenant", "create", "CONTOSO"],
        "already exists ": ["tenant", "create", " contoso ", "--json"],
        "needs a name": ["tenant", "create", "   "],
        "must be between 0 and 2147483647": ["tenant", "create", "Negative", "--seats", "-1"],
        "must be between 0 and 2147483647 ": ["tenant", "create", "Fleet", "--seats", "3000000000"],
        "must be between 0 and 2147483647  ": ["tenant", "set", "Contoso", "--seats", "3000000000"],
        "is neither a number": ["tenant", "set", "Contoso", "--seats", "9" * 5000],
        "cannot hold line breaks": ["tenant", "create", "Two\nlines"],
        "cannot hold line breaks ": ["tenant", "set", "Contoso", "--name", "Bell\a"],
        "needs a name ": ["tenant", "set", "Contoso", "--name", ""],
        "was not found": ["tenant", "show", "nobody"],
        "was not found ": ["tenant", "show", "Contoso%"],
        "was not found  ": ["token", "create", "nobody"],
        "was not found   ": ["token", "list", "nobody", "--json"],
        "was not found    ": ["token", "revoke", "Contoso", "nothing"],
        "was not found     ": ["token", "revoke", "Contoso", other.token_id],
        "expired already": ["token", "create", "Contoso", "--expires", "0h"],
    }

    for said, call in calls.items():
        answer = here(own_database, *call)

        assert (1, "") == (answer.returncode, answer.stdout), said
        assert re.fullmatch(rf"scim-server: .*{said.strip()}.*\n", answer.stderr), answer.stderr
    assert ["Contoso", "Fabrikam"] == [
        each["name"] for each in json.loads(here(own_database, "tenant", "list", "--json").stdout)
    ]
    assert 1 == len(tokens_of(here, own_database, customer))


def test_creates_of_one_tenant_at_once(here: Here, own_database: str) -> None:
    """Four processes that create one tenant on an empty database make one of it."""
    answers = all_at_once(own_database, [["tenant", "create", "Contoso", "--json"]] * 4)

    assert [0, 1, 1, 1] == sorted(each.returncode for each in answers), [each.stderr for each in answers]
    assert 1 == len(json.loads(here(own_database, "tenant", "list", "--json").stdout))


def test_a_name_that_is_another_tenants_id(here: Here, own_database: str) -> None:
    """An id as TENANT means the tenant of this id, even when another one is named like it, older or younger."""
    migrations.upgrade(own_database)
    keys = [new_customer(own_database, name).tenant_id for name in ("Contoso", "Fabrikam")]
    for key, name in zip(keys, reversed(keys), strict=True):
        assert 0 == here(own_database, "tenant", "set", key, "--name", name).returncode

    shown = [here(own_database, "tenant", "show", key, "--json") for key in keys]

    assert keys == [json.loads(each.stdout)["tenant_id"] for each in shown]


def test_commands_that_read_do_not_wait_for_a_writer(
    here: Here, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists, `show` and `doctor` take no lock, so they neither wait for a server nor hold it up; who writes is told."""
    monkeypatch.setattr(db, "PATIENCE", 0.05)
    migrations.upgrade(own_database)
    customer = new_customer(own_database, "Contoso")
    calls = [["tenant", "list"], ["tenant", "show", "Contoso"], ["token", "list", customer.tenant_id], ["doctor"]]

    with locked(own_database):
        answers = [here(own_database, *call, public_url="https://scim.example.com") for call in calls]
        refused = here(own_database, "tenant", "create", "Fabrikam") if is_sqlite(own_database) else None

    assert [(0, "")] * len(calls) == [(each.returncode, each.stderr) for each in answers]
    if refused is not None:
        assert (1, "") == (refused.returncode, refused.stdout)
        assert re.fullmatch(r"scim-server: The database is busy .+\n", refused.stderr)


@contextlib.contextmanager
def locked(database_url: str) -> Iterator[None]:
    """Hold what a writer and an upgrade hold: the one write lock, or rows and the advisory lock."""
    if is_sqlite(database_url):
        raw = sqlite3.connect(sqlite_path(database_url), isolation_level=None)
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("UPDATE tenant SET name = name")
        yield
        raw.close()
        return
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database_url))
        runner.run(connection.execute(f"BEGIN; SELECT pg_advisory_xact_lock({migrations.LOCK})"))
        runner.run(connection.execute("UPDATE tenant SET name = name"))
        yield
        runner.run(connection.close())


# ── Tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def tokens_of(here: Here, database_url: str, customer: Customer) -> list[dict[str, Any]]:
    listed = here(database_url, "token", "list", customer.tenant_id, "--json")
    assert (0, "") == (listed.returncode, listed.stderr)
    tokens: list[dict[str, Any]] = json.loads(listed.stdout)
    return tokens


def status_of(scim_url: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{scim_url}/Users", params={"count": 0}, headers=headers, verify=False).status_code


def test_rotation_and_revocation_on_every_process(
    here: Here, server: Server, doors: list[str], customer: Customer
) -> None:
    """Several tokens live side by side; one that is revoked is refused at once by all processes, the others are not."""
    made = here(
        server.database_url,
        *("token", "create", customer.tenant_id, "--label", "second", "--expires", "90d", "--json"),
    )
    second = json.loads(made.stdout)
    third = SECRET.search(here(server.database_url, "token", "create", customer.tenant_id).stdout)
    assert third is not None
    secrets = [customer.token, second["token"], third[0]]
    assert 3 == len(set(secrets))
    # Used everywhere before: no process may go on because it remembers the token.
    assert [200] * 3 * len(doors) == [status_of(door, secret) for door in doors for secret in secrets]

    revoked = command(server.database_url, "token", "revoke", customer.tenant_id, second["token_id"], "--json")

    assert [200, 401, 200] * len(doors) == [status_of(door, secret) for door in doors for secret in secrets]
    assert {"token_id": second["token_id"], "revoked": True} == json.loads(revoked.stdout)
    again = here(server.database_url, "token", "revoke", customer.tenant_id, second["token_id"])
    assert 1 == again.returncode
    listed = tokens_of(here, server.database_url, customer)
    assert [False, True, False] == [token["revoked_at"] is not None for token in listed]
    assert ["first token", "second", ""] == [token["label"] for token in listed]
    assert second["expires_at"] == listed[1]["expires_at"]


def test_a_refused_token_says_why_and_no_more(server: Server, customer: Customer) -> None:
    """401 has the challenge and a sentence; an unknown token learns nothing about the tenant."""
    for headers in ({}, {"Authorization": "Bearer scim_unknown"}, {"Authorization": "Basic c2NpbTpzY2lt"}):
        answer = httpx.get(f"{server.url}/scim/v2/Users", headers=headers, verify=False)

        assert 401 == answer.status_code
        assert 'Bearer realm="scim"' == answer.headers["www-authenticate"]
        assert "scim_unknown" not in answer.text
        assert customer.tenant_id not in answer.text


def test_an_expired_token_is_refused(server: Server, doors: list[str], customer: Customer) -> None:
    """A token lives until its expiry and not longer, on every process."""
    expire = Statement(
        update(TOKEN).where(TOKEN.c.id == bindparam("token_id")).values(expires_at=bindparam("expires_at"))
    )

    def set_expiry(seconds: float) -> None:
        params = {"token_id": customer.token_id, "expires_at": clock.later(seconds)}
        in_core(
            server.database_url,
            lambda database: database.write(lambda connection: connection.run(expire, params)),
        )

    set_expiry(3600)
    assert {200} == {status_of(door, customer.token) for door in doors}
    set_expiry(-1)

    answer = httpx.get(f"{doors[0]}/Users", headers=customer.headers, verify=False)
    assert {401} == {status_of(door, customer.token) for door in doors}
    assert "expired" in answer.json()["detail"]


@pytest.mark.parametrize(("span", "seconds"), [("12h", 43200), ("90d", 7776000), ("2y", 63072000)])
def test_expiry_as_asked(here: Here, server: Server, customer: Customer, span: str, seconds: int) -> None:
    """`--expires` counts from now: hours, days, years."""
    before = clock.later(seconds)

    made = here(server.database_url, "token", "create", customer.tenant_id, "--expires", span, "--json")

    assert before <= json.loads(made.stdout)["expires_at"] <= clock.later(seconds)


def test_last_use_appears(here: Here, server: Server, customer: Customer) -> None:
    """A token that was used says when; one that was not says never; the list holds no secret."""
    unused = json.loads(here(server.database_url, "token", "create", customer.tenant_id, "--json").stdout)
    assert [None, None] == [token["last_used_at"] for token in tokens_of(here, server.database_url, customer)]
    before = clock.now()

    assert 200 == status_of(f"{server.url}/scim/v2", customer.token)

    wait_for(lambda: tokens_of(here, server.database_url, customer)[0]["last_used_at"] is not None)
    used, other = tokens_of(here, server.database_url, customer)
    assert before <= used["last_used_at"] <= clock.now()
    assert (unused["token_id"], None) == (other["id"], other["last_used_at"])
    text = here(server.database_url, "token", "list", customer.tenant_id).stdout
    assert "never" in text
    for secret in (customer.token, unused["token"]):
        assert secret not in text + json.dumps([used, other])
        assert secret[5:20] not in text + json.dumps([used, other])


def test_the_database_holds_no_clear_secret(here: Here, own_database: str, tmp_path: Path) -> None:
    """Neither a token nor a password is anywhere in the database, refused requests and log included."""
    made = json.loads(here(own_database, "tenant", "create", "Contoso", "--json").stdout)
    password = "correct-horse-battery-staple-4711"
    token = made["token"]
    with serving(own_database, tmp_path) as server:
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=server.scim_url, headers=headers, verify=False) as scim:
            user = create_user(scim, 1, password=password)
            change = {"op": "replace", "path": "password", "value": f"{password}2"}
            message = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
            body = {"schemas": [message], "Operations": [change]}
            assert 200 == scim.patch(f"Users/{user['id']}", json=body).status_code
            assert 409 == scim.post("Users", json=a_user(1, password=password)).status_code
            assert 400 == scim.post("Users", json=a_user(2, emails=token, password=password)).status_code
            assert 400 == scim.post("Users", content=f'{{"password": "{password}'.encode()).status_code
            scim.get("Users", params={"filter": f'password eq "{password}"'})
            scim.get("Users", params={"filter": f"userName eq {token}"})
        held = everything_in(own_database)
        assert 0 == server.terminate(), server.output()

    assert b"person1@contoso.com" in held
    assert password.encode() not in held
    assert token.encode() not in held
    assert token[5:].encode() not in held


def everything_in(database_url: str) -> bytes:
    """Give all bytes of the files, or all rows of all tables."""
    if is_sqlite(database_url):
        path = Path(sqlite_path(database_url))
        return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*") if each.is_file())
    tables = asyncio.run(on_postgres(database_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
    held = b""
    for (table,) in tables:
        for row in asyncio.run(on_postgres(database_url, f'SELECT * FROM "{table}"')):
            held += b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
    return held


async def on_postgres(database_url: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


# ── Backup ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_backup_while_writes_go_on(here: Here, own_database: str, tmp_path: Path) -> None:
    """A copy made under load is a whole database: it can be served, and holds what was there when it began."""
    migrations.upgrade(own_database)
    customer = new_customer(own_database)
    copy = tmp_path / "copy.db"
    if not is_sqlite(own_database):
        refused = here(own_database, "backup", str(copy))

        assert (1, "") == (refused.returncode, refused.stdout)
        assert "pg_dump" in refused.stderr
        assert not copy.exists()
        return
    with serving(own_database, tmp_path) as server, customer.client(server.scim_url) as scim:
        for n in range(50):
            create_user(scim, n)
        started = subprocess.Popen(
            [sys.executable, "-m", "runtime.cli", "backup", str(copy)], cwd=ROOT, env=environment(own_database)
        )
        written = 50
        while started.poll() is None:
            create_user(scim, written)
            written += 1
        assert 0 == started.returncode
        assert 0 == server.terminate(), server.output()

    with serving(f"sqlite:///{copy}", tmp_path) as server, customer.client(server.scim_url) as scim:
        total = scim.get("Users").json()["totalResults"]
        listed = scim.get("Users", params={"count": 1000}).json()["Resources"]
        assert 50 <= total <= written
        assert [f"person{n}@contoso.com" for n in range(total)] == [user["userName"] for user in listed]
        found = scim.get("Users", params={"filter": f'emails.value eq "person{total - 1}@contoso.com"'})
        assert 1 == found.json()["totalResults"]
        create_user(scim, 100_000)
        assert 0 == server.terminate(), server.output()
    migrations.drift(f"sqlite:///{copy}")


def test_backups_that_are_refused(here: Here, tmp_path: Path) -> None:
    """Nothing is written over, and where there is no database none is made."""
    database_url = f"sqlite:///{tmp_path}/scim.db"
    missing = here(database_url, "backup", str(tmp_path / "copy.db"))
    assert [] == list(tmp_path.iterdir())
    migrations.upgrade(database_url)
    (tmp_path / "kept.txt").write_text("kept")
    over = here(database_url, "backup", str(tmp_path / "kept.txt"))
    nowhere = here(database_url, "backup", str(tmp_path / "no-folder" / "copy.db"))

    for refused in (missing, over, nowhere):
        assert (1, "") == (refused.returncode, refused.stdout)
        assert re.fullmatch(r"scim-server: .+\n", refused.stderr)
    assert "kept" == (tmp_path / "kept.txt").read_text()


# ── Serve ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_serve_says_where_it_is_and_what_is_next(own_database: str, tmp_path: Path) -> None:
    """On an empty database serve makes the schema and names the next step; with a tenant it names another."""
    with serving(own_database, tmp_path) as server:
        said = server.stdout.read_text()

        assert re.search(rf"^Tenant URL +{server.url}/scim/v2$", said, re.MULTILINE)
        assert re.search(rf"^Health +{server.url}/health/ready$", said, re.MULTILINE)
        assert re.search(r"^Next step +./run tenant create NAME", said, re.MULTILINE)
        assert 401 == httpx.get(f"{server.scim_url}/Users", verify=False).status_code
        assert {"status": "ok"} == httpx.get(f"{server.url}/health/live", verify=False).json()
        # A tenant that is made beside it is served at once.
        customer = new_customer(own_database)
        assert 200 == status_of(server.scim_url, customer.token)
        assert 0 == server.terminate()
        assert "" == server.stderr.read_text()
    migrations.drift(own_database)

    public = "https://scim.example.com"
    with serving(own_database, tmp_path, public_url=public) as server, customer.client(server.scim_url) as scim:
        said = server.stdout.read_text()
        assert re.search(rf"^Tenant URL +{public}/scim/v2$", said, re.MULTILINE)
        assert "./run token create TENANT" in said
        assert "Next step" not in said
        # A database password is nobody's business.
        assert "postgresql://" not in said
        assert create_user(scim, 1)["meta"]["location"].startswith(f"{public}/scim/v2/Users/")
        server.process.send_signal(2)
        assert 0 == server.process.wait(30)


def test_serve_answers_where_it_says_it_is(tmp_path: Path) -> None:
    """What it prints is so by then: a client need not wait, and `--port 0` is told as the port that was free."""
    arguments = [sys.executable, "-m", "runtime.cli", "serve", "--port", "0"]
    settings = environment(f"sqlite:///{tmp_path}/scim.db")
    with subprocess.Popen(arguments, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        url = said.removeprefix("Tenant URL").strip().removesuffix("/scim/v2")

        answer = httpx.get(f"{url}/health/live")

        process.terminate()
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", url)
    assert (200, 0) == (answer.status_code, process.returncode)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_serve_on_a_port_that_is_taken(here: Here, tmp_path: Path, host: str) -> None:
    """It ends with 1, says why in a sentence, and names no address where it is not."""
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
        port = str(taken.getsockname()[1])

        refused = here(f"sqlite:///{tmp_path}/scim.db", "serve", "--host", host, "--port", port)

    assert (1, "") == (refused.returncode, refused.stdout)
    shown = f"[{host}]" if ":" in host else host
    assert f"scim-server: Cannot listen on {shown}:{port}: Address already in use.\n" == refused.stderr
