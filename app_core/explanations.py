"""Why a person has, or has not, a seat, cards and teams: each fact with its cause, and what happened, newest first.

Reads only, and a bounded number of rows. What is so is read from what decides it: memberships, assignments, cards,
seats. What made it so is the entry of the provisioning log of the same transaction: all that a transaction writes bears
its one instant, so a fact and its entry find each other without being joined. Entries go by age; facts stay.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Integer, and_, bindparam, func, literal, or_, select

from app_core import activation, directory, provisioning_log, seats
from app_core.activation import Activation
from app_core.cards import Card
from app_core.clock import Stamp
from app_core.db import KeyText, Statement, among
from app_core.directory import G, M
from app_core.names import targets
from app_core.people import Person
from app_core.provisioning_log import Outcome
from app_core.seats import SEAT, WAITING, Counts, S, Seat
from app_core.teams import TEAM_TABLE, X
from app_core.templates import A, E
from app_core.work import Source, Work

MOST_GROUPS, MOST_REASONS, MOST_CARDS, MOST_TEMPLATES, MOST_SEATS = 100, 200, 50, 20, 20
MOST_ENTRIES = 40
"""Of the log, for each thing that is the person's."""
MOST_MOMENTS = 60
MOST_NAMED = 5
LONGEST_LINE = 1000
"""So far is a place in the line of those who wait counted."""
Entry = Mapping[str, Any]


class Cause(NamedTuple):
    """Why something is so, in a sentence, since when, and what there is to open."""

    says: str
    at: Stamp | None = None
    noun: str = ""
    """`group`, `template`, `card`; empty where nothing is to be opened."""
    id: str = ""


class Fact(NamedTuple):
    """Something that is so of a person."""

    about: str
    """`person`, `account`, `seat`, `card` or `team`."""
    says: str
    tone: str
    """`good`, `warn`, `bad` or `plain`."""
    causes: tuple[Cause, ...] = ()
    at: Stamp | None = None
    """Since when."""
    noun: str = ""
    id: str = ""
    entry_id: str | None = None
    """The entry of the log that tells how it came to be so."""


class Step(NamedTuple):
    """What became so at one moment."""

    says: str
    tone: str = "plain"
    noun: str = ""
    id: str = ""


