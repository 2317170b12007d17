"""`scim-server demo`: the product on a throw-away database, with a simulated Entra tenant that works on.

Three processes on loopback: a small Entra, the server, and this one, which is the company's working day: it tells the
Entra what to change, lets it push, and does by the JSON API what the vendor's application would do. All of it is gone
when it ends.
"""

import asyncio
import contextlib
import itertools
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import httpx

from app_core import administrators, api_keys, clock, connections, sessions, tenants
from app_core.api_keys import KeyScope
from app_core.db import Connection, open_database
from app_core.errors import DomainError
from app_core.ids import new_correlation_id
from app_core.sessions import Kind, Subject
from app_core.work import Actor, Source, Work
from runtime.settings import inherited

COMPANY, ADMINISTRATOR = "Contoso", "ada@contoso.com"
PEOPLE, GROUPS, SEATS = 40, 6, 44
PAUSE_SECONDS = 12.0
LINK_SECONDS = 86400.0
START_SECONDS = 60
READY = "health/ready"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the demo was given when its tenant was made."""

    tenant_id: str
    administrator_id: str
    token: str
    api_key: str
    link: str


def demo(port: int, pause: float = PAUSE_SECONDS) -> int:
    """Show the product until somebody ends it. Gives the exit code."""
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError), asyncio.Runner() as runner:
        return runner.run(_until_stopped(port, pause))
    return 0


async def _until_stopped(port: int, pause: float) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="scim-server-demo-") as folder:
        async with _played(Path(folder), port) as play:
            await play.begin()
            _say(play)
            await play.go_on(pause)
    return 0


def _say(play: "Play") -> None:
    print(f"\n  Console       {play.url}/console/sign-in?link={play.secrets.link}")
    print("                (signs you in as the administrator of Contoso, once)\n")
    print(f"  Tenant URL    {play.url}/scim/v2")
    print(f"  Secret token  {play.secrets.token}")
    print(f"  JSON API      {play.url}/api/v1   key {play.secrets.api_key}")
    print(f"  Entra         {play.entra_url}/control   (the simulated one)\n")
    print("Everything is thrown away when this ends (Ctrl-C). Meanwhile, at Contoso:", flush=True)


# Processes ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _played(folder: Path, port: int) -> AsyncIterator["Play"]:
    """Start the Entra and the server; end both."""
    with _process(["-m", "runtime.simulator", "--port", "0", "--oddities", *_sized()], folder / "entra.log") as entra:
        entra_url, settings = await _settings_of(entra, folder / "entra.log")
        database_url = f"sqlite:///{folder / 'demo.db'}"
        key = token_urlsafe(32)
        environment = {**settings, "SCIM_SERVER_DATABASE_URL": database_url, "SCIM_SERVER_SECRET_KEY": key}
        secrets = await found_tenant(database_url)
        command = ["-m", "runtime.cli", "serve", "--port", str(port)]
        with _process(command, folder / "server.log", environment) as server:
            url = await _address_of(server, folder / "server.log")
            async with httpx.AsyncClient(timeout=120) as http:
                yield Play(http, url, entra_url, secrets)


def _sized() -> list[str]:
    return ["--people", str(PEOPLE), "--groups", str(GROUPS)]


@contextlib.contextmanager
def _process(arguments: list[str], log: Path, environment: Json | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=inherited(environment or {}),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


async def _settings_of(process: subprocess.Popen[bytes], log: Path) -> tuple[str, dict[str, str]]:
    """Read what the simulator says of itself: its address, and the server's settings for it."""
    lines = await _lines(process, log, "ENTRA_CLIENT_SECRET")
    address = next(line.split()[-1] for line in lines if line.startswith("Listening on"))
    named = [line.strip().partition("=") for line in lines if line.strip().startswith("SCIM_SERVER_")]
    return address, {name: value for name, _, value in named}


async def _address_of(process: subprocess.Popen[bytes], log: Path) -> str:
    lines = await _lines(process, log, "Health")
    url = next(line.split()[-1] for line in lines if line.startswith("Health")).removesuffix(f"/{READY}")
    async with httpx.AsyncClient() as http:
        for _ in range(START_SECONDS * 5):
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(f"{url}/{READY}")).is_success:
                    return url
            await asyncio.sleep(0.2)
    raise DemoFailed(f"The server did not answer at {url}.")


async def _lines(process: subprocess.Popen[bytes], log: Path, last: str) -> list[str]:
    """Wait until a process has said something; give all that it said."""
    for _ in range(START_SECONDS * 10):
        text = await asyncio.to_thread(log.read_text, "utf-8", "replace")
        if last in text and text.endswith("\n"):
            return text.splitlines()
        if process.poll() is not None:
            raise DemoFailed(text.strip() or f"{log.stem} ended at once.")
        await asyncio.sleep(0.1)
    raise DemoFailed(f"{log.stem} did not start.")


