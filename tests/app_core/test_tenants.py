"""Tenants: their seats and their policies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from app_core import manual_people, seats, tenants
from app_core.db import Connection, Database, Violation
from app_core.errors import Invalid, NotPossible
from app_core.tenants import CHANGE, Tenant
from app_core.work import Work
from tests.app_core.builders import a_card, a_template, refused, told
from tests.app_core.conftest import MakeWork
from tests.processes import in_core, new_customer


def open_seats(work: Work, count: int) -> None:
    """Have so many people take a seat."""
    template = a_template(work)
    for n in range(count):
        person = manual_people.add(work, f"Person {n}")
        a_card(work, person, template)
        seats.settle(work, [person.id])
    told(work)


def limited(work: Work, seat_limit: int | None) -> Tenant:
    return tenants.change(work, name=tenants.acting(work).name, seat_limit=seat_limit)


def test_inv_15_the_limit_is_not_set_below_the_open_seats(make_work: MakeWork) -> None:
    """The refusal names both numbers; the schema holds against whoever forgot to ask."""
    work = make_work(seats=5)
    open_seats(work, 3)

    with refused(work, NotPossible) as refusal:
        limited(work, 2)
    assert refusal.value.sentence.startswith("3 seats are open, so the limit cannot be 2.")
    assert {"seats_open": 3, "seat_limit": 2} == refusal.value.facts
    with pytest.raises(Violation) as violation, work.connection.savepoint():
        work.run(CHANGE, key=work.tenant_id, name="x", name_key=work.tenant_id, seat_limit=2)
    assert ("check", True) == (violation.value.kind, "ck_tenant_seats" in violation.value.detail)

    assert (3, 3) == (limited(work, 3).seat_limit, tenants.acting(work).seats_open)
    assert limited(work, None).seat_limit is None
    assert ["settings.changed"] * 2 == told(work)
    limited(work, None)
    assert [] == told(work)


def test_a_higher_limit_serves_who_waits(make_work: MakeWork) -> None:
    """As far as it reaches."""
    work = make_work(seats=1)
    open_seats(work, 3)
    assert (1, 1, 2) == seats.counts(work)

    limited(work, 2)
    seats.serve(work)
    assert (2, 2, 1) == seats.counts(work)


def test_policies(work: Work) -> None:
    """They start with their defaults; the same value is no change; what there is not is refused by name."""
    tenant = tenants.acting(work)
    assert ("all", "refuse", "flag") == (tenant.group_sync, tenant.on_group_delete, tenant.invalid_phone)

    changed = tenants.change_settings(work, {"group_sync": "selected", "invalid_phone": "flag"})
    assert ("selected", "refuse", "flag") == (changed.group_sync, changed.on_group_delete, changed.invalid_phone)
    assert changed == tenants.acting(work)
    assert changed == tenants.change_settings(work, {"group_sync": "selected"})
    assert [{"changed": ["group_sync"]}] == [event.payload for event in work.events]
    for changes, sentence in (
        ({"on_group_delete": "ask"}, "on_group_delete: it must be 'refuse' or 'detach'."),
        (
            {"seat_limit": "9"},
            "There is no setting 'seat_limit': 'group_sync' or 'on_group_delete' or 'invalid_phone'.",
        ),
    ):
        with refused(work, Invalid) as refusal:
            tenants.change_settings(work, changes)
        assert sentence == refusal.value.sentence


def test_inv_15_a_lower_limit_meets_new_seats(core_url: str) -> None:
    """Lowered while seats open: never more open than the limit, whoever is first."""
    customer = new_customer(core_url)

    def limit(number: int) -> Callable[[Connection], Tenant]:
        return lambda connection: limited(customer.work(connection), number)

    def take(connection: Connection) -> None:
        work = customer.work(connection)
        person = manual_people.add(work, "Person")
        a_card(work, person, a_template(work, name=person.id))
        seats.settle(work, [person.id])

    async def race(database: Database) -> None:
        await database.write(limit(6))
        jobs = [database.write(job) for job in (take, take, limit(3), take, take, limit(2))]
        ended = await asyncio.gather(*jobs, return_exceptions=True)
        assert {NotPossible} >= {type(each) for each in ended if isinstance(each, BaseException)}
        counts = await database.read(lambda connection: seats.counts(customer.work(connection)))
        assert counts.limit is not None
        assert counts.open <= counts.limit
        assert 4 == counts.open + counts.waiting

    in_core(core_url, race)