class Moment(NamedTuple):
    """One instant of a person's history: who did what, and what came of it for the person."""

    at: Stamp
    says: str
    """Who did what; empty where the log does not say so (any more)."""
    tone: str
    steps: tuple[Step, ...]
    entry_id: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why things are so with a person."""

    facts: Sequence[Fact]
    moments: Sequence[Moment]


class Membership(NamedTuple):
    """A group that a person is in, and the team that it feeds."""

    group_id: str
    group: str
    since: Stamp
    team_id: str | None
    team: str | None


class Reason(NamedTuple):
    """A group that leads a person to a template."""

    template_id: str
    group_id: str
    group: str
    member_since: Stamp
    assigned_since: Stamp


@dataclass(frozen=True, slots=True)
class Known:
    """All that the facts of a person are drawn from."""

    person: Person
    now: Stamp
    groups: Sequence[Membership]
    reasons: Sequence[Reason]
    manual_teams: Sequence[tuple[str, str, Stamp]]
    """Id, name, and since when."""
    cards: Sequence[tuple[Card, str]]
    """With how they are seen."""
    templates: Sequence[str]
    """Those of the tenant, by name."""
    leading: Mapping[str, Sequence[tuple[str, str]]]
    """Template → the groups that lead to it, id and name."""
    seats: Sequence[Seat]
    """Newest first, the current one among them."""
    ahead: int
    """How many wait for a seat in front of the person."""
    counts: Counts
    account: Activation | None
    own: Sequence[Entry]
    """What the log says of the person, its user and its cards."""
    entries: Mapping[Stamp, Entry]
    """The entry that tells of an instant."""
    names: Mapping[str, str]
    """Of the groups and templates that are spoken of."""
    steps: Sequence[tuple[Stamp, Step]]
    """All that rows say of when something became so."""

    @property
    def switches(self) -> list[Entry]:
        """Give the entries by which the directory made the person active or not, newest first: each is a change."""
        return [each for each in self.own if each["target_type"] == "User" and "active" in each["changed"]]

    def entry_id(self, at: Stamp | None) -> str | None:
        """Give the entry that tells of an instant."""
        entry = None if at is None else self.entries.get(at)
        return None if entry is None else str(entry["id"])


def of_person(work: Work, person: Person) -> Explanation:
    """Say why a person has what they have, and how it came about."""
    known = _read(work, person)
    return Explanation(facts_of(known), moments_of(known))


# What is read -------------------------------------------------------------------------------------------------------

tenant = directory.tenant
LIMIT = bindparam("limit", type_=Integer())
USER = bindparam("user_id", type_=KeyText)
GROUP = and_(G.c.tenant_id == M.c.tenant_id, G.c.id == M.c.group_id)
GROUPS = Statement(
    select(G.c.id, G.c.display_name, M.c.since, TEAM_TABLE.c.id, TEAM_TABLE.c.name)
    .select_from(
        M.join(G, GROUP).outerjoin(
            TEAM_TABLE, and_(TEAM_TABLE.c.tenant_id == G.c.tenant_id, TEAM_TABLE.c.group_id == G.c.id)
        )
    )
    .where(M.c.tenant_id == tenant, M.c.user_id == USER)
    .order_by(G.c.display_key, G.c.id)
    .limit(LIMIT)
)
REASONS = Statement(
    select(A.c.template_id, G.c.id, G.c.display_name, M.c.since, A.c.since)
    .select_from(M.join(G, GROUP).join(A, and_(A.c.tenant_id == M.c.tenant_id, A.c.group_id == M.c.group_id)))
    .where(M.c.tenant_id == tenant, M.c.user_id == USER)
    .order_by(A.c.template_id, G.c.display_key, G.c.id)
    .limit(LIMIT)
)
MANUAL_TEAMS = Statement(
    select(TEAM_TABLE.c.id, TEAM_TABLE.c.name, X.c.since)
    .select_from(X.join(TEAM_TABLE, and_(TEAM_TABLE.c.tenant_id == X.c.tenant_id, TEAM_TABLE.c.id == X.c.team_id)))
    .where(X.c.tenant_id == tenant, X.c.person_id == bindparam("person_id"), TEAM_TABLE.c.group_id.is_(None))
    .order_by(TEAM_TABLE.c.name_key, TEAM_TABLE.c.id)
    .limit(LIMIT)
)
TEMPLATES = Statement(select(E.c.id, E.c.name).where(E.c.tenant_id == tenant).order_by(E.c.name_key).limit(LIMIT))
LEADING = Statement(
    select(A.c.template_id, G.c.id, G.c.display_name)
    .select_from(A.join(G, and_(G.c.tenant_id == A.c.tenant_id, G.c.id == A.c.group_id)))
    .where(A.c.tenant_id == tenant, among(A.c.template_id, "template_ids"))
    .order_by(A.c.template_id, G.c.display_key)
    .limit(LIMIT)
)
SEATS = Statement(
    select(*SEAT)
    .where(S.c.tenant_id == tenant, S.c.person_id == bindparam("person_id"))
    .order_by(S.c.id.desc())
    .limit(LIMIT)
)
AHEAD = (
    select(literal(1))
    .select_from(S)
    .where(
        S.c.tenant_id == tenant,
        WAITING,
        or_(
            S.c.wanted_at < bindparam("wanted_at", type_=KeyText),
            and_(S.c.wanted_at == bindparam("wanted_at", type_=KeyText), S.c.id < bindparam("seat_id", type_=KeyText)),
        ),
    )
    .limit(LIMIT)
)
COUNT_AHEAD = Statement(select(func.count()).select_from(AHEAD.subquery()))


def _read(work: Work, person: Person) -> Known:
    user_id = person.directory_user_id or ""
    groups = [Membership(*row) for row in work.rows(GROUPS, user_id=user_id, limit=MOST_GROUPS)]
    manual = [(row[0], row[1], row[2]) for row in work.rows(MANUAL_TEAMS, person_id=person.id, limit=MOST_GROUPS)]
    cards = seats.cards_page(work, person_id=person.id, limit=MOST_CARDS)
    claims = [Seat(*row) for row in work.rows(SEATS, person_id=person.id, limit=MOST_SEATS)]
    account = activation.find(work, person.id)
    templates = {str(key): str(name) for key, name in work.rows(TEMPLATES, limit=MOST_TEMPLATES)}
    names = templates | _names(work, [("Template", card.template_id) for card, _ in cards])
    steps = [
        *[(each.since, Step(f"Joined group '{each.group}'.", "plain", "group", each.group_id)) for each in groups],
        *[(since, Step(f"Joined team '{name}'.", "plain", "team", team_id)) for team_id, name, since in manual],
        *[step for card, _ in cards for step in _steps_of_card(card, names[card.template_id])],
        *[step for seat in claims for step in _steps_of_seat(seat)],
        *_steps_of_account(account),
    ]
    own = _own_entries(work, person, cards)
    entries = _entries(work, own, sorted({at for at, _ in steps}, reverse=True)[:MOST_MOMENTS])
    return Known(
        person=person,
        now=work.now,
        groups=groups,
        reasons=[Reason(*row) for row in work.rows(REASONS, user_id=user_id, limit=MOST_REASONS)],
        manual_teams=manual,
        cards=cards,
        templates=list(templates),
        leading=_leading(work, list(templates)),
        seats=claims,
        ahead=_ahead(work, claims),
        counts=seats.counts(work),
        account=account,
        own=own,
        entries=entries,
        names=names | _names(work, [(each["target_type"], each["target_id"]) for each in entries.values()]),
        steps=steps,
    )


def _own_entries(work: Work, person: Person, cards: Sequence[tuple[Card, str]]) -> list[Entry]:
    user_id = _last_user_id(work, person) if person.departed else person.directory_user_id
    own = [person.id, user_id, *[card.id for card, _ in cards[:MOST_NAMED]]]
    found = [provisioning_log.page(work, target_id=each, limit=MOST_ENTRIES) for each in own if each]
    return [entry for entries in found for entry in entries if entry["outcome"] != Outcome.SKIPPED]


def _last_user_id(work: Work, person: Person) -> str | None:
    """Give the user that a departed person had, which only the log knows: nothing of the person changed since."""
    entries = provisioning_log.at_instant(work, person.modified_at)
    gone = [each["target_id"] for each in entries if (each["target_type"], each["action"]) == ("User", "delete")]
    return gone[0] if len(gone) == 1 else None


def _entries(work: Work, own: Sequence[Entry], instants: Iterable[Stamp]) -> dict[Stamp, Entry]:
    """Find the entry that tells of each instant: one about the person itself, else the only one that there is."""
    found = {str(entry["at"]): entry for entry in reversed(own)}
    for at in instants:
        if at not in found:
            others = [each for each in provisioning_log.at_instant(work, at) if each["outcome"] in DONE]
            if len(others) == 1:
                found[at] = others[0]
    return found


DONE = (Outcome.SUCCESS, Outcome.WARNING)


def _ahead(work: Work, claims: Sequence[Seat]) -> int:
    current = _current(claims)
    if current is None or current.opened_at is not None:
        return 0
    row = work.row(COUNT_AHEAD, wanted_at=current.wanted_at, seat_id=current.id, limit=LONGEST_LINE)
    return 0 if row is None else int(row[0])


def _leading(work: Work, template_ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for template_id, group_id, name in work.rows(LEADING, template_ids=list(template_ids), limit=MOST_REASONS):
        found.setdefault(template_id, []).append((group_id, name))
    return found


def _names(work: Work, things: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Give the names of those things, by kind and id, that are groups or templates."""
    asked = [(kind, key) for kind, key in things if kind in ("Group", "Template")]
    return {key: named.name for (_, key), named in targets(work, asked).items()}


