"""V3: events are sent to webhooks, signed, in order for each subject, at least once, and never lost.

Real processes and a real receiver; what would take hours is moved into the past in the database.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from standardwebhooks import WebhookVerificationError

from app_core import deliveries, migrations, outbox, teams, webhooks
from app_core.db import Connection
from app_core.ports import Address
from app_core.sealing import Sealer
from app_core.work import Work
from tests.answers import JSON, unique
from tests.api import Company, companies, problem
from tests.processes import (
    Customer,
    ServerProcess,
    empty_database,
    in_core,
    new_customer,
    serving,
    wait_for,
    working,
)
from tests.raw import sql
from tests.webhooks import Receiver, leases_pass, receiving, taken, time_passes

T = TypeVar("T")
KEY, NEW_KEY = "the key of 2026", "the key of 2027"


@dataclass
class Scene:
    """A tenant with a webhook, its receiver, and a server that sends."""

    database_url: str
    company: Company
    receiver: Receiver
    webhook: JSON
    secret: str

    @property
    def path(self) -> str:
        return f"webhooks/{self.webhook['id']}"

    def team(self, *renames: str) -> str:
        """Make a team and rename it: events about one subject."""
        team: str = self.company.call("POST", "teams", 201, {"name": unique("Team")})["id"]
        for name in renames:
            self.company.call("PATCH", f"teams/{team}", 200, {"name": unique(name)})
        return team

    def now(self) -> JSON:
        return self.company.get(self.path)

    def waits(self, state: str = "waiting") -> list[JSON]:
        return self.company.all(f"{self.path}/deliveries", state=state)

    def time_passes(self) -> None:
        time_passes(self.database_url, self.company.tenant_id)

    def tried_again(self) -> bool:
        """Let the webhook's rest be over, but not the pauses of its deliveries."""
        sql(self.database_url, "UPDATE webhook SET rests_until = NULL WHERE id = ?", self.webhook["id"])
        return True

    def settled(self, **standing: Any) -> JSON:
        """Wait until the webhook stands so."""
        wait_for(lambda: standing.items() <= self.now().items())
        return self.now()


MakeScene = Callable[..., Scene]


@pytest.fixture(scope="module")
def sending(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ServerProcess]]:
    """A server that sends, on each kind of database; what it says holds no secret and no address."""
    folder = tmp_path_factory.mktemp("sending")
    with empty_database(database_url, folder) as url:
        migrations.upgrade(url)
        with serving(url, folder, worker=True, log_level="debug", secret_key=KEY) as server:
            yield url, server
            said = server.output()
            assert 0 == server.terminate()

        assert "whsec_" not in said
        assert "/hooks" not in said
        assert KEY not in said
        assert "Traceback" not in said


@contextlib.contextmanager
def scenes(database_url: str, server_url: str) -> Iterator[MakeScene]:
    with companies(server_url, database_url) as make, contextlib.ExitStack() as stack:

        def scene(**members: Any) -> Scene:
            company, receiver = make(), stack.enter_context(receiving())
            made = company.call("POST", "webhooks", 201, {"url": receiver.url, **members})
            return Scene(database_url, company, receiver, made["webhook"], made["secret"])

        yield scene


@pytest.fixture
def make_scene(sending: tuple[str, ServerProcess]) -> Iterator[MakeScene]:
    url, server = sending
    with scenes(url, server.url) as make:
        yield make


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    return make_scene()


