"""Reconciliation: a complete listing of the directory against the mirror (G5, house.md §3 D). List first, act after.

`diff` is pure and says what differs; repairs go through the same way in as everything else (`apply`). Brakes:

* only a complete listing removes (invariant 6): one that breaks off ends the run as failed, and who is missing in it is
  asked for by id once more before anything goes, for a list that Graph cuts short looks complete;
* more removals than FEW, or than a fifth of what the mirror holds of that kind, wait for an administrator;
* what changed here after the listing began, minus a grace period, is left alone: Graph lags behind SCIM.

In memory are the object ids of all users, one group's members at a time, and what differs.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar
from urllib.parse import quote

from app_core import (
    clock,
    directory,
    graph_links,
    jobs,
    outbox,
    overviews,
    provisioning,
    provisioning_log,
    reconciliations,
    user_filter,
)
from app_core.clock import Stamp
from app_core.db import Connection, Database
from app_core.errors import NotFound, TeamHasLogins
from app_core.graph_links import GraphLink
from app_core.ids import new_correlation_id
from app_core.jobs import Job, Progress
from app_core.reconciliations import Drift, Finding, MirroredGroup, MirroredUser, Outcome, Policy, State
from app_core.resource import ENTERPRISE_USER, JsonObject, attributes_of, fold
from app_core.work import Actor, Source, Work
from graph_fallback import apply, pages, payloads
from graph_fallback.apply import Scope, Tally
from graph_fallback.client import Graph, GraphClient, NotInDirectory
from graph_fallback.pages import ListingBroken, Page
from graph_fallback.payloads import (
    Change,
    GraphGroup,
    GraphMember,
    GraphUser,
    ManagerDelta,
    MemberDelta,
    Removed,
    changes,
)
from graph_fallback.tokens import GraphError, GraphRefused

T = TypeVar("T")
FEW = 10
"""How many removals of one kind never wait."""
SHARE = 5
"""One of how many mirrored objects of a kind may go without approval."""
MOST_KEPT = 100_000
"""How many repairs one run keeps; the next finds the others. Removals are always kept: they are counted."""
AT_ONCE = 20
ROWS = 500
BEAT_SECONDS = 2.0
"""How often a run says how far it is, and keeps its lease with that."""


class Kind(StrEnum):
    """How directory and mirror can differ."""

    USER_UNKNOWN = "user_unknown"
    """In the directory, not here; only where nobody else decides who is in scope, and the user filter lets in."""
    USER_NOT_LINKED = "user_not_linked"
    """Here under the same name, without its object id."""
    ATTRIBUTES_DIFFER = "attributes_differ"
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_ENABLED = "account_enabled"
    USER_GONE = "user_gone"
    GROUP_UNKNOWN = "group_unknown"
    """In the directory, not here; only where nobody else decides which groups are in scope."""
    GROUP_RENAMED = "group_renamed"
    MEMBER_MISSING = "member_missing"
    MEMBER_EXTRA = "member_extra"
    GROUP_GONE = "group_gone"
    GROUP_RECREATED = "group_recreated"
    """Another group has the name of one that is gone. Reported: objects are never matched by name (invariant 3)."""


REMOVALS: Mapping[str, str] = {
    Kind.USER_GONE: "users",
    Kind.GROUP_GONE: "groups",
    Kind.MEMBER_EXTRA: "memberships",
}
"""What takes something away because the listing lacks it, and of which kind that is."""
STAGES: Mapping[str, int] = {
    # People before the groups that they come to; groups before people go, who change the groups that they leave.
    Kind.USER_UNKNOWN: 0,
    Kind.USER_NOT_LINKED: 0,
    Kind.ATTRIBUTES_DIFFER: 0,
    Kind.ACCOUNT_DISABLED: 0,
    Kind.ACCOUNT_ENABLED: 0,
    Kind.GROUP_UNKNOWN: 1,
    Kind.GROUP_RENAMED: 1,
    Kind.MEMBER_MISSING: 1,
    Kind.MEMBER_EXTRA: 1,
    Kind.GROUP_GONE: 2,
    Kind.USER_GONE: 3,
}

# What differs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """A group as listed: its name, where it can be read, and its direct members by object id."""

    name: str | None
    members: Set[str]


@dataclass(frozen=True, slots=True)
class Listing:
    """What the directory says, whole or a part of it."""

    users: Sequence[GraphUser] = ()
    groups: Mapping[str, ListedGroup | None] = field(default_factory=dict)
    """By object id; None: the directory says that there is no such group."""
    present: Set[str] = frozenset()
    """The object ids of users that were listed before."""
    recycled: Set[str] = frozenset()
    """Those of deleted users that can still be restored: they keep their memberships."""
    arriving: Set[str] = frozenset()
    """Those of users that will be here, or linked, once what was found before is repaired."""
    namesakes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Group that is gone → object ids of other groups of its name."""
    complete: bool = False
    """Whether who is neither among `users` nor `present` is not in the directory."""