def _current(claims: Sequence[Seat]) -> Seat | None:
    return next((seat for seat in claims if seat.released_at is None), None)


# How things are -----------------------------------------------------------------------------------------------------


def facts_of(known: Known) -> list[Fact]:
    """Say how things are with a person, each with its causes: the person, account, seat, cards, teams."""
    return [
        _person(known),
        *_phones(known),
        _account(known),
        _seat(known),
        *[_card(known, card, seen) for card, seen in known.cards],
        *_cards_not_held(known),
        *_teams(known),
    ]


def _person(known: Known) -> Fact:
    person = known.person
    if person.origin == "manual" and person.directory_user_id is None:
        cause = Cause("No user of the directory leads here; an administrator added or kept this person.")
        return Fact("person", "Here by hand.", "good", (cause,), person.created_at, entry_id=_began(known))
    if person.departed:
        cause = Cause("The directory deleted the user. What is left waits for an administrator, or for the user.")
        at = person.modified_at if known.entry_id(person.modified_at) else None
        return Fact("person", "Has left the directory.", "bad", (cause,), at, entry_id=known.entry_id(at))
    said = next(iter(known.switches), None)
    at, entry_id = (None, None) if said is None else (said["at"], str(said["id"]))
    if person.active:
        cause = Cause("The directory says active = true.")
        return Fact("person", "Active.", "good", (cause,), at or person.created_at, entry_id=entry_id or _began(known))
    cause = Cause("The directory said active = false. Activate the user in Entra, and everything comes back.")
    return Fact("person", "Deactivated: no sign-in, cards paused, no seat.", "bad", (cause,), at, entry_id=entry_id)


