"""Invitations: cards for people outside the directory, and the links by which they are claimed (C9)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from admin_console.card_form import INPUTS
from admin_console.endpoint import Answer, done, page
from admin_console.paging import ROWS, cut
from admin_console.request import Request
from app_core import invitations, overviews, templates
from app_core.errors import NotFound
from app_core.fields import Kind, TemplateField
from app_core.invitations import Invitation
from app_core.overviews import INVITATION_STATES
from app_core.ports import Mail
from app_core.templates import Template
from app_core.work import Work

HOME = "/console/invitations"
MOST_TEMPLATES = 200
NAME = "name"
"""The field at the head of a card: it is asked for once, whether or not the directory fills it for others."""
OWN = ("display_name", "email")
"""Sources of fields that the name and the address of an invitation fill."""


def show_list(work: Work, request: Request) -> Answer:
    """List invitations, newest first."""
    state = request.asked("state")
    asked = {"state": state if state in INVITATION_STATES else "", "before": request.asked("before")}
    found = overviews.invitations(work, before=asked["before"] or "~", limit=ROWS + 1, state=asked["state"] or None)
    return page(
        "invitations/list.html",
        "Invitations",
        place="cards",
        rows=cut(found, lambda each: each.invitation.id, HOME, asked, name="before"),
        state=asked["state"],
        now=work.now,
    )


class Asked(NamedTuple):
    """A field of the template as the form asks for it."""

    key: str
    label: str
    type: str
    """Of its input; empty for one of several lines."""
    placeholder: str
    hint: str
    by_you: bool
    """Whether nobody else could ever fill it."""


def ask_new(work: Work, request: Request) -> Answer:
    """Ask whom to invite, to a card of which template, and what it says; what was typed stays. Raises NotFound."""
    request.again = request.method == "POST"
    found = templates.page(work, limit=MOST_TEMPLATES)
    wanted = request.asked("template") or request.text("template") or (found[0].id if found else "")
    template = templates.find(work, wanted) if wanted else None
    if wanted and template is None:
        raise NotFound("Template", wanted)
    fields = [each for each in template.fields if each.kind is not Kind.PHOTO] if template is not None else []
    return page(
        "invitations/new.html",
        "Invite to a card",
        place="cards",
        templates=[(each.id, each.name) for each in found],
        template=template,
        fields=[_asked(each) for each in fields if not _is_own(each)],
        needed={_asks(each) for each in fields if _is_own(each) and each.synced and not each.editable},
        named="display_name" in {_asks(each) for each in fields},
        kept=_kept(request, fields),
        days=round(invitations.SECONDS / 86400),
    )


def _is_own(field: TemplateField) -> bool:
    """Say whether the name or the address of the invitation fills a field."""
    return field.key == NAME or (field.synced and field.source in OWN)


def _asks(field: TemplateField) -> str | None:
    """Name what of the invitation fills a field."""
    return "display_name" if field.key == NAME else field.source


def _kept(request: Request, fields: Sequence[TemplateField]) -> Mapping[str, str]:
    """Give what was typed for other templates' fields: who comes back to one of them finds it again."""
    shown = {f"value-{each.key}" for each in fields}
    typed = {name: text for name, text in request.form.items() if name.startswith("value-") and text}
    return {name: text for name, text in typed.items() if name not in shown}


def _asked(field: TemplateField) -> Asked:
    by_you = field.synced and not field.editable
    hint = (
        "Nobody else could fill it: it comes from the directory, and nobody may edit it."
        if by_you
        else "Whoever claims the card can change it."
        if field.editable
        else "Only you can fill this: nobody may edit it."
    )
    several = field.kind is Kind.ADDRESS
    typed = "" if several else INPUTS.get(field.kind, "text")
    return Asked(field.key, field.label, typed, field.placeholder or "", hint, by_you)


def create(work: Work, request: Request) -> Answer:
    """Invite somebody, and show the link this once. Raises NotFound, Invalid, MissingFields."""
    template = templates.find(work, request.text("template"))
    if template is None:
        raise NotFound("Template", request.text("template"))
    made, token = invitations.create(
        work,
        template.id,
        email=request.text("email") or None,
        display_name=request.text("display_name") or None,
        values=_values(request, template),
    )
    link = claim_link(request, token)
    answer = page(
        "invitations/made.html",
        "The card is waiting",
        target_id=made.id,
        place="cards",
        made=made,
        template=template,
        link=link,
        mailed=request.can_mail and made.email is not None and bool(request.text("send")),
    )
    if answer.facts["mailed"]:
        answer.mail = _letter(request, made, link)
    return answer


def _values(request: Request, template: Template) -> dict[str, str]:
    typed = {field.key: request.text(f"value-{field.key}") for field in template.fields}
    if NAME in typed:
        typed[NAME] = request.text("display_name")
    return {key: value for key, value in typed.items() if value}


def claim_link(request: Request, token: str) -> str:
    """Give the address where the card of an invitation is claimed."""
    return f"{request.public_url}/claim/{token}"


def _letter(request: Request, made: Invitation, link: str) -> Mail:
    assert made.email is not None
    assert request.tenant is not None
    return invitations.letter(made, made.email, request.tenant.name, link)


def revoke(work: Work, request: Request) -> Answer:
    """Take an invitation back; the card that nobody has claimed goes with it. Raises NotFound, NotPossible."""
    invitations.revoke(work, request.id)
    return done(HOME, "The invitation is taken back: its link works no longer.", target_id=request.id)
