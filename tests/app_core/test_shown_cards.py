"""Cards as they are seen: lists of what is wrong with few of them, in parts that end."""

from __future__ import annotations

from typing import Any

import pytest

from app_core import cards, shown_cards, templates
from app_core.errors import NotFound
from app_core.work import Work
from tests.app_core.builders import a_card, a_directory_user, a_template, person_of
from tests.app_core.conftest import MakeWork

PRONOUNS = {"key": "pronouns", "required": True}
NAME = {"key": "name", "source": "display_name", "mode": "always"}
MOBILE = {"key": "mobile", "source": "mobile_phone", "mode": "always"}


def held(work: Work, name: str, *fields: dict[str, Any], **attributes: Any) -> str:
    """Give somebody new a card of a new template."""
    person = person_of(work, a_directory_user(work, name, **attributes))
    return a_card(work, person, a_template(work, *fields, name=f"Template of {name}"))


def in_parts(work: Work, **asked: Any) -> list[list[str]]:
    """Read a list to its end."""
    parts, after = [], ""
    for _ in range(20):
        found = shown_cards.page(work, after=after, **asked)
        parts.append([each.card.id for each in found.cards])
        if found.next is None:
            return parts
        after = found.next
    raise AssertionError("the list has no end")


def test_few_among_many_are_found_in_parts(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part ends when enough were looked at, empty or not, and the next goes on behind it: none is lost or twice."""
    monkeypatch.setattr(shown_cards, "AT_ONCE", 2)
    monkeypatch.setattr(shown_cards, "MOST", 4)
    template = a_template(work, NAME, MOBILE, PRONOUNS)
    people = [person_of(work, a_directory_user(work, f"person{at}")) for at in range(11)]
    made = sorted(a_card(work, person, template) for person in people)
    for card_id in made:
        if card_id not in (made[5], made[10]):
            cards.set_values(work, cards.lock(work, card_id), overrides='{"pronouns":"they"}')

    assert [[], [made[5]], [made[10]]] == in_parts(work, lack="incomplete", limit=50)
    assert [[made[5]], [made[10]]] == [part for part in in_parts(work, lack="incomplete", limit=1) if part]


def test_a_phone_that_cannot_be_shown_is_a_problem_of_the_cards_that_would_show_it(work: Work) -> None:
    """A card of a template without that field is all right."""
    phones = [{"type": "mobile", "value": "0170 123"}]
    wrong = held(work, "ada", NAME, MOBILE, phoneNumbers=phones)
    held(work, "bob", NAME, phoneNumbers=phones)
    held(work, "cid", NAME, MOBILE)
    found = shown_cards.page(work, lack="problems")

    assert [(wrong, "0170 123")] == [(each.card.id, each.composed.problems[0].value) for each in found.cards]
    assert found.next is None


def test_a_list_goes_on_behind_its_last_card(work: Work) -> None:
    """Each card is in one part, in whatever way the list is narrowed."""
    made = sorted(held(work, name, NAME) for name in ("ada", "adam", "bob"))
    template_id = shown_cards.find(work, made[0]).template.id

    assert [made[:2], made[2:]] == in_parts(work, limit=2)
    assert [made] == in_parts(work, limit=3)
    assert [[made[0]]] == in_parts(work, template_id=template_id)
    assert [sorted(made[:2])] == in_parts(work, q="ADA")
    assert [[]] == in_parts(work, lack="incomplete", template_id=template_id)


def test_an_address_leads_to_its_card_in_its_tenant(make_work: MakeWork) -> None:
    """Whoever has it needs to know nothing else; in another tenant the same card is not there."""
    ours, theirs = make_work(), make_work()
    card_id = held(ours, "ada", NAME)
    slug = shown_cards.find(ours, card_id).card.slug

    assert (ours.tenant_id, card_id) == shown_cards.place_of(ours.connection, slug)
    assert shown_cards.place_of(ours.connection, slug[:-1]) is None
    with pytest.raises(NotFound):
        shown_cards.find(theirs, card_id)
    assert [] == shown_cards.page(theirs).cards
    assert [] == templates.page(theirs)
