"""What Graph says of users and groups → the mirror, through the same way in as SCIM. Replays do no harm.

Where Entra also pushes, its assignments decide who is in scope: nobody is imported, and an enabled account makes nobody
active who was taken out of scope (entra.md §8.17). Where only we pull, everybody is imported.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from app_core import directory, follow, outbox, provisioning, provisioning_log
from app_core.errors import DomainError, NotFound
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


@dataclass(slots=True)
class Tally:
    """What a page came to."""

    seen: int = 0
    created: int = 0
    changed: int = 0
    removed: int = 0
    skipped: int = 0
    refused: int = 0


def apply_users(work: Work, users: Sequence[GraphUser], *, imports: bool, complete: bool = False) -> Tally:
    """Write down what Graph says of some users, each in a step of its own: one that is refused stops nobody else.

    `complete` says that they come from a full listing, in which what is missing is empty.
    """
    tally = Tally(seen=len(users))
    for user in users:
        _one(work, tally, "User", user.id, lambda user=user: _user(work, user, imports, complete))  # type: ignore[misc]
    return tally


def apply_groups(work: Work, groups: Sequence[GraphGroup]) -> Tally:
    """Write down what Graph says of some groups, of those that are here: which are is not Graph's to say (G3)."""
    tally = Tally(seen=len(groups))
    for group in groups:
        _one(work, tally, "Group", group.id, lambda group=group: _group(work, group))  # type: ignore[misc]
    return tally


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
        _log(work, Entry("pull", kind, object_id, Outcome.FAILURE, 409, refusal.code, refusal.sentence))
        return
    setattr(tally, outcome, getattr(tally, outcome) + 1)
    if outcome != "skipped":
        _log(work, Entry(f"pull-{outcome}", kind, target_id, Outcome.SUCCESS, 200, changed=changed))


def _log(work: Work, entry: Entry) -> None:
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


def _user(work: Work, user: GraphUser, imports: bool, complete: bool) -> Done:
    user_id = _known_user(work, user)
    if user_id is None:
        return _import(work, user) if imports and not user.gone else SKIPPED
    if user.removed is Removed.DELETED:
        # Its memberships go with it; the groups may never say so (entra.md §8.4).
        provisioning.delete_user(work, user_id)
        return "removed", user_id, ()
    before = provisioning.lock_user(work, user_id)
    stored: JsonObject = {**attributes_of(before.document), "active": bool(before.active)}
    wanted = changes(user, stored, complete=complete)
    if not imports and wanted.get("active") is True:
        # Whoever was taken out of scope is inactive with an enabled account.
        del wanted["active"]
    resource = applied(stored, wanted)
    _set_manager(work, resource, user)
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
    _set_manager(work, resource, user)
    created = provisioning.create_user(work, UserRecord(resource, bool(resource["active"])), user_id=new_id())
    return "created", created.id, sorted(resource)


def _set_manager(work: Work, resource: JsonObject, user: GraphUser) -> None:
    """Put the manager into a resource, by the id that the mirror knows it under; one that is not here is left out."""
    if user.manager is UNSET or user.gone:
        return
    enterprise = dict(resource.get(ENTERPRISE_USER) or {})
    if user.manager is None:
        enterprise.pop("manager", None)
    else:
        assert isinstance(user.manager, ManagerDelta)
        named = user.manager.now
        known = None if named is None else directory.user_by_object_id(work, named)
        held = (enterprise.get("manager") or {}).get("value")
        if known is not None:
            enterprise["manager"] = {"value": known}
        elif named is None and held in directory.users_by_object_id(work, sorted(user.manager.no_longer)).values():
            enterprise.pop("manager", None)
    if enterprise:
        resource[ENTERPRISE_USER] = enterprise
    else:
        resource.pop(ENTERPRISE_USER, None)


# Groups -------------------------------------------------------------------------------------------------------------


def _group(work: Work, group: GraphGroup) -> Done:
    group_id = directory.group_by_object_id(work, group.id)
    if group_id is None:
        return SKIPPED
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
    changed = provisioning.change_group(work, before, change)
    return ("changed", group_id, changed) if changed else SKIPPED


def add_group(work: Work, group: GraphGroup, members: Sequence[str]) -> str:
    """Take a group over with its members, of those that are here; one that is here already gets just these members.

    `members` are object ids. Gives the group's id. Raises NotFound for a group that has no name.
    """
    if not isinstance(group.display_name, str):
        raise NotFound("Group in Entra", group.id)
    ids = list(directory.users_by_object_id(work, members).values())
    known = directory.group_by_object_id(work, group.id)
    if known is None:
        return provisioning.create_group(work, GroupRecord(group.display_name, group.id), ids).id
    before = provisioning.lock_group(work, known)
    record = GroupRecord(group.display_name, before.external_id, before.extensions)
    provisioning.change_group(work, before, GroupChange(record, [MemberStep("replace", ids)]))
    return known