class DemoFailed(DomainError):
    """The demo could not be set up; the sentence says what its part said."""

    code = "demo-failed"


async def found_tenant(database_url: str) -> Secrets:
    """Make the database, the tenant, its secrets and its administrator."""
    from app_core import migrations

    await asyncio.to_thread(migrations.upgrade, database_url)
    database = await open_database(database_url)
    try:
        return await database.write(_found)
    finally:
        await database.close()


def _found(connection: Connection) -> Secrets:
    tenant = tenants.create(connection, COMPANY, seat_limit=SEATS)
    connection_id = connections.create(connection, tenant, "Microsoft Entra ID")
    _, token = connections.issue_token(connection, tenant, connection_id, label="Enterprise application")
    _, key = api_keys.issue(connection, tenant, KeyScope.ADMIN, label="The vendor's application")
    actor = Actor(Source.SYSTEM, "demo")
    work = Work(connection, tenant.id, connection_id, actor, new_correlation_id(), clock.now())
    administrator = administrators.add(work, ADMINISTRATOR)
    subject = Subject(Kind.ADMINISTRATOR, tenant.id, administrator.id)
    link = sessions.new_link(connection, subject, work.now, seconds=LINK_SECONDS)
    return Secrets(tenant.id, administrator.id, token, key, link)


# The working day ----------------------------------------------------------------------------------------------------

CARD: list[Json] = [
    {"key": "name", "source": "display_name", "mode": "always", "required": True},
    {"key": "title", "source": "job_title", "mode": "always"},
    {"key": "department", "source": "department", "mode": "always"},
    {"key": "company", "source": "company", "mode": "always"},
    {"key": "pronouns", "mode": "none", "editable": True, "placeholder": "she/her"},
    {"key": "phone", "label": "Phone", "kind": "phone", "source": "business_phone", "mode": "always"},
    {"key": "mobile", "label": "Mobile", "kind": "phone", "source": "mobile_phone", "mode": "always"},
    {"key": "email", "label": "E-mail", "kind": "email", "source": "email", "mode": "always"},
    {"key": "address", "label": "Office", "kind": "address", "source": "address", "mode": "always"},
    {"key": "linkedin", "label": "LinkedIn", "kind": "url", "mode": "none", "editable": True},
]
PARTNER_CARD: list[Json] = [
    {"key": "name", "mode": "none", "editable": True, "required": True, "placeholder": "Your name"},
    {"key": "company", "mode": "none", "editable": True, "placeholder": "Your company"},
    {"key": "email", "label": "E-mail", "kind": "email", "mode": "none", "editable": True},
]
LOGINS: dict[str, list[tuple[str, str | None]]] = {
    "Sales": [("CRM", "https://crm.contoso.example"), ("Trade fair portal", "https://fair.example")],
    "Finance": [("Bank", "https://bank.example"), ("Tax office", None), ("Payroll", "https://pay.example")],
    "Engineering": [("Status page", "https://status.example")],
}