@dataclass(frozen=True, slots=True)
class HeldUser:
    """A user of the mirror."""

    id: str
    active: bool
    resource: JsonObject = field(default_factory=dict)
    modified_at: Stamp = ""
    linked: bool = True


@dataclass(frozen=True, slots=True)
class HeldGroup:
    """A group of the mirror; members by object id, and since when."""

    id: str
    display_name: str
    members: Mapping[str, Stamp] = field(default_factory=dict)
    modified_at: Stamp = ""


@dataclass(frozen=True, slots=True)
class Mirror:
    """What is here of what is compared, by object id."""

    users: Mapping[str, HeldUser] = field(default_factory=dict)
    groups: Mapping[str, HeldGroup] = field(default_factory=dict)
    managers: Mapping[str, str] = field(default_factory=dict)
    """The ids here of those who are named as a manager."""
    scope: Scope = None
    """Who may be imported and made active: nobody where Entra decides about that, else whom the user filter lets in."""
    cutoff: Stamp = "~"
    """What changed later than this is left alone."""


def diff(listing: Listing, mirror: Mirror) -> list[Drift]:
    """Say in what the mirror differs from the directory, as far as both are given."""
    found = [drift for user in listing.users for drift in _of_user(user, mirror)]
    listed = {user.id for user in listing.users}
    if listing.complete:
        for object_id, held in mirror.users.items():
            if held.linked and object_id not in listed and object_id not in listing.present:
                found += _of_absent(object_id, held, listing, mirror)
    present = listing.present | listed if listed else listing.present
    arriving = listing.arriving | arriving_in(found)
    for object_id, group in listing.groups.items():
        held_group = mirror.groups.get(object_id)
        if held_group is None:
            found += _of_unknown_group(object_id, group)
        elif group is None:
            found += _of_lost_group(object_id, held_group, listing, mirror)
        else:
            found += _of_group(object_id, group, held_group, mirror, arriving)
            # Who is deleted keeps the memberships until it is gone for good, and then they go with it.
            extra = [each for each in _of_extra(object_id, group, held_group, mirror) if each.member_id in present]
            found += [each for each in extra if each.member_id not in listing.recycled]
    return found


def arriving_in(drifts: Sequence[Drift]) -> set[str]:
    """Name the users that will be here under their object id once some drifts are repaired."""
    return {drift.object_id for drift in drifts if drift.kind in (Kind.USER_UNKNOWN, Kind.USER_NOT_LINKED)}


def over_the_brakes(drifts: Sequence[Drift], totals: Mapping[str, int]) -> list[str]:
    """Say of which kinds too much is to be removed; `totals` is how many the mirror holds of each."""
    found = []
    for kind in ("users", "groups", "memberships"):
        count, total = sum(REMOVALS.get(drift.kind) == kind for drift in drifts), totals.get(kind, 0)
        if count > FEW and count * SHARE > total:
            found.append(f"{count} of {total} {kind}")
    return found


def _of_user(user: GraphUser, mirror: Mirror) -> Iterator[Drift]:
    held = mirror.users.get(user.id)
    if held is None:
        if _is_in_scope(user, mirror) and isinstance(user.user_principal_name, str):
            yield Drift(Kind.USER_UNKNOWN, user.id, None, "The user is in Entra and not here.", "Import the user.")
        return
    if held.modified_at > mirror.cutoff:
        return
    if not held.linked:
        why = "A user of this name is in Entra; here it has no object id yet."
        yield Drift(Kind.USER_NOT_LINKED, user.id, held.id, why, "Link the two by the object id.")
    wanted = changes(user, {**held.resource, "active": held.active}, complete=True)
    active = wanted.pop("active", None)
    if active is False:
        why = "The account is disabled in Entra and active here."
        yield Drift(Kind.ACCOUNT_DISABLED, user.id, held.id, why, "Make the user inactive.")
    if active is True and _is_in_scope(user, mirror):
        why = "The account is enabled in Entra and inactive here."
        yield Drift(Kind.ACCOUNT_ENABLED, user.id, held.id, why, "Make the user active.")
    cleared = [path for path, value in wanted.items() if value is None]
    changed = [path for path, value in wanted.items() if value is not None]
    if _manager_differs(user, held.resource, mirror.managers):
        (cleared if user.manager is None else changed).append(f"{ENTERPRISE_USER}:manager")
    if cleared or changed:
        # Names of attributes only: what they hold is personal.
        parts = [("empty in Entra", cleared), ("other in Entra", changed)]
        why = "; ".join([f"{what}: {', '.join(paths)}" for what, paths in parts if paths]).capitalize() + "."
        yield Drift(Kind.ATTRIBUTES_DIFFER, user.id, held.id, why, "Write down what Entra says.")


