"""Way in 1, the directory: SCIM and Graph share it. Write down what the directory says, and let the product follow.

Each function is one step of a unit of work that the door has opened; it raises a DomainError and then nothing of it
is stored. Saying the same twice is no change: no version counts up, and nobody is told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app_core import connections, deletion, directory, follow, people, teams
from app_core.db import Violation
from app_core.directory import Group, Members, User
from app_core.errors import GroupNameTaken, Invalid, NotFound, UnknownMembers, UserNameTaken
from app_core.ids import new_id
from app_core.resource import (
    JsonObject,
    UserRecord,
    attributes_of,
    entra_object_id,
    external_key,
    fold,
    group_entry,
    indexed,
)
from app_core.work import Work

# Users --------------------------------------------------------------------------------------------------------------


def create_user(
    work: Work, record: UserRecord, *, user_id: str | None = None, password_hash: str | None = None
) -> User:
    """Take a new user over from the directory. Raises UserNameTaken (invariant 2)."""
    user_id = user_id or new_id()
    profile = follow.profile_of(work, record)
    arrival = people.arrival(work, user_id, record.external_id, profile)
    try:
        user, made = directory.insert_user(work, user_id, record, password_hash, arrival)
    except Violation as violation:
        raise _user_refusal(violation, record) from violation
    follow.after_new_user(work, user, arrival[1]["id"], profile, made=bool(made[0]))
    return user


def lock_user(work: Work, user_id: str) -> User:
    """Give a user that is about to change. Raises NotFound."""
    user = people.lock_user(work, user_id)
    if user is None:
        raise NotFound("User", user_id)
    return user


def save_user(
    work: Work, before: User, record: UserRecord, *, password_hash: str | None = None
) -> tuple[User, list[str]]:
    """Write down what the directory now says about a user; give the user and the names of what changed.

    Raises UserNameTaken.
    """
    if password_hash is not None:
        directory.set_password(work, before.id, password_hash)
    old = attributes_of(before.document)
    changed = changed_attributes(old, record.resource)
    if not changed and record.active == bool(before.active):
        return before, []
    values_changed = any(
        isinstance(old.get(name), list) or isinstance(record.resource.get(name), list) for name in changed
    )
    changed = changed or ["active"]
    try:
        user = directory.update_user(work, before, record, values_changed=values_changed)
    except Violation as violation:
        raise _user_refusal(violation, record) from violation
    follow.after_user(work, before, old, record, changed)
    return user, changed


def delete_user(work: Work, user_id: str) -> None:
    """Forget a user that the directory deleted; it leaves its groups, and its person stays where it holds cards.

    Raises NotFound.
    """
    left = follow.before_user_goes(work, user_id)
    directory.delete_user(work, user_id, left)


def changed_attributes(before: JsonObject, after: JsonObject) -> list[str]:
    """Name the attributes whose value differs, sub-attributes of an extension one by one."""
    changed = []
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if name.startswith("urn:") and isinstance(old or {}, dict) and isinstance(new or {}, dict):
            inner_old, inner_new = old or {}, new or {}
            changed += [
                f"{name}:{inner}"
                for inner in {**inner_old, **inner_new}
                if inner_old.get(inner) != inner_new.get(inner)
            ]
        else:
            changed.append(name)
    return changed


def _user_refusal(violation: Violation, record: UserRecord) -> Exception:
    if violation.unique("user_name_key"):
        return UserNameTaken(record.user_name)
    return violation


# Groups -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """What the directory says about a group, without its members."""

    display_name: str
    external_id: str | None = None
    extensions: str | None = None
    """Attributes of extensions unknown here, as the inside of a JSON object."""


@dataclass(slots=True)
class GroupChange:
    """A change of a group, as sets: what of it to set, and whom to add, remove, or keep alone."""

    record: GroupRecord | None = None
    steps: list["MemberStep"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MemberStep:
    """One step on the members, in the order sent: `add`, `remove`, or `replace` (everybody else leaves)."""

    op: str
    ids: Sequence[str] | Callable[[], Sequence[str]]
    """Whom; or how to find them when it is this step's turn."""


