"""Why a person has, or has not, a seat, cards and teams: the facts, their causes, and the log entries that tell of them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from app_core import (
    activation,
    administration,
    clock,
    explanations,
    ids,
    manual_people,
    outbox,
    people,
    provisioning,
    provisioning_log,
    self_service,
    teams,
)
from app_core.directory import Group, User
from app_core.explanations import Explanation, Fact, Moment
from app_core.people import Person
from app_core.provisioning import GroupChange, GroupRecord, MemberStep
from app_core.provisioning_log import Entry, Outcome
from app_core.work import Actor, Source, Work
from tests.app_core.builders import a_directory_user, a_group, a_template, person_of, switched
from tests.app_core.conftest import MakeWork

T = TypeVar("T")


class Story:
    """Requests one behind the other, each at an instant of its own and with its entry in the log, as at a door."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.at = clock.seconds(work.now)
        self.heads = ids.Ascending()
        self.entries: dict[str, str] = {}

    def tell(self, action: str, kind: str, act: Callable[[Work], T], target: str | None = None, **said: object) -> T:
        """Do something at the next instant; `target` is what the entry is about, or the id of what comes of it."""
        self.at += 1
        source = Source.SCIM if kind in ("User", "Group") else Source.ADMIN
        work = dataclasses.replace(self.work, now=clock.stamp(self.at), actor=Actor(source, "test"), events=[])
        with self._clock():
            made = act(work)
            about = target or getattr(made, "id", None)
            write(work, Entry(action, kind, about, said.pop("outcome", Outcome.SUCCESS), 200, **said))  # type: ignore[arg-type]
        self.work = work
        self.entries[f"{action} {kind}"] = work.now
        return made

    @contextlib.contextmanager
    def _clock(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            # Ids of this story's own time: those of other tests are not pushed ahead.
            patch.setattr(clock, "milliseconds", lambda: int(self.at * 1000) + 5)
            patch.setattr(ids, "HEADS", self.heads)
            yield

    def note(self, entry: Entry) -> None:
        """Write another entry of the present instant."""
        with self._clock():
            write(self.work, entry)

    def hired(self, name: str = "ada") -> User:
        return self.tell("create", "User", lambda work: a_directory_user(work, name))

    def founded(self, *members: User, name: str = "Sales") -> Group:
        return self.tell("create", "Group", lambda work: a_group(work, *members, name=name))

    def assigned(self, template_id: str, *groups: Group) -> None:
        wanted = [group.id for group in groups]
        self.tell(
            "assign", "Template", lambda work: administration.assign_template(work, template_id, wanted), template_id
        )

    def members(self, group: Group, step: str, *users: User) -> None:
        change = GroupChange(
            GroupRecord(group.display_name, group.external_id), [MemberStep(step, [user.id for user in users])]
        )

        def act(work: Work) -> object:
            return provisioning.change_group(work, provisioning.lock_group(work, group.id), change)

        self.tell("update", "Group", act, group.id, changed=["members"])

    def switched(self, user: User, *, active: bool) -> None:
        def act(work: Work) -> None:
            switched(work, user, active=active)

        self.tell("update", "User", act, user.id, changed=["active"])

    def explain(self, person: Person) -> Explanation:
        now = people.find(self.work, person.id)
        assert now is not None
        return explanations.of_person(self.work, now)

    def told_of(self, entry_id: str | None) -> str:
        """Say what an entry that a fact leads to is about."""
        assert entry_id is not None
        entry = provisioning_log.find(self.work, entry_id)
        assert entry is not None
        return f"{entry['action']} {entry['target_type']}"


def write(work: Work, entry: Entry) -> None:
    outbox.flush(work, provisioning_log.entry_of(work, entry))


@pytest.fixture
def story(work: Work) -> Story:
    return Story(work)


def about(explained: Explanation, what: str) -> list[Fact]:
    return [fact for fact in explained.facts if fact.about == what]


def causes(fact: Fact) -> list[str]:
    return [cause.says for cause in fact.causes]


def moment(explained: Explanation, says: str) -> Moment:
    (found,) = [each for each in explained.moments if each.says == says]
    return found


def test_a_card_is_there_because_a_group_leads_to_its_template(story: Story) -> None:
    """The card, the seat and the team each name the group, since when, and the entry of what brought them about."""
    template = a_template(story.work, name="Business card")
    user = story.hired()
    person = person_of(story.work, user)
    sales = story.founded(user, name="Sales")
    story.assigned(template.id, sales)

    explained = story.explain(person)

    (card,), (seat,), (team,) = (about(explained, each) for each in ("card", "seat", "team"))
    assert ("Has a card of 'Business card'.", "good") == (card.says, card.tone)
    assert ["Member of group 'Sales', which is assigned to this template."] == causes(card)
    # The later of the two: that it joined, and that the group was assigned.
    assert story.entries["assign Template"] == card.causes[0].at == card.at
    assert ("group", sales.id) == (card.causes[0].noun, card.causes[0].id)
    assert "assign Template" == story.told_of(card.entry_id) == story.told_of(seat.entry_id)
    assert ["The card of 'Business card' needs one."] == causes(seat)
    assert ("In team 'Sales'.", ["Member of group 'Sales'."]) == (team.says, causes(team))
    assert "create Group" == story.told_of(team.entry_id)
    got = moment(explained, "An administrator assigned other groups to the template 'Business card'.")
    assert ["Got a card of 'Business card'.", "Took a seat."] == [step.says for step in got.steps]


def test_a_card_is_paused_because_the_last_group_was_left(story: Story) -> None:
    """It names the group that was left and those that would bring it back; the seat went with the same request."""
    template = a_template(story.work, name="Business card")
    user = story.hired()
    person = person_of(story.work, user)
    sales = story.founded(user, name="Sales")
    story.assigned(template.id, sales)
    story.members(sales, "remove", user)

    explained = story.explain(person)

    (card,), (seat,) = about(explained, "card"), about(explained, "seat")
    assert ("The card of 'Business card' is paused.", "warn") == (card.says, card.tone)
    assert ["Left the last group that led to it: 'Sales'.", "Groups that lead to it: 'Sales'."] == causes(card)
    assert story.entries["update Group"] == card.at == seat.at
    assert "update Group" == story.told_of(card.entry_id)
    assert ("Has no seat.", "plain") == (seat.says, seat.tone)
    assert [] == about(explained, "team")
    left = explained.moments[0]
    assert "Entra changed the group 'Sales'." == left.says
    assert ["The card of 'Business card' was paused.", "Gave the seat back."] == [step.says for step in left.steps]


def test_a_card_is_paused_because_the_administrator_took_the_group_away(story: Story) -> None:
    """Then the request that did it is the template's."""
    template = a_template(story.work, name="Business card")
    user = story.hired()
    sales = story.founded(user)
    story.assigned(template.id, sales)
    story.assigned(template.id)

    (card,) = about(story.explain(person_of(story.work, user)), "card")

    assert ["An administrator took away the last group that led to it.", "No group leads to this template."] == causes(
        card
    )


def test_who_is_deactivated_is_so_since_the_directory_said_so(story: Story) -> None:
    """The newest switch is named with its entry, and each switch says which way it went."""
    template = a_template(story.work, name="Business card")
    user = story.hired()
    person = person_of(story.work, user)
    story.assigned(template.id, story.founded(user))
    story.switched(user, active=False)
    story.switched(user, active=True)
    story.switched(user, active=False)

    explained = story.explain(person)

    (who,), (card,) = about(explained, "person"), about(explained, "card")
    assert ("bad", story.entries["update User"]) == (who.tone, who.at)
    assert "active = false" in who.causes[0].says
    assert "update User" == story.told_of(who.entry_id)
    assert ["The directory deactivated the user; the card comes back with it."] == causes(card)
    said = [each.says for each in explained.moments if "active" in each.says]
    assert ["Entra set active to false.", "Entra set active to true.", "Entra set active to false."] == said


def test_who_waits_for_a_seat_has_a_number_in_line(make_work: MakeWork) -> None:
    """The limit and the place are named; who gets a freed seat is told that somebody else's became free."""
    story = Story(make_work(seats=1))
    template = a_template(story.work, name="Business card")
    users = [story.hired(name) for name in ("ada", "bob", "cyd")]
    sales = story.founded(name="Sales")
    story.assigned(template.id, sales)
    for user in users:
        story.members(sales, "add", user)
    people_of = [person_of(story.work, user) for user in users]

    waiting = [about(story.explain(each), "seat")[0] for each in people_of]

    assert ["Has a seat.", "Waits for a seat: number 1 in line.", "Waits for a seat: number 2 in line."] == [
        fact.says for fact in waiting
    ]
    assert waiting[1].causes[0].says.startswith("The only seat is taken.")
    (card,) = about(story.explain(people_of[1]), "card")
    assert ("The card of 'Business card' waits for a seat.", "warn") == (card.says, card.tone)

    story.switched(users[0], active=False)

    explained = story.explain(people_of[1])
    assert "Has a seat." == about(explained, "seat")[0].says
    assert ["Took a seat."] == [step.says for step in moment(explained, "Somebody else's seat became free.").steps]
    assert "Waits for a seat: number 1 in line." == about(story.explain(people_of[2]), "seat")[0].says


def test_who_has_no_card_is_told_why(story: Story) -> None:
    """In none of its groups, no group at all, or not active: for each template that there is."""
    led, unled = a_template(story.work, name="Led"), a_template(story.work, name="Unled")
    ada, bob = story.hired("ada"), story.hired("bob")
    story.switched(bob, active=False)
    story.assigned(led.id, story.founded(bob, name="Sales"))

    cards = {fact.id: fact for fact in about(story.explain(person_of(story.work, ada)), "card")}
    of_bob = {fact.id: fact for fact in about(story.explain(person_of(story.work, bob)), "card")}

    assert ["Not in any of its groups.", "Groups that lead to it: 'Sales'."] == causes(cards[led.id])
    assert ["No group leads to this template."] == causes(cards[unled.id])
    assert "Not active: only active people get cards." == causes(of_bob[led.id])[0]


def test_who_departed_is_still_explained(story: Story) -> None:
    """The entry of the deletion leads to the user that is gone, and with it to what the log says of it."""
    template = a_template(story.work, name="Business card")
    user = story.hired()
    person = person_of(story.work, user)
    story.assigned(template.id, story.founded(user))
    story.tell("delete", "User", lambda work: provisioning.delete_user(work, user.id), user.id)

    explained = story.explain(person)

    (who,), (card,) = about(explained, "person"), about(explained, "card")
    assert ("Has left the directory.", "bad", "delete User") == (who.says, who.tone, story.told_of(who.entry_id))
    assert ["The directory deleted the user."] == causes(card)
    assert {"Entra provisioned the user.", "Entra deleted the user."} <= {each.says for each in explained.moments}


def test_an_account_says_how_far_it_is(story: Story) -> None:
    """From nothing, by a code that is tried in vain, to a redeemed one, which takes a seat."""
    user = story.hired()
    person = person_of(story.work, user)

    def account() -> tuple[str, str]:
        (fact,) = about(story.explain(person), "account")
        return fact.says, fact.causes[0].says

    assert "Not activated." == account()[0]
    story.tell("activate", "Person", lambda work: activation.request(work, person.id), person.id)
    assert "Waits for a start code." == account()[0]
    code = story.tell("issue start code", "Person", lambda work: activation.issue_code(work, person.id), person.id)
    assert ("A start code was made and is not redeemed.", "It works once. It expires") == account()
    story.tell(
        "redeem start code",
        "Person",
        lambda work: self_service.redeem_start_code(work, person.sign_in, code.code),
        person.id,
    )

    explained = story.explain(person)

    assert "Activated." == account()[0]
    assert ["The activated account needs one."] == causes(about(explained, "seat")[0])
    redeemed = moment(explained, "The start code was redeemed.")
    assert {"The account was activated.", "Took a seat."} == {step.says for step in redeemed.steps}
    story.tell("revoke activation", "Person", lambda work: administration.revoke_activation(work, person.id), person.id)
    assert "Revoked." == account()[0]


def test_a_person_by_hand_is_in_the_teams_that_somebody_put_it_in(story: Story) -> None:
    """Nothing of the directory is looked for; what an administrator did is told as that."""
    person = story.tell("create", "Person", lambda work: manual_people.add(work, "Mara"))
    team = story.tell("create", "Team", lambda work: teams.create_manual(work, "Bid team"))
    story.tell("add member", "Team", lambda work: teams.add_member(work, team, person.id), team.id)

    explained = story.explain(person)

    assert "Here by hand." == about(explained, "person")[0].says
    (fact,) = about(explained, "team")
    assert ("In team 'Bid team'.", "add member Team") == (fact.says, story.told_of(fact.entry_id))
    assert ["An administrator put this person into a team.", "An administrator added this person by hand."] == [
        each.says for each in explained.moments
    ]


def test_two_requests_of_one_instant_are_not_mixed_up(story: Story) -> None:
    """Where the log cannot say which of them it was, no entry is shown: a wrong cause is worse than none."""
    user = story.hired()
    person = person_of(story.work, user)
    story.founded(user, name="Sales")
    story.note(Entry("update", "Group", "another", Outcome.SUCCESS, 200))

    explained = story.explain(person)

    (team,) = about(explained, "team")
    assert ("In team 'Sales'.", None) == (team.says, team.entry_id)


def test_what_was_refused_is_told(story: Story) -> None:
    """A refusal about the person is a moment of its own, with its reason."""
    user = story.hired()
    story.tell(
        "update",
        "User",
        lambda work: None,
        user.id,
        outcome=Outcome.FAILURE,
        reason="It was not E.164.",
        reason_code="x",
    )

    explained = story.explain(person_of(story.work, user))

    assert ("Entra tried to update, and was refused. It was not E.164.", "bad") == explained.moments[0][1:3]


def test_nothing_of_another_tenant_is_told(make_work: MakeWork) -> None:
    """The same instants, and a log of their own."""
    ours, theirs = Story(make_work()), Story(make_work())
    user = ours.hired()
    person = person_of(ours.work, user)
    theirs.at = ours.at
    theirs.founded(theirs.hired("eve"), name="Theirs")

    explained = ours.explain(person)

    assert ["Entra provisioned the user."] == [each.says for each in explained.moments]
    assert None is people.find(theirs.work, person.id)
