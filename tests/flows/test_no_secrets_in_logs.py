"""V6, invariant 23: whatever goes wrong between Entra, Graph and the application, no log and no error tells a secret or
anybody's values.

Real processes at the level `debug`, with their output kept: `serve` with its worker, the commands, a simulated Entra, a
mail server. Then everything that somebody could read is searched: output, provisioning log, jobs, reconciliations, the
state of the connection, events, the errors of both doors.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from app_core import api_keys, clock, graph_links, migrations, outbox, provisioning, reconciliations, tenants
from app_core.api_keys import KeyScope
from app_core.resource import UserRecord
from app_core.work import Work
from tests.flows.test_pull import Joined
from tests.mail import Letterbox, letterbox
from tests.processes import Customer, ServerProcess, command, empty_database, new_customer, serving, wait_for
from tests.raw import sql
from tests.simulator import CLIENT_ID, Entra, EntraTenant, simulated

JSON = dict[str, Any]
# No other text contains these, and nobody invents them.
CLIENT_SECRET, WRONG_SECRET = "Zx81q~client-secret.8Q_", "Zx81q~wrong-secret.9R_"
PERSONAL = {
    "sign-in name": "quentin.zwiebelfisch",
    "given name": "Quetzalcoatl",
    "surname": "Zwiebelfisch-Ölzweig",
    "phone": "8675309421",
    "street": "Xylophonstraße",
    "title": "Zitherbaumeister",
    "department": "Xylophonabteilung",
    "employee number": "E-5550199-q",
    "login": "Zaunkönig-Tresor",
}
JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
CODE = re.compile(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}")
FAULTS: list[JSON] = [
    {"kind": "unauthorized"},
    {"kind": "error", "status": 500},
    {"kind": "garbage"},
    {"kind": "truncate"},
    {"kind": "short_listing"},
    {"kind": "expired"},
    {"kind": "gone"},
    {"kind": "expired_page"},
    # What somebody must act on.
    {"kind": "unauthorized", "count": None},
    {"kind": "forbidden", "count": None},
    {"kind": "foreign_link", "count": None},
]
PAUSES: list[JSON] = [{"kind": "throttle", "retry_after": 300}, {"kind": "error", "status": 503, "retry_after": 300}]
"""What the server keeps to as long as it lives, so it comes last."""


def a_person(there: EntraTenant, number: int) -> str:
    """Make somebody in Entra all of whose values would be recognised."""
    name = f"{PERSONAL['sign-in name']}{number}@{there.domain}"
    return there.user(
        "",
        userPrincipalName=name,
        mail=name,
        displayName=f"{PERSONAL['given name']} {PERSONAL['surname']}",
        givenName=PERSONAL["given name"],
        surname=PERSONAL["surname"],
        jobTitle=PERSONAL["title"],
        department=PERSONAL["department"],
        streetAddress=PERSONAL["street"],
        # Not in E.164 form: a problem that is told.
        businessPhones=[PERSONAL["phone"]],
        mobilePhone=f"+1{PERSONAL['phone']}",
        employeeId=PERSONAL["employee number"],
        accountEnabled=True,
    )


@dataclass
class Said:
    """All that was said where somebody could read it, and the secrets that must not be in it."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    def note(self, where: str, text: str) -> None:
        self.texts.append((where, text))

    def refused(self, where: str, answer: httpx.Response) -> httpx.Response:
        """Keep an error; it may repeat what was sent with the same request, to whoever sent it."""
        assert answer.status_code >= 400, answer.text
        sent = answer.request.content.decode(errors="replace") + unquote(str(answer.request.url))
        text = answer.text
        for value in PERSONAL.values():
            text = text.replace(value, "") if value in sent else text
        self.note(where, text + str(dict(answer.headers)))
        return answer

    def leaks(self) -> list[str]:
        """Say where which secret or personal value stands."""
        found = []
        for where, text in self.texts:
            plain = text.encode().decode("unicode_escape", errors="replace") if "\\u" in text else text
            for what, value in {**self.secrets, **PERSONAL}.items():
                if value in text or value in plain:
                    at = max(text.find(value), 0)
                    found.append(f"{what} in {where}: …{text[max(0, at - 150) : at + 100]}…")
            found += [f"an access token in {where}: {each[:20]}…" for each in JWT.findall(text)]
        return found


