"""People whom the administrator knows without the directory: added by hand, changed, removed, joined to a user.

They are unseen by SCIM and untouched by follow (invariant 10). A person from the directory is the directory's to
change; what it leaves behind when it departs is the administrator's to remove.
"""

from sqlalchemy import bindparam, delete, select, update

from app_core import activation, cards, deletion, people, photos, seats, teams
from app_core.cards import K
from app_core.db import KeyText, Statement, insert_or_ignore
from app_core.errors import NotFound, NotPossible
from app_core.events import Event
from app_core.people import P, Person, Profile
from app_core.seats import S, Seat
from app_core.teams import X
from app_core.texts import address, line
from app_core.work import Work

MOST_NAME = 500
tenant = people.tenant
heir = bindparam("heir_id", type_=KeyText)

OF_USER = Statement(select(P.c.id).where(P.c.tenant_id == tenant, P.c.directory_user_id == bindparam("user_id")))
UNLINK = Statement(
    update(P)
    .where(P.c.tenant_id == tenant, P.c.id == bindparam("person_id"))
    .values(directory_user_id=None, entra_object_id=None)
)
OBJECT_ID = Statement(select(P.c.entra_object_id).where(P.c.tenant_id == tenant, P.c.id == bindparam("person_id")))
TAKE_CARDS = Statement(
    update(K)
    .where(K.c.tenant_id == tenant, K.c.person_id == bindparam("of_person"))
    .values(person_id=heir, version=K.c.version + 1, modified_at=bindparam("now"))
    .returning(K.c.id, K.c.template_id)
)
OWN = K.alias()
# Of two assigned cards of one template the person's own stays, with its edits (invariant 11).
DROP_DOUBLES = Statement(
    delete(K)
    .where(
        K.c.tenant_id == tenant,
        K.c.person_id == bindparam("of_person"),
        K.c.origin == "assigned",
        K.c.template_id.in_(
            select(OWN.c.template_id).where(
                OWN.c.tenant_id == tenant, OWN.c.person_id == heir, OWN.c.origin == "assigned"
            )
        ),
    )
    .returning(K.c.id, K.c.template_id)
)
TAKE_MEMBERSHIPS = Statement(
    insert_or_ignore(X).from_select(
        ["tenant_id", "team_id", "person_id", "since"],
        select(X.c.tenant_id, X.c.team_id, heir, X.c.since).where(
            X.c.tenant_id == tenant, X.c.person_id == bindparam("of_person")
        ),
        include_defaults=False,
    )
)
TAKE_SEAT = Statement(update(S).where(S.c.tenant_id == tenant, S.c.id == bindparam("seat_id")).values(person_id=heir))
STOP_WAITING = Statement(
    update(S).where(S.c.tenant_id == tenant, S.c.id == bindparam("seat_id")).values(released_at=bindparam("now"))
)


def add(work: Work, display_name: str, email: str | None = None) -> Person:
    """Add a person by hand. Raises Invalid."""
    name = line("display_name", display_name, MOST_NAME)
    return people.insert_manual(work, name, None if email is None else address("email", email))


def change(work: Work, before: Person, *, display_name: str, email: str | None) -> Person:
    """Change a locked person that was added by hand; the same values are no change.

    Raises Invalid, and NotPossible for a person whom the directory describes.
    """
    if before.origin != "manual" or before.directory_user_id is not None:
        raise NotPossible(f"'{before.display_name}' comes from the directory; change the user in Entra.")
    name = line("display_name", display_name, MOST_NAME)
    email = None if email is None else address("email", email)
    changed = [
        field
        for field, old, new in (("display_name", before.display_name, name), ("email", before.email, email))
        if old != new
    ]
    if not changed:
        return before
    profile = Profile(before.active, email or "", email, name, before.problems)
    people.set_profile(work, before, profile, user_id=None)
    work.record(Event("person.updated", before.id, {"changed": changed}))
    return people.lock(work, before.id)


def remove(work: Work, person: Person) -> None:
    """Forget a locked person with its cards, memberships and account; its seat is free.

    Raises NotPossible for a person that the directory still has: it would come back.
    """
    left = teams.of_person(work, person.id)
    deletion.delete_person(work, person)
    for team in left:
        teams.members_changed(work, team.id, [], [person.id], (0, 1))