def _is_in_scope(user: GraphUser, mirror: Mirror) -> bool:
    return mirror.scope is None or user.id in mirror.scope


def _manager_differs(user: GraphUser, resource: JsonObject, managers: Mapping[str, str]) -> bool:
    enterprise = resource.get(ENTERPRISE_USER) or {}
    if user.manager is None:
        return "manager" in enterprise
    if not isinstance(user.manager, ManagerDelta) or user.manager.now is None:
        return False
    known = managers.get(user.manager.now)
    return known is not None and known != (enterprise.get("manager") or {}).get("value")


def _of_absent(object_id: str, held: HeldUser, listing: Listing, mirror: Mirror) -> Iterator[Drift]:
    if held.modified_at > mirror.cutoff:
        return
    if object_id not in listing.recycled:
        why = "The directory does not have the user any more, nor has its recycle bin."
        yield Drift(Kind.USER_GONE, object_id, held.id, why, "Remove the user and its memberships.")
    elif held.active:
        why = "The user was deleted in Entra, can still be restored, and is active here."
        yield Drift(Kind.ACCOUNT_DISABLED, object_id, held.id, why, "Make the user inactive.")


def _of_unknown_group(object_id: str, group: ListedGroup | None) -> Iterator[Drift]:
    if group is not None and group.name is not None:
        why = f"The group '{group.name}' is in Entra and not here."
        yield Drift(Kind.GROUP_UNKNOWN, object_id, None, why, "Take the group over; it is no team by that.")


def _of_lost_group(object_id: str, held: HeldGroup, listing: Listing, mirror: Mirror) -> Iterator[Drift]:
    if held.modified_at > mirror.cutoff:
        return
    why = f"The directory does not have the group '{held.display_name}' any more."
    yield Drift(Kind.GROUP_GONE, object_id, held.id, why, "Remove the group and its team, unless it holds logins.")
    for other in listing.namesakes.get(object_id, ()):
        why = f"Another group in Entra has the name '{held.display_name}' of one that is gone."
        repair = "Nothing: groups are never matched by name. Add the new group if it takes the old one's place."
        yield Drift(Kind.GROUP_RECREATED, other, held.id, why, repair)


def _of_group(
    object_id: str, group: ListedGroup, held: HeldGroup, mirror: Mirror, arriving: Set[str]
) -> Iterator[Drift]:
    if held.modified_at > mirror.cutoff:
        return
    if group.name is not None and group.name != held.display_name:
        why = f"The group '{held.display_name}' is called '{group.name}' in Entra."
        yield Drift(Kind.GROUP_RENAMED, object_id, held.id, why, "Rename group and team.", name=group.name)
    for member in sorted(group.members - held.members.keys()):
        if member in mirror.users or member in arriving:
            why = f"A member of '{held.display_name}' in Entra is not in it here."
            yield Drift(Kind.MEMBER_MISSING, object_id, held.id, why, "Add the member.", member)


def _of_extra(object_id: str, group: ListedGroup, held: HeldGroup, mirror: Mirror) -> Iterator[Drift]:
    for member in sorted(held.members.keys() - group.members):
        if held.members[member] <= mirror.cutoff:
            why = f"A member of '{held.display_name}' here is not in it in Entra."
            yield Drift(Kind.MEMBER_EXTRA, object_id, held.id, why, "Take the member out.", member)


# The run ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Found:
    """What a listing came to."""

    drifts: list[Drift] = field(default_factory=list)
    said: dict[str, GraphUser] = field(default_factory=dict)
    """What Graph says of the users that differ."""
    unknown: dict[str, GraphGroup] = field(default_factory=dict)
    """The groups that are not here."""
    totals: dict[str, int] = field(default_factory=lambda: {"users": 0, "groups": 0, "memberships": 0})
    more: int = 0
    """How many repairs are left to the next run."""

    def keep(self, drifts: Sequence[Drift]) -> list[Drift]:
        """Keep what differs, and give what was kept."""
        kept = [drift for drift in drifts if drift.kind in REMOVALS]
        others = [drift for drift in drifts if drift.kind not in REMOVALS]
        room = max(0, MOST_KEPT - len(self.drifts))
        self.more += len(others[room:])
        kept += others[:room]
        self.drifts += kept
        return kept


