"""People added by hand: added, changed, removed, and joined to the directory's user that they turn out to be (T3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from app_core import (
    activation,
    administration,
    cards,
    directory,
    manual_people,
    people,
    photos,
    provisioning,
    seats,
    self_service,
    teams,
)
from app_core.db import Connection, Database
from app_core.errors import Invalid, NotFound, NotPossible
from app_core.people import Person
from app_core.resource import UserRecord, attributes_of
from app_core.work import Work
from tests.app_core.builders import (
    a_card,
    a_directory_user,
    a_group,
    a_template,
    ids,
    person_of,
    refused,
    switched,
    told,
)
from tests.app_core.conftest import MakeWork
from tests.processes import in_core, new_customer

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01" + b"\0" * 20


def test_a_person_is_added_and_changed(work: Work) -> None:
    """Name and address are kept without space around them; the same values are no change."""
    grace = manual_people.add(work, " Grace Hopper ", " grace@example.com ")
    assert ("Grace Hopper", "grace@example.com", "manual", True) == (
        grace.display_name,
        grace.email,
        grace.origin,
        grace.active,
    )
    assert ["person.created"] == told(work)

    changed = manual_people.change(work, grace, display_name="Grace", email=None)
    assert ("Grace", None, 2) == (changed.display_name, changed.email, changed.version)
    assert changed == manual_people.change(work, changed, display_name="Grace", email=None)
    assert changed == people.find(work, grace.id)
    assert {"changed": ["display_name", "email"]} == work.events[0].payload
    assert ["person.updated"] == told(work)
    assert [] == people.by_address(work, "grace@example.com")


@pytest.mark.parametrize(
    ("name", "email", "sentence"),
    [
        ("  ", None, "display_name: it is empty."),
        ("A\nB", None, "display_name: it holds a line break or another control character."),
        ("A" * 501, None, "display_name: it has 501 characters; at most 500 are kept."),
        ("A", "nobody", "email: this is no e-mail address; write it like name@example.com."),
        ("A", "a b@example.com", "email: this is no e-mail address; write it like name@example.com."),
        ("A", "a@" + "b" * 253, "email: it has 255 characters; at most 254 are kept."),
        ("A", "", "email: it is empty."),
    ],
)
def test_what_no_person_can_have(work: Work, name: str, email: str | None, sentence: str) -> None:
    """The refusal names the member."""
    with refused(work, Invalid) as refusal:
        manual_people.add(work, name, email)
    assert sentence == refusal.value.sentence


def test_inv_10_manual_people_are_unseen_by_the_directory(work: Work) -> None:
    """They are no user of the mirror, and a directory user of their address is somebody else until they are linked."""
    grace = manual_people.add(work, "Grace", "ada@contoso.com")
    user = a_directory_user(work)

    assert directory.find_user(work, grace.id) is None
    assert grace.id != person_of(work, user).id
    switched(work, user, active=False)
    kept = people.find(work, grace.id)
    assert kept is not None
    assert kept.active


def test_the_directory_describes_its_own_people(work: Work) -> None:
    """They are neither changed nor removed by hand, and the refusal says where to do it."""
    ada = person_of(work, a_directory_user(work))

    with refused(work, NotPossible) as refusal:
        manual_people.change(work, ada, display_name="Other", email=None)
    assert "change the user in Entra" in refusal.value.sentence
    with refused(work, NotPossible):
        manual_people.remove(work, ada)


def test_who_is_removed_leaves_nothing(make_work: MakeWork) -> None:
    """Cards, account, memberships and seat go with the person, and who waits for the seat gets it."""
    work = make_work(seats=1)
    template, team = a_template(work), teams.create_manual(work, "Sales")
    grace, other = (manual_people.add(work, name) for name in ("Grace", "Other"))
    card_id = a_card(work, grace, template)
    seats.settle(work, [grace.id])
    a_card(work, other, template)
    seats.settle(work, [other.id])
    teams.add_member(work, team, grace.id)
    activation.request(work, grace.id)
    assert (1, 1, 1) == seats.counts(work)
    told(work)

    manual_people.remove(work, people.lock(work, grace.id))

    assert people.find(work, grace.id) is None
    assert cards.find(work, card_id) is None
    assert activation.find(work, grace.id) is None
    assert [] == teams.members(work, team)
    assert (1, 1, 0) == seats.counts(work)
    assert {"card.deleted", "seat.released", "seat.opened", "person.deleted", "team.members_changed"} == set(told(work))


def test_who_departed_is_removed(work: Work) -> None:
    """What the directory left behind is the administrator's to remove."""
    user = a_directory_user(work)
    ada = person_of(work, user)
    a_card(work, ada, a_template(work))
    provisioning.delete_user(work, user.id)
    left = people.lock(work, ada.id)
    assert left.departed

    manual_people.remove(work, left)
    assert people.find(work, ada.id) is None


