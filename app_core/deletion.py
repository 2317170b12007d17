"""Guarded deletion: the one place that knows what keeps something from being deleted, and says so with counts.

A team that holds logins is never deleted, by anyone, by any path (invariant 9). Two guards, one truth: the row lock of
the team orders a deletion and a login that is being added, and the foreign key of each login stops whoever forgot.
"""

from sqlalchemy import BindParameter, bindparam, exists, func, literal, select

from app_core import activation, cards, connections, directory, follow, people, seats, teams, templates, tenants, vault
from app_core.cards import A, Card
from app_core.db import Connection, KeyText, Statement, joined, table_of
from app_core.directory import G, N
from app_core.errors import NotFound, NotPossible, StillHolds, TeamHasLogins
from app_core.people import Person
from app_core.teams import TEAM_TABLE, Team
from app_core.tenants import T, Tenant
from app_core.vault import LoginRow
from app_core.work import Work

OF_TENANT: BindParameter[str] = bindparam("tenant_id")
LOGIN = table_of(LoginRow)
HELD = {
    "users": Statement(select(func.count()).select_from(directory.U).where(directory.U.c.tenant_id == OF_TENANT)),
    "groups": Statement(select(func.count()).select_from(directory.G).where(directory.G.c.tenant_id == OF_TENANT)),
    "logins": Statement(select(func.count()).select_from(LOGIN).where(LOGIN.c.tenant_id == OF_TENANT)),
}

# Teams and groups ---------------------------------------------------------------------------------------------------


def refuse_while_logins(work: Work, team: Team) -> None:
    """Refuse to delete a team that holds logins; the caller holds its row. Raises TeamHasLogins."""
    count = vault.count(work, team.id)
    if count:
        raise TeamHasLogins(team.id, team.name, count)


def delete_team(work: Work, team_id: str) -> None:
    """Delete a manual team. Raises NotFound, TeamHasLogins, and NotPossible for a synced one."""
    team = teams.lock(work, team_id)
    if team.kind == "synced":
        raise NotPossible(f"Team '{team.name}' follows a group: remove the group to delete the team.")
    refuse_while_logins(work, team)
    teams.remove(work, team)


def remove_group(work: Work, group_id: str) -> None:
    """Stop syncing a group and delete its team; what the directory says about the group stays (G3).

    Raises NotFound where the group has no team, and TeamHasLogins.
    """
    team = teams.lock_of_group(work, group_id)
    if team is None:
        raise NotFound("Team of group", group_id)
    refuse_while_logins(work, team)
    teams.remove(work, team)


def before_group_goes(work: Work, group_id: str) -> bool:
    """Let the team of a group that the directory deletes go with it, or stay by itself (P4).

    Holds the group, and says whether other groups contain it. Raises NotFound, and TeamHasLogins while the team holds
    logins and the tenant's policy is to refuse.
    """
    work.hold(directory.HOLD_GROUP, group_id=group_id)
    row = work.row(HANGS_ON, connection_id=work.connection_id, group_id=group_id)
    if row is None:
        raise NotFound("Group", group_id)
    *columns, logins, template_ids, nested, policy = row
    if columns[0] is not None:
        team = Team(*columns)
        if logins and policy != "detach":
            raise TeamHasLogins(team.id, team.name, logins)
        if logins:
            teams.detach(work, team)
        else:
            teams.remove(work, team)
    for template_id in template_ids.split(",") if template_ids else ():
        templates.set_assignments_rows(work, template_id, [], [group_id])
        follow.after_assignment(work, template_id, [], [group_id])
    return bool(nested)


# All that a group's deletion depends on, in one trip. A login that is added meanwhile is stopped by its foreign key or
# stops the deletion by it, and then this is run again.
HANGS_ON = Statement(
    select(
        *teams.TEAM,
        select(func.count())
        .where(LOGIN.c.tenant_id == G.c.tenant_id, LOGIN.c.team_id == TEAM_TABLE.c.id)
        .correlate(G, TEAM_TABLE)
        .scalar_subquery(),
        select(joined(A.c.template_id))
        .where(A.c.tenant_id == G.c.tenant_id, A.c.group_id == G.c.id)
        .correlate(G)
        .scalar_subquery(),
        exists(select(literal(1)).where(N.c.tenant_id == G.c.tenant_id, N.c.member_id == G.c.id).correlate(G)),
        select(T.c.on_group_delete).where(T.c.id == G.c.tenant_id).correlate(G).scalar_subquery(),
    )
    .select_from(teams.GROUPS_WITH_TEAM)
    .where(
        G.c.tenant_id == OF_TENANT,
        G.c.connection_id == bindparam("connection_id", type_=KeyText),
        G.c.id == bindparam("group_id", type_=KeyText),
    )
)

# Templates, cards, people -------------------------------------------------------------------------------------------


def delete_template(work: Work, template_id: str) -> None:
    """Delete a template that no group leads to and no card is made from. Raises NotFound, StillHolds."""
    template = templates.lock(work, template_id)
    blockers = {
        "assigned groups": len(templates.assignments(work, template_id)),
        "cards": cards.count_of_template(work, template_id),
    }
    refuse_while(
        f"Template '{template.name}'",
        {what: count for what, count in blockers.items() if count},
        "take its groups away and delete its cards first",
    )
    templates.remove(work, template)


def delete_card(work: Work, card_id: str) -> None:
    """Delete a paused card, or one that no group asked for (invariant 17). Raises NotFound, NotPossible."""
    card = hold_card(work, card_id)
    if card.state == "active" and card.origin == cards.Origin.ASSIGNED:
        raise NotPossible("The card follows its groups and is not paused: take the person out of them first.")
    cards.remove(work, card)
    if card.person_id is not None:
        # Where a group leads to one, there is a new one: without the edits of the old.
        follow.settle(work, [card.person_id])


def hold_card(work: Work, card_id: str) -> Card:
    """Read a card and hold it and its person, the person first. Raises NotFound."""
    card = cards.find(work, card_id)
    if card is not None and card.person_id is not None:
        people.lock_many(work, [card.person_id])
    return cards.lock(work, card_id)


def delete_person(work: Work, person: Person) -> None:
    """Delete a person that no directory user leads to, with its cards; its seat is free. Raises NotPossible."""
    if person.directory_user_id is not None:
        raise NotPossible(f"'{person.display_name}' follows a user of the directory: delete the user there.")
    cards.remove_of_person(work, person.id)
    activation.remove(work, person.id)
    seats.release_unneeded(work, [person.id])
    people.remove(work, person)


# Tenants ------------------------------------------------------------------------------------------------------------


def delete_tenant(connection: Connection, tenant: Tenant) -> None:
    """Delete a tenant with its connections, tokens and log. Raises StillHolds while a directory has objects in it."""
    connections.lock_all(connection, tenant)
    refuse_while(
        f"Tenant '{tenant.name}'",
        tenant_blockers(connection, tenant),
        "deprovision its users and groups in Entra and delete its logins first",
    )
    tenants.delete_all_of(connection, tenant)


def tenant_blockers(connection: Connection, tenant: Tenant) -> dict[str, int]:
    """Count what keeps a tenant from being deleted."""
    rows = {what: connection.row(statement, {"tenant_id": tenant.id}) for what, statement in HELD.items()}
    return {what: int(row[0]) for what, row in rows.items() if row and row[0]}


def refuse_while(what: str, blockers: dict[str, int], remedy: str) -> None:
    """Refuse a deletion while anything stands in its way. Raises StillHolds with the counts."""
    if blockers:
        raise StillHolds(what, blockers, remedy)