class Lease:
    """Says how far a job is while it waits for Graph, and keeps its lease by that."""

    def __init__(self, database: Database, job: Job) -> None:
        self.database = database
        self.job = job
        self.said_at = clock.ticks()
        self.unsaid = 0

    async def keep(self, count: int, phase: str) -> None:
        """Say it, where it is time to. Raises Stale when the job is somebody else's by now."""
        self.unsaid += count
        if clock.ticks() - self.said_at < BEAT_SECONDS:
            return
        progress = Progress(phase, self.unsaid, phase)
        await self.database.write(lambda connection: jobs.save(_work(connection, self.job), self.job, progress))
        self.said_at, self.unsaid = clock.ticks(), 0


class Reconciler:
    """Takes reconcile jobs, each of which is one step: the listing is of one piece, and nothing goes without it."""

    def __init__(self, database: Database, graph: Graph) -> None:
        self.database = database
        self.graph = graph

    async def step(self, job: Job) -> None:
        """Take a whole run, or the removals of one that was approved. Raises GraphError for the latter: try later."""
        given = job.arguments()
        state = await self.database.read(lambda connection: graph_links.require_connected(_work(connection, job)))
        assert state.entra_tenant_id is not None
        client = self.graph.directory(state.entra_tenant_id)
        if given["approved"]:
            await self._carry_out(job, client, given["run_id"])
        else:
            await self._run(job, client, state, given["run_id"], Policy(given["policy"]), float(given["grace"]))

    async def _run(
        self, job: Job, client: GraphClient, state: GraphLink, run_id: str, policy: Policy, grace: float
    ) -> None:
        cutoff = clock.later(-grace)
        await self._take(job, 0, "listing", lambda work: reconciliations.begin(work, run_id, cutoff))
        lister = Lister(self.database, client, job, cutoff, pushed=state.pushed)
        found = lister.found
        try:
            await lister.list_everything()
            over = over_the_brakes(found.drifts, found.totals) if policy is Policy.REPAIR else []
            findings = _sorted_out(found.drifts, policy, held=bool(over))
            now = [each for each in findings if each.outcome == Outcome.FOUND]
            untrue = await _no_longer_so(client, lister.lease, now, members_too=False)
        except GraphError as error:
            broken = error
            await self.database.write(lambda connection: _fail(_work(connection, job), job, run_id, found, broken))
            return
        for first in range(0, len(findings), ROWS):
            rows = findings[first : first + ROWS]
            await self._take(
                job,
                0,
                "writing down what differs",
                lambda work, rows=rows: reconciliations.add(work, run_id, rows),  # type: ignore[misc]
            )
        await self._act(job, now, Act(run_id, cutoff, lister.scope, untrue, found.said, found.unknown))
        await self.database.write(lambda connection: _end(_work(connection, job), job, run_id, found, over))

    async def _carry_out(self, job: Job, client: GraphClient, run_id: str) -> None:
        run = await self._read(job, lambda work: reconciliations.find(work, run_id))
        if run is not None and run.state == State.HELD:
            findings = await self._read(job, lambda work: reconciliations.held(work, run_id))
            untrue = await _no_longer_so(client, Lease(self.database, job), findings, members_too=True)
            await self._act(job, findings, Act(run_id, run.cutoff, apply.NOBODY, untrue))

        def end(connection: Connection) -> None:
            work = _work(connection, job)
            reconciliations.done(work, run_id)
            jobs.save(work, job, Progress(None, 0, "done"))

        await self.database.write(end)

    async def _act(self, job: Job, findings: Sequence[Finding], act: "Act") -> None:
        """Repair object by object, each in a transaction that also says what came of it."""
        units: dict[tuple[int, str], list[Finding]] = {}
        for finding in findings:
            drift = finding.drift
            units.setdefault((STAGES[drift.kind], drift.object_id), []).append(finding)
        for _, unit in sorted(units.items(), key=lambda item: item[0][0]):
            await self._take(job, len(unit), "repairing", lambda work, unit=unit: act.on(work, unit))  # type: ignore[misc]

    async def _take(self, job: Job, count: int, phase: str, act: Callable[[Work], None]) -> None:
        """Do something in one transaction, as long as the job is ours. Raises Stale."""

        def take(connection: Connection) -> None:
            work = _work(connection, job)
            act(work)
            jobs.save(work, job, Progress(phase, count, phase))
            outbox.flush(work)

        await self.database.write(take)

    async def _read(self, job: Job, act: Callable[[Work], T]) -> T:
        return await self.database.read(lambda connection: act(_work(connection, job)))


def _work(connection: Connection, job: Job) -> Work:
    connection_id: str = job.arguments()["connection_id"]
    actor = Actor(Source.GRAPH, job.id)
    return Work(connection, job.tenant_id, connection_id, actor, new_correlation_id(), clock.now())