def link(work: Work, person_id: str, directory_user_id: str) -> Person:
    """Join a person that was added by hand to a user of the directory, whose own person it takes in.

    What both held is the one's now: cards, memberships, account, seat. From here on the directory describes it.
    Raises NotFound, and NotPossible for a person from the directory.
    """
    person, twin = _lock_both(work, person_id, directory_user_id)
    if person.origin != "manual" or person.directory_user_id is not None:
        raise NotPossible(f"'{person.display_name}' comes from the directory; only people added by hand are linked.")
    _take_teams(work, person.id, twin.id)
    _take_identity(work, person, twin, directory_user_id)
    for card_id, template_id in work.rows(DROP_DOUBLES, of_person=twin.id, heir_id=person.id):
        work.record(Event("card.deleted", card_id, {"person_id": twin.id, "template_id": template_id}))
    for card_id, template_id in work.rows(TAKE_CARDS, of_person=twin.id, heir_id=person.id, now=work.now):
        payload = {"person_id": person.id, "template_id": template_id, "changed": ["person_id"]}
        work.record(Event("card.updated", card_id, payload))
    activation.hand_over(work, twin.id, person.id)
    if not twin.active:
        activation.suspend(work, [person.id])
        work.record(Event("person.deactivated", person.id))
    if person.photo_hash is None and twin.photo_hash is not None:
        photos.hand_over(work, twin.id, person.id)
    cards.settle(work, [person.id])
    _take_seat(work, person.id, twin.id)
    seats.settle(work, [person.id, twin.id])
    people.remove(work, twin)
    return people.lock(work, person.id)


def _lock_both(work: Work, person_id: str, directory_user_id: str) -> tuple[Person, Person]:
    """Hold a person and the one that a user leads to. Raises NotFound."""
    twin_id = ""
    while True:
        row = work.row(OF_USER, user_id=directory_user_id)
        if row is None:
            raise NotFound("Directory user", directory_user_id)
        if row[0] == twin_id:
            return people.lock(work, person_id), people.lock(work, twin_id)
        # Until it is held, somebody else may have linked the user to another person.
        twin_id = str(row[0])
        people.lock_many(work, [person_id, twin_id])


def _take_identity(work: Work, person: Person, twin: Person, directory_user_id: str) -> None:
    """Have the directory's user lead to the person in place of its twin."""
    row = work.row(OBJECT_ID, person_id=twin.id)
    work.run(UNLINK, person_id=twin.id)
    profile = Profile(twin.active, twin.sign_in, twin.email, twin.display_name, twin.problems)
    people.set_profile(work, person, profile, user_id=directory_user_id, origin="directory")
    people.remember(work, person.id, None if row is None else row[0])
    work.record(Event("person.linked", person.id, {"directory_user_id": directory_user_id}))


def _take_teams(work: Work, person_id: str, twin_id: str) -> None:
    """Put the person into the manual teams of its twin; the synced ones have it as soon as the user leads to it."""
    own = {team.id for team in teams.of_person(work, person_id)}
    work.run(TAKE_MEMBERSHIPS, of_person=twin_id, heir_id=person_id)
    for team_id in sorted({team.id for team in teams.of_person(work, twin_id)}):
        added = [] if team_id in own else [person_id]
        teams.members_changed(work, team_id, added, [twin_id], (len(added), 1))


def _take_seat(work: Work, person_id: str, twin_id: str) -> None:
    """Let the person keep the better of two seats; nobody who waits comes in between."""
    work.row(seats.ACCOUNT)
    own, other = seats.of_person(work, person_id), seats.of_person(work, twin_id)
    if other is None or (own is not None and not _is_better(other, own)):
        return
    if own is not None:
        work.run(STOP_WAITING, seat_id=own.id, now=work.now)
        work.record(Event("seat.released", own.id, {"person_id": person_id}))
    work.run(TAKE_SEAT, seat_id=other.id, heir_id=person_id)
    told = "seat.waiting" if other.opened_at is None else "seat.opened"
    work.record(Event(told, other.id, {"person_id": person_id}))


def _is_better(seat: Seat, own: Seat) -> bool:
    """Say whether a seat is open and the own one is not; of two that wait, who waited longer is served first."""
    if own.opened_at is not None:
        return False
    return seat.opened_at is not None or seat.wanted_at < own.wanted_at
