"""Way in 2, the administrator: verbs that span several nouns. Each locks, checks, states, and lets follow act."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, literal, or_, select

from app_core import (
    activation,
    cards,
    cards_view,
    deletion,
    directory,
    follow,
    people,
    seats,
    teams,
    templates,
    tenants,
)
from app_core.cards import A, Card, K
from app_core.db import KeyText, Statement, Violation
from app_core.directory import G, M
from app_core.errors import NotFound, NotPossible, Stale
from app_core.events import Event
from app_core.people import P, Person
from app_core.seats import HAS_SEAT, V
from app_core.teams import TEAM_TABLE, Team
from app_core.tenants import Tenant
from app_core.work import Work

tenant = directory.tenant

# Groups -------------------------------------------------------------------------------------------------------------

FIND_GROUP = Statement(
    select(G.c.id, G.c.display_name)
    .where(G.c.tenant_id == tenant, G.c.id == bindparam("group_id"))
    .with_for_update(key_share=True)
)


def _lock_group(work: Work, group_id: str) -> str:
    row = work.row(FIND_GROUP, group_id=group_id)
    if row is None:
        raise NotFound("Group", group_id)
    return str(row[1])


def sync_group(work: Work, group_id: str) -> Team:
    """Make a team of a group (G3, Add); one that has a team keeps it. Raises NotFound."""
    name = _lock_group(work, group_id)
    team = teams.lock_of_group(work, group_id)
    if team is not None:
        return team
    try:
        return _make_team(work, group_id, name)
    except Violation as violation:
        raise Stale(f"Group '{name}' became a team in between: look again.") from violation


def _make_team(work: Work, group_id: str, name: str) -> Team:
    """Make a team of a group, and tell of it and of who is in it."""
    team = teams.sync(work, group_id, name)
    follow.after_new_team(work, team.id, group_id)
    return team


def remove_group(work: Work, group_id: str) -> None:
    """Stop syncing a group and delete its team. Raises NotFound, TeamHasLogins."""
    _lock_group(work, group_id)
    deletion.remove_group(work, group_id)


# Templates ----------------------------------------------------------------------------------------------------------


class Preview(NamedTuple):
    """What assigning groups to a template would do."""

    cards_issued: int
    cards_revived: int
    cards_paused: int
    seats_needed: int
    seats_freed: int
    seats_left: int | None
    """Free seats now; None where there is no limit."""


def assign_template(work: Work, template_id: str, group_ids: Sequence[str]) -> list[str]:
    """Let exactly these groups lead to a template; cards follow. Gives the groups.

    Raises NotFound, and Invalid where no field of the template is kept in sync (C2).
    """
    added, removed = _difference(work, template_id, group_ids)
    if added or removed:
        templates.set_assignments_rows(work, template_id, added, removed)
        follow.after_assignment(work, template_id, added, removed)
    return sorted(set(group_ids))


def preview_assignment(work: Work, template_id: str, group_ids: Sequence[str]) -> Preview:
    """Say what `assign_template` would do: with the same rows, under the same conditions, and then taken back.

    Raises NotFound, and Invalid as that does.
    """
    added, removed = _difference(work, template_id, group_ids)
    found: list[Preview] = []
    with suppress(_TakenBack), work.connection.savepoint():
        templates.set_assignments_rows(work, template_id, added, removed)
        found.append(_count(work, template_id))
        _take_back()
    return found[0]


def _difference(work: Work, template_id: str, group_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Say which groups would come to a template and which would go; hold it, and those that would come."""
    template = templates.lock(work, template_id)
    before, wanted = set(templates.assignments(work, template_id)), set(group_ids)
    if wanted - before:
        templates.require_connectable(template)
    # In one order, so that two administrators never wait for each other crosswise.
    added = sorted(wanted - before)
    for group_id in added:
        _lock_group(work, group_id)
    return added, sorted(before - wanted)


class _TakenBack(Exception):
    """Undoes a savepoint."""


def _take_back() -> None:
    raise _TakenBack


def _count(work: Work, template_id: str) -> Preview:
    counts = [int((work.row(each, template_id=template_id) or (0,))[0]) for each in COUNTS]
    stand = seats.counts(work)
    left = None if stand.limit is None else stand.limit - stand.open
    return Preview(counts[0], counts[1], counts[2], counts[3], counts[4], left)


OF_TEMPLATE = (K.c.tenant_id == tenant, K.c.template_id == bindparam("template_id", type_=KeyText))
WANTING = (
    P.c.tenant_id == tenant,
    P.c.active.is_(True),
    exists(
        select(literal(1))
        .select_from(M.join(A, and_(A.c.tenant_id == M.c.tenant_id, A.c.group_id == M.c.group_id)))
        .where(
            M.c.tenant_id == P.c.tenant_id,
            M.c.user_id == P.c.directory_user_id,
            A.c.template_id == bindparam("template_id", type_=KeyText),
        )
        .correlate(P)
    ),
)


