"""Follow: people, teams, cards and seats agree with the mirror.

Level-triggered: it compares what should be with what is and applies the difference, in the transaction of the fact.
So replays, duplicates and reorderings do no harm, and what is so already records nothing (invariant 21). Losses are
taken at once, however many people they concern; gains at once for a few, by the worker for many.
"""

from collections.abc import Sequence
from dataclasses import replace

import orjson
from sqlalchemy import Integer, and_, bindparam, literal, or_, select
from sqlalchemy.sql.elements import ColumnElement

from app_core import activation, cards, directory, jobs, people, seats, teams
from app_core.activation import ActivationRow
from app_core.cards import A, K
from app_core.db import KeyText, Statement, among, any_row, joined, table_of
from app_core.directory import G, M, U, User
from app_core.errors import DomainError, Invalid, NotFound, TeamHasLogins
from app_core.events import Event
from app_core.jobs import Job, Progress
from app_core.people import P, Person, Profile
from app_core.resource import JsonObject, UserRecord
from app_core.teams import MEMBERSHIP, TEAM_TABLE
from app_core.tenants import T
from app_core.work import Work

AT_ONCE = 25
"""Up to so many people get their cards and seats in the transaction that entitles them."""
BATCH = 200
"""So many people does a step of the worker look at."""
ISSUE = "issue-cards"
PROFILE_ATTRIBUTES = frozenset({"userName", "displayName", "emails", "phoneNumbers", "active"})
tenant = directory.tenant


def settle(work: Work, person_ids: Sequence[str]) -> None:
    """Make the cards and seats of some people what they should be."""
    if person_ids:
        cards.hold_reasons(work, person_ids)
        people.lock_many(work, person_ids)
        cards.settle(work, person_ids)
        seats.settle(work, person_ids)


# After a user -------------------------------------------------------------------------------------------------------


def profile_of(work: Work, record: UserRecord, before: Profile | None = None) -> Profile:
    """Derive what decides about the person of a user, and see to its phone numbers (C5).

    Raises Invalid for a number that no card can show, where the tenant's policy is to reject it.
    """
    profile = people.profile_of(record.resource, active=record.active)
    if profile.problems is not None and (before is None or before.problems != profile.problems):
        _report_phones(work, profile.problems)
    return profile


def after_new_user(work: Work, user: User, person_id: str, profile: Profile, *, made: bool) -> None:
    """Greet the person of a new user, or welcome back the one that departed."""
    if made:
        work.record(Event("person.created", person_id, {"origin": "directory", "active": profile.active}))
        return
    back = people.come_back(work, user.id, user.external_id, profile)
    if back is not None:
        if profile.active:
            activation.resume(work, [back.id])
        settle(work, [back.id])


def after_user(work: Work, before: User, said: JsonObject, record: UserRecord, changed: Sequence[str]) -> None:
    """Let the person follow a change of its user; `said` is what the directory said of it before."""
    if before.person_id is None:
        return
    unnamed = "name" in changed and not record.resource.get("displayName")
    if PROFILE_ATTRIBUTES.isdisjoint(changed) and record.active == bool(before.active) and not unnamed:
        work.record(Event("person.updated", before.person_id, {"changed": list(changed)}))
        return
    old = people.profile_of(said, active=bool(before.active))
    profile = profile_of(work, record, old)
    if profile == old:
        work.record(Event("person.updated", before.person_id, {"changed": list(changed)}))
        return
    people.hold_of_user(work, before.id)
    row = work.row(CONCERNED, user_id=before.id)
    if row is None:
        return
    person, concerned = Person(*row[:-1]), row[-1]
    wanted = _without_tombstones(profile, person)
    people.set_profile(work, person, wanted, user_id=before.id)
    others = [name for name in changed if name != "active"]
    if others:
        work.record(Event("person.updated", person.id, {"changed": others}))
    if wanted.active != bool(person.active):
        work.record(Event("person.reactivated" if wanted.active else "person.deactivated", person.id))
        if concerned:
            (activation.resume if wanted.active else activation.suspend)(work, [person.id])
            settle(work, [person.id])


def _without_tombstones(profile: Profile, person: Person) -> Profile:
    """Keep the addresses by which a person signs in: what a soft-deleted user is called never replaces them (P5)."""
    if people.is_tombstone(profile.sign_in, person.sign_in):
        profile = replace(profile, sign_in=person.sign_in)
    if people.is_tombstone(profile.display_name, person.display_name):
        profile = replace(profile, display_name=person.display_name)
    if profile.email and person.email and people.is_tombstone(profile.email, person.email):
        profile = replace(profile, email=person.email)
    return profile


