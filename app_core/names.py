"""Names for ids: whom and what the log and the findings of a reconciliation are about, for whoever reads them.

Both hold ids alone, so that they hold nothing personal; the names are read when somebody looks, of what is still there.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import BindParameter, and_, bindparam, func, select

from app_core import administrators, overviews, people, teams
from app_core.api_keys import K as KEY
from app_core.cards import K as CARD
from app_core.connections import CONNECTION, TOKEN
from app_core.db import Statement, among
from app_core.directory import G, U
from app_core.invitations import I as INVITATION
from app_core.jobs import J
from app_core.people import P
from app_core.reconciliations import R
from app_core.resource import GUID
from app_core.teams import A as TEAM
from app_core.templates import E as TEMPLATE
from app_core.vault import L as LOGIN
from app_core.work import Source, Work


class Named(NamedTuple):
    """What an id stands for, and where it is found: the noun of its list, and its id there."""

    name: str
    noun: str = ""
    """Empty where it is found nowhere by itself."""
    id: str = ""


OF_TENANT: BindParameter[str] = bindparam("tenant_id")
PERSON_OF_USER = U.outerjoin(P, and_(P.c.tenant_id == U.c.tenant_id, P.c.directory_user_id == U.c.id))
ITS_CONNECTIONS = select(CONNECTION.c.id).where(CONNECTION.c.tenant_id == OF_TENANT)
USER = (func.coalesce(P.c.display_name, U.c.user_name), P.c.id)
USERS = Statement(
    select(U.c.id, *USER).select_from(PERSON_OF_USER).where(U.c.tenant_id == OF_TENANT, among(U.c.id, "ids"))
)
USERS_OF_ENTRA = Statement(
    select(U.c.entra_object_id, *USER)
    .select_from(PERSON_OF_USER)
    .where(U.c.tenant_id == OF_TENANT, U.c.connection_id.in_(ITS_CONNECTIONS), among(U.c.entra_object_id, "ids"))
)
GROUPS = Statement(
    select(G.c.id, G.c.display_name, G.c.id, TEAM.c.id)
    .select_from(teams.GROUPS_WITH_TEAM)
    .where(G.c.tenant_id == OF_TENANT, among(G.c.id, "ids"))
)
GROUPS_OF_ENTRA = Statement(
    select(G.c.entra_object_id, G.c.display_name, G.c.id, TEAM.c.id)
    .select_from(teams.GROUPS_WITH_TEAM)
    .where(G.c.tenant_id == OF_TENANT, G.c.connection_id.in_(ITS_CONNECTIONS), among(G.c.entra_object_id, "ids"))
)
PEOPLE = Statement(select(P.c.id, P.c.display_name).where(P.c.tenant_id == OF_TENANT, among(P.c.id, "ids")))
TEAMS = Statement(select(TEAM.c.id, TEAM.c.name).where(TEAM.c.tenant_id == OF_TENANT, among(TEAM.c.id, "ids")))
LOGINS = Statement(
    select(LOGIN.c.id, TEAM.c.name, TEAM.c.id)
    .select_from(LOGIN.join(TEAM, and_(TEAM.c.tenant_id == LOGIN.c.tenant_id, TEAM.c.id == LOGIN.c.team_id)))
    .where(LOGIN.c.tenant_id == OF_TENANT, among(LOGIN.c.id, "ids"))
)
TEMPLATES = Statement(
    select(TEMPLATE.c.id, TEMPLATE.c.name).where(TEMPLATE.c.tenant_id == OF_TENANT, among(TEMPLATE.c.id, "ids"))
)
OF_TEMPLATE = and_(TEMPLATE.c.tenant_id == CARD.c.tenant_id, TEMPLATE.c.id == CARD.c.template_id)
CARDS = Statement(
    select(CARD.c.id, TEMPLATE.c.name, P.c.display_name)
    .select_from(
        CARD.join(TEMPLATE, OF_TEMPLATE).outerjoin(
            P, and_(P.c.tenant_id == CARD.c.tenant_id, P.c.id == CARD.c.person_id)
        )
    )
    .where(CARD.c.tenant_id == OF_TENANT, among(CARD.c.id, "ids"))
)
INVITATIONS = Statement(
    select(INVITATION.c.id, func.coalesce(INVITATION.c.display_name, INVITATION.c.email), INVITATION.c.card_id).where(
        INVITATION.c.tenant_id == OF_TENANT, among(INVITATION.c.id, "ids")
    )
)
RUNS = Statement(select(R.c.id, R.c.policy).where(R.c.tenant_id == OF_TENANT, among(R.c.id, "ids")))
JOBS = Statement(select(J.c.id, J.c.kind).where(J.c.tenant_id == OF_TENANT, among(J.c.id, "ids")))
KEYS = Statement(select(KEY.c.id, KEY.c.label, KEY.c.hint).where(KEY.c.tenant_id == OF_TENANT, among(KEY.c.id, "ids")))
TOKENS = Statement(
    select(TOKEN.c.id, TOKEN.c.label, TOKEN.c.hint).where(TOKEN.c.tenant_id == OF_TENANT, among(TOKEN.c.id, "ids"))
)

Found = Mapping[str, Named]
Look = Callable[[Work, Sequence[str]], Found]

# What something was done to -----------------------------------------------------------------------------------------


def targets(work: Work, asked: Iterable[tuple[str, str | None]]) -> Mapping[tuple[str, str], Named]:
    """Name what log entries are about, by their kinds and ids; what is gone, or was refused before it was, is left out.

    Users and groups are known by their ids here and by those in Entra.
    """
    by_kind: dict[str, set[str]] = {}
    for kind, key in asked:
        if key is not None and kind in LOOKS:
            by_kind.setdefault(kind, set()).add(key)
    return {
        (kind, key): named for kind, ids in by_kind.items() for key, named in LOOKS[kind](work, sorted(ids)).items()
    }


def users(work: Work, ids: Sequence[str]) -> Found:
    """Name users by their ids here or in Entra; they are found as people."""
    rows = work.rows(USERS, ids=ids)
    missing = sorted(set(ids) - {str(row[0]) for row in rows})
    rows = [*rows, *(work.rows(USERS_OF_ENTRA, ids=missing) if missing else [])]
    return {str(key): Named(str(name), "people" if person_id else "", person_id or "") for key, name, person_id in rows}


def groups(work: Work, ids: Sequence[str]) -> Found:
    """Name groups by their ids here or in Entra; those that are teams are found as such."""
    rows = work.rows(GROUPS, ids=ids)
    missing = sorted(set(ids) - {str(row[0]) for row in rows})
    rows = [*rows, *(work.rows(GROUPS_OF_ENTRA, ids=missing) if missing else [])]
    return {
        str(key): Named(str(name), "teams" if team_id else "groups", team_id or group_id)
        for key, name, group_id, team_id in rows
    }


def _logins(work: Work, ids: Sequence[str]) -> Found:
    return {str(key): Named(f"in {name}", "teams", team_id) for key, name, team_id in work.rows(LOGINS, ids=ids)}


def _cards(work: Work, ids: Sequence[str]) -> Found:
    rows = work.rows(CARDS, ids=ids)
    return {str(key): Named(f"{owner or 'unclaimed'} ({template})", "cards", str(key)) for key, template, owner in rows}


def _invitations(work: Work, ids: Sequence[str]) -> Found:
    rows = work.rows(INVITATIONS, ids=ids)
    return {str(key): Named(str(name or "a card"), "cards", str(card_id)) for key, name, card_id in rows}


def _jobs(work: Work, ids: Sequence[str]) -> Found:
    return {str(key): Named(str(kind)) for key, kind in work.rows(JOBS, ids=ids)}


def _keys(work: Work, ids: Sequence[str]) -> Found:
    return {str(key): Named(str(label or f"{hint}…")) for key, label, hint in work.rows(KEYS, ids=ids)}


def _tokens(work: Work, ids: Sequence[str]) -> Found:
    return {str(key): Named(str(label or f"{hint}…")) for key, label, hint in work.rows(TOKENS, ids=ids)}


def _administrators(work: Work, ids: Sequence[str]) -> Found:
    return {key: Named(email) for key, email in administrators.name_of(work, ids).items()}


def _of(statement: Statement, noun: str) -> Look:
    def look(work: Work, ids: Sequence[str]) -> Found:
        return {str(key): Named(str(name), noun, str(key)) for key, name in work.rows(statement, ids=ids)}

    return look


LOOKS: Mapping[str, Look] = {
    "User": users,
    "Group": groups,
    "Person": _of(PEOPLE, "people"),
    "Team": _of(TEAMS, "teams"),
    "Template": _of(TEMPLATES, "templates"),
    "Card": _cards,
    "Login": _logins,
    "Invitation": _invitations,
    "Reconciliation": _of(RUNS, "reconciliations"),
    "Job": _jobs,
    "ApiKey": _keys,
    "Token": _tokens,
    "Administrator": _administrators,
}
"""Kinds of things that log entries are about, as the doors call them, and how their names are read."""

# Who did it ---------------------------------------------------------------------------------------------------------

ACTORS: Mapping[str, Mapping[str, Look]] = {
    Source.SCIM: {"token": _tokens},
    Source.GRAPH: {"job": _jobs},
    Source.SYSTEM: {"job": _jobs},
    Source.ADMIN: {"administrator": _administrators, "API key": _keys},
    Source.MEMBER: {"member": LOOKS["Person"]},
}
"""Who can be behind each door, and how their names are read."""


def actors(work: Work, asked: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], tuple[str, Named]]:
    """Say who acted, by door and actor: what they are, and their name; whoever is gone is left out."""
    by_source: dict[str, set[str]] = {}
    for source, actor in asked:
        by_source.setdefault(source, set()).add(actor)
    found: dict[tuple[str, str], tuple[str, Named]] = {}
    for source, ids in by_source.items():
        for what, look in ACTORS[source].items():
            missing = sorted(each for each in ids if (source, each) not in found)
            named = look(work, missing) if missing else {}
            found |= {(source, key): (what, each) for key, each in named.items()}
    return found


# Who is meant -------------------------------------------------------------------------------------------------------

MOST_MEANT, MOST_CARDS = 20, 40
USER_OF = Statement(select(P.c.directory_user_id).where(P.c.tenant_id == OF_TENANT, P.c.id == bindparam("key")))
GROUP_OF = Statement(select(TEAM.c.group_id).where(TEAM.c.tenant_id == OF_TENANT, TEAM.c.id == bindparam("key")))


CARDS_OF = Statement(
    select(CARD.c.id)
    .where(CARD.c.tenant_id == OF_TENANT, among(CARD.c.person_id, "ids"))
    .order_by(CARD.c.id)
    .limit(MOST_CARDS)
)


def meant(work: Work, text: str) -> Sequence[str]:
    """Give the ids under which the log knows what a text means: an id, an address, or a part of a name.

    Whom the directory describes is known twice: as its user or group, and as our person or team. Cards are their
    person's.
    """
    ids = _of_id(work, text) if GUID.fullmatch(text) else [text, *_of_name(work, text)]
    cards = work.rows(CARDS_OF, ids=ids)
    return list(dict.fromkeys([*ids, *[str(row[0]) for row in cards]]))


def _of_name(work: Work, text: str) -> Sequence[str]:
    found = people.page(work, q=text, limit=MOST_MEANT)
    found += [each for each in people.by_address(work, text) if each not in found]
    ids = [key for person in found for key in (person.id, person.directory_user_id)]
    ids += [key for group in overviews.groups(work, q=text, limit=MOST_MEANT) for key in (group.id, group.team_id)]
    ids += [team.id for team, _ in teams.page(work, q=text, limit=MOST_MEANT)]
    return [key for key in ids if key is not None]


def _of_id(work: Work, text: str) -> Sequence[str]:
    rows = [work.row(statement, key=text) for statement in (USER_OF, GROUP_OF)]
    others = [named.id for look in (users, groups) for named in look(work, [text]).values() if named.id]
    return [text, *[str(row[0]) for row in rows if row is not None and row[0] is not None], *others]
