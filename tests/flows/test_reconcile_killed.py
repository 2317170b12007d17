"""G5 where something dies: a worker killed over a reconciliation, a listing that breaks off while nobody waits for it.

Real processes: on SQLite `serve` with its worker, on PostgreSQL a worker by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app_core import clock, jobs, migrations, outbox, reconciliations
from app_core.reconciliations import Run, State
from graph_fallback import reconcile
from runtime import worker
from runtime.by_hand import ByHand
from tests.flows.test_pull import Joined, entra, graph_url, joined
from tests.processes import a_minute_passes, empty_database, new_customer, wait_for, working
from tests.raw import sql
from tests.simulator import Entra

__all__ = ["entra", "graph_url", "joined"]  # fixtures

PEOPLE = 300
GONE = 30


class Drifted:
    """A customer of whom much has changed without being told: titles of all, and people that are gone."""

    def __init__(self, url: str, entra: Entra) -> None:
        self.url = url
        self.joined = Joined(url, entra, entra.new_tenant(), new_customer(url))
        there = self.joined.there
        steps = [
            {
                "do": "create_user",
                "tenant": there.id,
                "userPrincipalName": f"p{at}@{there.domain}",
                "accountEnabled": True,
            }
            for at in range(PEOPLE)
        ]
        self.people = [str(each["id"]) for each in entra.script(*steps)]
        self.joined.do(lambda hand: hand.connect(there.id))
        self.joined.sync()
        entra.script(*[{"do": "delete", "tenant": there.id, "object": each} for each in self.people[:GONE]])
        entra.script(*[{"do": "purge", "tenant": there.id, "object": each} for each in self.people[:GONE]])
        entra.script(
            *[
                {"do": "change_user", "tenant": there.id, "user": each, "jobTitle": "Guide"}
                for each in self.people[GONE:]
            ]
        )

    def ask(self) -> str:
        def act(work: Any) -> str:
            run = reconciliations.ask(work, grace=0.0)
            outbox.flush(work)
            return run.id

        return self.joined.read(act)

    def run(self, run_id: str) -> Run:
        return self.joined.read(lambda work: reconciliations.require(work, run_id))

    def versions(self) -> list[int]:
        query = "SELECT version FROM directory_user WHERE tenant_id = ?"
        return [int(row[0]) for row in sql(self.url, query, self.joined.customer.tenant_id)]

    def told(self, kind: str) -> int:
        query = "SELECT count(*) FROM outbox_event WHERE tenant_id = ? AND type = ?"
        return int(sql(self.url, query, self.joined.customer.tenant_id, kind)[0][0])

    def check(self, run_id: str) -> None:
        """Hold that everything was repaired, and nothing twice."""
        assert (State.DONE, None) == (self.run(run_id).state, self.run(run_id).error)
        assert [2] * (PEOPLE - GONE) == self.versions()
        assert PEOPLE - GONE == self.told("person.updated")
        assert GONE == self.told("person.deleted")


@pytest.fixture
def drifted(database_url: str, entra: Entra, tmp_path: Path) -> Iterator[Drifted]:
    entra.reset()
    with empty_database(database_url, tmp_path) as url:
        migrations.upgrade(url)
        yield Drifted(url, entra)
    entra.reset()


def test_inv_06_killed_while_it_lists(drifted: Drifted, entra: Entra, tmp_path: Path) -> None:
    """What was listed by then proves nothing: the next worker lists anew, and repairs."""
    drifted.joined.entra.do("settings", list_page=20)
    drifted.joined.entra.do("fault", kind="slow", path=r"/users\?", seconds=0.2, count=None)
    run_id = drifted.ask()
    with working(drifted.url, tmp_path, **entra.server_settings) as process:
        wait_for(lambda: drifted.run(run_id).state == State.LISTING)
        process.kill()
    assert ([1] * PEOPLE, 0) == (drifted.versions(), drifted.told("person.updated"))
    assert State.LISTING == drifted.run(run_id).state
    drifted.joined.entra.do("clear_faults")
    a_minute_passes(drifted.url, drifted.joined.customer.tenant_id)

    with working(drifted.url, tmp_path, **entra.server_settings):
        wait_for(lambda: drifted.run(run_id).finished_at is not None, 60)

    drifted.check(run_id)


def test_killed_while_it_repairs(drifted: Drifted, entra: Entra, tmp_path: Path) -> None:
    """What is repaired by then stays so, and is repaired and told no second time."""
    run_id = drifted.ask()
    with working(drifted.url, tmp_path, **entra.server_settings) as process:
        wait_for(lambda: drifted.told("person.updated") > 0)
        process.kill()
    repaired = drifted.told("person.updated")
    assert 0 < repaired < PEOPLE - GONE, "the run was faster than the test"
    assert repaired == sum(drifted.versions()) - PEOPLE
    a_minute_passes(drifted.url, drifted.joined.customer.tenant_id)

    with working(drifted.url, tmp_path, **entra.server_settings):
        wait_for(lambda: drifted.run(run_id).finished_at is not None, 60)

    drifted.check(run_id)
    assert repaired + drifted.run(run_id).found == PEOPLE


# ── Runs that nobody waits for ──────────────────────────────────────────────────────────────────────────────────────


def background_run(joined: Joined) -> tuple[Run, float]:
    """Carry out the run that was asked for, due or not, as a worker would; give it, and how long it was to rest."""
    job = joined.read(lambda work: jobs.unfinished(work, reconciliations.slot(work, reconciliations.Policy.REPAIR)))
    assert job is not None
    ((run_at, created_at),) = sql(joined.url, "SELECT run_at, created_at FROM job WHERE id = ?", job.id)

    async def carry(hand: ByHand) -> None:
        known = {reconciliations.RECONCILE: reconcile.Reconciler(hand.database, hand.entra.graph).step}
        mine = await hand.database.write(lambda connection: jobs.lease(connection, hand.tenant.id, job.id))
        assert mine is not None
        await worker.carry_out(hand.database, known, mine)

    joined.do(carry)
    run = joined.read(lambda work: reconciliations.require(work, job.arguments()["run_id"]))
    return run, round(clock.seconds(str(run_at)) - clock.seconds(str(created_at)))


def asks_for_a_run(joined: Joined) -> bool:
    return (
        joined.read(lambda work: jobs.unfinished(work, reconciliations.slot(work, reconciliations.Policy.REPAIR)))
        is not None
    )


@pytest.fixture
def anew(joined: Joined) -> Joined:
    """A customer whose pull had to begin anew, and asked for a run; lists of it break off."""
    for at in range(12):
        joined.there.user(f"p{at}", accountEnabled=True)
    joined.sync()
    joined.entra.do("expire_delta_tokens")
    joined.sync()
    joined.entra.do("fault", kind="forbidden", path=r"/users\?", count=None)
    for at in range(6):
        joined.there.do("delete", object=f"p{at}@{joined.there.domain}")
    return joined


def test_a_run_that_nobody_waits_for_is_tried_again(anew: Joined) -> None:
    """Each try is a run of its own, failed with its reason and when the next begins; one that gets through repairs.

    The first begins when what the pull has just written down is old enough to be compared.
    """
    failed, rested = background_run(anew)

    assert (State.FAILED, 360) == (failed.state, rested)
    assert failed.error is not None
    assert "an access policy of the directory keeps the application out. The next try is at 2" in failed.error
    assert asks_for_a_run(anew)
    anew.entra.do("clear_faults")
    done, rested = background_run(anew)
    assert (State.DONE, None, 600) == (done.state, done.error, rested)
    assert failed.id != done.id
    assert not asks_for_a_run(anew)


def test_it_is_given_up_in_the_end(anew: Joined) -> None:
    """The pauses grow, and there are five tries; the last says no next one, and the next pull that begins anew asks."""
    runs = [background_run(anew) for _ in range(reconciliations.TRIES)]

    assert [360, 600, 1200, 2400, 4800] == [rested for _, rested in runs]
    assert [State.FAILED] * 5 == [run.state for run, _ in runs]
    assert [True] * 4 + [False] == ["The next try is at" in (run.error or "") for run, _ in runs]
    assert not asks_for_a_run(anew)


def test_a_run_by_hand_is_not_tried_again(anew: Joined) -> None:
    """Whoever waits for it is told at once, and nothing happens behind that person's back."""
    result = anew.do(lambda hand: hand.reconcile(lambda text: None, grace=0.0))

    assert "failed" == result["state"]
    assert "next try" not in result["error"]
    assert not asks_for_a_run(anew)


def test_what_was_here_before_the_first_pull_is_held_against_a_listing(joined: Joined) -> None:
    """Who was pushed and went before the first round is in no round; with nobody here there is nothing to compare."""
    joined.there.user("anna", accountEnabled=True)
    joined.sync()
    assert not asks_for_a_run(joined)
    joined.do(lambda hand: hand.connect(joined.there.id))

    joined.sync()

    assert asks_for_a_run(joined)