# Linking ------------------------------------------------------------------------------------------------------------


def test_two_people_become_one(work: Work) -> None:
    """The person added by hand keeps its id and takes over the user, its cards, teams, account, photo and seat."""
    template, group_template = a_template(work), a_template(work, name="Assigned")
    user = a_directory_user(work)
    group = a_group(work, user)
    administration.assign_template(work, group_template.id, [group.id])
    twin, grace = person_of(work, user), manual_people.add(work, "Grace", "grace@example.com")
    own_card = a_card(work, grace, template)
    seats.settle(work, [grace.id])
    alone, both = teams.create_manual(work, "Alone"), teams.create_manual(work, "Both")
    teams.add_member(work, alone, twin.id)
    for person in (twin, grace):
        teams.add_member(work, both, person.id)
    code = activation.issue_code(work, twin.id).code
    photos.put(work, twin, PNG)
    [assigned] = [card.id for card, _ in seats.cards_page(work, person_id=twin.id)]
    assert (None, 2, 0) == seats.counts(work)
    told(work)

    linked = manual_people.link(work, grace.id, user.id)

    assert (grace.id, "directory", user.id, "Ada", "ada@contoso.com") == (
        linked.id,
        linked.origin,
        linked.directory_user_id,
        linked.display_name,
        linked.sign_in,
    )
    assert people.find(work, twin.id) is None
    assert [grace.id] == [person_of(work, user).id]
    assert {own_card, assigned} == {card.id for card, _ in seats.cards_page(work, person_id=grace.id, state="active")}
    assert {"Alone", "Both", "Sales"} == {team.name for team in teams.of_person(work, grace.id)}
    assert [grace.id] == ids(teams.members(work, both))
    assert (None, 1, 0) == seats.counts(work)
    assert photos.get(work, grace.id) is not None
    assert linked.photo_hash is not None
    changes = {
        event.subject_id: (event.payload["added"], event.payload["removed"])
        for event in work.events
        if event.type == "team.members_changed"
    }
    [synced] = [team for team in teams.of_person(work, grace.id) if team.kind == "synced"]
    assert {
        alone.id: ([grace.id], [twin.id]),
        both.id: ([], [twin.id]),
        synced.id: ([grace.id], [twin.id]),
    } == changes
    assert ["person.deleted"] == [event.type for event in work.events if event.subject_id == twin.id]
    assert {"person.linked", "activation.code_issued"} == {
        event.type for event in work.events if event.subject_id == grace.id
    }
    assert grace.id == activation.redeem(work, "ada@contoso.com", code)


def test_the_link_holds(work: Work) -> None:
    """From then on the directory's changes reach the person, and its return after a deletion as well."""
    user = a_directory_user(work)
    grace = manual_people.add(work, "Grace")
    a_card(work, grace, a_template(work))
    manual_people.link(work, grace.id, user.id)

    before = provisioning.lock_user(work, user.id)
    resource = {**attributes_of(before.document), "displayName": "Ada L."}
    provisioning.save_user(work, before, UserRecord(resource, True))
    assert "Ada L." == people.lock(work, grace.id).display_name
    provisioning.delete_user(work, user.id)
    assert people.lock(work, grace.id).departed
    again = provisioning.create_user(work, UserRecord(resource, True))
    assert grace.id == person_of(work, again).id


def test_an_inactive_user_deactivates(work: Work) -> None:
    """Linked to a user that is disabled, the person is: its cards are paused, its account suspended, its seat free."""
    user = a_directory_user(work, active=False)
    grace = manual_people.add(work, "Grace", "grace@example.com")
    card_id = a_card(work, grace, a_template(work))
    self_service.redeem_start_code(work, "grace@example.com", activation.issue_code(work, grace.id).code)

    linked = manual_people.link(work, grace.id, user.id)

    assert not linked.active
    card = cards.find(work, card_id)
    assert card is not None
    assert ("paused", "inactive") == (card.state, card.pause_reason)
    account = activation.find(work, grace.id)
    assert account is not None
    assert "suspended" == account.state
    assert (None, 0, 0) == seats.counts(work)


