"""What Graph says of users and groups → the mirror, through the same way in as SCIM. Replays do no harm.

Where Entra also pushes, its assignments decide who is in scope: nobody and no group is imported, and an enabled account
makes nobody active who was taken out of scope (entra.md §8.17). Where only we pull, all groups are imported, and
everybody whom the user filter lets in.
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import TypeAlias

from app_core import awaited, directory, follow, outbox, provisioning, provisioning_log
from app_core.errors import DomainError, StillHolds
from app_core.ids import new_id
from app_core.provisioning import GroupChange, GroupRecord, MemberStep
from app_core.provisioning_log import Entry, Outcome
from app_core.resource import ENTERPRISE_USER, JsonObject, UserRecord, attributes_of
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
Act: TypeAlias = Callable[[], Done]
SKIPPED: Done = ("skipped", "", ())
Scope: TypeAlias = Set[str] | None
"""Whom a pull may import and make active, by object id; None: everybody."""
NOBODY: Scope = frozenset()


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
    tally = Tally(seen=len(users))
    for user in users:
        _one(work, tally, "User", user.id, lambda user=user: _user(work, user, scope, complete))  # type: ignore[misc]
    return tally


def apply_groups(work: Work, groups: Sequence[GraphGroup], *, imports: bool = False) -> Tally:
    """Write down what Graph says of some groups; `imports` takes over those that are not here.

    Which of them are teams is not Graph's to say (G3).
    """
    tally = Tally(seen=len(groups))
    for group in groups:
        _one(work, tally, "Group", group.id, lambda group=group: _group(work, group, imports))  # type: ignore[misc]
    return tally


def switch_off(work: Work, user_ids: Sequence[str]) -> Tally:
    """Make users inactive that the filter leaves out, as Entra does with who is no longer assigned (entra.md §2.6)."""
    tally = Tally(seen=len(user_ids))
    for user_id in user_ids:
        _one(work, tally, "User", user_id, lambda user_id=user_id: _switch_off(work, user_id))  # type: ignore[misc]
    return tally


def set_managers(work: Work, pairs: Sequence[tuple[str, str]]) -> Tally:
    """Give users the managers that they waited for: ids of both."""
    tally = Tally(seen=len(pairs))
    for user_id, manager_id in pairs:
        awaited.drop_manager(work, user_id)
        _one(
            work,
            tally,
            "User",
            user_id,
            lambda user_id=user_id, manager_id=manager_id: _give_manager(work, user_id, manager_id),  # type: ignore[misc]
        )
    return tally


def expect_members(work: Work, groups: Sequence[GraphGroup], chosen: Sequence[str]) -> None:
    """Have the people read by themselves whom groups name and who are not here; with chosen groups, just theirs.

    Theirs are read also where they are here and inactive: who was left out before has an account that says more.
    """
    named = {
        each
        for group in groups
        if group.members is not UNSET and not group.gone and (not chosen or group.id in chosen)
        for each in group.members.users.added
    }
    asked = sorted(named)
    here = directory.active_by_object_id(work, asked) if chosen else set(directory.users_by_object_id(work, asked))
    awaited.expect_users(work, named - here)


def _one(work: Work, tally: Tally, kind: str, object_id: str, act: Act) -> None:
    """Take one object over, or undo it alone and log why."""
    events = len(work.events)
    try:
        with work.connection.savepoint():
            outcome, target_id, changed = act()
    except DomainError as refusal:
        del work.events[events:]
        tally.refused += 1
        follow.after_refusal(work, refusal)
        log(work, Entry("pull", kind, object_id, Outcome.FAILURE, 409, refusal.code, _sentence(refusal)))
        return
    setattr(tally, outcome, getattr(tally, outcome) + 1)
    if outcome != "skipped":
        log(work, Entry(f"pull-{outcome}", kind, target_id, Outcome.SUCCESS, 200, changed=changed))


def _sentence(refusal: DomainError) -> str:
    """Say why, without whom: which team holds what is for the administrator to read, a name or number is nobody's."""
    if isinstance(refusal, StillHolds):
        return refusal.sentence
    return provisioning_log.masked_sentence(refusal.sentence, lambda word: False)