def failing(*subjects: str, status: int = 500, **headers: str) -> Callable[[JSON], tuple[int, dict[str, str]]]:
    """Answer as who does not take what is about some subjects; without any, about none."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda event: (status, named) if not subjects or event["subject"]["id"] in subjects else taken(event)


def holding(receiver: Receiver, number: int, release: threading.Event) -> Callable[[JSON], tuple[int, dict[str, str]]]:
    """Answer so many, and the others only once they are let go."""

    def answer(event: JSON) -> tuple[int, dict[str, str]]:
        if len(receiver.arrived) >= number:
            release.wait(30)
        return taken(event)

    return answer


# What arrives ---------------------------------------------------------------------------------------------------------


def test_an_event_arrives_signed_as_the_feed_gives_it(scene: Scene) -> None:
    """Whoever has the secret can check it, nobody else; what happened before the webhook is not sent."""
    scene.team()
    [arrived] = scene.receiver.wait(1)
    [event] = [each for each in scene.company.news() if each["position"] == arrived.event["position"]]

    assert event == arrived.event
    assert (event["type"], event["occurred_at"]) == (arrived.message["type"], arrived.message["timestamp"])
    assert event["id"] == arrived.id
    assert event == arrived.verify(scene.secret)["data"]
    with pytest.raises(WebhookVerificationError):
        arrived.verify(webhooks.new_secret())
    assert arrived.headers["user-agent"].startswith("scim-server/")
    assert "/hooks" == arrived.path
    done = scene.settled(waiting=0, dead=0, failing_since=None)
    assert done["last_success_at"] is not None
    assert [] == scene.waits()


def test_what_happened_before_is_not_sent_and_types_are_chosen(make_scene: MakeScene) -> None:
    """A webhook begins at the present end of the feed, and is told only of what it wants."""
    scene = make_scene(types=["team.renamed", "team.created"])
    company = scene.company
    with receiving() as later:
        scene.team()
        company.call("POST", "people", 201, {"display_name": unique()})
        made = company.call("POST", "webhooks", 201, {"url": later.url, "types": ["team.renamed"]})
        renamed = scene.team("Sales")
        later.wait(1)
        scene.receiver.wait(3)

        assert [("team.renamed", renamed)] == [each.said for each in later.arrived]
        assert ["team.created", "team.created", "team.renamed"] == [each.said[0] for each in scene.receiver.arrived]
        company.call("DELETE", f"webhooks/{made['webhook']['id']}", 204)


def test_another_tenants_events_are_never_sent(make_scene: MakeScene) -> None:
    """Two tenants with a webhook each are told of their own."""
    ours, theirs = make_scene(), make_scene()
    expected = [{scene.team("A", "B") for _ in range(3)} for scene in (ours, theirs)]
    for scene in (ours, theirs):
        scene.receiver.wait(9)
        scene.settled(waiting=0)

    found = [{each.event["subject"]["id"] for each in scene.receiver.arrived} for scene in (ours, theirs)]
    assert expected == found


# What is not taken ----------------------------------------------------------------------------------------------------


def test_one_subject_keeps_its_order_and_others_go_on(scene: Scene) -> None:
    """What is about a subject waits behind what was not taken of it; it is sent again with the same id."""
    first = scene.team()
    scene.receiver.wait(1)
    scene.receiver.answer = failing(first)
    scene.company.call("PATCH", f"teams/{first}", 200, {"name": unique("A")})
    scene.company.call("PATCH", f"teams/{first}", 200, {"name": unique("B")})
    other = scene.team("C", "D")
    wait_for(lambda: len(scene.receiver.events(other)) == 3)
    wait_for(lambda: len(scene.waits()) == 2)
    newest, oldest = scene.waits()
    tried = [each for each in scene.receiver.arrived if each.status == 500]
    scene.company.call("PATCH", f"teams/{first}", 200, {"name": unique("E")})
    wait_for(lambda: len(scene.waits()) == 3)
    scene.receiver.answer = taken
    scene.time_passes()
    wait_for(lambda: len(scene.receiver.events(first)) == 4)

    assert {oldest["event_id"]} == {each.id for each in tried}
    assert (500, "status", None, 0) == (
        oldest["last_status"],
        oldest["last_reason"],
        newest["next_attempt_at"],
        newest["attempts"],
    )
    sent = [each for each in scene.receiver.arrived if each.event["subject"]["id"] == first]
    assert oldest["event_id"] == sent[-3].id
    positions = [each.event["position"] for each in scene.receiver.taken if each.event["subject"]["id"] == first]
    assert sorted(positions) == positions
    assert ["team.created", "team.renamed", "team.renamed", "team.renamed"] == scene.receiver.events(first)
    scene.settled(waiting=0, failing_since=None)


def test_what_fails_ten_times_is_dead_until_it_is_replayed(scene: Scene) -> None:
    """Then it stands in nobody's way; an administrator has it sent again, alone or with all that are dead."""
    receiver, company = scene.receiver, scene.company
    poison = scene.team()
    receiver.wait(1)
    receiver.answer = failing(poison)
    for name in ("A", "B"):
        company.call("PATCH", f"teams/{poison}", 200, {"name": unique(name)})
    for dead in (1, 2):
        wait_for(lambda: [1] == [each["attempts"] for each in scene.waits() if each["attempts"]])
        # Eight more, which take days.
        sql(scene.database_url, "UPDATE webhook_delivery SET attempts = 9 WHERE attempts = 1")
        scene.time_passes()
        scene.settled(dead=dead)
        scene.time_passes()
    scene.settled(dead=2, waiting=0)
    second, first = scene.waits("dead")
    receiver.answer = taken
    again = company.call("POST", f"{scene.path}/deliveries/{first['event_id']}/replay", 200)
    wait_for(lambda: receiver.taken[-1].id == first["event_id"])
    none = company.call("POST", f"{scene.path}/replay", 200, {"since": "2100-01-01T00:00:00Z"})
    all_of_them = company.call("POST", f"{scene.path}/replay", 200, {"since": "2020-01-01T00:00:00+02:00"})
    wait_for(lambda: receiver.taken[-1].id == second["event_id"])

    assert [10, 10] == [first["attempts"], second["attempts"]]
    assert first["position"] < second["position"]
    assert ("waiting", 0) == (again["state"], again["attempts"])
    assert [0, 1] == [none["count"], all_of_them["count"]]
    scene.settled(dead=0, waiting=0)
    told = [entry for entry in company.all("provisioning-log", source="system") if entry["action"] == "deliver"]
    assert [("warning", "given-up")] * 2 == [(entry["outcome"], entry["reason_code"]) for entry in told]
    problem(company.api.post(f"{scene.path}/deliveries/{first['event_id']}/replay"), 404, "not-found")