def _counts(found: Found) -> dict[str, int]:
    removals = sum(drift.kind in REMOVALS for drift in found.drifts)
    return {**found.totals, "found": len(found.drifts), "removals": removals}


def _sorted_out(drifts: Sequence[Drift], policy: Policy, *, held: bool) -> list[Finding]:
    """Say of each drift whether it is reported, held, or to be repaired now."""

    def outcome(kind: str) -> Outcome:
        if policy is Policy.REPORT or kind not in STAGES:
            return Outcome.REPORTED
        return Outcome.HELD if held and kind in REMOVALS else Outcome.FOUND

    return [Finding(at, drift, outcome(drift.kind), None) for at, drift in enumerate(drifts)]


def _fail(work: Work, job: Job, run_id: str, found: Found, error: GraphError) -> None:
    """End a run whose listing broke off: it proves nothing. Where nobody waits for it, another one is asked for."""
    given = job.arguments()
    tries = given.get("tries", 1)
    at = reconciliations.next_try_at(tries)
    at = at and max(at, error.facts.get("retry_at", at))
    said = error.sentence if at is None else f"{error.sentence} The next try is at {at}."
    reconciliations.end(work, run_id, State.FAILED, _counts(found), said)
    if isinstance(error, GraphRefused):
        graph_links.quarantine(work, error.sentence, error.facts.get("permissions", ()))
    jobs.save(work, job, Progress(None, 0, "failed"))
    if at is not None:
        reconciliations.ask(work, Policy(given["policy"]), grace=given["grace"], tries=tries - 1, at=at)


def _end(work: Work, job: Job, run_id: str, found: Found, over: Sequence[str]) -> None:
    said = None
    if over:
        said = f"{' and '.join(over)} are to be removed: nothing was removed, it waits for approval."
    elif found.more:
        said = f"{found.more} more differences are left to the next run."
    reconciliations.end(work, run_id, State.HELD if over else State.DONE, _counts(found), said)
    jobs.save(work, job, Progress(None, 0, "held" if over else "done"))


# Listing ------------------------------------------------------------------------------------------------------------


