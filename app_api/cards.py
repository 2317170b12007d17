"""Cards: what they show, composed when they are read, and the administrator's verbs on them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from app_api.bodies import Body, Id, Paging, Values, one_of
from app_api.exchange import Answer, Call, Instant, Page, gone
from app_api.lists import page_of
from app_api.templates import FieldKind
from app_core import administration, cards, deletion, seats, shown_cards
from app_core.cards import Origin
from app_core.errors import NotFound
from app_core.shown_cards import ShownCard
from app_core.work import Work

CardOrigin = Annotated[str, one_of(*Origin)]
State = Annotated[str, one_of(*seats.STATES)]
PauseReason = Annotated[str, one_of("unassigned", "inactive", "departed")]


@dataclass(frozen=True, slots=True)
class CardField:
    """A field as the card shows it, and what the directory says."""

    key: str
    label: str
    kind: FieldKind
    value: str | None
    source_value: str | None
    placeholder: str | None
    editable: bool
    overridden: bool


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """Why a field shows nothing although there is something."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Card:
    """A card; it waits while its person has no seat, and is unclaimed while an invitation to it is open."""

    id: str
    person_id: str | None
    template_id: str
    origin: CardOrigin
    state: State
    pause_reason: PauseReason | None
    slug: str
    fields: list[CardField]
    incomplete: list[str]
    problems: list[FieldProblem]
    claimed_at: Instant | None
    paused_at: Instant | None
    version: int
    created_at: Instant
    modified_at: Instant


class CardList(Paging):
    """Which cards to list."""

    person_id: Id | None = None
    template_id: Id | None = None
    state: Literal["active", "waiting", "paused", "unclaimed"] | None = None


class CardChange(Body):
    """What the card's editable fields are to show, by their keys; null goes back to what the directory says."""

    overrides: Values


def find(work: Work, call: Call, query: CardList) -> Answer[Page[Card]]:
    """List cards."""
    rows = seats.cards_page(
        work,
        after=query.after,
        limit=query.limit + 1,
        person_id=query.person_id,
        template_id=query.template_id,
        state=query.state,
    )
    known = {each.card.id: _shown(each) for each in shown_cards.compose(work, rows[: query.limit])}
    return page_of(query, rows, lambda row: known[row[0].id], lambda row: row[0].id)


def read(work: Work, call: Call) -> Answer[Card]:
    """Read a card."""
    card = cards.find(work, call.id)
    if card is None:
        raise NotFound("Card", call.id)
    return _answer(work, card)


def change(work: Work, call: Call, body: CardChange) -> Answer[Card]:
    """Edit fields of a card that are editable; those that are not sent stay."""
    before = cards.lock(work, call.id)
    call.require_version(before.version)
    return _answer(work, administration.edit_card(work, before, body.overrides), before)


def delete(work: Work, call: Call) -> Answer[None]:
    """Delete a paused card, or one that no group asked for."""
    call.require_version(deletion.hold_card(work, call.id).version)
    deletion.delete_card(work, call.id)
    return gone(call.id)


def reactivate(work: Work, call: Call) -> Answer[Card]:
    """Take a paused card up again; from then on it is the administrator's, and follows no group."""
    return _answer(work, administration.reactivate_card(work, call.id))


def refresh(work: Work, call: Call) -> Answer[Card]:
    """Fill the fields that are filled once anew from what the directory says now."""
    before = cards.lock(work, call.id)
    cards.refresh(work, before)
    return _answer(work, cards.lock(work, call.id), before)


def _answer(work: Work, card: cards.Card, before: cards.Card | None = None) -> Answer[Card]:
    (shown,) = shown_cards.compose(work, [(card, seats.card_state(work, card.id))])
    changed = None if before is None else [name for name in VALUES if getattr(card, name) != getattr(before, name)]
    return Answer(200, _shown(shown), card.id, changed, card.version)


VALUES = ("overrides", "initial")


def _shown(shown: ShownCard) -> Card:
    card, composed = shown.card, shown.composed
    return Card(
        id=card.id,
        person_id=card.person_id,
        template_id=card.template_id,
        origin=card.origin,
        state=shown.state,
        pause_reason=card.pause_reason,
        slug=card.slug,
        fields=[
            CardField(
                key=each.key,
                label=each.label,
                kind=each.kind,
                value=each.value,
                source_value=each.source_value,
                placeholder=each.placeholder,
                editable=each.editable,
                overridden=each.overridden,
            )
            for each in composed.fields
        ],
        incomplete=list(composed.incomplete),
        problems=[FieldProblem(each.key, each.reason) for each in composed.problems],
        claimed_at=card.claimed_at,
        paused_at=card.paused_at,
        version=card.version,
        created_at=card.created_at,
        modified_at=card.modified_at,
    )
