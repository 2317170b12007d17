"""Card templates: their rows on both databases, and which groups lead to them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app_core import clock, connections, migrations, templates, tenants
from app_core.db import Connection, Violation, open_database
from app_core.errors import Conflict, Invalid, NotFound
from app_core.events import Event
from app_core.fields import parse_fields
from app_core.templates import Template
from app_core.work import Actor, Source, Work
from tests.app_core.builders import a_card, a_directory_user, a_group, a_template, ids, person_of, refused, told
from tests.app_core.conftest import MakeWork
from tests.processes import empty_database

LOOK = {"primary_color": "#0A66c2", "logo_url": "https://contoso.com/logo.png", "headline": "We make it"}
FIELDS = [{"key": "mobile", "source": "mobile_phone"}, {"key": "name", "mode": "always"}]
UNSYNCED = [{"key": "name"}, {"key": "headline"}]


def test_a_template_is_kept_as_it_was_made(work: Work) -> None:
    """Its look and its fields, the general ones first; it says so once."""
    made = templates.create(work, "  Standard ", LOOK, FIELDS)
    expected = Template(made.id, "Standard", LOOK, parse_fields(FIELDS), 1, work.now, work.now)

    assert expected == made == templates.find(work, made.id) == templates.lock(work, made.id)
    assert ["name", "mobile"] == [field.key for field in made.fields]
    assert [Event("template.created", made.id, {"name": "Standard"})] == work.events


def test_a_bare_template(work: Work) -> None:
    """A name is enough."""
    made = templates.create(work, "Bare")

    assert ({}, ()) == (made.look, made.fields)
    assert made == templates.find(work, made.id)


def test_a_name_is_used_once(work: Work, make_work: MakeWork) -> None:
    """Whatever the case, in one tenant."""
    templates.create(work, "Standard")
    other = templates.create(work, "Other")
    with refused(work, Conflict) as of_new:
        templates.create(work, "STANDARD")
    with refused(work, Conflict):
        templates.change(work, other, name="standard")

    assert "A template named 'STANDARD' already exists." == of_new.value.sentence
    assert "Other" == templates.lock(work, other.id).name
    templates.create(make_work(), "Standard")


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "two\nlines", "nul\0", None, 7])
def test_names_that_cannot_be(work: Work, name: Any) -> None:
    """One line, of up to 200 characters."""
    with refused(work, Invalid) as refusal:
        templates.create(work, name)

    assert refusal.value.sentence.startswith("name: ")
    assert [] == told(work)


@pytest.mark.parametrize(
    ("look", "part"),
    [
        ([], "look: an object"),
        ("blue", "look: an object"),
        ({"color": "#0a66c2"}, "look: there is no member 'color'"),
        ({"primary_color": "blue"}, "look.primary_color: a colour is"),
        ({"text_color": "#fff"}, "look.text_color: a colour is"),
        ({"background_color": "#0a66c2\n"}, "look.background_color: a colour is"),
        ({"background_color": 7}, "look.background_color: text"),
        ({"logo_url": "http://contoso.com/logo.png"}, "look.logo_url: an address that begins with https://"),
        ({"logo_url": "https://contoso.com/" + "x" * 2000}, "look.logo_url: "),
        ({"headline": ""}, "look.headline: "),
        ({"headline": "x" * 201}, "look.headline: "),
        ({"headline": "two\nlines"}, "look.headline: "),
    ],
)
def test_looks_that_cannot_be(look: Any, part: str) -> None:
    """The member at fault is named."""
    with pytest.raises(Invalid) as refusal:
        templates.parse_look(look)

    assert refusal.value.sentence.startswith(part)


def test_null_in_a_look_is_as_good_as_absent() -> None:
    """A member is cleared by it."""
    assert {"headline": "Hi"} == templates.parse_look({"headline": "Hi", "logo_url": None})


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"name": "New"}, ["name"]),
        ({"name": "STANDARD"}, ["name"]),
        ({"look": {}}, ["look"]),
        ({"fields": FIELDS[:1]}, ["fields"]),
        ({"name": "New", "look": {"headline": "Hi"}, "fields": []}, ["name", "look", "fields"]),
        ({}, []),
        ({"name": "Standard", "look": dict(LOOK), "fields": FIELDS[::-1]}, []),
    ],
)
def test_changing_a_template(work: Work, change: dict[str, Any], changed: list[str]) -> None:
    """What differs is told and counts the version up; the same again is no change (invariant 21)."""
    before = templates.create(work, "Standard", LOOK, FIELDS)
    told(work)
    later = dataclasses.replace(work, now=clock.later(60))
    after = templates.change(later, before, **change)
    payload = {"name": after.name, "changed": changed}

    assert ([Event("template.changed", before.id, payload)] if changed else []) == work.events
    assert (2, later.now) == (after.version, after.modified_at) if changed else before == after
    assert after == templates.find(work, before.id)
    assert before.created_at == after.created_at


def test_a_change_that_is_refused_names_the_field(work: Work) -> None:
    """Nothing of it is kept."""
    before = a_template(work)
    with refused(work, Invalid) as refusal:
        templates.change(work, before, name="New", fields=[{"key": "mobile", "mode": "always"}])

    assert refusal.value.sentence.startswith("fields[0] ('mobile').source: ")
    assert before == templates.lock(work, before.id)


def test_templates_are_listed(work: Work, make_work: MakeWork) -> None:
    """In the order of their ids, in pages, by a part of the name in any case; no other tenant's."""
    made = [templates.create(work, name) for name in ("Élan", "Sales EMEA", "Sales US")]
    templates.create(make_work(), "Sales elsewhere")

    assert made == templates.page(work)
    assert made[:2] == templates.page(work, limit=2)
    assert made[2:] == templates.page(work, after=made[1].id, limit=2)
    assert made[1:] == templates.page(work, q="sALES")
    assert made[:1] == templates.page(work, q="éLAN")
    assert [] == templates.page(work, q="elsewhere")


