"""Card templates: how they look, what they hold, and which groups lead to them."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from app_api.bodies import Body, Id, Line, Paging, Search, Text, given, one_of
from app_api.exchange import Answer, Call, Instant, Page, gone
from app_api.lists import page_of
from app_core import administration, deletion, templates
from app_core.errors import NotFound
from app_core.fields import GENERAL, MOST_FIELDS, SOURCES, Kind, Mode
from app_core.templates import LONGEST_HEADLINE, LONGEST_NAME
from app_core.work import Work

Source = Annotated[str, one_of(*SOURCES)]
FieldKind = Annotated[str, one_of(*Kind)]
FieldMode = Annotated[str, one_of(*Mode)]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$", description="'#' and six hexadecimal digits.")]
Name = Annotated[Line, Field(max_length=LONGEST_NAME)]
Headline = Annotated[Line, Field(max_length=LONGEST_HEADLINE)]
Logo = Annotated[str, Field(pattern=r"^https://", max_length=2000, description="An address that begins with https://.")]
Key = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]{0,39}$",
        description=f"General fields have fixed keys, and come first in this order: {', '.join(GENERAL)}.",
    ),
]
GroupIds = Annotated[list[Id], Field(max_length=10_000)]


@dataclass(frozen=True, slots=True)
class Look:
    """How the cards of a template look."""

    primary_color: str | None = None
    text_color: str | None = None
    background_color: str | None = None
    logo_url: str | None = None
    headline: str | None = None


@dataclass(frozen=True, slots=True)
class TemplateField:
    """A field of a template: what fills it, and what its owner may do with it."""

    key: str
    label: str
    kind: FieldKind
    source: Source | None
    mode: FieldMode
    editable: bool
    required: bool
    placeholder: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """What cards are made of."""

    id: str
    name: str
    look: Look
    fields: list[TemplateField]
    version: int
    created_at: Instant
    modified_at: Instant


@dataclass(frozen=True, slots=True)
class Assignments:
    """The groups that lead to a template."""

    group_ids: list[str]


@dataclass(frozen=True, slots=True)
class Preview:
    """What assigning these groups would do; `seats_left` is what is free now, null where there is no limit."""

    cards_issued: int
    cards_revived: int
    cards_paused: int
    seats_needed: int
    seats_freed: int
    seats_left: int | None


class TemplateList(Paging):
    """Which templates to list."""

    q: Search = ""


class LookBody(Body):
    """How the cards of a template are to look; what is null or absent is left to the application."""

    primary_color: Colour | None = None
    text_color: Colour | None = None
    background_color: Colour | None = None
    logo_url: Logo | None = None
    headline: Headline | None = None


class FieldBody(Body):
    """A field of a template. What is not said follows from the key and the source."""

    key: Key
    label: Annotated[Text, Field(max_length=100)] | None = None
    kind: Literal["text", "phone", "email", "url", "address", "photo"] = "text"
    source: (
        Literal[
            "given_name",
            "surname",
            "display_name",
            "job_title",
            "department",
            "company",
            "business_phone",
            "mobile_phone",
            "fax_number",
            "address",
            "email",
            "photo",
        ]
        | None
    ) = None
    mode: Literal["always", "initial", "none"] = "none"
    editable: bool = False
    required: bool = False
    placeholder: Annotated[Text, Field(max_length=200)] | None = None


Fields = Annotated[list[FieldBody], Field(max_length=MOST_FIELDS)]


class NewTemplate(Body):
    """A template to make."""

    name: Name
    look: LookBody = LookBody()
    fields: Fields = Field(default_factory=list)


class TemplateChange(Body):
    """What of a template to change; a look or a list of fields replaces the one there is."""

    name: Name = ""
    look: LookBody = LookBody()
    fields: Fields = Field(default_factory=list)


class AssignmentChange(Body):
    """Exactly these groups are to lead to the template."""

    group_ids: GroupIds


def find(work: Work, call: Call, query: TemplateList) -> Answer[Page[Template]]:
    """List templates."""
    rows = templates.page(work, after=query.after, limit=query.limit + 1, q=query.q or None)
    return page_of(query, rows, _shown, lambda template: template.id)


def create(work: Work, call: Call, body: NewTemplate) -> Answer[Template]:
    """Make a template."""
    template = templates.create(work, body.name, given(body.look), _fields(body.fields))
    answer = _answer(template)
    answer.status, answer.location = 201, f"/templates/{template.id}"
    return answer


def read(work: Work, call: Call) -> Answer[Template]:
    """Read a template."""
    return _answer(required(work, call.id))


def change(work: Work, call: Call, body: TemplateChange) -> Answer[Template]:
    """Change a template, and with it all its cards; what is not sent stays."""
    before = templates.lock(work, call.id)
    call.require_version(before.version)
    sent = body.model_fields_set
    after = templates.change(
        work,
        before,
        name=body.name if "name" in sent else None,
        look=given(body.look) if "look" in sent else None,
        fields=_fields(body.fields) if "fields" in sent else None,
    )
    answer = _answer(after)
    answer.changed = [name for name in ("name", "look", "fields") if getattr(after, name) != getattr(before, name)]
    return answer


def delete(work: Work, call: Call) -> Answer[None]:
    """Delete a template that no group leads to and no card is made from."""
    call.require_version(templates.lock(work, call.id).version)
    deletion.delete_template(work, call.id)
    return gone(call.id)


def read_assignments(work: Work, call: Call) -> Answer[Assignments]:
    """List the groups that lead to a template."""
    required(work, call.id)
    return Answer(200, Assignments(templates.assignments(work, call.id)), call.id)


def assign(work: Work, call: Call, body: AssignmentChange) -> Answer[Assignments]:
    """Let exactly these groups lead to a template; cards follow."""
    before = templates.assignments(work, call.id)
    after = administration.assign_template(work, call.id, body.group_ids)
    return Answer(200, Assignments(after), call.id, ["assignments"] if set(after) != set(before) else [])


def preview(work: Work, call: Call, body: AssignmentChange) -> Answer[Preview]:
    """Say what assigning these groups would do, and do nothing."""
    return Answer(200, Preview(*administration.preview_assignment(work, call.id, body.group_ids)), call.id)


def required(work: Work, template_id: str) -> templates.Template:
    """Give a template. Raises NotFound."""
    template = templates.find(work, template_id)
    if template is None:
        raise NotFound("Template", template_id)
    return template


def _fields(fields: list[FieldBody]) -> list[dict[str, Any]]:
    """Give only what was sent of each field: the core knows what follows from it."""
    return [given(each) for each in fields]


def _answer(template: templates.Template) -> Answer[Template]:
    return Answer(200, _shown(template), template.id, version=template.version)


def _shown(template: templates.Template) -> Template:
    return Template(
        id=template.id,
        name=template.name,
        look=Look(**template.look),
        fields=[TemplateField(**asdict(each)) for each in template.fields],
        version=template.version,
        created_at=template.created_at,
        modified_at=template.modified_at,
    )
