"""Cards by invitation, for people outside the directory (C9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from app_core import cards, cards_view, invitations, manual_people, people, provisioning, seats, self_service, templates
from app_core.cards_view import ComposedCard
from app_core.db import Connection, Database, Statement
from app_core.errors import Invalid, MissingFields, NotFound, NotPossible, WrongCode
from app_core.invitations import I
from app_core.self_service import Claimed
from app_core.templates import Template
from app_core.work import Work
from tests.app_core.builders import (
    a_card,
    a_directory_user,
    a_template,
    ids,
    later,
    person_of,
    refused,
    switched,
    told,
)
from tests.app_core.conftest import MakeWork
from tests.processes import in_core, new_customer

EVERYTHING = Statement(select(I))
FIELDS: list[dict[str, Any]] = [
    {"key": "name", "source": "display_name", "mode": "always", "editable": True},
    {"key": "title", "source": "job_title", "mode": "initial", "editable": False},
    {"key": "department", "source": "department", "mode": "always", "editable": False},
    {"key": "mobile", "kind": "phone", "editable": True},
]


@pytest.fixture
def template(work: Work) -> Template:
    """A template whose title and department only the directory fills; what came before is not told."""
    made = a_template(work, *FIELDS)
    told(work)
    return made


VALUES = {"title": "Pilot", "department": "Flight"}


def shown(work: Work, card_id: str) -> ComposedCard:
    card = cards.lock(work, card_id)
    template = templates.find(work, card.template_id)
    assert template is not None
    return cards_view.compose(template, card, None, people.find(work, card.person_id) if card.person_id else None)


def values_of(work: Work, card_id: str) -> dict[str, str | None]:
    return {field.key: field.value for field in shown(work, card_id).fields}


def test_a_card_waits_for_its_person(work: Work, template: Template) -> None:
    """It is there, shows what was given, takes no seat, and says that nobody holds it."""
    made, token = invitations.create(
        work, template.id, email="amelia@example.com", display_name="Amelia", values=VALUES
    )

    assert token.startswith("scimclaim_")
    assert [made] == invitations.page(work)
    assert made == invitations.find(work, made.id)
    assert ("amelia@example.com", "Amelia", None, None, template.id) == (
        made.email,
        made.display_name,
        made.claimed_at,
        made.person_id,
        made.template_id,
    )
    assert {"name": "Amelia", **VALUES, "mobile": None} == values_of(work, made.card_id)
    assert "unclaimed" == seats.card_state(work, made.card_id)
    assert (None, 0, 0) == seats.counts(work)
    assert {"person_id": None, "template_id": template.id} == work.events[0].payload
    assert ["card.issued", "invitation.created"] == told(work)


def test_what_nobody_could_fill_is_refused(work: Work, template: Template) -> None:
    """The refusal lists the fields that are kept in sync, cannot be edited and have no value."""
    with refused(work, MissingFields) as refusal:
        invitations.create(work, template.id, values={"department": " "})
    assert {"fields": ["title", "department"]} == refusal.value.facts
    assert [] == invitations.page(work)

    for values, named in (({**VALUES, "shoe_size": "9"}, "shoe_size"), ({**VALUES, "mobile": "123"}, "mobile")):
        with refused(work, Invalid) as invalid:
            invitations.create(work, template.id, values=values)
        assert invalid.value.sentence.startswith(f"{named}: ")
    with refused(work, Invalid):
        invitations.create(work, template.id, values=VALUES, email="nobody")
    with refused(work, NotFound):
        invitations.create(work, "nothing", values=VALUES)


def test_a_newcomer_claims_the_card(work: Work, template: Template) -> None:
    """Whoever has the link becomes a person added by hand, holds the card, and takes a seat."""
    made, token = invitations.create(work, template.id, email="amelia@example.com", values=VALUES)
    told(work)

    claimed = self_service.claim_card(work, token, display_name="Amelia Earhart", email="other@example.com")

    person = people.lock(work, claimed.person_id)
    assert made.card_id == claimed.card_id
    assert ("Amelia Earhart", "amelia@example.com", "manual") == (person.display_name, person.email, person.origin)
    found = invitations.find(work, made.id)
    assert found is not None
    assert (work.now, person.id) == (found.claimed_at, found.person_id)
    assert "active" == seats.card_state(work, claimed.card_id)
    assert {"name": "Amelia Earhart", **VALUES, "mobile": None} == values_of(work, claimed.card_id)
    assert ["invitation.claimed", "person.created", "card.claimed", "seat.opened"] == told(work)


def test_a_link_works_once(work: Work, template: Template) -> None:
    """Used, unknown, expired, taken back, or of another tenant: one and the same refusal."""
    used, gone, old = (invitations.create(work, template.id, display_name="A", values=VALUES)[1] for _ in range(3))
    self_service.claim_card(work, used)
    invitations.revoke(work, invitations.page(work)[1].id)

    sentences = set()
    for each, token in ((work, used), (work, gone), (later(work, days=30.1), old), (work, ""), (work, "scimclaim_x")):
        with refused(each, WrongCode) as refusal:
            self_service.claim_card(each, token)
        sentences.add(refusal.value.sentence)
    assert 1 == len(sentences)
    assert self_service.claim_card(later(work, days=29.9), old)


def test_another_tenant_has_no_part_in_it(work: Work, template: Template, make_work: MakeWork) -> None:
    """Neither the link nor the invitation nor the template is known there."""
    made, token = invitations.create(work, template.id, display_name="A", values=VALUES)
    stranger = make_work()

    with refused(stranger, WrongCode):
        self_service.claim_card(stranger, token)
    with refused(stranger, NotFound):
        invitations.revoke(stranger, made.id)
    with refused(stranger, NotFound):
        invitations.create(stranger, template.id, values=VALUES)
    assert [] == invitations.page(stranger)
    assert invitations.find(stranger, made.id) is None


def test_inv_20_only_a_hash_is_kept(work: Work, template: Template) -> None:
    """The link is in no column and in no event."""
    _, token = invitations.create(work, template.id, values=VALUES)

    written = repr([tuple(row) for row in work.rows(EVERYTHING)]) + repr(work.events)
    assert token not in written
    assert token.removeprefix("scimclaim_") not in written


def test_an_invitation_is_taken_back(work: Work, template: Template) -> None:
    """Its card goes with it; once claimed the card is somebody's, and the refusal says what to do."""
    made, _ = invitations.create(work, template.id, display_name="A", values=VALUES)
    other, token = invitations.create(work, template.id, display_name="B", values=VALUES)
    self_service.claim_card(work, token)
    told(work)

    invitations.revoke(work, made.id)
    assert cards.find(work, made.card_id) is None
    assert [other.id] == ids(invitations.page(work))
    assert ["card.deleted", "invitation.revoked"] == told(work)
    with refused(work, NotPossible):
        invitations.revoke(work, other.id)
    with refused(work, NotFound):
        invitations.revoke(work, made.id)