def _report_phones(work: Work, problems: str) -> None:
    found = orjson.loads(problems)
    said = "; ".join([f"{each['attribute']}: {each['reason'].rstrip('.')}" for each in found])
    if not work.assume(KEEPS_ANY_PHONE) and work.row(KEEPS_ANY_PHONE) is None:
        raise Invalid(f"{said}. This tenant takes only numbers in E.164 form, such as +14255550100.")
    work.warn("invalidPhone", f"Kept as sent, and left off cards: {said}.")


V, X = table_of(ActivationRow), MEMBERSHIP


def _held(of_tenant: ColumnElement[str], of_person: ColumnElement[str | None]) -> ColumnElement[bool]:
    return any_row(select(literal(1)).where(of_tenant == P.c.tenant_id, of_person == P.c.id).correlate(P))


# The person of a user, and whether anything could follow from its being active or not: most hold and are owed nothing.
CONCERNED = Statement(
    select(
        *people.PERSON,
        or_(
            _held(K.c.tenant_id, K.c.person_id),
            _held(V.c.tenant_id, V.c.person_id),
            any_row(
                select(literal(1))
                .select_from(M.join(A, and_(A.c.tenant_id == M.c.tenant_id, A.c.group_id == M.c.group_id)))
                .where(M.c.tenant_id == P.c.tenant_id, M.c.user_id == P.c.directory_user_id)
                .correlate(P)
            ),
        ),
    ).where(P.c.tenant_id == tenant, P.c.directory_user_id == bindparam("user_id", type_=KeyText))
)
KEEPS_ANY_PHONE = Statement(select(T.c.id).where(T.c.id == tenant, T.c.invalid_phone == "flag"))


def before_user_goes(work: Work, user_id: str) -> list[str]:
    """Let a user that is deleted leave its groups, its person depart, and tell the teams; all of them are held.

    A person that holds nothing goes too. Gives the groups that the user has left. Raises NotFound.
    """
    work.hold(directory.HOLD_GROUPS_OF, people.HOLD_WITH_USER, user_id=user_id)
    row = work.row(FAREWELL, connection_id=work.connection_id, user_id=user_id)
    if row is None:
        raise NotFound("User", user_id)
    columns, (keeps, group_ids, team_ids, object_id, document) = row[:-5], row[-5:]
    directory.leave_groups(work, user_id)
    if columns[0] is not None:
        person = Person(*columns)
        for team_id in _ids(team_ids):
            teams.members_changed(work, team_id, [], [person.id], (0, 1))
        if person.origin == "directory" and not keeps:
            people.remove(work, person)
        else:
            _depart(work, person, object_id, document)
    return _ids(group_ids)


def _depart(work: Work, person: Person, object_id: str | None, document: bytes) -> None:
    gone = Profile(False, person.sign_in, person.email, person.display_name, person.problems)
    people.depart(work, person, gone, object_id)
    cards.keep_last(work, person.id, document)
    activation.suspend(work, [person.id])
    settle(work, [person.id])


GROUPS_OF = select(M.c.group_id).where(M.c.tenant_id == U.c.tenant_id, M.c.user_id == U.c.id).correlate(U)
# A user that is to go, its person, whether anything hangs on that, its groups and their teams.
FAREWELL = Statement(
    select(
        *people.PERSON,
        or_(
            _held(K.c.tenant_id, K.c.person_id),
            _held(V.c.tenant_id, V.c.person_id),
            _held(X.c.tenant_id, X.c.person_id),
        ),
        select(joined(M.c.group_id, M.c.group_id))
        .where(M.c.tenant_id == U.c.tenant_id, M.c.user_id == U.c.id)
        .correlate(U)
        .scalar_subquery(),
        select(joined(TEAM_TABLE.c.id, TEAM_TABLE.c.id))
        .where(TEAM_TABLE.c.tenant_id == U.c.tenant_id, TEAM_TABLE.c.group_id.in_(GROUPS_OF))
        .correlate(U)
        .scalar_subquery(),
        U.c.entra_object_id,
        U.c.document,
    )
    .select_from(U.outerjoin(P, and_(P.c.tenant_id == U.c.tenant_id, P.c.directory_user_id == U.c.id)))
    .where(*directory.OF_USERS, U.c.id == bindparam("user_id", type_=KeyText))
)

# After a group ------------------------------------------------------------------------------------------------------


def _people_among(name: str) -> ColumnElement[str]:
    found = select(joined(P.c.id)).where(P.c.tenant_id == G.c.tenant_id, among(P.c.directory_user_id, name))
    return found.correlate(G).scalar_subquery()


# All that hangs on a group, in one trip.
HANGS_ON = Statement(
    select(
        TEAM_TABLE.c.id,
        TEAM_TABLE.c.name,
        TEAM_TABLE.c.deletion_requested_at,
        select(joined(A.c.template_id))
        .where(A.c.tenant_id == G.c.tenant_id, A.c.group_id == G.c.id)
        .correlate(G)
        .scalar_subquery(),
        _people_among("added"),
        _people_among("removed"),
    )
    .select_from(teams.GROUPS_WITH_TEAM)
    .where(G.c.tenant_id == tenant, G.c.id == bindparam("group_id", type_=KeyText))
)