def create_group(
    work: Work,
    record: GroupRecord,
    members: Sequence[str] = (),
    *,
    group_id: str | None = None,
    pushed: bool = True,
) -> Group:
    """Take a new group over from the directory. Raises GroupNameTaken, UnknownMembers.

    `pushed` says that Entra itself names it, by SCIM: only then it becomes a team by itself (P3, ADR 0019).
    """
    group_id = group_id or new_id()
    policy = _hold_names(work, record)
    row = {
        "id": group_id,
        "connection_id": work.connection_id,
        **_columns(group_id, record),
        "pushed": pushed,
        "version": 1,
        "created_at": work.now,
        "modified_at": work.now,
    }
    team = teams.arrival(work, group_id, record.display_name)
    steps = [(directory.INSERT_GROUP, row), *([team] if pushed else [])]
    try:
        named, *made = work.run_expecting(steps, [1, int(policy == "all")][: len(steps)])
    except Violation as violation:
        raise _group_refusal(violation, record) from violation
    if not named:
        raise _name_taken(record)
    directory.count(work, "Group", 1)
    follow.after_new_group(work, team[1]["id"], record.display_name, made=any(made))
    if members:
        moves = Moves()
        _take_step(work, group_id, MemberStep("add", members), moves)
        follow.after_group(work, group_id, added=list(moves.came))
    return Group(group_id, record.display_name, record.external_id, record.extensions, 1, work.now, work.now, pushed)


def lock_group(work: Work, group_id: str) -> Group:
    """Give a group that is about to change; changes of one group wait for each other. Raises NotFound."""
    group = directory.lock_group(work, group_id)
    if group is None:
        raise NotFound("Group", group_id)
    return group


def change_group(work: Work, before: Group, change: GroupChange, *, pushed: bool = True) -> list[str]:
    """Write down what the directory says about a group; give the names of what changed.

    Members are added and removed as rows, never loaded. A group that a pull brought is a pushed one from the first time
    that Entra itself names it (`pushed`). Raises GroupNameTaken, UnknownMembers.
    """
    changed = []
    record = change.record
    now_stored = GroupRecord(before.display_name, before.external_id, before.extensions)
    renamed = record is not None and record != now_stored
    if pushed and not before.pushed:
        _push(work, before.id, (record or now_stored).display_name)
    if record is not None and renamed:
        changed += _differences(now_stored, record)
        if "displayName" in changed or "externalId" in changed:
            _hold_names(work, record)
    moves = Moves()
    for step in change.steps:
        _take_step(work, before.id, step, moves)
    if moves.any:
        changed.append("members")
    if not changed:
        teams.unmark_deletion(work, before.id)
        return changed
    name = record.display_name if record is not None and "displayName" in changed else None
    follow.after_group(work, before.id, name=name, added=list(moves.came), removed=list(moves.left))
    # Nothing that follows reads it: written at the end it shares the trip of the log entry.
    _store(work, before.id, record or now_stored, changed)
    return changed


def _store(work: Work, group_id: str, record: GroupRecord, changed: Sequence[str]) -> None:
    if changed == ["members"]:
        directory.touch_groups(work, [group_id])
        return
    row = {"group_id": group_id, "modified_at": work.now, **_columns(group_id, record)}
    if "displayName" not in changed and "externalId" not in changed:
        work.run_later(directory.UPDATE_GROUP, **row)
        return
    row["connection_id"] = work.connection_id
    try:
        named = work.run_expecting([(directory.NAME_GROUP, row)], [1])
    except Violation as violation:
        raise _group_refusal(violation, record) from violation
    if not any(named):
        raise _name_taken(record)


