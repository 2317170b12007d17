"""openapi/app.yaml and openapi/events.yaml say what the API door does and which events there are."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
import yaml
from schemathesis.specs.openapi.definitions import OPENAPI_31

from app_api.openapi import REFUSALS, codes_of
from app_api.problems import PROBLEMS
from app_api.table import TABLE
from app_core.events import TYPES
from tests.house.test_openapi import references
from tests.openapi import COMMAND, FOLDER, text

FILES = ("app.yaml", "events.yaml")


def read(name: str) -> dict[str, Any]:
    """Read a file as any tool does."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", FILES)
def test_file_is_what_the_code_describes(name: str) -> None:
    """The file is written from the code; whoever changes that writes it again."""
    written = (FOLDER / name).read_text(encoding="utf-8")

    assert text(name) == written, f"openapi/{name} is out of date; write it again:  {COMMAND}"


@pytest.mark.parametrize("name", FILES)
def test_document_is_openapi_3_1(name: str) -> None:
    """The document follows the specification's own schema, and its schemas that of JSON Schema."""
    document = read(name)
    problems = [str(problem) for problem in jsonschema_rs.validator_for(OPENAPI_31).iter_errors(document)]

    assert [] == problems
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


@pytest.mark.parametrize("name", FILES)
def test_every_reference_leads_somewhere_and_every_component_is_used(name: str) -> None:
    """A component without use is a leftover, a reference to none a mistake."""
    document = read(name)
    kinds = {kind: set(held) for kind, held in document["components"].items() if kind != "securitySchemes"}
    there = {f"#/components/{kind}/{name}" for kind, names in kinds.items() for name in names}

    assert there == set(references(document))


@pytest.mark.parametrize("name", FILES)
def test_operations_have_names_of_their_own(name: str) -> None:
    """Generated clients name their functions by operationId."""
    document = read(name)
    described = [*document.get("paths", {}).values(), *document.get("webhooks", {}).values()]
    names = [operation["operationId"] for methods in described for operation in methods.values()]

    assert names
    assert sorted(set(names)) == sorted(names)


def test_every_method_of_every_path_is_described() -> None:
    """No route is left out, and nothing is promised that has no route."""
    routes = {(route, method.lower()) for route, methods in TABLE.items() for method in methods}
    described = {(path, method) for path, methods in read("app.yaml")["paths"].items() for method in methods}

    assert routes == described


def test_every_refusal_is_described_with_its_status() -> None:
    """The statuses that an operation announces are those of the problems that it can have."""
    for route, methods in read("app.yaml")["paths"].items():
        for method, operation in methods.items():
            endpoint = TABLE[route][method.upper()]
            expected = {str(PROBLEMS[code][0]) for code in codes_of(route, method.upper(), endpoint)}

            assert expected == {status for status in operation["responses"] if status >= "400"}, (route, method)


def test_every_status_of_a_refusal_is_announced_somewhere() -> None:
    """A status that no operation announces is a leftover."""
    announced = {
        int(status)
        for methods in read("app.yaml")["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
    }

    assert set(REFUSALS) == {status for status in announced if status >= 400}


def test_every_operation_names_its_scope() -> None:
    """Which key is needed is said where tools look for it."""
    for route, methods in read("app.yaml")["paths"].items():
        for method, operation in methods.items():
            assert [{"bearer": [TABLE[route][method.upper()].scope]}] == operation["security"]


def test_every_type_of_event_is_described() -> None:
    """No type is left out, and each payload holds what the core's table says."""
    document = read("events.yaml")

    assert {*TYPES, "webhook.test"} == set(document["webhooks"])
    for name, kind in TYPES.items():
        message = document["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]["schema"]
        data = message["properties"]["data"]["$ref"]
        schema = document["components"]["schemas"][data.rpartition("/")[2]]
        assert {"const": name} == schema["properties"]["type"]
        assert {"version", *kind.payload} == set(schema["properties"]["payload"]["required"])
