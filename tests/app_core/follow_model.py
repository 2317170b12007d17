"""What the directory and the administrator did, and what must follow from it: computed anew in plain Python.

`Model` carries out one act after the other, each in a write transaction of its own as the doors do it, and keeps beside
it only what the acts say: who exists, who is in which group, which groups lead to which template. What must be there
afterwards is computed from that alone, by the rules of product.md and house.md §4, and compared with every row.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Table, select

from app_core import (
    activation,
    administration,
    clock,
    connections,
    deletion,
    follow,
    jobs,
    manual_people,
    outbox,
    people,
    provisioning,
    seats,
    self_service,
    teams,
    templates,
    tenants,
    vault,
)
from app_core.activation import ActivationRow
from app_core.cards import CardRow
from app_core.db import Connection, Database, Statement, open_database, table_of
from app_core.directory import DirectoryMembershipRow
from app_core.errors import (
    DomainError,
    GroupNameTaken,
    NotFound,
    NotPossible,
    TeamHasLogins,
    UnknownMembers,
    UserNameTaken,
    WrongCode,
)
from app_core.events import Event
from app_core.jobs import JobRow
from app_core.outbox import OutboxEventRow
from app_core.people import PersonRow
from app_core.provisioning import GroupChange, GroupRecord, MemberStep
from app_core.resource import UserRecord, attributes_of
from app_core.seats import SeatRow
from app_core.teams import TeamMembershipRow, TeamRow
from app_core.templates import TemplateAssignmentRow
from app_core.tenants import TenantRow
from app_core.vault import LoginRow
from app_core.work import Actor, Source, Work
from tests.told import Told

T = TypeVar("T")
Row = dict[str, Any]
Facts = dict[str, list[Row]]
HEX = "0123456789abcdef" * 2
"""What Entra puts in front of the name of a user that it has soft-deleted: the object id without dashes."""


# The database as the doors use it -----------------------------------------------------------------------------------


def _reading(table: Table) -> tuple[Statement, list[str]]:
    names = [column.name for column in table.columns]
    of_tenant = table.c["id" if table.name == "tenant" else "tenant_id"]
    statement = select(*table.columns).where(of_tenant == administration.tenant)
    return Statement(statement.order_by(*table.primary_key.columns)), names


TABLES = {
    model.__tablename__: _reading(table_of(model))
    for model in (
        *(PersonRow, TeamRow, TeamMembershipRow, LoginRow, CardRow, SeatRow, ActivationRow, JobRow, TenantRow),
        *(TemplateAssignmentRow, OutboxEventRow, DirectoryMembershipRow),
    )
}


def facts_of(connection: Connection, tenant_id: str) -> Facts:
    """Read every row of a tenant that follow is answerable for, and the memberships that it follows."""
    found = {}
    for name, (statement, columns) in TABLES.items():
        rows = connection.rows(statement, {"tenant_id": tenant_id})
        found[name] = [dict(zip(columns, row, strict=True)) for row in rows]
    return found


def disagreements(facts: Facts) -> list[str]:
    """Say where cards and seats are not what the rows of the mirror and the assignments ask for.

    For tests whose acts race: they cannot say what was done last, only that the rows agree with each other. No act of
    theirs makes a card manual.
    """
    groups_of: dict[str, set[str]] = {}
    for row in facts["directory_membership"]:
        groups_of.setdefault(row["user_id"], set()).add(row["group_id"])
    leading: dict[str, set[str]] = {}
    for row in facts["template_assignment"]:
        leading.setdefault(row["template_id"], set()).add(row["group_id"])
    wanted = {
        (person["id"], template)
        for person in facts["person"]
        for template, groups in leading.items()
        if person["active"] and groups & groups_of.get(person["directory_user_id"] or "", set())
    }
    live = [row for row in facts["card"] if row["state"] == "active" and row["person_id"] is not None]
    held = {(row["person_id"], row["template_id"]) for row in live if row["origin"] == "assigned"}
    needy = {row["person_id"] for row in live}
    needy |= {row["person_id"] for row in facts["activation"] if row["state"] == "active"}
    seated = [row["person_id"] for row in facts["seat"] if row["released_at"] is None]
    opened = sum(row["opened_at"] is not None and row["released_at"] is None for row in facts["seat"])
    [tenant] = facts["tenant"]
    limit = len(needy) if tenant["seat_limit"] is None else tenant["seat_limit"]
    said = {
        "cards are missing": wanted - held,
        "cards are not wanted": held - wanted,
        "seats are missing": needy - set(seated),
        "seats are not needed": set(seated) - needy,
        "people have two seats": {each for each in seated if seated.count(each) > 1},
    }
    found = [f"{what}: {sorted(which)[:5]}" for what, which in said.items() if which]
    if not opened == tenant["seats_open"] == min(limit, len(needy)):
        found.append(f"{opened} seats are open, {tenant['seats_open']} counted, {min(limit, len(needy))} due")
    return found


class Store:
    """A database and the loop that it lives in."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.database: Database = self.loop.run_until_complete(open_database(url))

    def write(self, job: Callable[[Connection], T]) -> T:
        return self.loop.run_until_complete(self.database.write(job))

    def read(self, job: Callable[[Connection], T]) -> T:
        return self.loop.run_until_complete(self.database.read(job))

    def close(self) -> None:
        self.loop.run_until_complete(self.database.close())
        self.loop.close()


