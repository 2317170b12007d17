"""What Graph says of users and groups → the mirror, through the same way in as SCIM. Replays do no harm.

Where Entra also pushes, its assignments decide who is in scope: nobody and no group is imported, and an enabled account
makes nobody active who was taken out of scope (entra.md §8.17). Where only we pull, all groups are imported, and
everybody whom the user filter lets in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeAlias

from app_core import awaited, directory, follow, outbox, provisioning, provisioning_log
from app_core.errors import DomainError, StillHolds, UnknownMembers, UserNameTaken
from app_core.ids import new_id
from app_core.provisioning import GroupChange, GroupRecord, MemberStep
from app_core.provisioning_log import Entry, Outcome
from app_core.resource import ENTERPRISE_USER, JsonObject, UserRecord, attributes_of, fold
from app_core.work import Work
from graph_fallback.payloads import (
    UNSET,
    GraphGroup,
    GraphUser,
    ManagerDelta,
    Removed,
    applied,
    changes,
    scim_resource,
)

Done: TypeAlias = tuple[str, str, Sequence[str]]
"""What a step came to, of which object, and the names of what changed."""
SKIPPED: Done = ("skipped", "", ())
Scope: TypeAlias = Set[str] | None
"""Whom a pull may import and make active, by object id; None: everybody."""
NOBODY: Scope = frozenset()


class Step(NamedTuple):
    """What is to be done about one object."""

    object_id: str
    act: Callable[[], Done]
    mend: Callable[[DomainError], bool] = lambda refusal: False
    """Mends the cause of a refusal, and says whether it could."""


@dataclass(slots=True)
class Tally:
    """What a page came to."""

    seen: int = 0
    created: int = 0
    changed: int = 0
    removed: int = 0
    skipped: int = 0
    refused: int = 0


def apply_users(work: Work, users: Sequence[GraphUser], *, scope: Scope, complete: bool = False) -> Tally:
    """Write down what Graph says of some users, each in a step of its own: one that is refused stops nobody else.

    `complete` says that they come from a full listing, in which what is missing is empty.
    """
    here = Here.of(work, users)
    steps = [
        Step(user.id, partial(_user, work, here, user, scope, complete), partial(_take_name, work, user))
        for user in users
    ]
    return _take_all(work, "User", steps, forget=here.ids.clear)


def members_here(work: Work, groups: Sequence[GraphGroup]) -> dict[str, str]:
    """Look up whom some groups name, of those that are here: object id → our id."""
    named = [group.members.users for group in groups if group.members is not UNSET]
    return directory.users_by_object_id(work, sorted({each for users in named for each in users.added | users.removed}))


def apply_groups(
    work: Work, groups: Sequence[GraphGroup], *, imports: bool = False, members: dict[str, str] | None = None
) -> Tally:
    """Write down what Graph says of some groups; `imports` takes over those that are not here.

    Which of them are teams is not Graph's to say (G3). `members` are those whom they name and who are here, where that
    is known already.
    """
    here = members_here(work, groups) if members is None else members
    mend = partial(_leave_out, here)
    steps = [Step(group.id, partial(_group, work, group, here, imports), mend) for group in groups]
    return _take_all(work, "Group", steps)


def switch_off(work: Work, user_ids: Sequence[str]) -> Tally:
    """Make users inactive that the filter leaves out, as Entra does with who is no longer assigned (entra.md §2.6)."""
    return _take_all(work, "User", [Step(user_id, partial(_switch_off, work, user_id)) for user_id in user_ids])


def set_managers(work: Work, pairs: Sequence[tuple[str, str]]) -> Tally:
    """Give users the managers that they waited for: ids of both."""
    for user_id, _ in pairs:
        awaited.drop_manager(work, user_id)
    return _take_all(work, "User", [Step(each[0], partial(_give_manager, work, *each)) for each in pairs])


def expect_members(work: Work, groups: Sequence[GraphGroup], chosen: Sequence[str], members: Mapping[str, str]) -> None:
    """Have the people read by themselves whom groups name and who are not here; with chosen groups, just theirs.

    Theirs are read also where they are here and inactive: who was left out before has an account that says more.
    """
    named = {
        each
        for group in groups
        if group.members is not UNSET and not group.gone and (not chosen or group.id in chosen)
        for each in group.members.users.added
    }
    here = directory.active_by_object_id(work, sorted(named)) if chosen else members.keys()
    awaited.expect_users(work, named - here)


# A page ------------------------------------------------------------------------------------------------------------


def _take_all(work: Work, kind: str, steps: Sequence[Step], *, forget: Callable[[], None] = lambda: None) -> Tally:
    """Take the objects of a page over: all in one step, or each in one of its own where any of them is refused.

    `forget` is for who keeps in mind what is here, where that was undone.
    """
    tally, entries = Tally(seen=len(steps)), list[Entry]()
    try:
        with _undone(work, forget):
            for step in steps:
                _note(work, tally, entries, kind, step.act())
    except DomainError:
        tally, entries = Tally(seen=len(steps)), []
        for step in steps:
            _take_one(work, tally, entries, kind, step, forget)
    provisioning_log.record_many(work, entries)
    return tally


def _take_one(
    work: Work, tally: Tally, entries: list[Entry], kind: str, step: Step, forget: Callable[[], None]
) -> None:
    """Take one object over, or say why not; where the cause of a refusal is mended, try once more."""
    try:
        with _undone(work, forget):
            done = step.act()
    except DomainError as refusal:
        if step.mend(refusal):
            _take_one(work, tally, entries, kind, Step(step.object_id, step.act), forget)
            return
        tally.refused += 1
        follow.after_refusal(work, refusal)
        reason = _sentence(refusal)
        entries.append(Entry("pull", kind, step.object_id, Outcome.FAILURE, 409, refusal.code, reason))
        return
    _note(work, tally, entries, kind, done)


@contextmanager
def _undone(work: Work, forget: Callable[[], None]) -> Iterator[None]:
    """Undo all that happens inside when it is refused."""
    events, warnings = len(work.events), len(work.warnings)
    try:
        with work.connection.savepoint():
            yield
    except DomainError:
        del work.events[events:], work.warnings[warnings:]
        forget()
        raise


def _note(work: Work, tally: Tally, entries: list[Entry], kind: str, done: Done) -> None:
    outcome, target_id, changed = done
    setattr(tally, outcome, getattr(tally, outcome) + 1)
    if outcome != "skipped":
        entry = Entry(f"pull-{outcome}", kind, target_id, Outcome.SUCCESS, 200, changed=changed)
        entries.append(_with_warnings(work, entry))


def _sentence(refusal: DomainError) -> str:
    """Say why, without whom: which team holds what is for the administrator to read, a name or number is nobody's."""
    if isinstance(refusal, StillHolds):
        return refusal.sentence
    return provisioning_log.masked_sentence(refusal.sentence, lambda word: False)


