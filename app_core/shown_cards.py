"""Cards as they are seen: composed, with their template, their person and their state; one, some, or a list.

Reads only. A card's public address is its slug, which says nothing about the tenant: it is looked up first of all.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from sqlalchemy import Integer, Text, and_, bindparam, or_, select

from app_core import cards, cards_view, overviews, seats, templates
from app_core.cards import CARD, Card, K
from app_core.cards_view import ComposedCard
from app_core.db import Connection, KeyText, Statement, among, position
from app_core.errors import NotFound
from app_core.fields import Kind, directory_values
from app_core.people import P, Person
from app_core.resource import attributes_of, fold
from app_core.seats import SEEN
from app_core.templates import Template
from app_core.work import Work

ONE_PERSON = 200
"""How many cards of one person are shown."""
AT_ONCE, MOST = 200, 1000
"""How many cards are composed at once, and before the reader has to ask for more, while few of them are wanted."""


class ShownCard(NamedTuple):
    """A card as it is seen."""

    card: Card
    state: str
    """`active`, `waiting`, `paused`, or `unclaimed` (`seats`)."""
    template: Template
    person: Person | None
    composed: ComposedCard


class Found(NamedTuple):
    """A part of a list."""

    cards: list[ShownCard]
    next: str | None
    """Behind which card the list goes on; None at its end."""


LACKS: dict[str, Callable[[ComposedCard], bool]] = {
    "incomplete": lambda composed: bool(composed.incomplete),
    "problems": lambda composed: bool(composed.problems),
}
"""What may be wrong with a card: a required field shows nothing, or there is a phone number that cannot be shown."""

BY_SLUG = Statement(select(K.c.tenant_id, K.c.id).where(K.c.slug == bindparam("slug", type_=KeyText)))


@cache
def _page(*, searched: bool, flawed: bool, of_templates: bool, by_state: bool) -> Statement:
    source = K.join(P, and_(P.c.tenant_id == K.c.tenant_id, P.c.id == K.c.person_id)) if searched or flawed else K
    chosen = (
        select(*CARD, SEEN)
        .select_from(source)
        .where(K.c.tenant_id == bindparam("tenant_id"), K.c.id > bindparam("after", type_=KeyText))
    )
    if searched:
        key = bindparam("q", type_=Text())
        chosen = chosen.where(or_(position(P.c.display_key, key) > 0, position(P.c.sign_in_key, key) > 0))
    if flawed:
        chosen = chosen.where(P.c.problems.is_not(None))
    if of_templates:
        chosen = chosen.where(among(K.c.template_id, "template_ids"))
    if by_state:
        chosen = chosen.where(bindparam("state", type_=KeyText) == SEEN)
    return Statement(chosen.order_by(K.c.id).limit(bindparam("limit", type_=Integer())))


# One, and some ------------------------------------------------------------------------------------------------------


def place_of(connection: Connection, slug: str) -> tuple[str, str] | None:
    """Give the tenant and the id of the card with a public address; None where there is none."""
    row = connection.row(BY_SLUG, {"slug": slug})
    return None if row is None else (str(row[0]), str(row[1]))


def find(work: Work, card_id: str) -> ShownCard:
    """Read a card. Raises NotFound."""
    card = cards.find(work, card_id)
    if card is None:
        raise NotFound("Card", card_id)
    return compose(work, [(card, seats.card_state(work, card.id))])[0]


def of_person(work: Work, person_id: str) -> list[ShownCard]:
    """Read the cards of a person."""
    return compose(work, seats.cards_page(work, person_id=person_id, limit=ONE_PERSON))


def compose(work: Work, rows: Sequence[tuple[Card, str]]) -> list[ShownCard]:
    """Compose cards; whose they are and what the directory says is read for all of them at once."""
    owners = overviews.people_of(work, list({card.person_id for card, _ in rows if card.person_id is not None}))
    users = [person.directory_user_id for person in owners.values() if person.directory_user_id is not None]
    said = {key: directory_values(attributes_of(document)) for key, document in cards.documents(work, users).items()}
    looks = {key: templates.find(work, key) for key in {card.template_id for card, _ in rows}}
    shown = []
    for card, state in rows:
        person, template = owners.get(card.person_id or ""), looks[card.template_id]
        assert template is not None
        directory = said.get(person.directory_user_id or "") if person is not None else None
        composed = cards_view.compose(template, card, directory, person)
        shown.append(ShownCard(card, state, template, person, composed))
    return shown


# Lists --------------------------------------------------------------------------------------------------------------


def page(
    work: Work,
    *,
    after: str = "",
    limit: int = 50,
    q: str = "",
    template_id: str | None = None,
    state: str | None = None,
    lack: str | None = None,
) -> Found:
    """List cards in the order of their ids, from behind `after`; `q` is a part of their person's name or address.

    `lack` (of LACKS) is only known of composed cards: of a list in which few lack it, a part may hold none of them.
    """
    template_ids = None if template_id is None else [template_id]
    if lack is not None:
        template_ids = _that_may_lack(work, lack, template_id)
        if not template_ids:
            return Found([], None)
    statement = _page(
        searched=bool(q),
        flawed=lack == "problems",
        of_templates=template_ids is not None,
        by_state=state is not None,
    )

    def read(behind: str, count: int) -> list[tuple[Card, str]]:
        rows = work.rows(statement, after=behind, limit=count, q=fold(q), template_ids=template_ids, state=state)
        return [(Card(*row[:-1]), str(row[-1])) for row in rows]

    if lack is not None:
        return _sifted(work, read, after, limit, LACKS[lack])
    rows = read(after, limit + 1)
    return Found(compose(work, rows[:limit]), rows[limit - 1][0].id if len(rows) > limit else None)


def _sifted(
    work: Work,
    read: Callable[[str, int], list[tuple[Card, str]]],
    after: str,
    limit: int,
    wanted: Callable[[ComposedCard], bool],
) -> Found:
    """Compose cards and keep the wanted ones, until there are enough or the reader should not wait longer."""
    kept: list[ShownCard] = []
    for _ in range(MOST // AT_ONCE):
        rows = read(after, AT_ONCE)
        for each in compose(work, rows):
            after = each.card.id
            if wanted(each.composed):
                kept.append(each)
            if len(kept) == limit:
                return Found(kept, after)
        if len(rows) < AT_ONCE:
            return Found(kept, None)
    return Found(kept, after)


def _that_may_lack(work: Work, lack: str, template_id: str | None) -> list[str]:
    """Give the templates whose cards can lack something: those with a required field, or with a phone number."""
    if template_id is not None:
        found = templates.find(work, template_id)
        chosen = [] if found is None else [found]
    else:
        chosen = templates.page(work, limit=MOST)
    return [each.id for each in chosen if any(_may(lack, field.required, field.kind) for field in each.fields)]


def _may(lack: str, required: bool, kind: Kind) -> bool:
    return required if lack == "incomplete" else kind is Kind.PHONE