def test_several_cards_of_one_person(work: Work, template: Template) -> None:
    """Who is invited to the same address again holds all the cards, and one seat."""
    tokens = [
        invitations.create(work, template.id, email=address, display_name="A", values=VALUES)[1]
        for address in ("amelia@example.com", "AMELIA@example.com")
    ]
    first, second = (self_service.claim_card(work, token) for token in tokens)

    assert first.person_id == second.person_id
    assert 2 == len(seats.cards_page(work, person_id=first.person_id, state="active"))
    assert (None, 1, 0) == seats.counts(work)


def test_the_invited_is_known(work: Work, template: Template) -> None:
    """A person of the directory, or one the administrator added, claims as itself."""
    ada = person_of(work, a_directory_user(work))
    grace = manual_people.add(work, "Grace", "grace@example.com")

    for person, address in ((ada, "Ada@Contoso.com"), (grace, "grace@example.com")):
        _, token = invitations.create(work, template.id, email=address, values=VALUES)
        assert person.id == self_service.claim_card(work, token, display_name="Somebody").person_id
    assert "Ada" == people.lock(work, ada.id).display_name


def test_an_address_is_not_taken_on_trust(work: Work, template: Template) -> None:
    """Who only says that an address is theirs gets no card that is sent to it later."""
    _, anonymous = invitations.create(work, template.id, values=VALUES)
    mallory = self_service.claim_card(work, anonymous, display_name="Mallory", email="boss@example.com")
    _, sent = invitations.create(work, template.id, email="boss@example.com", values=VALUES)

    boss = self_service.claim_card(work, sent, display_name="Boss")

    assert mallory.person_id != boss.person_id
    assert "boss@example.com" == people.lock(work, mallory.person_id).email
    with refused(work, Invalid):
        self_service.claim_card(work, invitations.create(work, template.id, values=VALUES)[1])