def log(work: Work, entry: Entry) -> None:
    """Write an entry down with the warnings and events that belong to it."""
    outbox.flush(work, provisioning_log.entry_of(work, _with_warnings(work, entry)))


def _with_warnings(work: Work, entry: Entry) -> Entry:
    warnings, work.warnings = work.warnings, []
    if not warnings or entry.outcome is not Outcome.SUCCESS:
        return entry
    said = " ".join([sentence for _, sentence in warnings])
    return replace(entry, outcome=Outcome.WARNING, reason_code=warnings[0][0], reason=said)


# Users --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Here:
    """Who of a page is here: looked up once for all of it, and kept up as it is written down."""

    work: Work
    ids: dict[str, str | None]
    """Object id → our id; None: not here. Of others it is not known."""
    unlinked: Set[str]
    """The folded names of those who are here and have no object id yet."""

    @classmethod
    def of(cls, work: Work, users: Sequence[GraphUser]) -> "Here":
        """Look up some users, and who manages them."""
        asked = {user.id for user in users}
        asked |= {user.manager.now for user in users if isinstance(user.manager, ManagerDelta) and user.manager.now}
        found = directory.users_by_object_id(work, sorted(asked))
        names = [
            user.user_principal_name
            for user in users
            if user.id not in found and not user.gone and isinstance(user.user_principal_name, str)
        ]
        unlinked = directory.unlinked_names(work, names) if names else set()
        return cls(work, {each: found.get(each) for each in asked}, unlinked)

    def find(self, object_id: str) -> str | None:
        """Give a user's own id."""
        if object_id not in self.ids:
            self.ids[object_id] = directory.user_by_object_id(self.work, object_id)
        return self.ids[object_id]

    def match(self, user: GraphUser) -> str | None:
        """Find a user: by its object id, or once by the name that both sides know it under (house.md §3 D)."""
        known, name = self.find(user.id), user.user_principal_name
        if known is not None or user.gone or not isinstance(name, str) or fold(name) not in self.unlinked:
            return known
        self.ids[user.id] = directory.match_user(self.work, user.id, name)
        return self.ids[user.id]