def _push(work: Work, group_id: str, name: str) -> None:
    """Have a group be a pushed one; it becomes a team as if it had come by push, unless it is one."""
    directory.mark_pushed(work, group_id)
    statement, team = teams.arrival(work, group_id, name)
    if work.run(statement, **team):
        follow.after_new_group(work, team["id"], name, made=True)
        follow.after_new_team(work, team["id"], group_id)


def delete_group(work: Work, group_id: str) -> None:
    """Forget a group that the directory deleted or unassigned, and its team with it (P4).

    Raises NotFound, and TeamHasLogins while the team holds logins and the tenant's policy is to refuse.
    """
    nested = deletion.before_group_goes(work, group_id)
    directory.delete_group(work, group_id, nested=nested)


@dataclass(slots=True)
class Moves:
    """What the steps on a group come to, in order: which users were out before and are in now, and the reverse."""

    came: dict[str, None] = field(default_factory=dict)
    left: dict[str, None] = field(default_factory=dict)
    any: bool = False

    def note(self, came: Members, left: Members) -> None:
        """Add a step; who left after coming has done neither."""
        self.any = self.any or any((*came, *left))
        _cancel(left.users, self.came, self.left)
        _cancel(came.users, self.left, self.came)


def _cancel(ids: Sequence[str], opposite: dict[str, None], mine: dict[str, None]) -> None:
    for each in ids:
        if each in opposite:
            del opposite[each]
        else:
            mine[each] = None


NOBODY = Members([], [])


def _take_step(work: Work, group_id: str, step: MemberStep, moves: Moves) -> None:
    """Take one step on the members and note whom it moved."""
    ids = list(dict.fromkeys(step.ids() if callable(step.ids) else step.ids))
    if step.op == "remove":
        # Taking out who is not in is a success: Entra cannot see members and repeats itself.
        moves.note(NOBODY, directory.remove_members(work, group_id, ids) if ids else NOBODY)
        return
    if group_id in ids:
        raise Invalid(f"members: the group '{group_id}' cannot be a member of itself. Nothing was changed.")
    gone = directory.keep_members(work, group_id, ids) if step.op == "replace" else NOBODY
    came = directory.add_members(work, group_id, ids) if ids else NOBODY
    if len(came.users) + len(came.groups) < len(ids):
        unknown = directory.unknown_members(work, ids)
        if unknown:
            raise UnknownMembers(unknown)
    moves.note(came, gone)


def _hold_names(work: Work, record: GroupRecord) -> str:
    return connections.hold_names(work, alone=entra_object_id(record.external_id) is None)


def _name_taken(record: GroupRecord) -> GroupNameTaken:
    """Refuse a name that could not be told from another group's (product decision 5)."""
    return GroupNameTaken(
        f"A group named '{record.display_name}' already exists. Two groups may share a name only when both "
        "have different externalIds; match groups on externalId in the attribute mapping."
    )


def _columns(group_id: str, record: GroupRecord) -> dict[str, str | None]:
    return {
        "display_name": record.display_name,
        "display_key": indexed("displayName", fold(record.display_name)),
        "external_id": record.external_id,
        "external_key": None if record.external_id is None else indexed("externalId", external_key(record.external_id)),
        "entra_object_id": entra_object_id(record.external_id),
        "extensions": record.extensions,
        "entry": group_entry(group_id, record.display_name),
    }


def _differences(before: GroupRecord, after: GroupRecord) -> list[str]:
    names = {"display_name": "displayName", "external_id": "externalId", "extensions": "extensions"}
    return [name for key, name in names.items() if getattr(before, key) != getattr(after, key)]


def _group_refusal(violation: Violation, record: GroupRecord) -> Exception:
    if violation.unique("entra_object_id"):
        return GroupNameTaken(f"A group with externalId '{record.external_id}' already exists.")
    # Its team refers to the group, which is not written down under a name that is not free.
    return _name_taken(record) if violation.reference else violation