def test_templates_of_another_tenant_are_not_there(work: Work, make_work: MakeWork) -> None:
    """Their ids lead nowhere (V1)."""
    other = a_template(make_work())

    assert templates.find(work, other.id) is None
    with pytest.raises(NotFound):
        templates.lock(work, other.id)


# Assignments --------------------------------------------------------------------------------------------------------


def test_groups_lead_to_templates(work: Work) -> None:
    """Many to many; what is so already does not change, and only what changed is given."""
    sales, tours = a_group(work, name="Sales"), a_group(work, name="Tours")
    [first, second] = sorted(ids([a_template(work, name="First"), a_template(work, name="Second")]))
    told(work)

    assert ([sales.id], []) == templates.set_assignments_rows(work, first, [sales.id], [tours.id])
    both = sorted([sales.id, tours.id])
    assert ([tours.id], []) == templates.set_assignments_rows(work, first, [*both, tours.id], [])
    assert (both, []) == templates.set_assignments_rows(work, second, both, [])
    assert both == templates.assignments(work, first)
    assert [first, second] == templates.assigned_templates(work, both)
    assert ([], [sales.id]) == templates.set_assignments_rows(work, first, [], [sales.id])
    assert [second] == templates.assigned_templates(work, [sales.id])
    assert [] == templates.assigned_templates(work, [])
    assert [] == told(work)


def test_groups_that_do_not_exist_are_named(work: Work, make_work: MakeWork) -> None:
    """Another tenant's as well; the others are not assigned either, for the whole request is refused."""
    template, group, foreign = a_template(work), a_group(work), a_group(make_work())
    with refused(work, Invalid) as refusal:
        templates.set_assignments_rows(work, template.id, [group.id, foreign.id, "no such"], [])

    assert f"group_ids: no group has the id '{foreign.id}', 'no such'. Nothing was changed." == refusal.value.sentence
    assert [] == templates.assignments(work, template.id)