def _user(work: Work, here: Here, user: GraphUser, scope: Scope, complete: bool) -> Done:
    in_scope = scope is None or user.id in scope
    user_id = here.match(user)
    if user_id is None:
        return _import(work, here, user) if in_scope and not user.gone else SKIPPED
    if user.removed is Removed.DELETED:
        # Its memberships go with it; the groups may never say so (entra.md §8.4).
        provisioning.delete_user(work, user_id)
        here.ids[user.id] = None
        return "removed", user_id, ()
    before = provisioning.lock_user(work, user_id)
    stored: JsonObject = {**attributes_of(before.document), "active": bool(before.active)}
    wanted = changes(user, stored, complete=complete)
    if not in_scope and wanted.get("active") is True:
        # Whoever was taken out of scope is inactive with an enabled account.
        del wanted["active"]
    resource = applied(stored, wanted)
    _await_manager(work, user_id, user, _set_manager(here, resource, user))
    _, changed = provisioning.save_user(work, before, UserRecord(resource, bool(resource.get("active", True))))
    return ("changed", user_id, changed) if changed else SKIPPED


def _take_name(work: Work, user: GraphUser, refusal: DomainError) -> bool:
    """Take a name from who holds it here, where it is another's in Entra by now; say whether that was the cause.

    Who is deleted there gives the name free and is in our mirror for 30 days more, and two may have swapped names.
    Until Graph says otherwise the former holder is called as Entra calls who is deleted (entra.md rule 29).
    """
    if not isinstance(refusal, UserNameTaken):
        return False
    assert isinstance(user.user_principal_name, str)
    holder = directory.holder_of_name(work, user.user_principal_name)
    if holder is None or holder[1] in (None, user.id):
        return False
    user_id, object_id = holder
    before = provisioning.lock_user(work, user_id)
    resource = attributes_of(before.document)
    resource["userName"] = f"{str(object_id).replace('-', '')}{resource['userName']}"
    _, changed = provisioning.save_user(work, before, UserRecord(resource, bool(before.active)))
    log(work, Entry("pull-changed", "User", user_id, Outcome.SUCCESS, 200, changed=changed))
    return True


def _import(work: Work, here: Here, user: GraphUser) -> Done:
    resource = scim_resource(user, external_id_is_object_id=True)
    if not isinstance(resource.get("userName"), str):
        return SKIPPED
    unknown = _set_manager(here, resource, user)
    created = provisioning.create_user(work, UserRecord(resource, bool(resource["active"])), user_id=new_id())
    here.ids[user.id] = created.id
    if unknown is not None:
        awaited.expect_manager(work, created.id, unknown)
    return "created", created.id, sorted(resource)


