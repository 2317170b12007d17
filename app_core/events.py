"""What happened, in the past tense: the events that leave with the outbox, and the one table of their kinds (V3).

An event names its subject and the facts of the change. It never carries a secret, a start code or vault data
(invariant 23), nor what a person's attributes say: who needs that asks for the subject.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event: what it is about, what it says in a sentence, and what its payload holds."""

    subject: str
    sentence: str
    payload: Mapping[str, str] = field(default_factory=dict)
    """Member → JSON type: `text`, `text?` (may be null), `integer`, `boolean`, `texts`."""


CARD = {"person_id": "text?", "template_id": "text"}
TYPES: dict[str, Kind] = {
    "person.created": Kind("person", "A person came into being.", {"origin": "text", "active": "boolean"}),
    "person.updated": Kind("person", "The directory or an administrator changed a person.", {"changed": "texts"}),
    "person.deactivated": Kind("person", "A person may no longer sign in; cards are paused, the seat is free."),
    "person.reactivated": Kind("person", "A person may sign in again."),
    "person.departed": Kind("person", "The directory deleted a person; paused cards are left for the administrator."),
    "person.deleted": Kind("person", "A person is gone with all that belonged to it."),
    "person.linked": Kind("person", "A person was joined to a user of the directory.", {"directory_user_id": "text"}),
    "team.created": Kind("team", "A team came into being.", {"name": "text", "kind": "text"}),
    "team.renamed": Kind("team", "A team has another name.", {"name": "text", "former_name": "text"}),
    "team.members_changed": Kind(
        "team",
        "People joined or left a team; up to 100 of each are named, all are counted.",
        {"added": "texts", "removed": "texts", "added_count": "integer", "removed_count": "integer"},
    ),
    "team.deleted": Kind("team", "A team is gone.", {"name": "text"}),
    "team.deletion_refused": Kind(
        "team", "A team was to be deleted and still holds logins.", {"name": "text", "login_count": "integer"}
    ),
    "team.detached": Kind("team", "A team no longer follows a group and stays with its members.", {"name": "text"}),
    "login.added": Kind("login", "A login was put into a team.", {"team_id": "text"}),
    "login.updated": Kind("login", "A login was changed.", {"team_id": "text"}),
    "login.moved": Kind("login", "A login went to another team.", {"team_id": "text", "former_team_id": "text"}),
    "login.deleted": Kind("login", "A login is gone.", {"team_id": "text"}),
    "template.created": Kind("template", "A card template came into being.", {"name": "text"}),
    "template.changed": Kind(
        "template", "A card template, and with it all its cards, looks different.", {"name": "text", "changed": "texts"}
    ),
    "template.deleted": Kind("template", "A card template is gone.", {"name": "text"}),
    "template.assignments_changed": Kind(
        "template", "Other groups lead to a template.", {"added": "texts", "removed": "texts"}
    ),
    "card.issued": Kind("card", "A person has a card.", CARD),
    "card.paused": Kind("card", "A card shows nothing any more.", {**CARD, "reason": "text"}),
    "card.revived": Kind("card", "A paused card is back, with its edits.", CARD),
    "card.reactivated": Kind("card", "An administrator took a paused card up again; it is theirs now.", CARD),
    "card.updated": Kind("card", "A card was edited.", {**CARD, "changed": "texts"}),
    "card.claimed": Kind("card", "A card by invitation has found its person.", CARD),
    "card.deleted": Kind("card", "A card is gone.", CARD),
    "seat.opened": Kind("seat", "A person takes a seat.", {"person_id": "text"}),
    "seat.waiting": Kind("seat", "A person waits for a seat.", {"person_id": "text"}),
    "seat.released": Kind("seat", "A seat is free again.", {"person_id": "text"}),
    "activation.requested": Kind("activation", "An administrator activated a person's account."),
    "activation.code_issued": Kind("activation", "A start code was made; the former one is void."),
    "activation.redeemed": Kind("activation", "A person redeemed the start code: the account is activated."),
    "activation.suspended": Kind("activation", "An activated account is suspended with its person."),
    "activation.resumed": Kind("activation", "A suspended account is activated again."),
    "activation.revoked": Kind("activation", "An account is no longer activated."),
    "invitation.created": Kind("invitation", "A card waits for whom it was made.", {"card_id": "text"}),
    "invitation.claimed": Kind("invitation", "An invitation was taken up.", {"card_id": "text"}),
    "invitation.revoked": Kind("invitation", "An invitation no longer holds.", {"card_id": "text"}),
    "settings.changed": Kind("settings", "The tenant's policies changed.", {"changed": "texts"}),
}
VERSION = 1
"""The version of all payloads: members may be added within it, none goes or changes."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a subject."""

    type: str
    subject_id: str
    payload: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Hold the event to its kind: a mistake here would only be seen by whoever reads the feed."""
        if self.payload.keys() != TYPES[self.type].payload.keys():
            raise ValueError(f"{self.type}: the payload must have {sorted(TYPES[self.type].payload)}.")

    @property
    def subject_type(self) -> str:
        """Name what it happened to."""
        return TYPES[self.type].subject
