"""One tenant's directory: people, groups, who is in which, and a journal of every change.

A property that is missing was never set, one that is None was set and cleared: Graph tells the two apart in a delta
round, and so does this. Delta rounds are computed from the journal, so every change goes through a verb of `Directory`.
"""

import random
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from runtime.simulator.clock import Clock
from runtime.simulator.pictures import Photo

Properties = dict[str, Any]

USER_DEFAULTS = (
    "businessPhones",
    "displayName",
    "givenName",
    "id",
    "jobTitle",
    "mail",
    "mobilePhone",
    "officeLocation",
    "preferredLanguage",
    "surname",
    "userPrincipalName",
)
"""What comes back without `$select`."""
USER_PROPERTIES = frozenset(
    {
        *USER_DEFAULTS,
        "accountEnabled",
        "city",
        "companyName",
        "country",
        "createdDateTime",
        "deletedDateTime",
        "department",
        "employeeId",
        "employeeOrgData",
        "employeeType",
        "faxNumber",
        "imAddresses",
        "mailNickname",
        "onPremisesExtensionAttributes",
        "otherMails",
        "postalCode",
        "proxyAddresses",
        "state",
        "streetAddress",
        "userType",
    }
)
GROUP_DEFAULTS = (
    "createdDateTime",
    "deletedDateTime",
    "description",
    "displayName",
    "groupTypes",
    "id",
    "mail",
    "mailEnabled",
    "mailNickname",
    "securityEnabled",
    "visibility",
)
GROUP_PROPERTIES = frozenset({*GROUP_DEFAULTS, "membershipRule", "onPremisesSyncEnabled", "renewedDateTime"})
READ_ONLY = frozenset({"id", "deletedDateTime"})
LISTS = frozenset({"businessPhones", "groupTypes", "imAddresses", "otherMails", "proxyAddresses"})
"""Properties that are an empty list where others are null."""


class DirectoryError(Exception):
    """A change that the directory does not take; the text says why."""


class Kind(StrEnum):
    """What a directory object is."""

    USER = "user"
    GROUP = "group"
    DEVICE = "device"
    CONTACT = "orgContact"
    SERVICE_PRINCIPAL = "servicePrincipal"

    @property
    def odata_type(self) -> str:
        """The value of `@odata.type`."""
        return f"#microsoft.graph.{self.value}"

    @property
    def properties(self) -> frozenset[str]:
        """What can be selected."""
        return USER_PROPERTIES if self is Kind.USER else GROUP_PROPERTIES

    @property
    def defaults(self) -> tuple[str, ...]:
        """What comes back when nothing is selected."""
        if self in (Kind.USER, Kind.GROUP):
            return USER_DEFAULTS if self is Kind.USER else GROUP_DEFAULTS
        return ("id", "displayName")


@dataclass(slots=True, eq=False)
class Entry:
    """A directory object.

    live    → deleted   soft-deleted: in the recycle bin for 30 days, keeps its memberships
    deleted → live      restored
    deleted → (gone)    purged; only the journal and `graves` remember it
    Groups that are not Microsoft 365 groups, and what is neither person nor group, are gone at once.
    """

    kind: Kind
    id: str
    properties: Properties
    deleted_at: str | None = None
    manager_id: str | None = None
    photo: Photo | None = None
    members: dict[str, None] = field(default_factory=dict)
    """Direct members by id, in the order in which they came; soft-deleted ones stay."""

    @property
    def live(self) -> bool:
        """Whether it can be seen outside the recycle bin."""
        return self.deleted_at is None

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return str(self.properties.get("userPrincipalName") or self.properties.get("displayName"))

    def value(self, name: str) -> Any:
        """Give a property as a plain read shows it: what is not set is null, or an empty list."""
        if name == "id":
            return self.id
        if name == "deletedDateTime":
            return self.deleted_at
        value = self.properties.get(name)
        return [] if value is None and name in LISTS else value


class What(StrEnum):
    """What a change was when it was not a property."""

    CREATED = "@created"
    DELETED = "@deleted"
    RESTORED = "@restored"
    PURGED = "@purged"
    MEMBERS = "members"
    MANAGER = "manager"


class Change(NamedTuple):
    """One change: of which object, in what, which other object it concerns. Its place in the journal is its time."""

    kind: Kind
    object_id: str
    what: str
    related: str | None