class Lister:
    """Lists everything, and keeps what differs. Raises GraphError where the listing cannot be completed."""

    def __init__(self, database: Database, client: GraphClient, job: Job, cutoff: Stamp, *, pushed: bool) -> None:
        self.database = database
        self.client = client
        self.job = job
        self.cutoff = cutoff
        self.pushed = pushed
        self.scope: Scope = apply.NOBODY if pushed else None
        self.lease = Lease(database, job)
        self.found = Found()
        self.present: set[str] = set()
        self.recycled: set[str] = set()
        self.linking: dict[str, str] = {}
        self.arriving: set[str] = set()

    async def list_everything(self) -> None:
        """List users, groups and members. The recycle bin comes first and last, for who moves in between."""
        self.recycled |= await _recycled(self.client, self.lease)
        await self._scope()
        await self._users()
        await self._groups()
        if not self.pushed:
            await self._unknown_groups()
        self.recycled |= await _recycled(self.client, self.lease)
        await self._absent()
        self.found.drifts = [
            drift
            for drift in self.found.drifts
            if drift.kind != Kind.MEMBER_EXTRA or drift.member_id not in self.recycled
        ]

    async def _scope(self) -> None:
        """List the people of the chosen groups, where there is a user filter and nobody pushes."""
        chosen = [] if self.pushed else await self._read(user_filter.chosen)
        if not chosen:
            return
        found: set[str] = set()
        for group in chosen:
            # One that is gone has nobody.
            with suppress(NotInDirectory):
                found |= await _members(self.client, self.lease, group.object_id)
        self.scope = found

    async def _users(self) -> None:
        async for page in _whole(self.client, pages.ALL_USERS):
            listed = payloads.users_of(page.items)
            if len(listed) < len(page.items):
                raise ListingBroken("A page of the list had a user that cannot be read.")
            new = {user.id: payloads.whole(user) for user in listed if user.id not in self.present}
            self.present |= new.keys()
            users = list(new.values())
            mirror = await self._read(lambda work, users=users: _mirror_of(work, users, self.cutoff, self.scope))  # type: ignore[misc]
            kept = self.found.keep(diff(Listing(users), mirror))
            self.found.said |= {drift.object_id: new[drift.object_id] for drift in kept}
            self.arriving |= arriving_in(kept)
            self.linking |= {
                drift.our_id: drift.object_id
                for drift in kept
                if drift.kind == Kind.USER_NOT_LINKED and drift.our_id is not None
            }
            await self.lease.keep(len(page.items), f"{len(self.present)} users listed")

    async def _absent(self) -> None:
        after = ""
        while held := await self._read(lambda work, after=after: reconciliations.users(work, after=after)):  # type: ignore[misc]
            users = {row.object_id: HeldUser(row.id, bool(row.active), {}, row.modified_at) for row in held}
            listing = Listing(present=self.present, recycled=self.recycled, complete=True)
            self.found.keep(diff(listing, Mirror(users, cutoff=self.cutoff)))
            self.found.totals["users"] += len(held)
            after = held[-1].id

    async def _groups(self) -> None:
        after = ""
        while held := await self._read(
            lambda work, after=after: reconciliations.groups(work, after=after, limit=AT_ONCE)  # type: ignore[misc]
        ):
            names = await _names(self.client, [group.object_id for group in held])
            for group in held:
                await self._group(group, names[group.object_id])
            self.found.totals["groups"] += len(held)
            await self.lease.keep(len(held), f"{self.found.totals['groups']} groups listed")
            after = held[-1].id

    async def _unknown_groups(self) -> None:
        async for page in _whole(self.client, pages.ALL_GROUPS):
            listed = {group.id: group for group in payloads.groups_of(page.items)}
            known = await self._read(lambda work, listed=listed: overviews.groups_by_object_id(work, list(listed)))  # type: ignore[misc]
            for object_id in sorted(listed.keys() - known.keys()):
                await self._unknown_group(listed[object_id])

    async def _unknown_group(self, said: GraphGroup) -> None:
        try:
            members = await _members(self.client, self.lease, said.id)
        except NotInDirectory:
            # It went while the list was read.
            return
        name = said.display_name if isinstance(said.display_name, str) else None
        kept = self.found.keep(diff(Listing(groups={said.id: ListedGroup(name, members)}), Mirror()))
        if kept:
            self.found.unknown[said.id] = replace(said, members=_moved(Change(frozenset(members))))

    async def _group(self, group: MirroredGroup, said: GraphGroup | None) -> None:
        listed, namesakes = None, {}
        if said is None:
            namesakes[group.object_id] = await self._namesakes(group)
        else:
            name = said.display_name if isinstance(said.display_name, str) else None
            listed = ListedGroup(name, await _members(self.client, self.lease, group.object_id))
        mirror = await self._read(lambda work: self._mirrored(work, group, listed))
        listing = Listing(
            groups={group.object_id: listed},
            present=self.present,
            recycled=self.recycled,
            arriving=self.arriving,
            namesakes=namesakes,
        )
        self.found.keep(diff(listing, mirror))

    def _mirrored(self, work: Work, group: MirroredGroup, listed: ListedGroup | None) -> Mirror:
        members = {
            object_id: member.since
            for member in reconciliations.members(work, group.id)
            if (object_id := member.object_id or self.linking.get(member.user_id)) is not None
        }
        self.found.totals["memberships"] += len(members)
        others = [] if listed is None else sorted(listed.members - members.keys())
        known = directory.users_by_object_id(work, others) if others else {}
        return Mirror(
            {object_id: HeldUser(user_id, active=True) for object_id, user_id in known.items()},
            {group.object_id: HeldGroup(group.id, group.display_name, members, group.modified_at)},
            cutoff=self.cutoff,
        )

    async def _namesakes(self, group: MirroredGroup) -> list[str]:
        """Find other groups of the name of one that is gone, of those that are not here already."""
        text = group.display_name.replace("'", "''")
        asked = quote(f"displayName eq '{text}'", safe="")
        try:
            page = await pages.page_at(self.client, f"/groups?$select=id&$filter={asked}&$top={AT_ONCE}")
        except GraphRefused:
            # It is a hint only, and not every name can be asked for.
            return []
        others = [each.id for each in payloads.groups_of(page.items) if each.id != group.object_id]
        return await self._read(
            lambda work: [each for each in others if directory.group_by_object_id(work, each) is None]
        )

    async def _read(self, act: Callable[[Work], T]) -> T:
        return await self.database.read(lambda connection: act(_work(connection, self.job)))


def _mirror_of(work: Work, users: Sequence[GraphUser], cutoff: Stamp, scope: Scope) -> Mirror:
    """Give what is here of some listed users: by object id, else once by the name that both sides know."""
    held = {
        row.object_id: _held(row, linked=True)
        for row in reconciliations.mirrored_users(work, [user.id for user in users])
        if row.object_id is not None
    }
    names = {
        fold(user.user_principal_name): user.id
        for user in users
        if user.id not in held and isinstance(user.user_principal_name, str)
    }
    if names:
        unlinked = reconciliations.unlinked_users(work, list(names))
        held |= {names[row.user_name_key]: _held(row, linked=False) for row in unlinked}
    named = {user.manager.now for user in users if isinstance(user.manager, ManagerDelta)}
    managers = directory.users_by_object_id(work, sorted(each for each in named if each is not None))
    return Mirror(held, managers=managers, scope=scope, cutoff=cutoff)