def _began(known: Known) -> str | None:
    return known.entry_id(known.person.created_at)


def _phones(known: Known) -> list[Fact]:
    problems = orjson.loads(known.person.problems or "[]")
    return [
        Fact(
            "person",
            "A phone number is left off cards.",
            "warn",
            (Cause(f"{each['attribute']} is '{each['value']}'. {each['reason']}"),),
        )
        for each in problems
    ]


def _account(known: Known) -> Fact:
    account = known.account
    if account is None:
        return Fact("account", "Not activated.", "plain", (Cause("No administrator has activated this account."),))
    says, tone, why = ACCOUNT[account.state]
    cause = _why_not_redeemed(known, account) if account.state == "code_sent" else Cause(why)
    at = account.used_at if account.state == "active" else account.sent_at if account.state == "code_sent" else None
    at = at or account.modified_at
    return Fact("account", says, tone, (cause,), at, entry_id=known.entry_id(at))


ACCOUNT = {
    "requested": ("Waits for a start code.", "warn", "An administrator activated the account and made no code yet."),
    "code_sent": ("A start code was made and is not redeemed.", "warn", ""),
    "active": ("Activated.", "good", "The start code was redeemed."),
    "suspended": ("Suspended.", "bad", "The person is not active; the account comes back with the person."),
    "revoked": ("Revoked.", "plain", "An administrator ended it; it may be activated anew."),
}
"""What is so in each state, how good that is, and why."""


def _why_not_redeemed(known: Known, account: Activation) -> Cause:
    if account.attempts >= activation.TRIES:
        return Cause(f"It is dead: {account.attempts} wrong codes were tried. Make a new one.")
    if account.expires_at is not None and account.expires_at <= known.now:
        return Cause("Make a new one: it has expired", account.expires_at)
    return Cause("It works once. It expires", account.expires_at)


