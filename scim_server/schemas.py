"""Our resource types as scim2-models classes, and the attribute trees that everything else reads from them.

`/Schemas`, the OpenAPI file, validation, filters and PATCH all derive from these classes, so they cannot disagree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import scim2_models
from pydantic import Field
from scim2_models import CaseExact, ComplexAttribute, Mutability, Reference, Required

from app_core.resource import CORE_GROUP, CORE_USER, ENTERPRISE_USER, JsonObject


class User(scim2_models.User[Any]):
    """A person in the customer's directory (RFC 7643 §4.1)."""


class Manager(ComplexAttribute):
    """A user's manager: Entra sends `value` alone, or any text, or nothing that resolves (entra rule 34)."""

    value: Annotated[str | None, Required.false, CaseExact.true] = None
    """The id of the User's manager, as the directory sent it."""

    ref: Annotated[Reference[scim2_models.User[Any]] | None, Required.false] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """The URI of the User's manager, as the directory sent it."""

    display_name: Annotated[str | None, Mutability.read_only] = None
    """The displayName of the User's manager."""


class EnterpriseUser(scim2_models.EnterpriseUser):
    """The enterprise extension (RFC 7643 §4.3)."""

    manager: Manager | None = None  # type: ignore[assignment]
    """The User's manager."""


class GroupMember(ComplexAttribute):
    """A member as this server keeps it: an id and whether it is a User or a Group."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    """The id of the member."""

    ref: Annotated[Reference[scim2_models.User[Any] | scim2_models.Group] | None, Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """The URI of the member."""

    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User", "Group"])
    """Whether the member is a User or a Group."""


class Group(scim2_models.Group):
    """A group in the customer's directory (RFC 7643 §4.2)."""

    members: list[GroupMember] | None = None  # type: ignore[assignment]
    """The members of the Group."""

    Members: ClassVar[type[ComplexAttribute]] = GroupMember


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """An attribute and its characteristics (RFC 7643 §2.2)."""

    name: str
    type: str
    multi_valued: bool = False
    required: bool = False
    case_exact: bool = False
    mutability: str = "readWrite"
    returned: str = "default"
    uniqueness: str = "none"
    sub: Mapping[str, "Attribute"] = field(default_factory=dict)
    """Sub-attributes by lower-case name."""

    @property
    def read_only(self) -> bool:
        """Say whether a client's value is ignored."""
        return self.mutability == "readOnly"


@dataclass(frozen=True, slots=True, eq=False)
class ResourceType:
    """A resource type (RFC 7643 §6) with its attributes by lower-case name."""

    name: str
    endpoint: str
    urn: str
    attributes: Mapping[str, Attribute]
    extensions: Mapping[str, tuple[str, Mapping[str, Attribute]]]
    """Attributes of the extensions, by lower-case URN, beside the URN as written."""


def _attribute(definition: Mapping[str, Any]) -> Attribute:
    return Attribute(
        name=definition["name"],
        type=definition["type"],
        multi_valued=bool(definition.get("multiValued")),
        required=bool(definition.get("required")),
        case_exact=bool(definition.get("caseExact")),
        mutability=definition.get("mutability", "readWrite"),
        returned=definition.get("returned", "default"),
        uniqueness=definition.get("uniqueness", "none"),
        sub=_attributes(definition.get("subAttributes") or ()),
    )


def _attributes(definitions: Any) -> dict[str, Attribute]:
    return {definition["name"].lower(): _attribute(definition) for definition in definitions}


def _published(model: Any, name: str, description: str) -> JsonObject:
    schema: JsonObject = model.to_schema().model_dump()
    return {**schema, "name": name, "description": description}


SCHEMAS: dict[str, JsonObject] = {
    CORE_USER: _published(User, "User", "User Account"),
    ENTERPRISE_USER: _published(EnterpriseUser, "EnterpriseUser", "Enterprise User"),
    CORE_GROUP: _published(Group, "Group", "Group"),
}
"""The published schemas by URN, as JSON."""

COMMON = {
    "schemas": Attribute(
        "schemas", "string", multi_valued=True, case_exact=True, mutability="readOnly", returned="always"
    ),
    "id": Attribute("id", "string", case_exact=True, mutability="readOnly", returned="always", uniqueness="server"),
    "externalid": Attribute("externalId", "string", case_exact=True),
    "meta": Attribute(
        "meta",
        "complex",
        mutability="readOnly",
        sub={
            "resourcetype": Attribute("resourceType", "string", case_exact=True, mutability="readOnly"),
            "created": Attribute("created", "dateTime", mutability="readOnly"),
            "lastmodified": Attribute("lastModified", "dateTime", mutability="readOnly"),
            "location": Attribute("location", "reference", case_exact=True, mutability="readOnly"),
            "version": Attribute("version", "string", case_exact=True, mutability="readOnly"),
        },
    ),
}
"""The common attributes (RFC 7643 §3.1), which no schema lists."""

USER = ResourceType(
    "User",
    "/Users",
    CORE_USER,
    {**COMMON, **_attributes(SCHEMAS[CORE_USER]["attributes"])},
    {ENTERPRISE_USER.lower(): (ENTERPRISE_USER, _attributes(SCHEMAS[ENTERPRISE_USER]["attributes"]))},
)
GROUP = ResourceType(
    "Group",
    "/Groups",
    CORE_GROUP,
    {**COMMON, **_attributes(SCHEMAS[CORE_GROUP]["attributes"])},
    {},
)
RESOURCE_TYPES = (USER, GROUP)