def _held(row: MirroredUser, *, linked: bool) -> HeldUser:
    return HeldUser(row.id, bool(row.active), attributes_of(row.document), row.modified_at, linked)


async def _whole(client: GraphClient, start: str) -> AsyncIterator[Page]:
    """Walk a list of which every entry has to be readable. Raises ListingBroken."""
    async for page in pages.listed(client, start):
        if page.unreadable:
            raise ListingBroken("A page of the list had entries that cannot be read: it proves no absence.")
        yield page


async def _recycled(client: GraphClient, lease: Lease) -> set[str]:
    """List the deleted users that can still be restored."""
    found: set[str] = set()
    async for page in _whole(client, pages.DELETED_USERS):
        found |= {user.id for user in payloads.users_of(page.items)}
        await lease.keep(0, "listing the recycle bin")
    return found


async def _members(client: GraphClient, lease: Lease, object_id: str) -> set[str]:
    """List all direct members of a group that are users."""
    found: set[str] = set()
    async for page in _whole(client, pages.members_of(object_id)):
        if any(GraphMember.parse(item) is None for item in page.items):
            raise ListingBroken("A list of members had one that cannot be read.")
        found |= payloads.members_in(page.items).users.added
        await lease.keep(0, "listing members")
    return found


async def _names(client: GraphClient, object_ids: Sequence[str]) -> dict[str, GraphGroup | None]:
    """Read some groups; None for one that the directory does not have. Raises ListingBroken for any other answer."""
    paths = [f"/groups/{object_id}?$select=id,displayName" for object_id in object_ids]
    found: dict[str, GraphGroup | None] = {}
    for object_id, part in zip(object_ids, await client.batch(paths), strict=True):
        group = GraphGroup.parse(part.json) if part.status == 200 else None
        if part.status != 404 and (group is None or group.id != object_id):
            raise ListingBroken(f"A group could not be read ({part.status}).", error=part.error)
        found[object_id] = group
    return found


# Acting -----------------------------------------------------------------------------------------------------------


async def _no_longer_so(
    client: GraphClient, lease: Lease, findings: Sequence[Finding], *, members_too: bool
) -> set[int]:
    """Ask once more for what is to go; give the positions of findings that are not so (any more)."""
    removals = [each for each in findings if each.drift.kind in REMOVALS]
    if not removals:
        return set()
    there = await _recycled(client, lease)
    for kind, place in ((Kind.USER_GONE, "users"), (Kind.GROUP_GONE, "groups")):
        asked = [each.drift.object_id for each in removals if each.drift.kind == kind]
        for first in range(0, len(asked), AT_ONCE):
            some = asked[first : first + AT_ONCE]
            parts = await client.batch([f"/{place}/{quote(each, safe='')}?$select=id" for each in some])
            # Only a plain no is one.
            there |= {object_id for object_id, part in zip(some, parts, strict=True) if part.status != 404}
            await lease.keep(0, "asking once more for what is to go")
    lists: dict[str, set[str]] = {}
    untrue: set[int] = set()
    for position, drift, _, _ in removals:
        if drift.kind == Kind.MEMBER_EXTRA:
            if members_too and drift.object_id not in lists:
                lists[drift.object_id] = await _members(client, lease, drift.object_id)
            if drift.member_id in there or drift.member_id in lists.get(drift.object_id, ()):
                untrue.add(position)
        elif drift.object_id in there:
            untrue.add(position)
    return untrue


Came = tuple[Outcome, str | None]
REPAIRED: Came = (Outcome.REPAIRED, None)
UNTRUE: Came = (Outcome.LEFT, "The directory has it, when asked once more.")
FRESH: Came = (Outcome.LEFT, "It has changed here since the listing began, or shortly before.")
AWAY: Came = (Outcome.LEFT, "It is not here any more.")