def test_410_disables_and_nothing_is_lost(scene: Scene) -> None:
    """The receiver is gone; once an administrator says that it is back, what happened meanwhile is sent."""
    scene.receiver.answer = failing(status=410)
    team = scene.team("A")
    off = scene.settled(state="disabled")
    scene.company.call("PATCH", f"teams/{team}", 200, {"name": unique("B")})
    problem(scene.company.api.post(f"{scene.path}/replay"), 409, "not-possible")
    scene.receiver.answer = taken
    on = scene.company.call("PATCH", scene.path, 200, {"active": True})
    scene.time_passes()
    wait_for(lambda: len(scene.receiver.events(team)) == 3)

    assert ("gone", 410) == (off["reason"], off["last_failure_status"])
    assert ("active", None) == (on["state"], on["reason"])
    assert 1 == len([each for each in scene.receiver.arrived if each.status == 410])
    [entry] = scene.company.all("provisioning-log", action="disable")
    assert ("system", "gone", scene.webhook["id"]) == (entry["source"], entry["reason_code"], entry["target"]["id"])


def test_a_pause_by_hand_keeps_events_in_the_feed(scene: Scene) -> None:
    """Nothing is sent while it lasts, and all of it afterwards."""
    scene.company.call("PATCH", scene.path, 200, {"active": False})
    team = scene.team("A")
    with receiving() as witness:
        made = scene.company.call("POST", "webhooks", 201, {"url": witness.url})
        scene.team()
        witness.wait(1)
        scene.company.call("DELETE", f"webhooks/{made['webhook']['id']}", 204)
    before = list(scene.receiver.arrived)
    scene.company.call("PATCH", scene.path, 200, {"active": True})
    wait_for(lambda: len(scene.receiver.events(team)) == 2)

    assert [] == before


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_for_a_pause_gets_it(scene: Scene, status: int) -> None:
    """`Retry-After` counts for the whole webhook, and for longer than the pause of our own."""
    scene.receiver.answer = failing(status=status, retry_after="7200")
    scene.team()
    scene.team()
    wait_for(lambda: bool(scene.waits()))
    waiting = scene.now()
    [(rests,)] = sql(scene.database_url, "SELECT rests_until FROM webhook WHERE id = ?", scene.webhook["id"])
    [first, *_] = [each for each in scene.waits() if each["attempts"]]

    assert status == waiting["last_failure_status"]
    assert waiting["last_failure_at"] < rests
    assert first["next_attempt_at"] >= rests


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(scene: Scene, status: int) -> None:
    """A receiver cannot send our message on, to a private host least of all."""
    with receiving() as elsewhere:
        scene.receiver.answer = failing(status=status, location=elsewhere.url)
        scene.team()
        wait_for(lambda: bool(scene.waits()))

        assert ("redirect", status) == (scene.now()["last_failure_reason"], scene.now()["last_failure_status"])
        assert [] == elsewhere.arrived