# What the acts say --------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Human:
    """A person as it should be."""

    id: str
    object_id: str | None
    sign_in: str
    active: bool
    user: Account | None
    origin: str = "directory"
    activation: str | None = None
    code: str = ""
    attempts: int = 0
    gone: bool = False

    def __repr__(self) -> str:
        return f"human {self.sign_in.partition('@')[0]}"

    @property
    def departed(self) -> bool:
        return self.origin == "directory" and self.user is None


@dataclass(eq=False)
class Account:
    """A user of the directory, or what is left of one in replays."""

    id: str
    slot: int
    name: str
    active: bool
    human: Human
    alive: bool = True

    def __repr__(self) -> str:
        return f"user {self.slot}{'' if self.alive else '†'}"


@dataclass(eq=False)
class Circle:
    """A group of the directory, or what is left of one in replays."""

    id: str
    slot: int
    name: str
    members: set[Account]
    alive: bool = True

    def __repr__(self) -> str:
        return f"group {self.slot}{'' if self.alive else '†'}"


@dataclass(eq=False)
class Crew:
    """A team as it should be."""

    id: str
    name: str
    circle: Circle | None
    members: set[Human] = field(default_factory=set)
    """Of a team that no group feeds any more."""
    logins: set[str] = field(default_factory=set)
    marked: bool = False
    alive: bool = True

    def __repr__(self) -> str:
        return f"team {self.name}{'' if self.alive else '†'}"

    def humans(self) -> set[Human]:
        return self.members if self.circle is None else {each.human for each in self.circle.members}


@dataclass(eq=False)
class Held:
    """A card that was seen once."""

    id: str
    human: Human
    template: str
    origin: str = "assigned"
    active: bool = True
    alive: bool = True

    def __repr__(self) -> str:
        return f"{self.origin} card of {self.human}{'' if self.active else ' ‖'}{'' if self.alive else ' †'}"


@dataclass(eq=False)
class Secret:
    """A login."""

    id: str
    crew: Crew
    alive: bool = True

    def __repr__(self) -> str:
        return f"login of {self.crew}"