@dataclass
class Scene:
    """A customer who only pulls, one who pushes, and everybody around them."""

    url: str
    folder: Path
    entra: Entra
    server: ServerProcess
    box: Letterbox
    joined: Joined
    pushing: Customer
    said: Said = field(default_factory=Said)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str]:
        return {**self.entra.server_settings, "log_level": "debug"}

    def write(self, act: Callable[[Work], Any]) -> Any:
        def flushed(work: Work) -> Any:
            value = act(work)
            outbox.flush(work)
            return value

        return self.joined.read(flushed)

    def command(self, *words: str, **settings: str) -> None:
        """Run a command and keep what it says."""
        done = command(self.url, *words, **{**self.settings, **settings})
        self.said.note(f"the output of {' '.join(words[:2])}", done.stdout + done.stderr)
        assert "Traceback" not in done.stderr, done.stderr

    def api(self, customer: Customer) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.keys[customer.tenant_id]}"}
        return httpx.Client(base_url=f"{self.server.url}/api/v1", headers=headers, timeout=60)

    def attempts(self) -> dict[str, tuple[int, bool]]:
        """Give the unfinished jobs: how often somebody took each up, and whether somebody has it now.

        A reconciliation that was asked for later, and that nobody has taken up, is not waited for.
        """
        query = (
            "SELECT id, attempt, leased_until FROM job WHERE tenant_id = ? AND finished_at IS NULL "
            "AND (attempt > 0 OR run_at <= ?)"
        )
        rows = sql(self.url, query, self.joined.customer.tenant_id, clock.now())
        return {str(job): (int(attempt), lease is not None) for job, attempt, lease in rows}

    def pulled(self, ask: Callable[[Work], Any]) -> None:
        """Ask for a job and wait until it has come to its end, or somebody has failed at it; keep what is told of it."""
        before = self.attempts()
        self.write(ask)
        wait_for(
            lambda: all(
                tried > before.get(job, (0, False))[0] and not at for job, (tried, at) in self.attempts().items()
            ),
            60,
        )
        self.look()

    def look(self) -> None:
        """Keep what is told of the connection and its jobs, and learn the links that Graph has given."""
        tenant_id = self.joined.customer.tenant_id
        for row in sql(self.url, "SELECT error, phase FROM job WHERE tenant_id = ?", tenant_id):
            self.said.note("a job", str(row))
        links = "SELECT status_reason, users_link, groups_link FROM directory_connection WHERE tenant_id = ?"
        for reason, *links_held in sql(self.url, links, tenant_id):
            self.said.note("the connection", str(reason))
            for link in filter(None, links_held):
                self.said.secrets[f"link {len(self.said.secrets)}"] = link.partition("token=")[2]


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entra]:
    with simulated(tmp_path_factory.mktemp("entra")) as running:
        running.do("register_application", client_id=CLIENT_ID, secrets=[CLIENT_SECRET])
        yield running


@pytest.fixture
def scene(database_url: str, entra: Entra, tmp_path: Path) -> Iterator[Scene]:
    entra.reset()
    with empty_database(database_url, tmp_path) as url, letterbox() as box:
        migrations.upgrade(url)
        joined, pushing = Joined(url, entra, entra.new_tenant(), new_customer(url)), new_customer(url)
        known = {**entra.server_settings, "entra_client_secret": CLIENT_SECRET}
        with serving(url, tmp_path, worker=True, log_level="debug", smtp_url=box.url, **known) as server:
            scene = Scene(url, tmp_path, entra, server, box, joined, pushing)
            scene.said.secrets |= {
                "client secret": CLIENT_SECRET,
                "wrong secret": WRONG_SECRET,
                "SCIM token": pushing.token.partition("_")[2],
                "other SCIM token": joined.customer.token.partition("_")[2],
            }
            for customer in (joined.customer, pushing):
                scene.keys[customer.tenant_id] = new_key(scene, customer)
                scene.said.secrets[f"API key of {customer.tenant_id}"] = scene.keys[customer.tenant_id].partition("_")[
                    2
                ]
            yield scene
    entra.reset()


def new_key(scene: Scene, customer: Customer) -> str:
    def issue(work: Work) -> str:
        return api_keys.issue(work.connection, tenants.find(work.connection, customer.tenant_id), KeyScope.ADMIN)[1]

    key: str = scene.joined.read(issue)
    return key


