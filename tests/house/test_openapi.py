"""openapi/scim.yaml says what the door does: it is what the code describes, and an OpenAPI document."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
import yaml
from schemathesis.specs.openapi.definitions import OPENAPI_31

from scim_server.app import TABLE
from scim_server.openapi import ERRORS, description, path_of
from scim_server.schemas import SCHEMAS
from tests.openapi import COMMAND, FILE, text


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The file as any tool reads it."""
    read: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return read


def test_file_is_what_the_code_describes() -> None:
    """The file is written from the routes and schemas; whoever changes those writes it again."""
    written = FILE.read_text(encoding="utf-8")

    assert text() == written, f"openapi/scim.yaml is out of date; write it again:  {COMMAND}"


def test_every_method_of_every_path_is_described(document: dict[str, Any]) -> None:
    """No route is left out, and nothing is promised that has no route."""
    routes = {(path_of(route), method.lower()) for route, methods in TABLE.items() for method in methods}
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}

    assert routes == described


def test_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    """The document follows the specification's own schema, and its schemas that of JSON Schema."""
    problems = [str(problem) for problem in jsonschema_rs.validator_for(OPENAPI_31).iter_errors(document)]

    assert [] == problems
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_reference_leads_somewhere_and_every_component_is_used(document: dict[str, Any]) -> None:
    """A component without use is a leftover, a reference to none a mistake."""
    kinds = {kind: set(held) for kind, held in document["components"].items() if kind != "securitySchemes"}
    there = {f"#/components/{kind}/{name}" for kind, names in kinds.items() for name in names}

    assert there == set(references(document))


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    """Generated clients name their functions by operationId."""
    names = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]

    assert sorted(set(names)) == sorted(names)


def test_every_refusal_is_described_somewhere(document: dict[str, Any]) -> None:
    """The statuses by which the door refuses are those that some operation announces."""
    announced = {
        int(status)
        for methods in document["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
    }

    assert set(ERRORS) == {status for status in announced if status >= 400}


def test_attributes_are_those_of_the_published_schemas(document: dict[str, Any]) -> None:
    """What /Schemas says of an attribute, the document says in its own words."""
    for schema in SCHEMAS.values():
        properties = document["components"]["schemas"][schema["name"]]["properties"]
        for attribute in schema["attributes"]:
            described = properties[attribute["name"]]
            sub_attributes = {each["name"] for each in attribute.get("subAttributes", [])}
            one = described["items"] if attribute["multiValued"] else described

            assert attribute["multiValued"] == (described["type"] == "array")
            assert (attribute["mutability"] == "readOnly") == described.get("readOnly", False)
            assert (attribute["mutability"] == "writeOnly") == described.get("writeOnly", False)
            assert sub_attributes == set(one.get("properties", {}))


def test_canonical_values_are_examples(document: dict[str, Any]) -> None:
    """Canonical values are suggestions (RFC 7643 §7): as an enum they would refuse what Entra sends."""
    email = document["components"]["schemas"]["User"]["properties"]["emails"]["items"]["properties"]["type"]

    assert ["work", "home", "other"] == email["examples"]
    assert "enum" not in email


def test_description_is_made_anew_each_time() -> None:
    """Whoever changes the description changes a copy."""
    description()["paths"].clear()

    assert description()["paths"]


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for each in value for found in references(each)]
    if not isinstance(value, dict):
        return []
    here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return here + [found for each in value.values() for found in references(each)]