class Model:
    """A tenant, what was done in it, and what must be so."""

    def __init__(self, store: Store, *, seat_limit: int | None = None, template_count: int = 2) -> None:
        self.store = store
        self.accounts: list[Account] = []
        self.humans: list[Human] = []
        self.circles: list[Circle] = []
        self.crews: list[Crew] = []
        self.held: dict[str, Held] = {}
        self.secrets: list[Secret] = []
        self.assigned: dict[str, set[Circle]] = {}
        self.seat_limit = seat_limit
        self.group_sync, self.on_group_delete = "all", "refuse"
        self.due: set[Human] = set()
        """Who must have everything after the present act, whatever the worker has still to do."""
        self.events: list[Event] = []
        """What the present act recorded."""

        def make(connection: Connection) -> tuple[str, str]:
            tenant = tenants.create(connection, f"tenant-{uuid.uuid4().hex[:12]}", seat_limit=seat_limit)
            return tenant.id, connections.create(connection, tenant, "Microsoft Entra ID")

        self.tenant_id, self.connection_id = store.write(make)
        fields = [{"key": "name", "source": "display_name", "mode": "always"}]
        for n in range(template_count):
            made = self.admin(lambda work, n=n: templates.create(work, f"Template {n}", fields=fields).id)  # type: ignore[misc]
            self.assigned[made] = set()

    # Units of work

    def work(self, connection: Connection, source: Source = Source.ADMIN) -> Work:
        connection_id = self.connection_id if source is Source.SCIM else ""
        correlation_id = uuid.uuid4().hex
        return Work(connection, self.tenant_id, connection_id, Actor(source, "test"), correlation_id, clock.now())

    def run(self, source: Source, act: Callable[[Work], T]) -> T:
        """Carry an act out in one transaction; after a refusal, what it leaves behind is written in another.

        A try that was counted is committed with its refusal.
        """

        def job(connection: Connection) -> tuple[T | WrongCode, list[Event]]:
            work = self.work(connection, source)
            try:
                value: T | WrongCode = act(work)
            except WrongCode as refusal:
                if not refusal.counted:
                    raise
                value = refusal
            events = list(work.events)
            outbox.flush(work)
            return value, events

        def aftermath(connection: Connection, refusal: DomainError) -> list[Event]:
            work = self.work(connection, source)
            follow.after_refusal(work, refusal)
            events = list(work.events)
            outbox.flush(work)
            return events

        try:
            value, events = self.store.write(job)
        except DomainError as refusal:
            caught = refusal
            self.events += self.store.write(lambda connection: aftermath(connection, caught))
            raise
        self.events += events
        if isinstance(value, WrongCode):
            raise value
        return value

    def scim(self, act: Callable[[Work], T]) -> T:
        return self.run(Source.SCIM, act)

    def admin(self, act: Callable[[Work], T]) -> T:
        return self.run(Source.ADMIN, act)

    @contextmanager
    def expecting(self, refusal: type[DomainError] | None) -> Iterator[None]:
        """Hold what happens against what must happen: this refusal, or none."""
        raised: DomainError | None = None
        try:
            yield
        except DomainError as caught:
            raised = caught

        expected, found = refusal and refusal.__name__, raised and type(raised).__name__
        assert expected == found, raised

    def facts(self) -> Facts:
        """Read every row that follow is answerable for."""

        return self.store.read(lambda connection: facts_of(connection, self.tenant_id))

    # The directory

    def create_user(self, slot: int, *, active: bool) -> None:
        """Odd people come with an object id and may come back, even ones with a nickname."""
        name = f"slot{slot}@contoso.com"
        external_id = str(uuid.UUID(int=slot + 1)) if slot % 2 else f"nickname{slot}"
        record = UserRecord({"userName": name, "externalId": external_id, "active": active}, active)
        taken = any(each.alive and each.name == name for each in self.accounts)
        with self.expecting(UserNameTaken if taken else None):
            user = self.scim(lambda work: provisioning.create_user(work, record))
            object_id = external_id if slot % 2 else None
            back = self.newest_departed(object_id)
            human = back or Human("", object_id, name, active, None)
            account = Account(user.id, slot, name, active, human)
            self.accounts.append(account)
            human.user, human.sign_in, human.origin = account, name, "directory"
            self.set_active(human, active)
            if back is None:
                human.id = self.store.read(
                    lambda connection: people.of_users(self.work(connection, Source.SCIM), [user.id])[0]
                )
                self.humans.append(human)
            self.due.add(human)

    def newest_departed(self, object_id: str | None) -> Human | None:
        found = [
            each
            for each in self.humans
            if object_id is not None and each.object_id == object_id and each.user is None and not each.gone
        ]
        return max(found, key=lambda each: each.id, default=None)

    def set_active(self, human: Human, active: bool) -> None:
        human.active = active
        if active and human.activation == "suspended":
            human.activation = "active"
        elif not active and human.activation == "active":
            human.activation = "suspended"

    def change_user(self, account: Account, *, active: bool | None = None, name: str | None = None) -> None:
        """Patch what decides; `name` may be a tombstone."""
        wanted = account.name if name is None else name
        taken = any(
            each.alive and each is not account and each.name == wanted and account.alive for each in self.accounts
        )

        def act(work: Work) -> None:
            before = provisioning.lock_user(work, account.id)
            now_active = bool(before.active) if active is None else active
            resource = {**attributes_of(before.document), "userName": wanted, "active": now_active}
            provisioning.save_user(work, before, UserRecord(resource, now_active))

        with self.expecting(UserNameTaken if taken else None if account.alive else NotFound):
            self.scim(act)
            account.name = wanted
            if wanted != HEX + account.human.sign_in:
                account.human.sign_in = wanted
            if active is not None and active != account.active:
                account.active = active
                self.set_active(account.human, active)
                self.due.add(account.human)

    def delete_user(self, account: Account) -> None:
        with self.expecting(None if account.alive else NotFound):
            self.scim(lambda work: provisioning.delete_user(work, account.id))
            account.alive = False
            for circle in self.circles:
                circle.members.discard(account)
            human = account.human
            human.user = None
            self.set_active(human, False)
            holds = human.activation is not None or any(
                human in crew.members for crew in self.crews if crew.alive and crew.circle is None
            )
            human.gone = not holds and not any(card.alive and card.human is human for card in self.held.values())

    def create_group(self, slot: int, members: Collection[Account]) -> None:
        name, external_id = f"Group {slot}", str(uuid.UUID(int=1000 + slot))
        refusal: type[DomainError] | None = None
        if any(each.alive and each.slot == slot for each in self.circles):
            refusal = GroupNameTaken
        elif not all(each.alive for each in members):
            refusal = UnknownMembers
        with self.expecting(refusal):
            ids = [each.id for each in members]
            made = self.scim(lambda work: provisioning.create_group(work, GroupRecord(name, external_id), ids))
            circle = Circle(made.id, slot, name, set(members))
            self.circles.append(circle)
            if self.group_sync == "all":
                self.crews.append(Crew(self.team_of(circle), name, circle))

    def team_of(self, circle: Circle) -> str:
        found = self.store.read(lambda connection: teams.of_groups(self.work(connection), [circle.id]))
        assert 1 == len(found)
        return found[0]

    def change_group(
        self, circle: Circle, *, name: str | None = None, op: str = "", members: Collection[Account] = ()
    ) -> None:
        """Rename a group, or add, remove or replace members."""
        refusal: type[DomainError] | None = None
        if not circle.alive:
            refusal = NotFound
        elif op in ("add", "replace") and not all(each.alive for each in members):
            refusal = UnknownMembers

        def act(work: Work) -> None:
            before = provisioning.lock_group(work, circle.id)
            record = None if name is None else GroupRecord(name, before.external_id)
            steps = [MemberStep(op, [each.id for each in members])] if op else []
            provisioning.change_group(work, before, GroupChange(record, steps))

        with self.expecting(refusal):
            self.scim(act)
            before = set(circle.members)
            circle.name = circle.name if name is None else name
            if op == "replace":
                circle.members = set(members)
            elif op:
                circle.members = circle.members | set(members) if op == "add" else circle.members - set(members)
            for crew in self.of_circle(circle):
                crew.name, crew.marked = circle.name, False
            leads = any(circle in circles for circles in self.assigned.values())
            if leads and len(circle.members - before) <= follow.AT_ONCE:
                self.due |= {each.human for each in circle.members - before}

    def of_circle(self, circle: Circle) -> list[Crew]:
        return [crew for crew in self.crews if crew.alive and crew.circle is circle]

    def delete_group(self, circle: Circle) -> None:
        refusal: type[DomainError] | None = None if circle.alive else NotFound
        for crew in self.of_circle(circle):
            if crew.logins and self.on_group_delete == "refuse":
                refusal = TeamHasLogins
                crew.marked = True
        with self.expecting(refusal):
            self.scim(lambda work: provisioning.delete_group(work, circle.id))
            for crew in self.of_circle(circle):
                if crew.logins:
                    crew.members, crew.circle, crew.marked = crew.humans(), None, False
                else:
                    crew.alive = False
            circle.alive = False
            for circles in self.assigned.values():
                circles.discard(circle)

    # The administrator

    def assign(self, template: str, circles: Collection[Circle]) -> None:
        wanted = set(circles)
        missing = any(not each.alive for each in wanted)
        with self.expecting(NotFound if missing else None):
            ids = [each.id for each in wanted]
            self.admin(lambda work: administration.assign_template(work, template, ids))
            for circle in wanted - self.assigned[template]:
                if len(circle.members) <= follow.AT_ONCE:
                    self.due |= {each.human for each in circle.members}
            self.assigned[template] = wanted

    def sync_group(self, circle: Circle) -> None:
        with self.expecting(None if circle.alive else NotFound):
            team = self.admin(lambda work: administration.sync_group(work, circle.id))
            if not self.of_circle(circle):
                self.crews.append(Crew(team.id, circle.name, circle))

    def remove_group(self, circle: Circle) -> None:
        crews = self.of_circle(circle)
        refusal: type[DomainError] | None = None
        if not circle.alive or not crews:
            refusal = NotFound
        elif crews[0].logins:
            refusal = TeamHasLogins
        with self.expecting(refusal):
            self.admin(lambda work: administration.remove_group(work, circle.id))
            crews[0].alive = False

    def delete_team(self, crew: Crew) -> None:
        refusal: type[DomainError] | None = None
        if not crew.alive:
            refusal = NotFound
        elif crew.circle is not None:
            refusal = NotPossible
        elif crew.logins:
            refusal = TeamHasLogins
        with self.expecting(refusal):
            self.admin(lambda work: deletion.delete_team(work, crew.id))
            crew.alive = False

    def add_login(self, crew: Crew) -> None:
        with self.expecting(None if crew.alive else NotFound):
            login = self.admin(lambda work: vault.add(work, crew.id, ciphertext="opaque"))
            crew.logins.add(login.id)
            self.secrets.append(Secret(login.id, crew))

    def move_login(self, secret: Secret, crew: Crew) -> None:
        with self.expecting(None if secret.alive and crew.alive else NotFound):
            self.admin(lambda work: vault.move(work, vault.lock(work, secret.crew.id, secret.id), crew.id))
            secret.crew.logins.discard(secret.id)
            secret.crew = crew
            crew.logins.add(secret.id)

    def delete_login(self, secret: Secret) -> None:
        with self.expecting(None if secret.alive else NotFound):
            self.admin(lambda work: vault.remove(work, vault.lock(work, secret.crew.id, secret.id)))
            secret.alive = False
            secret.crew.logins.discard(secret.id)

    def reactivate_card(self, card: Held) -> None:
        refusal: type[DomainError] | None = None
        if not card.alive:
            refusal = NotFound
        elif card.active or (not card.human.active and not card.human.departed):
            refusal = NotPossible
        with self.expecting(refusal):
            self.admin(lambda work: administration.reactivate_card(work, card.id))
            card.origin = "manual"
            if card.human.departed:
                card.human.origin = "manual"
                self.set_active(card.human, True)
            self.due.add(card.human)

    def delete_card(self, card: Held) -> None:
        refusal: type[DomainError] | None = None
        if not card.alive:
            refusal = NotFound
        elif card.active and card.origin == "assigned":
            refusal = NotPossible
        with self.expecting(refusal):
            self.admin(lambda work: deletion.delete_card(work, card.id))
            card.alive = False
            self.due.add(card.human)

    def delete_person(self, human: Human) -> None:
        refusal: type[DomainError] | None = None
        if human.gone:
            refusal = NotFound
        elif human.user is not None:
            refusal = NotPossible
        with self.expecting(refusal):
            self.admin(lambda work: manual_people.remove(work, people.lock(work, human.id)))
            human.gone = True
            for card in self.held.values():
                card.alive = card.alive and card.human is not human
            for crew in self.crews:
                crew.members.discard(human)

    def set_seat_limit(self, limit: int | None) -> None:
        taken = sum(row["opened_at"] is not None for row in self.current_seats(self.facts()).values())

        def act(work: Work) -> None:
            tenants.change(work, name=tenants.acting(work).name, seat_limit=limit)
            seats.serve(work)

        with self.expecting(NotPossible if limit is not None and limit < taken else None):
            self.admin(act)
            self.seat_limit = limit

    def set_policies(self, group_sync: str, on_group_delete: str) -> None:
        changes = {"group_sync": group_sync, "on_group_delete": on_group_delete}
        self.admin(lambda work: administration.change_settings(work, changes))
        if group_sync == "all" != self.group_sync:
            for circle in self.circles:
                if circle.alive and not self.of_circle(circle):
                    self.crews.append(Crew(self.team_of(circle), circle.name, circle))
        self.group_sync, self.on_group_delete = group_sync, on_group_delete

    def issue_code(self, human: Human) -> None:
        refusal: type[DomainError] | None = None
        if human.gone:
            refusal = NotFound
        elif not human.active or human.activation in ("active", "suspended"):
            refusal = NotPossible
        with self.expecting(refusal):
            human.code = self.admin(lambda work: activation.issue_code(work, human.id)).code
            human.activation, human.attempts = "code_sent", 0

    def redeem(self, human: Human, *, right: bool) -> None:
        rivals = [each for each in self.humans if not each.gone and each.sign_in == human.sign_in]
        if [each for each in rivals if each.activation == "code_sent"] not in ([], [human]):
            return  # the latest code of that name counts; a millisecond decides
        alive = not human.gone and human.active and human.activation == "code_sent"
        works = alive and right and human.attempts < activation.TRIES
        if alive and not works:
            human.attempts += 1
        code = human.code if right else "0000-0000-0000"
        with self.expecting(None if works else WrongCode):
            self.admin(lambda work: self_service.redeem_start_code(work, human.sign_in, code))
            human.activation = "active"

    def revoke(self, human: Human) -> None:
        with self.expecting(NotFound if human.gone else None):
            changed = self.admin(lambda work: administration.revoke_activation(work, human.id))
            assert changed == (human.activation not in (None, "revoked"))
            human.activation = human.activation and "revoked"

    # The worker

    def step(self) -> bool:
        """Let the worker take one step; say whether there was something to do."""

        def job(connection: Connection) -> bool:
            found = jobs.claim(connection, [follow.ISSUE])
            if found is None:
                return False
            actor = Actor(Source.SYSTEM, found.id)
            # Of another tenant too: a sequence that failed may have left it behind.
            work = Work(connection, found.tenant_id, "", actor, uuid.uuid4().hex, clock.now())
            progress = follow.issue_step(work, found)
            jobs.save(work, found, progress)
            outbox.flush(work)
            if progress.cursor is not None:
                jobs.give_back(connection, found)
            return True

        return self.store.write(job)

    def drain(self) -> None:
        """Let the worker finish everything."""
        while self.step():
            pass

    # What must be so

    def wanted(self, human: Human, template: str) -> bool:
        """Say whether somebody is to have a card of a template (invariant 13)."""
        return (
            not human.gone
            and human.active
            and human.user is not None
            and any(human.user in circle.members for circle in self.assigned[template])
        )

    def check(self) -> None:
        """Hold every row against what must be so."""
        facts = self.facts()
        self.check_people(facts)
        self.check_teams(facts)
        late = {
            circle
            for circle in self.circles
            for row in facts["job"]
            if row["finished_at"] is None and circle.id in row["args"]
        }
        self.check_cards(facts, late)
        self.check_seats(facts)
        self.due = set()

    def check_people(self, facts: Facts) -> None:
        expected = {
            each.id: (each.user and each.user.id, each.active, each.sign_in, each.origin)
            for each in self.humans
            if not each.gone
        }
        assert expected == {
            row["id"]: (row["directory_user_id"], bool(row["active"]), row["sign_in"], row["origin"])
            for row in facts["person"]
        }
        accounts = {each.id: each.activation for each in self.humans if each.activation and not each.gone}
        assert accounts == {row["person_id"]: row["state"] for row in facts["activation"]}

    def check_teams(self, facts: Facts) -> None:
        expected = {
            crew.id: (
                crew.name,
                "synced" if crew.circle else "manual",
                crew.circle and crew.circle.id,
                "synced" if crew.circle else "source_deleted",
                crew.marked,
                sorted(each.id for each in crew.humans()),
                sorted(crew.logins),
            )
            for crew in self.crews
            if crew.alive
        }

        def members(connection: Connection) -> dict[str, tuple[list[str], int]]:
            work = self.work(connection)
            found = [(team, count) for team, count in teams.page(work, limit=1000)]
            return {team.id: (sorted(each.id for each in teams.members(work, team)), count) for team, count in found}

        shown = self.store.read(members)
        assert all(len(ids) == count for ids, count in shown.values())
        logins: dict[str, list[str]] = {}
        for row in facts["login"]:
            logins.setdefault(row["team_id"], []).append(row["id"])
        assert expected == {
            row["id"]: (
                row["name"],
                row["kind"],
                row["group_id"],
                row["sync_status"],
                row["deletion_requested_at"] is not None,
                shown[row["id"]][0],
                sorted(logins.pop(row["id"], [])),
            )
            for row in facts["team"]
        }
        assert {} == logins
        assert {(template, circle.id) for template, circles in self.assigned.items() for circle in circles} == {
            (row["template_id"], row["group_id"]) for row in facts["template_assignment"]
        }

    def check_cards(self, facts: Facts, late: Collection[Circle]) -> None:
        """Cards that are wanted may wait for the worker; cards that are not wanted never do (invariant 16)."""
        by_id = {each.id: each for each in self.humans}
        rows = {row["id"]: row for row in facts["card"]}
        for card_id in sorted(rows.keys() - self.held.keys()):
            new = Held(card_id, by_id[rows[card_id]["person_id"]], rows[card_id]["template_id"])
            assert self.wanted(new.human, new.template), "a card that nobody asked for"
            self.held[card_id] = new
        alive = {card.id: card for card in self.held.values() if card.alive}
        assert alive.keys() == rows.keys(), "a card is gone, or one that was deleted is back"
        assert len(rows) == len({(row["person_id"], row["template_id"]) for row in rows.values()})
        for card_id, card in alive.items():
            row, may_wait = rows[card_id], self.may_wait(card.human, card.template, late)
            asked_for = self.wanted(card.human, card.template) if card.origin == "assigned" else card.human.active
            if card.origin == "assigned" and asked_for and may_wait and not card.active:
                asked_for = row["state"] == "active"
            card.active = asked_for
            state, reason = ("active", None) if asked_for else ("paused", self.reason(card))
            expected = (card.human.id, card.template, card.origin, state, reason)
            assert expected == tuple(
                row[name] for name in ("person_id", "template_id", "origin", "state", "pause_reason")
            )
            assert (row["paused_at"] is None) == asked_for
        held = {(card.human, card.template) for card in alive.values()}
        missing = [
            (human, template)
            for human in self.humans
            for template in self.assigned
            if self.wanted(human, template) and (human, template) not in held
        ]
        missing = [each for each in missing if not self.may_wait(*each, late)]
        assert [] == missing, f"cards are missing: {missing}"

    def may_wait(self, human: Human, template: str, late: Collection[Circle]) -> bool:
        """Say whether somebody's card of a template may still be the worker's to issue."""
        if human in self.due or human.user is None:
            return False
        return any(human.user in circle.members for circle in self.assigned[template] if circle in late)

    @staticmethod
    def reason(card: Held) -> str:
        """Say why a card is paused now."""
        if card.human.departed:
            return "departed"
        return "unassigned" if card.human.active else "inactive"

    @staticmethod
    def current_seats(facts: Facts) -> dict[str, Row]:
        current = [row for row in facts["seat"] if row["released_at"] is None]
        by_person = {row["person_id"]: row for row in current}
        assert len(current) == len(by_person), "two seats for one person"
        return by_person

    def check_seats(self, facts: Facts) -> None:
        """Open or waiting ⇔ needed; never more than the limit, none idle, the oldest first (invariants 14, 15)."""
        [tenant] = facts["tenant"]
        current = self.current_seats(facts)
        needy = {card.human.id for card in self.held.values() if card.alive and card.active}
        needy |= {each.id for each in self.humans if each.activation == "active" and not each.gone}
        assert needy == current.keys()
        opened = [row for row in current.values() if row["opened_at"] is not None]
        waiting = [row for row in current.values() if row["opened_at"] is None]
        assert (len(opened), self.seat_limit) == (tenant["seats_open"], tenant["seat_limit"])
        if self.seat_limit is None:
            assert [] == waiting
            return
        assert len(opened) == min(len(current), self.seat_limit)
        if opened and waiting:
            assert max(map(_age, opened)) < min(map(_age, waiting)), "somebody was served out of turn"

    def check_events(self, facts: Facts) -> None:
        """Fold everything that was told from the first event on: it must come to what is so (invariant 21)."""
        told = Told()
        for row in sorted(facts["outbox_event"], key=lambda row: row["sequence"]):
            told.take(row["type"], row["subject_id"], json.loads(row["payload"]))
        assert told.cards == {row["id"]: (row["person_id"], row["template_id"], row["state"]) for row in facts["card"]}
        assert told.seats == {
            row["id"]: (row["person_id"], row["opened_at"] is not None)
            for row in facts["seat"]
            if row["released_at"] is None
        }
        assert told.teams == {row["id"]: (row["name"], row["kind"]) for row in facts["team"]}
        alive = {crew.id: {each.id for each in crew.humans()} for crew in self.crews if crew.alive}
        assert alive == {team: members for team, members in told.members.items() if team in alive}
        assert told.people == {row["id"]: bool(row["active"]) for row in facts["person"]}
        assert told.logins == {row["id"]: row["team_id"] for row in facts["login"]}
        accounts = {row["person_id"]: row["state"] for row in facts["activation"]}
        assert accounts == {key: state for key, state in told.accounts.items() if key in told.people}
        assert told.assigned == {(row["template_id"], row["group_id"]) for row in facts["template_assignment"]}


def _age(seat: Row) -> tuple[str, str]:
    return seat["wanted_at"], seat["id"]


def settle_everybody(model: Model) -> None:
    """Compare wanted with actual for everybody again, which must find nothing to do."""
    ids = [each.id for each in model.humans if not each.gone]
    model.admin(lambda work: follow.settle(work, ids))
    model.admin(lambda work: seats.release_unneeded(work, ids))


def chosen(items: Sequence[T], number: int) -> T | None:
    """Choose one by a number of any size; the newest first, since most is done with what is there."""
    return items[-1 - number % len(items)] if items else None


def some(items: Iterable[T], mask: int) -> list[T]:
    """Choose some by the bits of a number."""
    return [item for at, item in enumerate(items) if mask >> at & 1]