@pytest.mark.timeout(240)
def test_inv_23_no_secret_and_no_personal_value_is_told(scene: Scene) -> None:
    """What fails is told with its reason, and the reason names neither a secret nor anybody's values."""
    connects(scene)
    pulls(scene)
    reconciles(scene)
    pushes(scene)
    asks(scene)
    said = scene.said
    assert 0 == scene.server.terminate()
    said.note("stdout of the server", scene.server.stdout.read_text())
    said.note("stderr of the server", scene.server.stderr.read_text())
    for table in ("provisioning_log", "reconciliation", "reconciliation_drift", "outbox_event", "job"):
        for row in sql(scene.url, f"SELECT * FROM {table}"):
            said.note(table, str([None if is_link(value) else value for value in row]))

    assert not said.leaks(), "\n".join(said.leaks())
    # All of it has been tried.
    told = "\n".join(text for _, text in said.texts)
    assert all(reason in told for reason in REASONS), [reason for reason in REASONS if reason not in told]
    assert all(json.loads(line) for line in scene.server.stderr.read_text().splitlines())


REASONS = [
    "Entra does not take the client secret",
    "has granted consent to the application yet",
    "not granted in this directory",
    "does not take the token",
    "another host",
    "cannot be had right now",
    "429",
    "answers 500",
    "user-name-taken",
    "mail-not-sent",
    "wrong-code",
    "invalidFilter",
]


def is_link(value: Any) -> bool:
    """A job's place is for the worker alone, and no API shows it."""
    return isinstance(value, str) and value.startswith(('["users"', '["groups"'))


def connects(scene: Scene) -> None:
    """Connect with a wrong secret, without consent, with too little of it, to no directory, and at last well."""
    there, tenant_id = scene.joined.there, scene.joined.customer.tenant_id
    right = {"entra_client_secret": CLIENT_SECRET}
    words = ["graph", "connect", tenant_id, "--entra-tenant-id"]
    scene.command(*words, there.id, entra_client_secret=WRONG_SECRET)
    there.do("revoke_consent", client_id=CLIENT_ID)
    scene.command(*words, there.id, **right)
    there.do("grant_consent", client_id=CLIENT_ID, permissions=["User.Read.All"])
    scene.command(*words, there.id, **right)
    scene.command(*words, "bbbbbbbb-0000-4000-8000-00000000dead", **right)
    there.do("grant_consent", client_id=CLIENT_ID)
    scene.command(*words, there.id, **right)
    scene.command("graph", "groups", tenant_id, "--search", "Sales", **right)


def pulls(scene: Scene) -> None:
    """Pull with each fault; people come, are renamed to a name that another has, and go."""
    there = scene.joined.there
    people = [a_person(there, number) for number in range(6)]
    there.group("Sales", *people)
    scene.entra.do("settings", delta_page=2, list_page=2, token_padding=40)
    for fault in FAULTS:
        for person in people:  # more than one page holds: the faults of a next page need one
            there.do("change_user", user=person, jobTitle=f"{PERSONAL['title']} {time.monotonic()}")
        scene.entra.do("fault", path="/delta", **fault)
        scene.pulled(graph_links.ask_for_pull)
        scene.entra.do("clear_faults")
    plant_a_namesake(scene, people[1])
    there.do("change_user", user=people[1], userPrincipalName=f"{PERSONAL['sign-in name']}-b@{there.domain}")
    scene.pulled(graph_links.ask_for_pull)
    for person in people[2:4]:
        there.do("delete", object=person)
    there.do("purge", object=people[2])
    scene.pulled(graph_links.ask_for_pull)


def plant_a_namesake(scene: Scene, object_id: str) -> None:
    """Give a user of the mirror the name that another is about to get in Entra."""

    def act(work: Work) -> None:
        name = f"{PERSONAL['sign-in name']}-b@{scene.joined.there.domain}"
        provisioning.create_user(work, UserRecord({"userName": name, "externalId": "somebody", "active": True}, True))

    assert scene.joined.user(object_id) is not None
    scene.write(act)