def test_who_is_deactivated_claims_nothing(work: Work, template: Template) -> None:
    """The directory has disabled them; the link still works once they are back."""
    user = a_directory_user(work)
    _, token = invitations.create(work, template.id, email="ada@contoso.com", values=VALUES)
    switched(work, user, active=False)

    with refused(work, NotPossible) as refusal:
        self_service.claim_card(work, token)
    assert "deactivated" in refusal.value.sentence
    switched(work, user, active=True)
    assert person_of(work, user).id == self_service.claim_card(work, token).person_id


def test_who_departed_is_somebody_new(work: Work, template: Template) -> None:
    """Whom the directory deleted is outside of it now, and may be invited."""
    user = a_directory_user(work)
    ada = person_of(work, user)
    a_card(work, ada, template)
    provisioning.delete_user(work, user.id)
    _, token = invitations.create(work, template.id, email="ada@contoso.com", values=VALUES)

    claimed = self_service.claim_card(work, token, display_name="Ada")
    assert ada.id != claimed.person_id
    assert people.lock(work, ada.id).departed


def test_no_seat_left(make_work: MakeWork) -> None:
    """The card is claimed all the same and waits for a seat."""
    work = make_work(seats=0)
    template = a_template(work)
    _, token = invitations.create(work, template.id, display_name="A")

    claimed = self_service.claim_card(work, token)
    assert "waiting" == seats.card_state(work, claimed.card_id)
    assert (0, 0, 1) == seats.counts(work)


def test_many_links_at_once(core_url: str) -> None:
    """People who claim their cards at the same time do not stand in each other's way."""
    customer = new_customer(core_url)

    def make(connection: Connection) -> list[str]:
        work = customer.work(connection)
        template = a_template(work)
        return [invitations.create(work, template.id)[1] for _ in range(12)]

    async def race(database: Database) -> None:
        tokens = await database.write(make)

        def claim(token: str) -> Callable[[Connection], Claimed]:
            return lambda connection: self_service.claim_card(customer.work(connection), token, display_name="A")

        await asyncio.gather(*[database.write(claim(token)) for token in tokens])
        assert (None, 12, 0) == await database.read(lambda connection: seats.counts(customer.work(connection)))

    in_core(core_url, race)


def test_one_link_at_once(core_url: str) -> None:
    """Two who use one link at the same time: one gets the card, the other hears that it does not work."""
    customer = new_customer(core_url)

    def make(connection: Connection) -> str:
        work = customer.work(connection)
        return invitations.create(work, a_template(work, name=work.now).id)[1]

    async def race(database: Database) -> None:
        token = await database.write(make)

        def claim(name: str) -> Callable[[Connection], Claimed]:
            return lambda connection: self_service.claim_card(customer.work(connection), token, display_name=name)

        ended = await asyncio.gather(*[database.write(claim(n)) for n in "abcd"], return_exceptions=True)
        assert ["Claimed", "WrongCode", "WrongCode", "WrongCode"] == sorted(type(each).__name__ for each in ended)
        assert 1 == len(await database.read(lambda connection: people.page(customer.work(connection))))

    in_core(core_url, race)