@dataclass(frozen=True, slots=True)
class Act:
    """Repairs what was found of one object, unless it has changed since."""

    run_id: str
    cutoff: Stamp
    scope: Scope
    untrue: Collection[int]
    """Which findings were not so when asked once more, by their positions."""
    said: Mapping[str, GraphUser] = field(default_factory=dict)
    unknown: Mapping[str, GraphGroup] = field(default_factory=dict)

    def on(self, work: Work, unit: Sequence[Finding]) -> None:
        """Carry out what is still true, and write down what came of each."""
        true = [each for each in unit if each.position not in self.untrue]
        came = {each.position: UNTRUE for each in unit}
        if true:
            came |= self._repaired(work, true)
        for position, (outcome, reason) in came.items():
            reconciliations.settle(work, self.run_id, position, outcome, reason)

    def _repaired(self, work: Work, unit: Sequence[Finding]) -> dict[int, Came]:
        first = unit[0].drift
        try:
            if first.kind == Kind.GROUP_UNKNOWN:
                return {each.position: self._group_unknown(work, first) for each in unit}
            if STAGES[first.kind] == STAGES[Kind.GROUP_RENAMED]:
                return self._members_and_name(work, unit, first)
            came = self._group_gone(work, first) if first.kind == Kind.GROUP_GONE else self._user(work, first)
        except NotFound:
            came = AWAY
        return {each.position: came for each in unit}

    def _user(self, work: Work, drift: Drift) -> Came:
        gone = Removed.DELETED if drift.kind == Kind.USER_GONE else Removed.CHANGED
        user = self.said.get(drift.object_id, GraphUser(drift.object_id, gone))
        if gone is Removed.DELETED:
            user = GraphUser(drift.object_id, gone)
        if drift.our_id is None:
            if _is_here_by_now(work, user):
                return FRESH
        else:
            provisioning.lock_user(work, drift.our_id)
            modified_at = reconciliations.user_modified_at(work, drift.our_id)
            if modified_at is None or modified_at > self.cutoff:
                return FRESH
        return _came(work, user.id, apply.apply_users(work, [user], scope=self.scope, complete=True))

    def _group_unknown(self, work: Work, drift: Drift) -> Came:
        if directory.group_by_object_id(work, drift.object_id) is not None:
            return FRESH
        group = self.unknown[drift.object_id]
        return _came(work, drift.object_id, apply.apply_groups(work, [group], imports=True))

    def _group_gone(self, work: Work, drift: Drift) -> Came:
        assert drift.our_id is not None
        if provisioning.lock_group(work, drift.our_id).modified_at > self.cutoff:
            return FRESH
        return _came(work, drift.object_id, apply.apply_groups(work, [GraphGroup(drift.object_id, Removed.DELETED)]))

    def _members_and_name(self, work: Work, unit: Sequence[Finding], first: Drift) -> dict[int, Came]:
        assert first.our_id is not None
        fresh = provisioning.lock_group(work, first.our_id).modified_at > self.cutoff
        extra = [each for each in unit if each.drift.kind == Kind.MEMBER_EXTRA]
        came: dict[int, Came] = {each.position: FRESH for each in unit}
        steps: list[tuple[list[Finding], GraphGroup]] = []
        if not fresh:
            renamed = [each for each in unit if each.drift.kind == Kind.GROUP_RENAMED]
            missing = [each for each in unit if each.drift.kind == Kind.MEMBER_MISSING]
            steps += [([each], GraphGroup(first.object_id, display_name=each.drift.name)) for each in renamed]
            steps.append((missing, GraphGroup(first.object_id, members=_moved(Change(_members_in(missing))))))
        if extra:
            # A removal is of one row, which says by itself how old it is.
            since = {each.object_id: each.since for each in reconciliations.members(work, first.our_id)}
            old = [each for each in extra if since.get(each.drift.member_id, "") <= self.cutoff]
            steps.append((old, GraphGroup(first.object_id, members=_moved(Change(removed=_members_in(old))))))
        # One that is refused does not keep the others from being repaired.
        for findings, group in steps:
            if findings:
                outcome = _came(work, first.object_id, apply.apply_groups(work, [group]))
                came |= {each.position: outcome for each in findings}
        return came


def _is_here_by_now(work: Work, user: GraphUser) -> bool:
    """Say whether somebody who is to be imported has come by another way since."""
    if directory.user_by_object_id(work, user.id) is not None:
        return True
    assert isinstance(user.user_principal_name, str)
    return bool(reconciliations.unlinked_users(work, [fold(user.user_principal_name)]))


def _members_in(findings: Sequence[Finding]) -> frozenset[str]:
    return frozenset(each.drift.member_id for each in findings if each.drift.member_id is not None)


def _moved(users: Change) -> MemberDelta:
    return MemberDelta(users)


def _came(work: Work, object_id: str, tally: Tally) -> Came:
    """Say what came of an object; of a refusal what the log says."""
    if not tally.refused:
        return REPAIRED
    entry = provisioning_log.page(work, limit=1, outcome="failure", target_id=object_id)[0]
    held = entry["reason_code"] == TeamHasLogins.code
    return (Outcome.HELD if held else Outcome.REFUSED), entry["reason"]