def _seat(known: Known) -> Fact:
    current = _current(known.seats)
    if current is None:
        last = known.seats[0].released_at if known.seats else None
        cause = Cause("Nothing takes one: no active card and no activated account.")
        return Fact("seat", "Has no seat.", "plain", (cause,), last, entry_id=known.entry_id(last))
    if current.opened_at is not None:
        at = current.opened_at
        return Fact("seat", "Has a seat.", "good", _takes_seat(known), at, entry_id=known.entry_id(at))
    place = f"number {known.ahead + 1:,}" if known.ahead < LONGEST_LINE else f"behind {LONGEST_LINE:,} others"
    causes = (
        Cause(f"{_why_none_left(known.counts)} Who has waited longest gets the next one that is freed."),
        *_takes_seat(known),
    )
    at = current.wanted_at
    return Fact("seat", f"Waits for a seat: {place} in line.", "warn", causes, at, entry_id=known.entry_id(at))


def _why_none_left(counts: Counts) -> str:
    if counts.limit is None or counts.open < counts.limit:
        return "Seats are free, and are given out with the next change."
    if counts.limit < 2:
        return "The only seat is taken." if counts.limit else "There is no seat at all."
    return f"All {counts.limit:,} seats are taken."


def _takes_seat(known: Known) -> tuple[Cause, ...]:
    live = [card for card, _ in known.cards if card.state == "active"]
    causes = [Cause(f"{_named(known, card)} needs one.", None, "card", card.id) for card in live[:MOST_NAMED]]
    if len(live) > MOST_NAMED:
        causes.append(Cause(f"So do {len(live) - MOST_NAMED} more cards."))
    if known.account is not None and known.account.state == "active":
        causes.append(Cause("The activated account needs one.", known.account.used_at))
    return tuple(causes)


# Cards --------------------------------------------------------------------------------------------------------------


def _named(known: Known, card: Card) -> str:
    return f"The card of '{known.names[card.template_id]}'"


def _card(known: Known, card: Card, seen: str) -> Fact:
    if seen == "paused":
        at = card.paused_at
        says, tone, causes = f"{_named(known, card)} is paused.", "warn", _why_paused(known, card)
    elif seen == "waiting":
        at = _card_since(card)
        waits = Cause("It shows nothing until its person has a seat.")
        says, tone, causes = f"{_named(known, card)} waits for a seat.", "warn", (waits, *_why_held(known, card))
    else:
        at = _card_since(card)
        says, tone, causes = f"Has a card of '{known.names[card.template_id]}'.", "good", _why_held(known, card)
    return Fact("card", says, tone, causes, at, "card", card.id, known.entry_id(at))


def _card_since(card: Card) -> Stamp:
    return card.claimed_at or card.created_at


def _why_held(known: Known, card: Card) -> tuple[Cause, ...]:
    if card.origin == "invitation":
        return (Cause("Claimed by the link of an invitation.", card.claimed_at),)
    causes = _leads(known, card.template_id)
    if card.origin == "manual":
        kept = Cause("An administrator took it up again; it stays, whatever the groups say.")
        return (kept, *causes)
    return causes


def _leads(known: Known, template_id: str) -> tuple[Cause, ...]:
    """Name the groups of the person that lead to a template; the later of two instants is since when."""
    found = [reason for reason in known.reasons if reason.template_id == template_id]
    named = [
        Cause(
            f"Member of group '{each.group}', which is assigned to this template.",
            max(each.member_since, each.assigned_since),
            "group",
            each.group_id,
        )
        for each in found[:MOST_NAMED]
    ]
    if len(found) > MOST_NAMED:
        named.append(Cause(f"And member of {len(found) - MOST_NAMED} more such groups."))
    return tuple(named)


def _why_paused(known: Known, card: Card) -> tuple[Cause, ...]:
    if card.pause_reason == "departed":
        return (Cause("The directory deleted the user.", card.paused_at),)
    if card.pause_reason == "inactive":
        return (Cause("The directory deactivated the user; the card comes back with it.", card.paused_at),)
    entry = known.entries.get(card.paused_at or "")
    lost = Cause("Not in any group that is assigned to this template.")
    if entry is not None and entry["target_type"] == "Group":
        name = known.names.get(entry["target_id"])
        left = "Left the last group that led to it" + (f": '{name}'." if name else ", which is gone.")
        lost = Cause(left, card.paused_at, "group" if name else "", entry["target_id"] or "")
    elif entry is not None and entry["target_type"] == "Template":
        says = "An administrator took away the last group that led to it."
        lost = Cause(says, card.paused_at, "template", card.template_id)
    return (lost, *_ways_in(known, card.template_id))