def _set_manager(here: Here, resource: JsonObject, user: GraphUser) -> str | None:
    """Put the manager into a resource, by the id that the mirror knows it under.

    One that is not here is left out, and its object id is given.
    """
    if user.manager is UNSET or user.gone:
        return None
    enterprise = dict(resource.get(ENTERPRISE_USER) or {})
    unknown = None
    if user.manager is None:
        enterprise.pop("manager", None)
    else:
        assert isinstance(user.manager, ManagerDelta)
        named = user.manager.now
        known = None if named is None else here.find(named)
        held = (enterprise.get("manager") or {}).get("value")
        if known is not None:
            enterprise["manager"] = {"value": known}
        elif _is_one_of(here.work, held, user.manager.no_longer):
            enterprise.pop("manager", None)
        unknown = named if known is None else None
    if enterprise:
        resource[ENTERPRISE_USER] = enterprise
    else:
        resource.pop(ENTERPRISE_USER, None)
    return unknown


def _is_one_of(work: Work, held: str | None, object_ids: Set[str]) -> bool:
    if held is None or not object_ids:
        return False
    return held in directory.users_by_object_id(work, sorted(object_ids)).values()


def _await_manager(work: Work, user_id: str, user: GraphUser, unknown: str | None) -> None:
    """Remember the manager of a user that is not here yet, and forget one that was waited for and is none any more."""
    if user.manager is UNSET or user.gone:
        return
    if unknown is not None:
        awaited.expect_manager(work, user_id, unknown)
    elif isinstance(user.manager, ManagerDelta) and user.manager.now is None:
        awaited.drop_manager(work, user_id, sorted(user.manager.no_longer))
    else:
        awaited.drop_manager(work, user_id)


def _give_manager(work: Work, user_id: str, manager_id: str) -> Done:
    before = provisioning.lock_user(work, user_id)
    resource = attributes_of(before.document)
    resource[ENTERPRISE_USER] = {**(resource.get(ENTERPRISE_USER) or {}), "manager": {"value": manager_id}}
    _, changed = provisioning.save_user(work, before, UserRecord(resource, bool(before.active)))
    return ("changed", user_id, changed) if changed else SKIPPED


def _switch_off(work: Work, user_id: str) -> Done:
    before = provisioning.lock_user(work, user_id)
    resource = {**attributes_of(before.document), "active": False}
    _, changed = provisioning.save_user(work, before, UserRecord(resource, active=False))
    return ("changed", user_id, changed) if changed else SKIPPED


# Groups -------------------------------------------------------------------------------------------------------------


def _group(work: Work, group: GraphGroup, here: Mapping[str, str], imports: bool) -> Done:
    group_id = directory.group_by_object_id(work, group.id)
    if group_id is None:
        return _import_group(work, group, here) if imports and not group.gone else SKIPPED
    if group.gone:
        provisioning.delete_group(work, group_id)
        return "removed", group_id, ()
    before = provisioning.lock_group(work, group_id)
    change = GroupChange()
    if isinstance(group.display_name, str) and group.display_name != before.display_name:
        change.record = GroupRecord(group.display_name, before.external_id, before.extensions)
    if group.members is not UNSET:
        users = group.members.users
        change.steps = [
            MemberStep(op, ids)
            for op, ids in (
                ("remove", [here[each] for each in sorted(users.removed) if each in here]),
                ("add", [here[each] for each in sorted(users.added) if each in here]),
            )
            if ids
        ]
    changed = provisioning.change_group(work, before, change, pushed=False)
    return ("changed", group_id, changed) if changed else SKIPPED


def _leave_out(here: dict[str, str], refusal: DomainError) -> bool:
    """Leave out members who went while the page was taken over, and say whether they were the cause."""
    if not isinstance(refusal, UnknownMembers):
        return False
    for object_id in [each for each, user_id in here.items() if user_id in refusal.ids]:
        del here[object_id]
    return True


def _import_group(work: Work, group: GraphGroup, here: Mapping[str, str]) -> Done:
    """Take a group over with its members, of those that are here. It is no team: that is for an administrator (G3)."""
    if not isinstance(group.display_name, str):
        return SKIPPED
    named = frozenset[str]() if group.members is UNSET else group.members.users.added
    members = [here[each] for each in sorted(named) if each in here]
    created = provisioning.create_group(work, GroupRecord(group.display_name, group.id), members, pushed=False)
    return "created", created.id, ["displayName", "externalId", *(["members"] if members else [])]