def _card_of_person(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(
        select(literal(1))
        .select_from(K)
        .where(K.c.tenant_id == P.c.tenant_id, K.c.person_id == P.c.id, *conditions)
        .correlate(P)
    )


THIS = K.c.template_id == bindparam("template_id", type_=KeyText)
TO_ISSUE = ~_card_of_person(THIS)
TO_REVIVE = _card_of_person(THIS, cards.ASSIGNED, K.c.state == "paused")
TO_PAUSE = (*OF_TEMPLATE, K.c.state == "active", K.c.person_id.is_not(None), cards.UNWANTED)
KEEPS_SEAT = exists(
    select(literal(1))
    .select_from(V)
    .where(V.c.tenant_id == P.c.tenant_id, V.c.person_id == P.c.id, V.c.state == "active")
    .correlate(P)
) | _card_of_person(K.c.template_id != bindparam("template_id", type_=KeyText), K.c.state == "active")


def _counting(*conditions: ColumnElement[bool]) -> Statement:
    return Statement(select(func.count()).select_from(P).where(*conditions))


COUNTS = (
    _counting(*WANTING, TO_ISSUE),
    _counting(*WANTING, TO_REVIVE),
    Statement(select(func.count()).select_from(K).where(*TO_PAUSE)),
    _counting(*WANTING, or_(TO_ISSUE, TO_REVIVE), ~HAS_SEAT),
    _counting(
        P.c.tenant_id == tenant,
        P.c.id.in_(select(K.c.person_id).where(*TO_PAUSE)),
        HAS_SEAT,
        ~KEEPS_SEAT,
    ),
)

# Cards and accounts -------------------------------------------------------------------------------------------------


def reactivate_card(work: Work, card_id: str) -> Card:
    """Take a paused card up again; it is the administrator's from then on (C7, invariant 12).

    A person whom the directory deleted is kept by hand from then on. Raises NotFound, and NotPossible for a card that
    is not paused or whose person the directory has disabled.
    """
    card = deletion.hold_card(work, card_id)
    if card.state != "paused" or card.person_id is None:
        raise NotPossible("The card is not paused.")
    _keep(work, people.lock(work, card.person_id))
    cards.reactivate(work, card)
    follow.settle(work, [card.person_id])
    return cards.lock(work, card_id)


def _keep(work: Work, person: Person) -> None:
    if person.active:
        return
    if not person.departed:
        raise NotPossible(f"'{person.display_name}' is disabled in the directory: enable the user there.")
    kept = people.Profile(True, person.sign_in, person.email, person.display_name, person.problems)
    people.set_profile(work, person, kept, user_id=None, origin="manual")
    work.record(Event("person.reactivated", person.id))
    activation.resume(work, [person.id])


def edit_card(work: Work, card: Card, values: dict[str, str | None]) -> Card:
    """Change what a card says in its editable fields; None takes an edit back. Raises Invalid."""
    template = templates.find(work, card.template_id)
    assert template is not None
    cards.set_values(work, card, overrides=cards_view.edited(template, card, values))
    return cards.lock(work, card.id)


def revoke_activation(work: Work, person_id: str) -> bool:
    """End a person's account; the seat is free where no card needs it. Says whether that is a change."""
    people.lock(work, person_id)
    changed = activation.revoke(work, person_id)
    seats.release_unneeded(work, [person_id])
    return changed


# Policies -----------------------------------------------------------------------------------------------------------

WITHOUT_TEAM = Statement(
    select(G.c.id, G.c.display_name)
    .where(
        G.c.tenant_id == tenant,
        G.c.pushed.is_(True),
        ~exists(
            select(literal(1))
            .select_from(TEAM_TABLE)
            .where(TEAM_TABLE.c.tenant_id == G.c.tenant_id, TEAM_TABLE.c.group_id == G.c.id)
            .correlate(G)
        ),
    )
    .order_by(G.c.id)
)


def change_settings(work: Work, changes: Mapping[str, str]) -> Tenant:
    """Set some of the tenant's policies; where all pushed groups become teams from now on, those that are there do too.

    Raises Invalid.
    """
    before = tenants.acting(work)
    after = tenants.change_settings(work, changes)
    if after.group_sync == "all" != before.group_sync:
        for group_id, name in work.rows(WITHOUT_TEAM):
            _make_team(work, group_id, name)
    return after