def _ways_in(known: Known, template_id: str) -> tuple[Cause, ...]:
    groups = known.leading.get(template_id, [])
    if not groups:
        return (Cause("No group leads to this template.", None, "template", template_id),)
    names = ", ".join([f"'{name}'" for _, name in groups[:MOST_NAMED]])
    more = f" and {len(groups) - MOST_NAMED} more" if len(groups) > MOST_NAMED else ""
    return (Cause(f"Groups that lead to it: {names}{more}.", None, "template", template_id),)


def _cards_not_held(known: Known) -> list[Fact]:
    held = {card.template_id for card, _ in known.cards}
    return [_no_card(known, each) for each in known.templates if each not in held]


def _no_card(known: Known, template_id: str) -> Fact:
    says, causes = f"No card of '{known.names[template_id]}'.", _why_no_card(known, template_id)
    return Fact("card", says, "plain", causes, None, "template", template_id)


def _why_no_card(known: Known, template_id: str) -> tuple[Cause, ...]:
    person, leads = known.person, _leads(known, template_id)
    if person.origin == "manual" and person.directory_user_id is None:
        return (Cause("Who is here by hand gets cards by invitation."),)
    if not known.leading.get(template_id):
        return _ways_in(known, template_id)
    if not leads:
        return (Cause("Not in any of its groups."), *_ways_in(known, template_id))
    if not person.active:
        return (Cause("Not active: only active people get cards."), *leads)
    return (Cause("It is being issued: groups of many people get their cards step by step."), *leads)


# Teams --------------------------------------------------------------------------------------------------------------


def _teams(known: Known) -> list[Fact]:
    return [
        *[_synced(known, each) for each in known.groups if each.team_id],
        *[_by_hand(known, *each) for each in known.manual_teams],
        *[_no_team(each) for each in known.groups if not each.team_id],
    ]


def _synced(known: Known, membership: Membership) -> Fact:
    cause = Cause(f"Member of group '{membership.group}'.", membership.since, "group", membership.group_id)
    entry_id = known.entry_id(membership.since)
    return Fact(
        "team",
        f"In team '{membership.team}'.",
        "good",
        (cause,),
        membership.since,
        "team",
        membership.team_id or "",
        entry_id,
    )


def _by_hand(known: Known, team_id: str, name: str, since: Stamp) -> Fact:
    cause = Cause("An administrator put this person in.")
    return Fact("team", f"In team '{name}'.", "good", (cause,), since, "team", team_id, known.entry_id(since))


def _no_team(membership: Membership) -> Fact:
    cause = Cause("The group is no team here: add it under Groups.", None, "group", membership.group_id)
    return Fact("team", f"In group '{membership.group}', and in no team by it.", "plain", (cause,), membership.since)


# What happened ------------------------------------------------------------------------------------------------------

WHO = {
    Source.SCIM: "Entra",
    Source.GRAPH: "A pull from Microsoft Graph",
    Source.ADMIN: "An administrator",
    Source.MEMBER: "The person",
    Source.SYSTEM: "This server",
}
DEEDS = {
    ("User", "create"): "provisioned the user.",
    ("User", "pull-created"): "brought the user.",
    ("User", "delete"): "deleted the user.",
    ("User", "pull-photo"): "brought the photo.",
    ("Person", "create"): "added this person by hand.",
    ("Person", "link"): "linked this person with a user of the directory.",
    ("Person", "activate"): "activated the account.",
    ("Person", "revoke activation"): "revoked the account.",
    ("Person", "issue start code"): "made a start code.",
    ("Person", "mail start code"): "sent a start code by e-mail.",
    ("Person", "set photo"): "set the photo.",
    ("Person", "remove photo"): "removed the photo.",
    ("Person", "make sign-in link"): "made a sign-in link.",
    ("Card", "reactivate"): "took a paused card up again.",
    ("Card", "refresh"): "filled a card anew from the directory.",
    ("Team", "add member"): "put this person into a team.",
}
OF_THE_PERSON = {
    ("Person", "redeem start code"): "The start code was redeemed.",
    ("Card", "claim"): "The card of an invitation was claimed.",
}
TONES = ("plain", "good", "warn", "bad")


