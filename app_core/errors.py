"""What the product refuses, and why.

DomainError
├── NotFound            nothing of that id in this tenant
├── Conflict            another row holds the value
│   ├── UserNameTaken
│   └── GroupNameTaken
├── Invalid             the value cannot be taken
│   └── UnknownMembers
├── StillHolds          it cannot be deleted while it holds other things
├── Stale               somebody else changed the row in between
├── Busy                others held the rows for too long
└── Unauthenticated     no live secret
"""

from collections.abc import Mapping, Sequence


class DomainError(Exception):
    """A refusal that an administrator can act on: a stable code and a plain sentence."""

    code = "refused"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class NotFound(DomainError):
    """Nothing of that kind and id exists in the acting tenant."""

    code = "not-found"

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(f"{kind} '{key[:200]}' was not found.")


class Conflict(DomainError):
    """A value that must be unique is held by another row."""

    code = "conflict"


class UserNameTaken(Conflict):
    """Another user of the connection has this userName, in whatever case."""

    code = "user-name-taken"

    def __init__(self, user_name: str) -> None:
        super().__init__(f"A user with userName '{user_name}' already exists.")


class GroupNameTaken(Conflict):
    """Another group has this name or this externalId, and the two cannot be told apart."""

    code = "group-name-taken"


class Invalid(DomainError):
    """A value cannot be taken as it is."""

    code = "invalid"


class UnknownMembers(Invalid):
    """Members were named that do not exist; nothing of the change was stored."""

    code = "unknown-members"

    def __init__(self, ids: Sequence[str]) -> None:
        shown = ", ".join(f"'{member[:100]}'" for member in ids[:20])
        more = f" and {len(ids) - 20} more" if len(ids) > 20 else ""
        super().__init__(
            f"members: no user or group has the id {shown}{more}. Nothing was changed; "
            "provision the missing objects first, then send the membership again."
        )
        self.ids = list(ids)


class StillHolds(DomainError):
    """Something cannot be deleted while it holds other things; says which, how many, and what to do."""

    code = "still-holds"

    def __init__(self, what: str, counts: Mapping[str, int], remedy: str) -> None:
        held = " and ".join(
            f"{count} {name.removesuffix('s') if count == 1 else name}" for name, count in counts.items()
        )
        super().__init__(f"{what} still holds {held}; {remedy}.")
        self.counts = dict(counts)


class Stale(DomainError):
    """The row is no longer at the version that the caller saw."""

    code = "stale"


class Busy(DomainError):
    """Others held what a write needs, again and again; nothing of it was stored, and it may be sent once more."""

    code = "busy"

    def __init__(self) -> None:
        super().__init__("The database is busy with other changes. Nothing was changed; try again.")


class Unauthenticated(DomainError):
    """The secret is missing, unknown, revoked or expired."""

    code = "unauthenticated"
