"""What is typed into the fields of a card: which of it is an edit, and which takes one back."""

from collections.abc import Sequence
from dataclasses import dataclass

from admin_console.request import Request
from app_core.cards import Card
from app_core.cards_view import ComposedCard, ComposedField
from app_core.errors import Stale
from app_core.fields import Kind

INPUTS = {Kind.PHONE: "tel", Kind.EMAIL: "email", Kind.URL: "url"}
LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Input:
    """An editable field of a card in the form."""

    key: str
    label: str
    type: str
    """The type of its input; empty for one of several lines."""
    value: str
    source_value: str | None
    overridden: bool
    placeholder: str
    problem: str | None


def inputs_of(composed: ComposedCard) -> Sequence[Input]:
    """Put the editable fields of a card into a form; its photo has one of its own."""
    reasons = {problem.key: problem.reason for problem in composed.problems}
    return [_input(field, reasons.get(field.key)) for field in composed.fields if is_typed(field)]


def is_typed(field: ComposedField) -> bool:
    """Say whether somebody may type a field's value."""
    return field.editable and field.kind is not Kind.PHOTO


def _input(field: ComposedField, problem: str | None) -> Input:
    value = _lines(field.value or "")
    several = field.kind is Kind.ADDRESS or "\n" in value
    return Input(
        key=field.key,
        label=field.label,
        type="" if several else INPUTS.get(field.kind, "text"),
        value=value,
        source_value=field.source_value,
        overridden=field.overridden,
        placeholder=field.placeholder or "",
        problem=problem,
    )


def edits_of(request: Request, composed: ComposedCard) -> dict[str, str | None]:
    """Give what was edited of a card: what is as it was is no edit, and what the directory says takes one back."""
    edits: dict[str, str | None] = {}
    for field in composed.fields:
        typed = request.form.get(f"value-{field.key}")
        if typed is None or not is_typed(field) or typed == _lines(field.value or ""):
            continue
        typed = typed.strip()
        if typed == _lines(field.source_value or "").strip():
            edits[field.key] = None
        elif typed != _lines(field.value or "").strip():
            edits[field.key] = typed
    for key in request.lists.get("back", []):
        edits[key] = None
    return edits


def require_version(request: Request, card: Card) -> None:
    """Refuse to save a form over what somebody else has saved since it was opened. Raises Stale."""
    if request.text("version") != str(card.version):
        raise Stale(
            "Somebody else has changed this card since you opened it. Nothing was changed: "
            "load the page again and repeat what you did."
        )


def _lines(text: str) -> str:
    """Give a text as a browser sends it back, once its line breaks are one character."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
