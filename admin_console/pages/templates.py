"""Card templates: how cards look, what they hold, and which groups lead to them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from admin_console import guard
from admin_console.card_view import CardView, view_of
from admin_console.endpoint import Answer, File, done, page
from admin_console.look import look_of, stylesheet
from admin_console.look import named as look_named
from admin_console.render import asset
from admin_console.request import Request
from admin_console.template_form import (
    FIRST,
    KIND_WORDS,
    MODE_WORDS,
    SOURCE_WORDS,
    TYPED,
    Draft,
    draft_of,
    edited,
    raw_fields,
    raw_look,
    read_draft,
    unused_sources,
)
from app_core import administration, cards_view, deletion, overviews, templates
from app_core.administration import Preview
from app_core.db import Connection
from app_core.errors import Invalid, NotFound, Stale
from app_core.fields import parse_fields
from app_core.templates import Template, parse_look
from app_core.work import Work

MOST_SHOWN = 50


class Tile(NamedTuple):
    """A template in the list."""

    template: Template
    view: CardView
    cards: int
    groups: int


# The list -----------------------------------------------------------------------------------------------------------


def find(work: Work, request: Request) -> Answer:
    """List the templates, each with a small picture of its cards."""
    q, after = request.asked("q"), request.asked("after")
    found = templates.page(work, after=after, limit=MOST_SHOWN + 1, q=q or None)
    shown = found[:MOST_SHOWN]
    counts = overviews.template_counts(work, [each.id for each in shown])
    company = _company(request)
    return page(
        "templates/list.html",
        "Templates",
        place="templates",
        tiles=[Tile(each, _sample(each, company), *counts[each.id]) for each in shown],
        q=q,
        next=shown[-1].id if len(found) > MOST_SHOWN else None,
        after=after,
    )


def create(work: Work, request: Request) -> Answer:
    """Make a template with the fields that most companies print."""
    template = templates.create(work, request.text("name"), fields=FIRST)
    return done(
        f"/console/templates/{template.id}",
        "The template is made. Choose its look and fields, then the groups whose members get a card.",
        target_id=template.id,
    )


# The editor ---------------------------------------------------------------------------------------------------------


def read(work: Work, request: Request) -> Answer:
    """Show a template in its form."""
    template = _required(work, request.id)
    return _editor(work, request, template, draft_of(template))


def redraw(work: Work, request: Request) -> Answer:
    """Show the form again with a field moved, added or removed; nothing is saved."""
    edit = edited(read_draft(request), request)
    return _editor(work, request, _required(work, request.id), edit.draft, said=edit.said, added=edit.added)


def preview(work: Work, request: Request) -> Answer:
    """Show a card as the form would make it; nothing is saved."""
    template = _required(work, request.id)
    return page("templates/preview.html", template.name, **_previewed(request, template, read_draft(request)))


def save(work: Work, request: Request) -> Answer:
    """Save the form, unless somebody else has saved the template since it was opened."""
    before, draft = templates.lock(work, request.id), read_draft(request)
    if request.text("version") != str(before.version):
        raise Stale(
            "Somebody else has saved this template since you opened it. Nothing was changed: "
            "load the page again and repeat what you did."
        )
    after = templates.change(work, before, name=draft.name, look=raw_look(draft), fields=raw_fields(draft, before))
    changed = [name for name in ("name", "look", "fields") if getattr(after, name) != getattr(before, name)]
    sentence = "The template is saved, and all its cards show it." if changed else "Nothing was changed."
    return done(f"/console/templates/{after.id}", sentence, target_id=after.id, changed=changed)


def delete(work: Work, request: Request) -> Answer:
    """Delete a template that no group leads to and no card is made from."""
    template = templates.lock(work, request.id)
    deletion.delete_template(work, template.id)
    return done("/console/templates", f"The template {template.name} is deleted.", target_id=template.id)


def _editor(
    work: Work, request: Request, template: Template, draft: Draft, *, said: str = "", added: str | None = None
) -> Answer:
    ((cards, groups),) = overviews.template_counts(work, [template.id]).values()
    return page(
        "templates/editor.html",
        template.name,
        place="templates",
        pictures=[guard.ANY_PICTURE],
        template=template,
        draft=draft,
        said=said,
        added=added,
        unsaved=draft != draft_of(template),
        cards=cards,
        groups=groups,
        sources=[("", "Nothing"), *SOURCE_WORDS.items()],
        modes=[(mode.value, word) for mode, word in MODE_WORDS.items()],
        kinds=[(kind.value, word) for kind, word in KIND_WORDS.items()],
        addable=[*unused_sources([*draft.general, *draft.others]), (TYPED, "Something the member types")],
        **_previewed(request, template, draft),
    )


def _previewed(request: Request, template: Template, draft: Draft) -> Mapping[str, Any]:
    """Compose a card of the form; while what is typed cannot be saved, say why and show the saved one."""
    problem = None
    try:
        look, fields = parse_look(raw_look(draft)), parse_fields(raw_fields(draft, template))
        template = template._replace(look=look, fields=fields)
    except Invalid as error:
        problem = error.sentence
    legible = look_of(template.look).legible
    return {"view": _sample(template, _company(request)), "problem": problem, "legible": legible}


# The card of nobody -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SamplePerson:
    """Somebody for the preview."""

    display_name: str = "Megan Bowen"
    email: str | None = "megan.bowen@example.com"
    photo_hash: str | None = "sample"


@dataclass(frozen=True, slots=True)
class SampleCard:
    """A card of nobody, without edits."""

    overrides: str = "{}"
    initial: str = "{}"


SAMPLE = {
    "given_name": "Megan",
    "surname": "Bowen",
    "display_name": "Megan Bowen",
    "job_title": "Head of Product",
    "department": "Product",
    "email": "megan.bowen@example.com",
    "business_phone": "+14255550100",
    "mobile_phone": "+14255550142",
    "fax_number": "+14255550199",
    "address": "1 Harbour Street\nSeattle, WA 98101",
}


def _sample(template: Template, company: str) -> CardView:
    """Compose a template's card for a sample person, by the way of all cards."""
    said = {**SAMPLE, "company": company}
    # What the member types has no sample: its label says where it would be.
    shown = [
        field if field.synced or field.placeholder else replace(field, placeholder=field.label)
        for field in template.fields
    ]
    template = template._replace(fields=tuple(shown))
    card = SampleCard(initial=cards_view.refilled(SampleCard(), said))
    composed = cards_view.compose(template, card, said, SamplePerson())
    return view_of(template, composed, company, photo=asset("sample.svg"), prompts=True)