def log(work: Work, entry: Entry) -> None:
    """Write an entry down with the warnings and events that belong to it."""
    warnings, work.warnings = work.warnings, []
    if warnings and entry.outcome is Outcome.SUCCESS:
        said = " ".join([sentence for _, sentence in warnings])
        entry = Entry(
            entry.action,
            entry.target_type,
            entry.target_id,
            Outcome.WARNING,
            entry.status,
            warnings[0][0],
            said,
            entry.changed,
        )
    outbox.flush(work, provisioning_log.entry_of(work, entry))


# Users --------------------------------------------------------------------------------------------------------------


def _user(work: Work, user: GraphUser, scope: Scope, complete: bool) -> Done:
    in_scope = scope is None or user.id in scope
    user_id = _known_user(work, user)
    if user_id is None:
        return _import(work, user) if in_scope and not user.gone else SKIPPED
    if user.removed is Removed.DELETED:
        # Its memberships go with it; the groups may never say so (entra.md §8.4).
        provisioning.delete_user(work, user_id)
        return "removed", user_id, ()
    before = provisioning.lock_user(work, user_id)
    stored: JsonObject = {**attributes_of(before.document), "active": bool(before.active)}
    wanted = changes(user, stored, complete=complete)
    if not in_scope and wanted.get("active") is True:
        # Whoever was taken out of scope is inactive with an enabled account.
        del wanted["active"]
    resource = applied(stored, wanted)
    _await_manager(work, user_id, user, _set_manager(work, resource, user))
    _, changed = provisioning.save_user(work, before, UserRecord(resource, bool(resource.get("active", True))))
    return ("changed", user_id, changed) if changed else SKIPPED


def _known_user(work: Work, user: GraphUser) -> str | None:
    """Find a user: by its object id, or once by the name that both sides know it under (house.md §3 D)."""
    known = directory.user_by_object_id(work, user.id)
    if known is not None or user.gone or not isinstance(user.user_principal_name, str):
        return known
    return directory.match_user(work, user.id, user.user_principal_name)


def _import(work: Work, user: GraphUser) -> Done:
    resource = scim_resource(user, external_id_is_object_id=True)
    if not isinstance(resource.get("userName"), str):
        return SKIPPED
    unknown = _set_manager(work, resource, user)
    created = provisioning.create_user(work, UserRecord(resource, bool(resource["active"])), user_id=new_id())
    if unknown is not None:
        awaited.expect_manager(work, created.id, unknown)
    return "created", created.id, sorted(resource)


def _set_manager(work: Work, resource: JsonObject, user: GraphUser) -> str | None:
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
        known = None if named is None else directory.user_by_object_id(work, named)
        held = (enterprise.get("manager") or {}).get("value")
        if known is not None:
            enterprise["manager"] = {"value": known}
        elif _is_one_of(work, held, user.manager.no_longer):
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


def _group(work: Work, group: GraphGroup, imports: bool) -> Done:
    group_id = directory.group_by_object_id(work, group.id)
    if group_id is None:
        return _import_group(work, group) if imports and not group.gone else SKIPPED
    if group.gone:
        provisioning.delete_group(work, group_id)
        return "removed", group_id, ()
    before = provisioning.lock_group(work, group_id)
    change = GroupChange()
    if isinstance(group.display_name, str) and group.display_name != before.display_name:
        change.record = GroupRecord(group.display_name, before.external_id, before.extensions)
    if group.members is not UNSET:
        users = group.members.users
        known = directory.users_by_object_id(work, sorted(users.added | users.removed))
        change.steps = [
            MemberStep(op, ids)
            for op, ids in (
                ("remove", [known[each] for each in sorted(users.removed) if each in known]),
                ("add", [known[each] for each in sorted(users.added) if each in known]),
            )
            if ids
        ]
    changed = provisioning.change_group(work, before, change, pushed=False)
    return ("changed", group_id, changed) if changed else SKIPPED


def _import_group(work: Work, group: GraphGroup) -> Done:
    """Take a group over with its members, of those that are here. It is no team: that is for an administrator (G3)."""
    if not isinstance(group.display_name, str):
        return SKIPPED
    named = frozenset[str]() if group.members is UNSET else group.members.users.added
    members = list(directory.users_by_object_id(work, sorted(named)).values())
    created = provisioning.create_group(work, GroupRecord(group.display_name, group.id), members, pushed=False)
    return "created", created.id, ["displayName", "externalId", *(["members"] if members else [])]
