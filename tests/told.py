"""What somebody knows who has only read the feed of events: each of them is news, and together they are what is so."""

from __future__ import annotations

from collections import Counter
from typing import Any

JSON = dict[str, Any]
ACCOUNTS = {
    "activation.requested": "requested",
    "activation.code_issued": "code_sent",
    "activation.redeemed": "active",
    "activation.suspended": "suspended",
    "activation.resumed": "active",
    "activation.revoked": "revoked",
}


class Told:
    """Takes events one after the other, and fails at one that tells what was told before or cannot be."""

    def __init__(self) -> None:
        self.cards: dict[str, tuple[str, str, str]] = {}
        """Card → person, template, and whether it is `active` or `paused`."""
        self.seats: dict[str, tuple[str, bool]] = {}
        """Seat → person, and whether it is open."""
        self.teams: dict[str, tuple[str, str]] = {}
        self.members: dict[str, set[str]] = {}
        self.people: dict[str, bool] = {}
        self.logins: dict[str, str] = {}
        self.accounts: dict[str, str] = {}
        self.assigned: set[tuple[str, str]] = set()
        self.gone: set[tuple[str, str]] = set()
        self.counts: Counter[tuple[str, str]] = Counter()
        """How often what was told of whom: `(type, subject)`, and of people `(attribute, person)`."""

    def take(self, kind: str, subject: str, payload: JSON) -> None:
        """Learn of one event; what it says must be news."""
        noun, _, verb = kind.partition(".")
        assert (noun, subject) not in self.gone, f"{kind} of {subject}, which is gone"
        self.counts[kind, subject] += 1
        take = getattr(self, f"_{noun}", None)
        if take is not None:
            take(subject, verb, payload)
        if kind in ACCOUNTS:
            assert ACCOUNTS[kind] != self.accounts.get(subject) or verb == "code_issued", "no news"
            self.accounts[subject] = ACCOUNTS[kind]
        if verb == "deleted":
            self.gone.add((noun, subject))

    def _card(self, card: str, verb: str, payload: JSON) -> None:
        if verb == "deleted":
            del self.cards[card]
            return
        before = self.cards.get(card, ("", "", ""))[2]
        after = {"issued": "active", "paused": "paused", "revived": "active", "reactivated": "active"}[verb]
        assert (before == "") == (verb == "issued")
        assert before != after, "no news"
        self.cards[card] = (payload["person_id"], payload["template_id"], after)

    def _seat(self, seat: str, verb: str, payload: JSON) -> None:
        if verb == "released":
            del self.seats[seat]
            return
        told = (payload["person_id"], verb == "opened")
        assert told != self.seats.get(seat), "no news"
        self.seats[seat] = told

    def _team(self, team: str, verb: str, payload: JSON) -> None:
        if verb == "created":
            assert team not in self.teams
            self.teams[team] = (payload["name"], payload["kind"])
            self.members[team] = set()
        elif verb == "renamed":
            assert payload["former_name"] == self.teams[team][0] != payload["name"]
            self.teams[team] = (payload["name"], self.teams[team][1])
        elif verb == "detached":
            self.teams[team] = (payload["name"], "manual")
        elif verb == "deleted":
            del self.teams[team], self.members[team]
        elif verb == "members_changed":
            added, removed = set(payload["added"]), set(payload["removed"])
            assert (len(added), len(removed)) == (payload["added_count"], payload["removed_count"])
            assert added or removed, "no news"
            assert not added & self.members[team], "no news"
            assert removed <= self.members[team], "no news"
            self.members[team] = (self.members[team] | added) - removed

    def _person(self, person: str, verb: str, payload: JSON) -> None:
        if verb == "created":
            assert person not in self.people
            self.people[person] = payload["active"]
        elif verb == "deleted":
            del self.people[person]
            self.accounts.pop(person, None)
        elif verb in ("deactivated", "reactivated"):
            assert self.people[person] != (verb == "reactivated"), "no news"
            self.people[person] = verb == "reactivated"
        elif verb == "departed":
            self.people[person] = False
        elif verb == "updated":
            assert payload["changed"], "no news"
            self.counts.update((name.rpartition(":")[2], person) for name in payload["changed"])

    def _login(self, login: str, verb: str, payload: JSON) -> None:
        if verb == "deleted":
            del self.logins[login]
        else:
            self.logins[login] = payload["team_id"]

    def _template(self, template: str, verb: str, payload: JSON) -> None:
        if verb == "assignments_changed":
            assert payload["added"] or payload["removed"], "no news"
            self.assigned |= {(template, group) for group in payload["added"]}
            self.assigned -= {(template, group) for group in payload["removed"]}
