"""Requests that are sent twice are done once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

import pytest

from app_core import api_keys, clock, idempotency, teams, tenants
from app_core.api_keys import KeyScope
from app_core.db import Connection, Database
from app_core.idempotency import KeyReused, Stored
from app_core.work import Work
from tests.app_core.builders import refused
from tests.processes import in_core, new_customer


@pytest.fixture
def key_id(work: Work) -> str:
    return api_keys.issue(work.connection, tenants.acting(work), KeyScope.ADMIN)[0]


def test_the_second_gets_the_answer_of_the_first(work: Work, key_id: str) -> None:
    """The same key with the same request; another API key may use the same words for something else."""
    other = api_keys.issue(work.connection, tenants.acting(work), KeyScope.ADMIN)[0]

    assert idempotency.find(work, key_id, "order-1", b"POST /teams {}") is None
    idempotency.store(work, key_id, "order-1", 201, b'{"id":1}')
    assert Stored(201, b'{"id":1}') == idempotency.find(work, key_id, "order-1", b"POST /teams {}")
    assert idempotency.find(work, other, "order-1", b"POST /people {}") is None
    with refused(work, KeyReused) as refusal:
        idempotency.find(work, key_id, "order-1", b"POST /teams {1}")
    assert "idempotency-key-reused" == refusal.value.code


def test_an_answer_without_its_secret(work: Work, key_id: str) -> None:
    """That it was given is remembered, the body is not."""
    idempotency.find(work, key_id, "code", b"POST")
    idempotency.store(work, key_id, "code", 201, None)

    assert Stored(201, None) == idempotency.find(work, key_id, "code", b"POST")


def test_an_answer_is_kept_for_a_day(work: Work, key_id: str) -> None:
    """Then the key is free, and housekeeping removes the row."""
    yesterday = dataclasses.replace(work, now=clock.later(-86401))
    for n in range(3):
        idempotency.find(yesterday, key_id, f"old-{n}", b"POST")
        idempotency.store(yesterday, key_id, f"old-{n}", 201, b"old")
    idempotency.find(work, key_id, "new", b"POST")
    idempotency.store(work, key_id, "new", 201, b"new")

    assert idempotency.find(work, key_id, "old-0", b"another") is None
    assert 1 == idempotency.purge(work.connection, work.tenant_id, count=1)
    assert 1 == idempotency.purge(work.connection, work.tenant_id)
    assert 0 == idempotency.purge(work.connection, work.tenant_id)
    assert Stored(201, b"new") == idempotency.find(work, key_id, "new", b"POST")


def test_what_is_refused_leaves_the_key_free(work: Work, key_id: str) -> None:
    """The claim is undone with the change."""
    with contextlib.suppress(ZeroDivisionError), work.connection.savepoint():
        assert idempotency.find(work, key_id, "again", b"POST") is None
        raise ZeroDivisionError
    assert idempotency.find(work, key_id, "again", b"another") is None


def test_two_at_once(core_url: str) -> None:
    """The second waits for the first, gets its answer, and nothing is done twice."""
    customer = new_customer(core_url)

    def issue(connection: Connection) -> str:
        return api_keys.issue(connection, tenants.find(connection, customer.tenant_id), KeyScope.ADMIN)[0]

    async def race(database: Database) -> None:
        key_id = await database.write(issue)

        def create(connection: Connection) -> bytes | None:
            work = customer.work(connection)
            stored = idempotency.find(work, key_id, "once", b"POST /teams")
            if stored is not None:
                return stored.body
            body = teams.create_manual(work, "Sales").id.encode()
            idempotency.store(work, key_id, "once", 201, body)
            return body

        answers = await asyncio.gather(*[database.write(create) for _ in range(4)])
        [(team, _)] = await database.read(lambda connection: teams.page(customer.work(connection)))
        assert {team.id.encode()} == set(answers)

    in_core(core_url, race)