def reconciles(scene: Scene) -> None:
    """Reconcile with a listing that breaks off, and well; by command and by the worker."""
    tenant_id = scene.joined.customer.tenant_id
    scene.joined.there.do(
        "change_user", user=f"{PERSONAL['sign-in name']}0@{scene.joined.there.domain}", department=None
    )
    for fault in ({"kind": "expired_page"}, {"kind": "garbage"}, {"kind": "forbidden"}):
        scene.entra.do("fault", path="/users", **fault)
        scene.pulled(lambda work: reconciliations.ask(work, grace=0.0))
        scene.entra.do("clear_faults")
    right = {"entra_client_secret": CLIENT_SECRET}
    scene.command("graph", "reconcile", tenant_id, "--dry-run", **right)
    scene.command("graph", "reconcile", tenant_id, "--json", **right)
    scene.command("graph", "approve", tenant_id, "nothing", **right)
    scene.command("graph", "sync", tenant_id, **right)
    for fault in PAUSES:
        scene.entra.do("fault", path="/delta", **fault)
        scene.pulled(graph_links.ask_for_pull)
        scene.entra.do("clear_faults")


def pushes(scene: Scene) -> None:
    """Send what Entra sends, and what no server takes."""
    said, name = scene.said, f"{PERSONAL['sign-in name']}@contoso.com"
    user = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "displayName": f"{PERSONAL['given name']} {PERSONAL['surname']}",
        "phoneNumbers": [{"type": "work", "value": PERSONAL["phone"]}],
    }
    with scene.pushing.client(scene.server.scim_url) as scim:
        assert 201 == scim.post("Users", json=user).status_code
        said.refused("a create", scim.post("Users", json=user))
        said.refused("a search", scim.get("Users", params={"filter": f'userName likes "{PERSONAL["surname"]}"'}))
        said.refused("a broken body", scim.post("Users", content=f'{{"userName": "{PERSONAL["surname"]}'))
        said.refused("a wrong value", scim.post("Users", json={**user, "userName": "x", "emails": PERSONAL["surname"]}))
        said.refused("an unknown user", scim.get(f"Users/{PERSONAL['surname']}"))
        wrong = {"Authorization": f"Bearer scim_{WRONG_SECRET}"}
        assert 401 == said.refused("a wrong token", scim.get("Users", headers=wrong)).status_code


def asks(scene: Scene) -> None:
    """Ask the API for what it refuses; make start codes, and send them by mail."""
    said = scene.said
    with scene.api(scene.joined.customer) as api:
        person = next(each for each in api.get("people").json()["items"] if each["state"] == "active")
        path = f"people/{person['id']}"
        api.post(f"{path}/activation").raise_for_status()
        code = api.post(f"{path}/start-code").raise_for_status().json()["start_code"]
        said.secrets["start code"] = code
        api.post(f"{path}/start-code/mail").raise_for_status()
        [(_, letter)] = scene.box.letters
        [mailed] = CODE.findall(str(letter.get_payload(decode=True)))
        said.secrets["mailed code"] = mailed
        scene.box.refuses = True
        said.refused("a letter", api.post(f"{path}/start-code/mail"))
        wrong = {"sign_in": person["sign_in"], "start_code": "0000-0000-0000"}
        said.refused("a wrong code", api.post("activations/redeem", json=wrong))
        said.refused("a void code", api.post("activations/redeem", json={**wrong, "start_code": code}))
        said.refused(
            "an unknown person", api.post("people", json={"display_name": PERSONAL["surname"], "email": "\u0000"})
        )
        said.refused("a wrong body", api.post("people", json={"display_name": [PERSONAL["surname"]]}))
        said.refused("an unknown team", api.get(f"teams/{PERSONAL['surname']}"))
        wrong_key = {"Authorization": f"Bearer scimapi_{WRONG_SECRET}"}
        said.refused("a wrong key", api.get("people", headers=wrong_key))
        team = api.post("teams", json={"name": "Vault"}).raise_for_status().json()
        login = {"ciphertext": PERSONAL["login"], "title": PERSONAL["login"]}
        api.post(f"teams/{team['id']}/logins", json=login).raise_for_status()
        said.refused("a team with logins", api.delete(f"teams/{team['id']}"))
        for job in api.get("jobs").json()["items"]:
            said.note("GET /jobs", str(job))
        for entry in api.get("provisioning-log", params={"limit": 200}).json()["items"]:
            said.note("GET /provisioning-log", str(entry))