def test_a_receiver_that_is_back_gets_all_at_once(make_scene: MakeScene) -> None:
    """While nothing is taken only few events are tried; the first that is taken brings all the others."""
    scene = make_scene()
    scene.receiver.answer = failing()
    teams = [scene.team("A") for _ in range(20)]
    scene.settled(last_failure_status=500)
    wait_for(lambda: bool(scene.waits()))
    tried = len(scene.receiver.arrived)
    scene.receiver.answer = taken
    wait_for(lambda: scene.tried_again() and len(scene.receiver.taken) >= 40)

    assert tried < 20
    assert [["team.created", "team.renamed"]] * 20 == [scene.receiver.events(team) for team in teams]
    scene.settled(waiting=0, failing_since=None)


def test_back_pressure_leaves_events_in_the_feed(scene: Scene) -> None:
    """While too many wait, the feed is not taken any further; once they are taken, it is."""
    first = scene.team()
    scene.receiver.wait(1)
    scene.receiver.answer = failing(first)
    scene.company.call("PATCH", f"teams/{first}", 200, {"name": unique("A")})
    wait_for(lambda: len(scene.waits()) == 1)
    [kept] = sql(scene.database_url, "SELECT * FROM webhook_delivery WHERE webhook_id = ?", scene.webhook["id"])
    names = [name for (name,) in columns_of(scene.database_url)]
    row = dict(zip(names, kept, strict=True))
    many = [
        tuple({**row, "position": 1_000_000 + at, "event_id": f"event-{at}", "next_attempt_at": None}.values())
        for at in range(1000)
    ]
    places = f"({', '.join('?' * len(names))})"
    insert = f"INSERT INTO webhook_delivery ({', '.join(names)}) VALUES "
    for at in range(0, 1000, 250):
        part = many[at : at + 250]
        sql(scene.database_url, insert + ", ".join([places] * len(part)), *[value for each in part for value in each])
    other = scene.team("B")
    scene.tried_again()
    with receiving() as witness:
        made = scene.company.call("POST", "webhooks", 201, {"url": witness.url})
        scene.team()
        witness.wait(1)
        held = list(scene.receiver.events(other))
        scene.company.call("DELETE", f"webhooks/{made['webhook']['id']}", 204)
    # More than one batch of them is left to be cleared away: all would take seconds.
    few = "DELETE FROM webhook_delivery WHERE webhook_id = ? AND position >= ?"
    sql(scene.database_url, few, scene.webhook["id"], 1_000_000 + 2 * deliveries.BATCH)
    scene.receiver.answer = taken
    scene.time_passes()
    wait_for(lambda: len(scene.receiver.events(other)) == 2)

    assert [] == held
    assert ["team.created", "team.renamed"] == scene.receiver.events(first)
    # Those without an event are cleared away.
    scene.settled(waiting=0)