def after_new_group(work: Work, team_id: str, name: str, *, made: bool) -> None:
    """Tell of the team that a new group became."""
    if made:
        work.record(Event("team.created", team_id, {"name": name, "kind": "synced"}))


def after_new_team(work: Work, team_id: str, group_id: str) -> None:
    """Tell who is in a team that a group has become which was there before."""
    count = directory.count_members(work, group_id)
    if count:
        named = [str(row[0]) for row in work.rows(PEOPLE_OF_GROUP, group_id=group_id, after="", limit=100)]
        teams.members_changed(work, team_id, named, [], (count, 0))


def after_group(
    work: Work, group_id: str, *, name: str | None = None, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> None:
    """Let the team and the cards follow a change of a group: its new name, and the users that came and left."""
    row = work.row(HANGS_ON, group_id=group_id, added=list(added[:100]), removed=list(removed[:100]))
    if row is None:
        return
    team_id, former_name, marked, template_ids, came, left = row
    if team_id is not None:
        if marked is not None:
            teams.unmark_deletion(work, group_id)
        if name is not None:
            # Only its group names a synced team, and the group is held.
            teams.rename(work, team_id, former_name, name)
        if came or left:
            teams.members_changed(work, team_id, _ids(came), _ids(left), (len(added), len(removed)))
    if template_ids is not None:
        _after_members(work, group_id, added, removed)


def _ids(text: str | None) -> list[str]:
    return sorted(text.split(",")) if text else []


def _after_members(work: Work, group_id: str, added: Sequence[str], removed: Sequence[str]) -> None:
    """Take cards away from who left, at once; give them to who came."""
    left = people.of_users(work, removed)
    if left:
        people.lock_many(work, left)
        seats.release_unneeded(work, cards.pause_of(work, left))
    if len(added) > AT_ONCE:
        _ask_for_cards(work, group_id, directory.count_members(work, group_id))
    else:
        settle(work, people.of_users(work, added))


def _ask_for_cards(work: Work, group_id: str, total: int) -> None:
    """Leave the cards of a group's people to the worker; a job that runs already starts over with all of them."""
    jobs.enqueue(work, ISSUE, f"{ISSUE}:{group_id}", {"group_id": group_id}, total=total)


# After an assignment ------------------------------------------------------------------------------------------------


def after_assignment(work: Work, template_id: str, added: Sequence[str], removed: Sequence[str]) -> None:
    """Let cards follow a change of the groups that lead to a template."""
    work.record(Event("template.assignments_changed", template_id, {"added": list(added), "removed": list(removed)}))
    if removed:
        seats.release_unneeded(work, cards.pause_unwanted(work, [template_id]))
    for group_id in added:
        count = directory.count_members(work, group_id)
        if count > AT_ONCE:
            _ask_for_cards(work, group_id, count)
        else:
            settle(work, [str(row[0]) for row in work.rows(PEOPLE_OF_GROUP, group_id=group_id, after="", limit=BATCH)])


# In the order of the members' own key: a step reads its people, and not the group.
PEOPLE_OF_GROUP = Statement(
    select(P.c.id, M.c.user_id)
    .select_from(M.join(P, and_(P.c.tenant_id == M.c.tenant_id, P.c.directory_user_id == M.c.user_id)))
    .where(
        M.c.tenant_id == tenant,
        M.c.group_id == bindparam("group_id", type_=KeyText),
        M.c.user_id > bindparam("after", type_=KeyText),
    )
    .order_by(M.c.user_id)
    .limit(bindparam("limit", type_=Integer()))
)


def issue_step(work: Work, job: Job) -> Progress:
    """Issue the cards of the next people of a group: one step of the worker."""
    group_id = str(job.arguments()["group_id"])
    found = work.rows(PEOPLE_OF_GROUP, group_id=group_id, after=job.cursor, limit=BATCH)
    settle(work, [str(row[0]) for row in found])
    return Progress(str(found[-1][1]) if len(found) == BATCH else None, len(found), "issuing cards")


# After a refusal ----------------------------------------------------------------------------------------------------


def after_refusal(work: Work, refusal: DomainError) -> None:
    """Write down what a refusal leaves behind, after its rollback: the door calls it where it logs the refusal."""
    if not isinstance(refusal, TeamHasLogins) or work.actor.source not in ("scim", "graph"):
        return
    if teams.mark_deletion(work, refusal.team_id):
        payload = {"name": refusal.name, "login_count": refusal.count}
        work.record(Event("team.deletion_refused", refusal.team_id, payload))
