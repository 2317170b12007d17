"""What the product refuses, and why.

DomainError
├── NotFound            nothing of that id in this tenant
├── Conflict            another row holds the value
│   ├── UserNameTaken
│   ├── GroupNameTaken
│   └── DirectoryTaken  another customer's connection is to the same directory
├── Invalid             the value cannot be taken
│   ├── UnknownMembers
│   ├── MissingFields   fields of a card that nobody could ever fill
│   └── WrongCode       no live start code or claim link
├── StillHolds          it cannot be deleted while it holds other things
│   └── TeamHasLogins
├── NotPossible         what the thing is does not allow it
├── Forbidden           the secret may not do this
├── Stale               somebody else changed the row in between
├── Busy                others held the rows for too long
├── MailNotSent         the mail server did not take a letter
├── SignInRefused       Microsoft has not signed anybody in
└── Unauthenticated     no live secret
"""

from collections.abc import Mapping, Sequence
from typing import Any


class DomainError(Exception):
    """A refusal that an administrator can act on: a stable code and a plain sentence."""

    code = "refused"

    def __init__(self, sentence: str, **facts: Any) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.facts: Mapping[str, Any] = facts


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


class DirectoryTaken(Conflict):
    """A directory is connected to one customer at a time; to which is nobody's business (ADR 0021)."""

    code = "directory-taken"

    def __init__(self) -> None:
        super().__init__(
            "This Entra directory is connected elsewhere on this server already. Disconnect it there first, or ask the "
            "operator of this server."
        )


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


class MissingFields(Invalid):
    """A card could never be filled: fields kept in sync that nobody can edit, and no value for them (C9)."""

    code = "missing-fields"

    def __init__(self, fields: Sequence[str]) -> None:
        super().__init__(
            f"These fields are filled from the directory, cannot be edited and have no value: {', '.join(fields)}. "
            "Give their values, or make them editable in the template.",
            fields=list(fields),
        )


class WrongCode(Invalid):
    """A start code or claim link is unknown, used, expired, or was tried too often; which one is not said."""

    code = "wrong-code"

    def __init__(self, sentence: str, *, counted: bool = False) -> None:
        super().__init__(sentence)
        self.counted = counted
        """Whether the try was written down, and nothing else: the door commits it before it answers, so that of
        many tries at once each waits for the one before (T3: "few tries")."""


class StillHolds(DomainError):
    """Something cannot be deleted while it holds other things; says which, how many, and what to do."""

    code = "still-holds"

    def __init__(self, what: str, counts: Mapping[str, int], remedy: str, **facts: Any) -> None:
        held = " and ".join(
            f"{count} {name.removesuffix('s') if count == 1 else name}" for name, count in counts.items()
        )
        super().__init__(f"{what} still holds {held}; {remedy}.", **facts)
        self.counts = dict(counts)


class TeamHasLogins(StillHolds):
    """A team holds logins: nobody deletes it, by any path (invariant 9)."""

    code = "team-has-logins"

    def __init__(self, team_id: str, name: str, count: int) -> None:
        remedy = f"move or delete {'it' if count == 1 else 'them'} first"
        super().__init__(
            f"Team '{name}'", {"logins": count}, remedy, team_id=team_id, team_name=name, login_count=count
        )
        self.team_id = team_id
        self.name = name
        self.count = count


class NotPossible(DomainError):
    """What is asked does not fit what the thing is, or the state it is in."""

    code = "not-possible"


class Forbidden(DomainError):
    """The secret is live and may not do this."""

    code = "forbidden"


class Stale(DomainError):
    """The row is no longer at the version that the caller saw."""

    code = "stale"


class Busy(DomainError):
    """Others held what a write needs, again and again; nothing of it was stored, and it may be sent once more."""

    code = "busy"

    def __init__(self) -> None:
        super().__init__("The database is busy with other changes. Nothing was changed; try again.")


class MailNotSent(DomainError):
    """The mail server did not take a letter."""

    code = "mail-not-sent"


class Unauthenticated(DomainError):
    """The secret is missing, unknown, revoked or expired."""

    code = "unauthenticated"


class SignInRefused(DomainError):
    """Microsoft has not signed anybody in, or what came back proves nothing."""

    code = "sign-in-refused"