def test_only_what_takes_something_from_the_directory_is_connected(work: Work) -> None:
    """The refusal says what to do (C2)."""
    template = templates.create(work, "Plain", fields=UNSYNCED)
    with pytest.raises(Invalid) as refusal:
        templates.require_connectable(template)

    assert "Template 'Plain' has no synced field" in refusal.value.sentence
    for mode in ("always", "initial"):
        templates.require_connectable(a_template(work, {"key": "title", "mode": mode}, name=mode))


def test_an_assigned_template_stays_connected(work: Work) -> None:
    """Its last synced field cannot go while groups lead to it; once none does, it can."""
    template, group = a_template(work), a_group(work)
    templates.set_assignments_rows(work, template.id, [group.id], [])
    with refused(work, Invalid) as refusal:
        templates.change(work, template, fields=UNSYNCED)
    renamed = templates.change(work, template, name="New", fields=FIELDS)

    assert "remove the groups from the template first" in refusal.value.sentence
    templates.set_assignments_rows(work, template.id, [], [group.id])
    assert not templates.change(work, renamed, fields=UNSYNCED).connectable


def test_what_goes_with_what(work: Work) -> None:
    """An assignment with its template or its group; a template not while a card is made of it."""
    user = a_directory_user(work)
    group, template, spare = a_group(work, user), a_template(work), a_template(work, name="Spare")
    for each in (template, spare):
        templates.set_assignments_rows(work, each.id, [group.id], [])
    told(work)
    templates.remove(work, spare)
    assert ["template.deleted"] == told(work, spare.id)
    assert [template.id] == templates.assigned_templates(work, [group.id])

    a_card(work, person_of(work, user), template)
    with pytest.raises(Violation) as violation, work.connection.savepoint():
        templates.remove(work, template)
    assert violation.value.reference


# Two at once --------------------------------------------------------------------------------------------------------


def test_an_assignment_and_the_last_synced_field(core_url: str, tmp_path: Path) -> None:
    """One of two that would leave an assigned template without a synced field is refused, whoever comes first."""
    with empty_database(core_url, tmp_path) as url:
        migrations.upgrade(url)
        outcomes = asyncio.run(_assign_and_strip(url))

    assert [1] * 10 == [sum(outcome) for outcome in outcomes]


async def _assign_and_strip(url: str) -> list[list[bool]]:
    """Assign a group and take the last synced field away, both at once; say each time which of the two was done."""
    database = await open_database(url)

    async def done(act: Callable[[Connection], object]) -> bool:
        try:
            await database.write(act)
        except Invalid:
            return False
        return True

    try:
        outcomes = []
        for number in range(10):
            place = await database.write(partial(_a_place, name=f"tenant-{number}"))
            acts = [place.assign, place.strip] if number % 2 else [place.strip, place.assign]
            outcomes.append(await asyncio.gather(*(done(act) for act in acts)))
        return outcomes
    finally:
        await database.close()


class Place(NamedTuple):
    """A template and a group of a tenant, and what two administrators do to them."""

    tenant_id: str
    connection_id: str
    template_id: str = ""
    group_id: str = ""

    def work(self, connection: Connection) -> Work:
        actor = Actor(Source.ADMIN, "test")
        return Work(connection, self.tenant_id, self.connection_id, actor, "test", clock.now())

    def assign(self, connection: Connection) -> None:
        work = self.work(connection)
        templates.require_connectable(templates.lock(work, self.template_id))
        templates.set_assignments_rows(work, self.template_id, [self.group_id], [])

    def strip(self, connection: Connection) -> None:
        work = self.work(connection)
        templates.change(work, templates.lock(work, self.template_id), fields=UNSYNCED)


def _a_place(connection: Connection, name: str) -> Place:
    tenant = tenants.create(connection, name)
    place = Place(tenant.id, connections.create(connection, tenant, "Microsoft Entra ID"))
    work = place.work(connection)
    return place._replace(template_id=a_template(work).id, group_id=a_group(work).id)