@dataclass(slots=True)
class Touched:
    """All that happened to one object between two places in the journal, without order: rounds show the present."""

    names: set[str] = field(default_factory=set)
    members: dict[str, None] = field(default_factory=dict)
    managers: dict[str, None] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether the object is new or back, so that all of it is shown."""
        return What.CREATED in self.names or What.RESTORED in self.names


class Habits(NamedTuple):
    """Where the facts disagree on what a round reports."""

    purge_reports_members: bool = False
    restore_reports_members: bool = False


class Directory:
    """The directory of one tenant."""

    def __init__(self, tenant_id: str, name: str, domain: str, clock: Clock, seed: int = 0) -> None:
        self.id = tenant_id
        self.name = name
        self.domain = domain
        self.clock = clock
        self.random = random.Random(seed)
        self.habits = Habits()
        self.entries: dict[str, Entry] = {}
        self.live: dict[Kind, dict[str, Entry]] = {kind: {} for kind in Kind}
        self.deleted: dict[str, Entry] = {}
        self.graves: dict[str, Kind] = {}
        self.journal: list[Change] = []
        self.groups_of: defaultdict[str, set[str]] = defaultdict(set)
        self._reports: defaultdict[str, set[str]] = defaultdict(set)
        self._by_name: dict[str, str] = {}
        self._names_before: dict[str, str] = {}

    # ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def user(self, reference: str) -> Entry:
        """Find a live user by object id or userPrincipalName. Raises DirectoryError."""
        return self._found(self.live[Kind.USER].get(self._by_name.get(reference.casefold(), reference)), reference)

    def group(self, reference: str) -> Entry:
        """Find a live group by object id, or by a displayName that only one has. Raises DirectoryError."""
        groups = self.live[Kind.GROUP]
        if reference in groups:
            return groups[reference]
        named = [group for group in groups.values() if group.properties["displayName"] == reference]
        if len(named) > 1:
            raise DirectoryError(f"{len(named)} groups are called {reference!r}; name one by its id.")
        return self._found(named[0] if named else None, reference)

    def any(self, reference: str) -> Entry:
        """Find any object, deleted ones too, by id, userPrincipalName (also the former one) or group name."""
        if reference in self.entries:
            return self.entries[reference]
        for object_id, name in self._names_before.items():
            if name.casefold() == reference.casefold():
                return self.entries[object_id]
        if reference.casefold() in self._by_name:
            return self.user(reference)
        named = [entry for entry in self.entries.values() if entry.properties.get("displayName") == reference]
        return self._found(named[0] if len(named) == 1 else None, reference)

    def members(self, group: Entry) -> Iterator[Entry]:
        """Walk the direct members that can be seen: soft-deleted ones are still in, and are not shown."""
        for member_id in group.members:
            member = self.entries[member_id]
            if member.live:
                yield member

    def transitive_members(self, group: Entry) -> Iterator[Entry]:
        """Walk everything inside a group and the groups in it, each once; cycles are allowed."""
        met = {group.id}
        waiting = [group]
        while waiting:
            for member in self.members(waiting.pop(0)):
                if member.id not in met:
                    met.add(member.id)
                    yield member
                    if member.kind is Kind.GROUP:
                        waiting.append(member)

    def memberships(self, entry: Entry, *, transitive: bool = False) -> Iterator[Entry]:
        """Walk the groups that something is in, directly or through others."""
        met: set[str] = set()
        waiting = [entry.id]
        while waiting:
            for group_id in sorted(self.groups_of.get(waiting.pop(0), ())):
                group = self.entries[group_id]
                if group.live and group_id not in met:
                    met.add(group_id)
                    yield group
                    if transitive:
                        waiting.append(group_id)

    def touched(self, kind: Kind, since: int, until: int) -> dict[str, Touched]:
        """Fold the journal between two places into one entry an object, in the order of their first change."""
        found: dict[str, Touched] = {}
        for change in self.journal[since:until]:
            if change.kind is not kind:
                continue
            touched = found.setdefault(change.object_id, Touched())
            touched.names.add(change.what)
            if change.related is not None:
                related = touched.members if change.what == What.MEMBERS else touched.managers
                related[change.related] = None
        return found

    def kind_of(self, object_id: str) -> Kind:
        """Say what an object is or was."""
        entry = self.entries.get(object_id)
        return entry.kind if entry is not None else self.graves[object_id]

    # ── Changing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def create_user(self, properties: Mapping[str, Any], object_id: str | None = None) -> Entry:
        """Create a user. Raises DirectoryError when the name is missing or taken."""
        name = properties.get("userPrincipalName")
        if not isinstance(name, str) or not name:
            raise DirectoryError("A user needs a userPrincipalName.")
        self._require_free(name)
        self._require_known(Kind.USER, properties)
        known = {
            "displayName": name.partition("@")[0],
            "mailNickname": name.partition("@")[0],
            "accountEnabled": True,
            "userType": "Member",
            "createdDateTime": self.clock.now(),
        }
        given = {key: value for key, value in properties.items() if value is not None}
        user = self._add(Entry(Kind.USER, object_id or self.new_id(), known | given))
        self._by_name[name.casefold()] = user.id
        return user

    def create_group(self, properties: Mapping[str, Any], object_id: str | None = None) -> Entry:
        """Create a group; `groupTypes: ["Unified"]` makes it one that can be soft-deleted. Names are not unique."""
        if not properties.get("displayName"):
            raise DirectoryError("A group needs a displayName.")
        self._require_known(Kind.GROUP, properties)
        unified = "Unified" in (properties.get("groupTypes") or [])
        known = {
            "groupTypes": [],
            "mailEnabled": unified,
            "mailNickname": "".join(filter(str.isalnum, str(properties["displayName"]))) or "group",
            "securityEnabled": not unified,
            "createdDateTime": self.clock.now(),
        }
        given = {key: value for key, value in properties.items() if value is not None}
        return self._add(Entry(Kind.GROUP, object_id or self.new_id(), known | given))

    def create_other(self, kind: Kind, display_name: str, object_id: str | None = None) -> Entry:
        """Create a device, a contact or a service principal: what else can be a member."""
        return self._add(Entry(kind, object_id or self.new_id(), {"displayName": display_name}))

    def change(self, entry: Entry, changes: Mapping[str, Any]) -> list[str]:
        """Set properties, or clear them with None; give the names of those that are other than before."""
        self._require_known(entry.kind, changes)
        name = changes.get("userPrincipalName", entry.properties.get("userPrincipalName"))
        if name != entry.properties.get("userPrincipalName"):
            if not name:
                raise DirectoryError("A userPrincipalName cannot be cleared.")
            self._require_free(name, but=entry.id)
            self._by_name.pop(str(entry.properties["userPrincipalName"]).casefold(), None)
            if entry.live:
                self._by_name[name.casefold()] = entry.id
        if "displayName" in changes and not changes["displayName"]:
            raise DirectoryError("A displayName cannot be cleared.")
        changed = [
            key
            for key, value in changes.items()
            if value != entry.properties.get(key) and not (value is None and key not in entry.properties)
        ]
        for key in changed:
            entry.properties[key] = changes[key]
            self._note(entry, key)
        return changed

    def delete(self, entry: Entry) -> None:
        """Delete as an administrator does: users and Microsoft 365 groups softly, everything else for good."""
        if not entry.live:
            raise DirectoryError(f"{entry.name} is deleted already.")
        soft = entry.kind is Kind.USER or "Unified" in entry.properties.get("groupTypes", ())
        if not soft:
            self.purge(entry)
            return
        entry.deleted_at = self.clock.now()
        del self.live[entry.kind][entry.id]
        self.deleted[entry.id] = entry
        if entry.kind is Kind.USER:
            # The name is free again: the deleted user carries their object id before it.
            name = str(entry.properties["userPrincipalName"])
            self._by_name.pop(name.casefold(), None)
            self._names_before[entry.id] = name
            entry.properties["userPrincipalName"] = entry.id.replace("-", "") + name
        self._note(entry, What.DELETED)

    def restore(self, entry: Entry) -> None:
        """Bring back what was soft-deleted, under its name and with its memberships. Raises DirectoryError."""
        if entry.live:
            raise DirectoryError(f"{entry.name} is not deleted.")
        name = self._names_before.get(entry.id)
        if name is not None:
            self._require_free(name)
            del self._names_before[entry.id]
            entry.properties["userPrincipalName"] = name
            self._by_name[name.casefold()] = entry.id
        entry.deleted_at = None
        del self.deleted[entry.id]
        self.live[entry.kind][entry.id] = entry
        self._note(entry, What.RESTORED)
        if self.habits.restore_reports_members:
            for group_id in sorted(self.groups_of.get(entry.id, ())):
                self._note(self.entries[group_id], What.MEMBERS, entry.id)

    def purge(self, entry: Entry) -> None:
        """Delete for good, with all memberships; of these the groups' rounds say nothing unless the habit is set."""
        for group_id in sorted(self.groups_of.pop(entry.id, ())):
            del self.entries[group_id].members[entry.id]
            if self.habits.purge_reports_members:
                self._note(self.entries[group_id], What.MEMBERS, entry.id)
        for member_id in entry.members:
            self.groups_of[member_id].discard(entry.id)
        for report_id in sorted(self._reports.pop(entry.id, ())):
            report = self.entries[report_id]
            report.manager_id = None
            self._note(report, What.MANAGER, entry.id)
        if entry.manager_id is not None:
            self._reports[entry.manager_id].discard(entry.id)
        if entry.live and entry.kind is Kind.USER:
            self._by_name.pop(str(entry.properties["userPrincipalName"]).casefold(), None)
        self.live[entry.kind].pop(entry.id, None)
        self.deleted.pop(entry.id, None)
        self._names_before.pop(entry.id, None)
        del self.entries[entry.id]
        self.graves[entry.id] = entry.kind
        self._note(entry, What.PURGED)

    def set_manager(self, user: Entry, manager: Entry | None) -> bool:
        """Give a user a manager, or none; say whether that is a change. The round shows the old and the new one."""
        manager_id = manager.id if manager is not None else None
        former = user.manager_id
        if manager_id == former:
            return False
        user.manager_id = manager_id
        for other in (former, manager_id):
            if other is not None:
                self._note(user, What.MANAGER, other)
        if former is not None:
            self._reports[former].discard(user.id)
        if manager_id is not None:
            self._reports[manager_id].add(user.id)
        return True

    def set_photo(self, user: Entry, photo: Photo | None) -> None:
        """Store a photo, or take it away. No round ever tells."""
        user.photo = photo

    def add_members(self, group: Entry, members: Iterable[Entry]) -> int:
        """Put members into a group; give how many were not in it."""
        added = 0
        for member in members:
            if member.id not in group.members:
                group.members[member.id] = None
                self.groups_of[member.id].add(group.id)
                self._note(group, What.MEMBERS, member.id)
                added += 1
        return added

    def remove_members(self, group: Entry, members: Iterable[Entry]) -> int:
        """Take members out of a group; give how many were in it."""
        removed = 0
        for member in members:
            if member.id in group.members:
                del group.members[member.id]
                self.groups_of[member.id].discard(group.id)
                self._note(group, What.MEMBERS, member.id)
                removed += 1
        return removed

    def new_id(self) -> str:
        """Make an object id; the same ones again from the same seed."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def _add(self, entry: Entry) -> Entry:
        if entry.id in self.entries or entry.id in self.graves:
            raise DirectoryError(f"There is an object {entry.id} already.")
        self.entries[entry.id] = entry
        self.live[entry.kind][entry.id] = entry
        self._note(entry, What.CREATED)
        return entry

    def _note(self, entry: Entry, what: str, related: str | None = None) -> None:
        self.journal.append(Change(entry.kind, entry.id, what, related))

    def _require_free(self, name: str, but: str | None = None) -> None:
        if self._by_name.get(name.casefold(), but) != but:
            raise DirectoryError(f"Another object with the same value for property userPrincipalName exists: {name}.")

    @staticmethod
    def _require_known(kind: Kind, properties: Mapping[str, Any]) -> None:
        unknown = set(properties) - (kind.properties - READ_ONLY)
        if unknown:
            raise DirectoryError(f"A {kind} has no {', '.join(sorted(unknown))} that could be set.")

    @staticmethod
    def _found(entry: Entry | None, reference: str) -> Entry:
        if entry is None:
            raise DirectoryError(f"There is no {reference!r} in this directory.")
        return entry