@pytest.mark.parametrize(("first", "second"), [("grace", "ada"), ("ada", "grace")])
def test_the_open_seat_is_kept(make_work: MakeWork, first: str, second: str) -> None:
    """Of an open seat and one that waits the open one stays, whosever it was: nobody who waits comes in between."""
    work = make_work(seats=1)
    template, user = a_template(work), a_directory_user(work)
    both = {"grace": manual_people.add(work, "Grace"), "ada": person_of(work, user)}
    waiting = manual_people.add(work, "Waiting")
    for person in (both[first], both[second], waiting):
        a_card(work, person, template)
        seats.settle(work, [person.id])
    assert (1, 1, 2) == seats.counts(work)

    manual_people.link(work, both["grace"].id, user.id)

    assert (1, 1, 1) == seats.counts(work)
    held = {seat.person_id: seat.opened_at is not None for seat in seats.page(work)}
    assert {both["grace"].id: True, waiting.id: False} == held


@pytest.mark.parametrize(
    ("own", "twins", "kept"),
    [
        (None, "requested", "requested"),
        ("requested", None, "requested"),
        ("requested", "active", "active"),
        ("active", "code_sent", "active"),
        ("revoked", "requested", "requested"),
        (None, None, None),
    ],
)
def test_the_further_account_counts(work: Work, own: str | None, twins: str | None, kept: str | None) -> None:
    """Of two accounts the one that is further is the person's."""
    user = a_directory_user(work)
    twin, grace = person_of(work, user), manual_people.add(work, "Grace", "grace@example.com")
    for person, state in ((twin, twins), (grace, own)):
        if state is not None:
            activation.request(work, person.id)
        if state in ("code_sent", "active"):
            code = activation.issue_code(work, person.id).code
            if state == "active":
                activation.redeem(work, person.sign_in, code)
        if state == "revoked":
            activation.revoke(work, person.id)

    manual_people.link(work, grace.id, user.id)

    found = activation.find(work, grace.id)
    assert kept == (None if found is None else found.state)
    assert activation.find(work, twin.id) is None


def test_who_cannot_be_linked(work: Work, make_work: MakeWork) -> None:
    """Only a person added by hand, and only to a user that is there, in this tenant."""
    user, other = a_directory_user(work), a_directory_user(work, "bob")
    grace, ada = manual_people.add(work, "Grace"), person_of(work, user)
    stranger = make_work()

    with refused(work, NotFound):
        manual_people.link(work, grace.id, "nobody")
    with refused(work, NotFound):
        manual_people.link(work, "nobody", user.id)
    with refused(work, NotPossible):
        manual_people.link(work, ada.id, other.id)
    with refused(stranger, NotFound):
        manual_people.link(stranger, grace.id, user.id)
    manual_people.link(work, grace.id, user.id)
    with refused(work, NotPossible):
        manual_people.link(work, grace.id, user.id)


def test_two_links_at_once(core_url: str) -> None:
    """Two people are linked to one user at the same time: one after the other, and one person is left with all of it."""
    customer = new_customer(core_url)

    def make(connection: Connection) -> tuple[str, list[str]]:
        work = customer.work(connection)
        user, template = a_directory_user(work), a_template(work)
        people_to_link = [manual_people.add(work, name) for name in ("Grace", "Barbara")]
        for person in (*people_to_link, person_of(work, user)):
            a_card(work, person, template)
            seats.settle(work, [person.id])
        return user.id, ids(people_to_link)

    async def race(database: Database) -> None:
        user_id, candidates = await database.write(make)

        def link(person_id: str) -> Callable[[Connection], Person]:
            return lambda connection: manual_people.link(customer.work(connection), person_id, user_id)

        await asyncio.gather(*[database.write(link(each)) for each in candidates])

        [left] = await database.read(lambda connection: people.page(customer.work(connection)))
        held = await database.read(lambda connection: seats.cards_page(customer.work(connection), person_id=left.id))
        assert user_id == left.directory_user_id
        assert 3 == len(held)
        assert (None, 1, 0) == await database.read(lambda connection: seats.counts(customer.work(connection)))

    in_core(core_url, race)
