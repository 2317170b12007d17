"""Logins of teams: opaque, owned by one team, and what keeps that team from being deleted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app_core import deletion, teams, vault
from app_core.db import Connection, Database, Violation
from app_core.errors import Invalid, NotFound, TeamHasLogins
from app_core.work import Work
from tests.app_core.builders import ids, refused, told
from tests.app_core.conftest import MakeWork
from tests.processes import in_core, new_customer


def test_a_login_lives_in_a_team(work: Work) -> None:
    """It is added, listed in order, read, counted and deleted; each of it is told without what it holds."""
    team, other = teams.create_manual(work, "Sales"), teams.create_manual(work, "Support")
    told(work)
    first = vault.add(work, team.id, title="Bank", url="https://bank.example", ciphertext="c1")
    second = vault.add(work, team.id, ciphertext="c2")

    assert [first, second] == vault.page(work, team.id)
    assert [second] == vault.page(work, team.id, after=first.id)
    assert [first] == vault.page(work, team.id, limit=1)
    assert first == vault.find(work, team.id, first.id)
    assert (None, None, 1) == (second.title, second.url, second.version)
    assert 2 == vault.count(work, team.id)
    assert {team.id: 2} == vault.counts(work, [team.id, other.id])
    assert [] == vault.page(work, other.id)
    assert vault.find(work, other.id, first.id) is None

    vault.remove(work, vault.lock(work, team.id, first.id))
    assert [second] == vault.page(work, team.id)
    assert [{"team_id": team.id}] * 3 == [dict(event.payload) for event in work.events]
    assert ["login.added", "login.added", "login.deleted"] == told(work)


def test_a_change_counts_once(work: Work) -> None:
    """Another content counts the version up; the same content is no change and is not told."""
    team = teams.create_manual(work, "Sales")
    login = vault.add(work, team.id, title="Bank", ciphertext="c1")
    told(work)

    changed = vault.change(work, login, title=None, url="u", ciphertext="c2")
    assert (None, "u", "c2", 2) == (changed.title, changed.url, changed.ciphertext, changed.version)
    assert changed == vault.find(work, team.id, login.id)
    assert changed == vault.change(work, changed, title=None, url="u", ciphertext="c2")
    assert ["login.updated"] == told(work)


def test_a_login_moves(work: Work) -> None:
    """It leaves one team for another; to the same team is no change."""
    team, other = teams.create_manual(work, "Sales"), teams.create_manual(work, "Support")
    login = vault.add(work, team.id, ciphertext="c")
    told(work)

    moved = vault.move(work, login, other.id)
    assert (other.id, 2) == (moved.team_id, moved.version)
    assert moved == vault.move(work, moved, other.id)
    assert ([], [moved]) == (vault.page(work, team.id), vault.page(work, other.id))
    assert {"team_id": other.id, "former_team_id": team.id} == work.events[0].payload
    assert ["login.moved"] == told(work)
    with refused(work, NotFound) as refusal:
        vault.move(work, moved, "nowhere")
    assert "Team 'nowhere' was not found." == refusal.value.sentence


def test_all_logins_of_a_team_move_at_once(work: Work) -> None:
    """Each is told by itself; without any, and to the same team, nothing is."""
    team, other = teams.create_manual(work, "Sales"), teams.create_manual(work, "Support")
    logins = [vault.add(work, team.id, ciphertext=text) for text in ("c1", "c2")]
    told(work)

    assert 2 == vault.move_all(work, team.id, other.id)
    assert ["login.moved"] * 2 == told(work)
    assert [(login.id, 2, login.ciphertext) for login in logins] == [
        (login.id, login.version, login.ciphertext) for login in vault.page(work, other.id)
    ]
    assert (0, 0) == (vault.move_all(work, team.id, other.id), vault.move_all(work, other.id, other.id))
    assert [] == told(work)
    with refused(work, NotFound):
        vault.move_all(work, other.id, "nowhere")
    assert 2 == vault.count(work, other.id)


def test_what_is_not_there_is_not_found(work: Work, make_work: MakeWork) -> None:
    """No login without its team, and nothing of another tenant."""
    team = teams.create_manual(work, "Sales")
    login = vault.add(work, team.id, ciphertext="c")
    stranger = make_work()

    with refused(work, NotFound):
        vault.add(work, "nowhere", ciphertext="c")
    with refused(stranger, NotFound):
        vault.add(stranger, team.id, ciphertext="c")
    with refused(stranger, NotFound):
        vault.lock(stranger, team.id, login.id)
    assert [] == vault.page(stranger, team.id)
    assert 0 == vault.count(stranger, team.id)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"ciphertext": "ä" * 131073}, "ciphertext: it is longer than 262144 bytes."),
        ({"ciphertext": "a\0"}, "ciphertext: it holds a NUL character, which cannot be stored."),
        ({"ciphertext": "c", "title": "t" * 1025}, "title: it is longer than 1024 bytes."),
        ({"ciphertext": "c", "url": "\0"}, "url: it holds a NUL character, which cannot be stored."),
    ],
)
def test_what_cannot_be_stored_is_refused(work: Work, content: dict[str, Any], sentence: str) -> None:
    """The refusal names the member and never quotes it."""
    team = teams.create_manual(work, "Sales")
    login = vault.add(work, team.id, ciphertext="ä" * 131072)

    with refused(work, Invalid) as refusal:
        vault.add(work, team.id, **content)
    assert sentence == refusal.value.sentence
    with refused(work, Invalid):
        vault.change(work, login, **{"title": None, "url": None, **content})


def test_inv_09_a_team_with_logins_stays(work: Work) -> None:
    """Its deletion is refused with the count, and the foreign key stops whoever forgot to ask."""
    team = teams.create_manual(work, "Sales EMEA")
    login = vault.add(work, team.id, ciphertext="c")

    with refused(work, TeamHasLogins) as refusal:
        deletion.delete_team(work, team.id)
    assert "Team 'Sales EMEA' still holds 1 login; move or delete it first." == refusal.value.sentence
    with pytest.raises(Violation), work.connection.savepoint():
        work.run(teams.DELETE, team_id=team.id)

    vault.remove(work, login)
    deletion.delete_team(work, team.id)
    assert teams.find(work, team.id) is None


def test_inv_09_a_deletion_meets_new_logins(core_url: str) -> None:
    """Deleted and filled at the same time: either the team is gone and takes no login, or it stays with all of them."""
    customer = new_customer(core_url)

    async def race(database: Database) -> list[str]:
        def make(connection: Connection) -> str:
            return teams.create_manual(customer.work(connection), "Sales").id

        team_id = await database.write(make)

        def fill(connection: Connection) -> str:
            vault.add(customer.work(connection), team_id, ciphertext="c")
            return "filled"

        def delete(connection: Connection) -> str:
            deletion.delete_team(customer.work(connection), team_id)
            return "deleted"

        jobs = [database.write(job) for job in (fill, delete, fill, delete)]
        ended = await asyncio.gather(*jobs, return_exceptions=True)
        left = await database.read(lambda connection: vault.count(customer.work(connection), team_id))
        stays = await database.read(lambda connection: teams.find(customer.work(connection), team_id))

        told = [each if isinstance(each, str) else type(each).__name__ for each in ended]
        assert told.count("filled") == left
        assert (stays is None) == ("deleted" in told)
        assert {"filled", "deleted", "NotFound", "TeamHasLogins"} >= set(told)
        return told

    for _ in range(10):
        in_core(core_url, race)


def test_order_is_that_of_making(work: Work) -> None:
    """Pages follow one another without gap or repetition."""
    team = teams.create_manual(work, "Sales")
    made = [vault.add(work, team.id, ciphertext=str(n)) for n in range(5)]

    pages, after = [], ""
    while found := vault.page(work, team.id, after=after, limit=2):
        pages += ids(found)
        after = found[-1].id
    assert ids(made) == pages