def columns_of(database_url: str) -> list[tuple[str]]:
    query = "SELECT name FROM pragma_table_info('webhook_delivery') ORDER BY cid"
    if not database_url.startswith("sqlite"):
        query = (
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'webhook_delivery' "
            "ORDER BY ordinal_position"
        )
    return [(str(name),) for (name,) in sql(database_url, query)]


# Secrets --------------------------------------------------------------------------------------------------------------


def test_both_secrets_sign_for_a_day(scene: Scene) -> None:
    """A receiver changes over when it likes; after a day only the new one signs."""
    made = scene.company.call("POST", f"{scene.path}/rotate-secret", 200)
    scene.team()
    [during] = scene.receiver.wait(1)
    sql(scene.database_url, "UPDATE webhook SET former_until = ?", "2000-01-01T00:00:00.000Z")
    scene.team()
    [_, after] = scene.receiver.wait(2)

    for secret in (scene.secret, made["secret"]):
        during.verify(secret)
    after.verify(made["secret"])
    with pytest.raises(WebhookVerificationError):
        after.verify(scene.secret)
    assert made["webhook"]["former_secret_until"] > made["webhook"]["modified_at"]


def test_a_test_says_what_came_back(scene: Scene) -> None:
    """At once, signed, whether or not the webhook is active; it is no event and leaves nothing behind."""
    well = scene.company.call("POST", f"{scene.path}/test", 200)
    scene.company.call("PATCH", scene.path, 200, {"active": False})
    scene.receiver.answer = failing(status=401)
    badly = scene.company.call("POST", f"{scene.path}/test", 200)
    scene.company.call("PATCH", scene.path, 200, {"url": "http://127.0.0.1:9/hooks"})
    nowhere = scene.company.call("POST", f"{scene.path}/test", 200)
    first, second = scene.receiver.arrived

    assert (True, 204, None) == (well["delivered"], well["status"], well["reason"])
    assert (False, 401, "status") == (badly["delivered"], badly["status"], badly["reason"])
    assert (False, None, "unreachable") == (nowhere["delivered"], nowhere["status"], nowhere["reason"])
    assert ("webhook.test", scene.webhook["id"]) == first.said
    first.verify(scene.secret)
    assert first.id != second.id
    assert [] == scene.company.all(f"{scene.path}/deliveries")


def test_the_sealing_key_is_changed(database_url: str, tmp_path: Path) -> None:
    """Without the key that sealed it, events wait, and that is said; with both it is sealed anew, and they are sent."""
    with empty_database(database_url, tmp_path) as url, receiving() as receiver:
        migrations.upgrade(url)
        customer = new_customer(url)
        made, secret = written(url, customer, lambda work: webhooks.create(work, Sealer([KEY]), Address(receiver.url)))
        written(url, customer, lambda work: teams.create_manual(work, "Sales"))
        with serving(url, tmp_path, worker=True, secret_key=NEW_KEY) as server:
            wait_for(lambda: standing(url) == [("active", "seal-broken")])
            assert "no longer names" in server.output()
        assert [] == receiver.arrived
        sql(url, "UPDATE webhook SET rests_until = NULL")
        with serving(url, tmp_path, worker=True, secret_key=f"{NEW_KEY}, {KEY}"):
            [arrived] = receiver.wait(1)
            wait_for(lambda: made.secret != sql(url, "SELECT secret FROM webhook")[0][0])

        arrived.verify(secret)
        [(sealed,)] = sql(url, "SELECT secret FROM webhook")
        assert secret == Sealer([NEW_KEY]).open(sealed, webhooks.PURPOSE)