def moments_of(known: Known) -> list[Moment]:
    """Say what happened, newest first: whatever came about in one transaction is one moment."""
    steps: dict[Stamp, list[Step]] = {str(entry["at"]): [] for entry in known.own}
    for at, step in known.steps:
        steps.setdefault(at, []).append(step)
    if not known.entry_id(known.person.created_at):
        steps.setdefault(known.person.created_at, []).append(Step("Came into being."))
    return [_moment(known, at, steps[at]) for at in sorted(steps, reverse=True)[:MOST_MOMENTS]]


def _moment(known: Known, at: Stamp, steps: Sequence[Step]) -> Moment:
    entry = known.entries.get(at)
    if entry is None:
        return Moment(at, "", _worst(steps), tuple(steps), None)
    refused = entry["outcome"] == Outcome.FAILURE
    tone = "bad" if refused else _worst(steps)
    return Moment(at, _deed(known, entry), tone, tuple(steps), str(entry["id"]))


def _worst(steps: Sequence[Step]) -> str:
    return max([step.tone for step in steps], key=TONES.index, default="plain")


def _deed(known: Known, entry: Entry) -> str:
    """Say in a sentence what an entry tells."""
    who = WHO.get(entry["source"], "Somebody")
    kind, action, target = str(entry["target_type"]), str(entry["action"]), entry["target_id"]
    if entry["outcome"] == Outcome.FAILURE:
        return f"{who} tried to {action}, and was refused. {entry['reason'] or ''}".strip()
    if kind in ("Group", "Template"):
        name = f" '{known.names[target]}'" if target in known.names else ", which is gone"
        what = "assigned other groups to" if action == "assign" else "changed"
        return f"{who} {what} the {kind.lower()}{name}."
    if not any(entry is each for each in known.own) and kind != "Team":
        return "Somebody else's seat became free."
    if (kind, action) in OF_THE_PERSON:
        return OF_THE_PERSON[kind, action]
    if (kind, action) in DEEDS:
        return f"{who} {DEEDS[kind, action]}"
    if entry["changed"] == ["active"]:
        # Each was a change, so they take turns; the newest is what holds.
        now = bool(known.person.active) == (known.switches.index(entry) % 2 == 0)
        return f"{who} set active to {str(now).lower()}."
    changed = ", ".join([str(name).rpartition(":")[2] for name in entry["changed"][:MOST_NAMED]])
    return f"{who} changed {changed}." if changed else f"{who}: {action} {kind.lower()}."


def _steps_of_card(card: Card, template: str) -> list[tuple[Stamp, Step]]:
    got = f"Claimed the card of '{template}'." if card.claimed_at else f"Got a card of '{template}'."
    steps = [(_card_since(card), Step(got, "good", "card", card.id))]
    if card.paused_at is not None:
        steps.append((card.paused_at, Step(f"The card of '{template}' was paused.", "warn", "card", card.id)))
    return steps


def _steps_of_seat(seat: Seat) -> list[tuple[Stamp, Step]]:
    steps = []
    if seat.opened_at != seat.wanted_at:
        steps.append((seat.wanted_at, Step("Began to wait for a seat: all were taken.", "warn")))
    if seat.opened_at is not None:
        steps.append((seat.opened_at, Step("Took a seat.", "good")))
    if seat.released_at is not None:
        steps.append((seat.released_at, Step("Gave the seat back." if seat.opened_at else "Waits no longer.")))
    return steps


def _steps_of_account(account: Activation | None) -> list[tuple[Stamp, Step]]:
    if account is None or account.used_at is None:
        return []
    return [(account.used_at, Step("The account was activated.", "good"))]