class Play:
    """What happens at Contoso."""

    def __init__(self, http: httpx.AsyncClient, url: str, entra_url: str, secrets: Secrets) -> None:
        self.http = http
        self.url = url
        self.entra_url = entra_url
        self.secrets = secrets

    async def begin(self) -> None:
        """Push everybody, and set up what administrators and the application would have."""
        await self.push("initial")
        groups = {each["display_name"]: each for each in (await self.api("GET", "groups"))["items"]}
        await self._template("Business card", "#1f4fd8", "Contoso · Made to last", CARD, [groups["All Employees"]])
        sales = [each for each in CARD if each["key"] != "address"]
        await self._template("Sales card", "#0d7a5f", "Let us talk", sales, [groups["Sales"]])
        partner = await self._template("Partner card", "#7a3b8f", "Friends of Contoso", PARTNER_CARD, [])
        for team in (await self.api("GET", "teams"))["items"]:
            for title, address in LOGINS.get(team["name"], []):
                body = {"title": title, "url": address, "ciphertext": "ZGVtbw=="}
                await self.api("POST", f"teams/{team['id']}/logins", body)
        people = (await self.api("GET", "people?limit=6"))["items"]
        for person in people[:4]:
            await self.api("POST", f"people/{person['id']}/activation")
        await self.api("POST", f"people/{people[0]['id']}/start-code")
        await self.api("POST", "people", {"display_name": "Grace Hopper", "email": "grace@partner.example"})
        guest = {"template_id": partner, "email": "alan@partner.example", "display_name": "Alan Turing"}
        await self.api("POST", "invitations", guest)
        await self.api("POST", "teams", {"name": "Reception"})

    async def _template(self, name: str, color: str, headline: str, fields: list[Json], groups: list[Json]) -> str:
        look = {"primary_color": color, "headline": headline}
        made = await self.api("POST", "templates", {"name": name, "look": look, "fields": fields})
        if groups:
            assigned = {"group_ids": [group["id"] for group in groups]}
            await self.api("PUT", f"templates/{made['id']}/assignments", assigned)
        return str(made["id"])

    async def go_on(self, pause: float) -> None:
        """Let things happen, one after the other, until it is ended."""
        acts: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
            ("Sales becomes Sales EMEA", lambda: self.entra("rename_group", group="Sales", name="Sales EMEA")),
            ("somebody is promoted", lambda: self._somebody(3, jobTitle="Vice President")),
            ("somebody goes on leave", lambda: self._somebody(5, accountEnabled=False)),
            ("a number nobody can dial is entered", lambda: self._somebody(7, mobilePhone="0170 / 1234")),
            ("two people change into Support", lambda: self._join("Support", 8, 9)),
            ("Entra tries to delete Finance, whose team holds logins", lambda: self._delete_group("Finance")),
            ("somebody is back from leave", lambda: self._somebody(5, accountEnabled=True)),
            ("a new colleague is hired", self._hire),
            ("Sales EMEA is Sales again", lambda: self.entra("rename_group", group="Sales EMEA", name="Sales")),
            ("the number is corrected", lambda: self._somebody(7, mobilePhone="+491701234567")),
            ("two people leave Support", lambda: self._leave("Support", 8, 9)),
        ]
        for told, act in itertools.cycle(acts):
            await asyncio.sleep(pause)
            with contextlib.suppress(httpx.HTTPError, DemoFailed):
                await act()
                await self.push("incremental")
            print(f"  · {told}", flush=True)

    async def _somebody(self, number: int, **properties: Any) -> None:
        await self.entra("change_user", user=(await self._staff())[number], **properties)

    async def _join(self, group: str, *numbers: int) -> None:
        staff = await self._staff()
        await self.entra("add_members", group=group, members=[staff[each] for each in numbers])

    async def _leave(self, group: str, *numbers: int) -> None:
        staff = await self._staff()
        await self.entra("remove_members", group=group, members=[staff[each] for each in numbers])

    async def _delete_group(self, name: str) -> None:
        scim = f"{self.url}/scim/v2/Groups"
        headers = {"authorization": f"Bearer {self.secrets.token}"}
        found = await self.http.get(scim, params={"filter": f'displayName eq "{name}"'}, headers=headers)
        for each in found.json()["Resources"]:
            await self.http.delete(f"{scim}/{each['id']}", headers=headers)

    async def _hire(self) -> None:
        count = len(await self._staff())
        name = f"newcomer{count}"
        await self.entra(
            "create_user",
            userPrincipalName=f"{name}@contoso.com",
            displayName=f"Robin Newcomer {count}",
            mail=f"{name}@contoso.com",
            jobTitle="Trainee",
            department="Support",
        )
        await self.entra("add_members", group="All Employees", members=[f"{name}@contoso.com"])

    async def _staff(self) -> list[str]:
        told = await self.entra("directory")
        return [each["id"] for each in told["users"]]

    # ── How they are told ────────────────────────────────────────────────────────────────────────────────────────────

    async def push(self, cycle: str) -> None:
        """Let the simulated Entra run a cycle."""
        options = {"match_groups": "externalId", "external_id": "objectId"}
        await self.entra("push", tenant_url=f"{self.url}/scim/v2", token=self.secrets.token, cycle=cycle, **options)

    async def entra(self, verb: str, /, **arguments: Any) -> Json:
        """Have the simulated Entra do something. Raises DemoFailed."""
        answer = await self.http.post(f"{self.entra_url}/control/{verb}", json=arguments)
        return _told(answer, verb)

    async def api(self, method: str, path: str, body: Json | None = None) -> Json:
        """Call the JSON API as the vendor's application. Raises DemoFailed."""
        headers = {"authorization": f"Bearer {self.secrets.api_key}"}
        answer = await self.http.request(method, f"{self.url}/api/v1/{path}", json=body, headers=headers)
        return _told(answer, path)


def _told(answer: httpx.Response, what: str) -> Json:
    if not answer.is_success:
        raise DemoFailed(f"{what}: {answer.status_code} {answer.text[:300]}")
    told: Json = answer.json() if answer.content else {}
    return told