def written(database_url: str, customer: Customer, act: Callable[[Work], T]) -> T:
    """Do something in the core, in a transaction of its own."""

    def job(connection: Connection) -> T:
        work = customer.work(connection)
        value = act(work)
        outbox.flush(work)
        return value

    return in_core(database_url, lambda database: database.write(job))


def standing(database_url: str) -> list[tuple[Any, ...]]:
    return sql(database_url, "SELECT state, last_reason FROM webhook")


# Who dies, and who shares the work ------------------------------------------------------------------------------------


def test_who_is_killed_in_the_middle_loses_nothing(database_url: str, tmp_path: Path) -> None:
    """What was on its way is sent once more, with the same id, and each subject keeps its order."""
    release = threading.Event()
    with empty_database(database_url, tmp_path) as url, receiving() as receiver:
        migrations.upgrade(url)
        customer, names = new_customer(url), [f"Team {number}" for number in range(20)]
        written(url, customer, lambda work: webhooks.create(work, Sealer([KEY]), Address(receiver.url)))
        made = written(url, customer, lambda work: [teams.create_manual(work, name).id for name in names])
        written(
            url,
            customer,
            lambda work: [teams.rename_manual(work, teams.lock(work, team), f"{team} again") for team in made],
        )
        receiver.answer = holding(receiver, 15, release)
        with serving(url, tmp_path, worker=True, secret_key=KEY) as server:
            receiver.wait(15)
            server.kill()
        seen = {each.id for each in receiver.arrived}
        release.set()
        leases_pass(url)
        with serving(url, tmp_path, worker=True, secret_key=KEY) as server:
            wait_for(lambda: len({each.id for each in receiver.arrived}) == 40)
            wait_for(lambda: sql(url, "SELECT count(*) FROM webhook_delivery") == [(0,)])

            assert 0 == server.terminate()
    ids = [each.id for each in receiver.arrived]
    first = [each for at, each in enumerate(receiver.arrived) if each.id not in ids[:at]]

    assert seen < set(ids)
    assert len(ids) > 40
    for team in made:
        told = [each.event["type"] for each in first if each.event["subject"]["id"] == team]
        assert ["team.created", "team.renamed"] == told


def test_who_is_stopped_writes_down_what_was_taken(database_url: str, tmp_path: Path) -> None:
    """SIGTERM in the middle of a batch: what was taken is not sent again."""
    release = threading.Event()
    with empty_database(database_url, tmp_path) as url, receiving() as receiver:
        migrations.upgrade(url)
        customer, names = new_customer(url), [f"Team {number}" for number in range(20)]
        written(url, customer, lambda work: webhooks.create(work, Sealer([KEY]), Address(receiver.url)))
        written(url, customer, lambda work: [teams.create_manual(work, name) for name in names])
        receiver.answer = holding(receiver, 10, release)
        with serving(url, tmp_path, worker=True, secret_key=KEY) as server:
            receiver.wait(10)

            assert 0 == server.terminate()
        release.set()
        [(left,)] = sql(url, "SELECT count(*) FROM webhook_delivery")

        assert 0 < left <= 10


def test_two_who_send_share_the_work(sending: tuple[str, ServerProcess], make_scene: MakeScene, tmp_path: Path) -> None:
    """One at a time serves a webhook: nothing is sent twice, and each subject keeps its order."""
    url, _ = sending
    if url.startswith("sqlite"):
        pytest.skip("a SQLite file has one server")
    many = [make_scene() for _ in range(4)]
    with working(url, tmp_path, secret_key=KEY, public_url="http://127.0.0.1"):
        made = [(scene, [scene.team("A", "B") for _ in range(8)]) for scene in many]
        for scene, _ in made:
            scene.receiver.wait(24)
            scene.settled(waiting=0, failing_since=None)
    for scene, expected in made:
        assert 24 == len(scene.receiver.arrived)
        for team in expected:
            assert ["team.created", "team.renamed", "team.renamed"] == scene.receiver.events(team)