# Groups -------------------------------------------------------------------------------------------------------------


def groups(work: Work, request: Request) -> Answer:
    """Show which groups lead to a template."""
    template = _required(work, request.id)
    return _groups(work, request, template, templates.assignments(work, template.id), None)


def preview_groups(work: Work, request: Request) -> Answer:
    """Say what leading these groups to a template would do; nothing is saved."""
    chosen = list(dict.fromkeys(request.lists.get("group", [])))
    template = _required(work, request.id)
    # Without scripts the search of the form comes this way too, and is no question about people.
    asks = request.text("do") != "search"
    impact = administration.preview_assignment(work, template.id, chosen) if asks else None
    return _groups(work, request, template, chosen, impact)


def assign(work: Work, request: Request) -> Answer:
    """Let exactly these groups lead to a template; cards follow."""
    before = templates.assignments(work, request.id)
    after = administration.assign_template(work, request.id, list(dict.fromkeys(request.lists.get("group", []))))
    changed = ["assignments"] if set(after) != set(before) else []
    sentence = f"{_leads(len(after))} Cards follow within seconds." if changed else "Nothing was changed."
    return done(f"/console/templates/{request.id}/groups", sentence, target_id=request.id, changed=changed)


def _leads(count: int) -> str:
    if not count:
        return "No group leads to this template any more."
    return f"{count} {'group leads' if count == 1 else 'groups lead'} to this template now."


def _groups(work: Work, request: Request, template: Template, chosen: list[str], impact: Preview | None) -> Answer:
    assigned = templates.assignments(work, template.id)
    q = request.text("q") or request.asked("q")
    after = request.asked("after")
    found = overviews.groups(work, after=after, limit=MOST_SHOWN + 1, q=q)
    return page(
        "templates/groups.html",
        template.name,
        place="templates",
        template=template,
        chosen=set(chosen),
        assigned=set(assigned),
        leading=overviews.groups_of(work, list({*chosen, *assigned})),
        found=[each for each in found[:MOST_SHOWN] if each.id not in {*chosen, *assigned}],
        more=len(found) > MOST_SHOWN,
        q=q,
        impact=impact,
        changed=set(chosen) != set(assigned),
    )


# Colours ------------------------------------------------------------------------------------------------------------


def colours(connection: Connection, request: Request) -> Answer:
    """Give the stylesheet of a look: its name says its colours, so nobody has to be asked."""
    name = request.keys["name"]
    look = look_named(name.removesuffix(".css")) if name.endswith(".css") else None
    if look is None:
        raise NotFound("Stylesheet", name)
    return File(media_type="text/css", data=stylesheet(look).encode(), cache="public, max-age=86400")


def _required(work: Work, template_id: str) -> Template:
    template = templates.find(work, template_id)
    if template is None:
        raise NotFound("Template", template_id)
    return template


def _company(request: Request) -> str:
    assert request.tenant is not None
    return request.tenant.name
