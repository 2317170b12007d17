"""Schemathesis on the application in this process: whatever a client sends, the answer is as openapi/scim.yaml says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import hypothesis
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core import NOT_SET
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from app_core.migrations import upgrade
from scim_server.openapi import description
from scim_server.schemas import RESOURCE_TYPES, SCHEMAS, Attribute
from tests.conformance.application import APP, BASE_URL, NUMBERS, Client, Served, a_client
from tests.scim_server.generated import examples

JSON = dict[str, Any]
Case = schemathesis.Case[Any]

DESCRIPTION = description()
SCHEMA_OF = DESCRIPTION["components"]["schemas"]

EXCLUDED: list[Any] = [
    # Which filters can be carried out, which names are taken and which members exist no description can express.
    positive_data_acceptance,
    # The door takes more than it describes; `cannot_be_held` says where that ends.
    negative_data_rejection,
]


# What schemathesis cannot know --------------------------------------------------------------------------------------


def leaves(attributes: Mapping[str, Attribute], prefix: str = "") -> Iterator[tuple[str, str]]:
    for attribute in attributes.values():
        yield prefix + attribute.name, attribute.type
        yield from ((f"{prefix}{attribute.name}.{sub.name}", sub.type) for sub in attribute.sub.values())


TYPE_OF = {
    path: kind
    for resource_type in RESOURCE_TYPES
    for attributes, prefix in [
        (resource_type.attributes, ""),
        *((held, f"{urn}:") for urn, held in resource_type.extensions.values()),
    ]
    for path, kind in leaves(attributes, prefix)
}
OPERATORS = ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "EQ"]
VALUES = ['"work"', '"a"', '""', '"\\u00e9%_"', "null", "1", "-1.5e3", "word"]
FITTING = {
    "boolean": (["eq", "ne"], ["true", "false", '"True"']),
    "dateTime": (["eq", "ne", "gt", "ge", "lt", "le"], ['"2026-11-24T18:27:59Z"', '"2011-05-13T04:42:34.5+02:00"']),
}


def a_comparison(path: str, kind: str) -> st.SearchStrategy[str]:
    operators, values = FITTING.get(kind, (OPERATORS, VALUES))
    return st.builds(f"{path} {{}} {{}}".format, st.sampled_from(operators), st.sampled_from(values))


# The first is what schemathesis falls back to: every resource has a displayName.
a_path = st.sampled_from(sorted(TYPE_OF, key=lambda path: (path != "displayName", path)))
fitting = a_path.flatmap(lambda path: a_comparison(path, TYPE_OF[path]))
daring = st.builds("{} {} {}".format, a_path, st.sampled_from(OPERATORS), st.sampled_from([*VALUES, "true"]))
elements = st.builds(
    "{}[{}]".format,
    st.sampled_from(["emails", "addresses", "phoneNumbers", "roles", "groups", "members", "name"]),
    st.one_of(*[a_comparison(name, "string") for name in ("type", "value", "display")])
    | a_comparison("primary", "boolean"),
)
a_filter = st.recursive(
    fitting | elements | st.builds("{} pr".format, a_path) | fitting | fitting | daring,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner)
        | st.builds("not ({})".format, inner)
    ),
    max_leaves=4,
)
schemathesis.openapi.format("scim-filter", a_filter | a_filter | st.text(max_size=20))
schemathesis.openapi.format(
    "scim-path", a_path | a_path | elements | st.builds("{}.value".format, elements) | st.text(max_size=20)
)
schemathesis.openapi.format("etag", st.sampled_from(['W/"1"', '"1"', 'W/"2", W/"1"', "*", "", "W/"]))

DISCOVERED = {"Schemas": list(SCHEMAS), "ResourceTypes": [each.name for each in RESOURCE_TYPES]}

# Systematic variations of a User are more than a thousand; POST sees them all, PUT reads the same body.
CONFIG = {"operations": [{"include-name": "PUT /Users/{id}", "phases": {"coverage": {"enabled": False}}}]}


LISTS = {("/Users", "get"), ("/Groups", "get")}
# What stories are told of: a list that is empty leads nowhere.
LIFE = {
    path: {method: operation for method, operation in methods.items() if (path, method) not in LISTS}
    for path, methods in DESCRIPTION["paths"].items()
    if path in ("/Users", "/Users/{id}", "/Groups", "/Groups/{id}")
}


def schema_of(paths: JSON) -> schemathesis.BaseSchema:
    document = {**DESCRIPTION, "paths": paths}
    schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(CONFIG))
    schema.config.update(base_url=BASE_URL)
    schema.app = APP
    return schema


schema = schema_of(DESCRIPTION["paths"])
life = schema_of(LIFE)
life.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE], allow_x00=False)


def mend(case: Case, client: Client, n: int) -> None:
    """Let most requests get past the first refusal: parameters that go together, names that are new, members that exist."""
    for asked in (case.query, case.body):
        if isinstance(asked, dict) and {"attributes", "excludedAttributes"} <= asked.keys() and n % 7:
            del asked["attributes" if n % 2 else "excludedAttributes"]
    for name in ("If-Match", "If-None-Match") if case.method != "GET" and n % 6 else ():
        case.headers.pop(name, None)
    if not isinstance(case.body, dict):
        return
    for name in ("userName", "displayName"):
        given = case.body.get(name)
        if isinstance(given, str) and given.strip():
            case.body[name] = f"{given} {n}"
    for name, values in case.body.items():
        held = [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []
        for at, element in enumerate(held):
            if name == "members":
                element["value"] = client.one("Users")
            if name == "Operations" and n % 3:
                element["value"] = f"Text {n}" if element.get("path") else {"displayName": f"Text {n}"}
            if at and element.get("primary") is True:
                element["primary"] = False


def aim(case: Case, client: Client, n: int) -> None:
    """Let most requests meet what is there."""
    kind = case.path.split("/")[1]
    if "{id}" not in case.path or n % 5 == 0:
        return
    if kind in DISCOVERED:
        case.path_parameters["id"] = DISCOVERED[kind][n % len(DISCOVERED[kind])]
    else:
        case.path_parameters["id"] = client.create(kind) if case.method == "DELETE" else client.one(kind)


# What the door takes ------------------------------------------------------------------------------------------------

NOTHING: JSON = {"enum": [None, "", {}, []]}
MEMBER = {"type": ["string", "object"], "properties": {"value": {"type": "string"}}}


def tolerated(described: JSON) -> JSON:
    """Widen a schema by what the door takes beyond it: nothing for a value, one for many, words for booleans."""
    if "$ref" in described and isinstance(described["$ref"], str):
        described = SCHEMA_OF[described["$ref"].rpartition("/")[2]]
    match described.get("type"):
        case "object":
            wider = {**described, "properties": tolerated_properties(described)}
        case "array":
            one = tolerated(described["items"])
            wider = {"anyOf": [one, {"type": "array", "items": one}]}
        case "boolean":
            wider = {"anyOf": [described, {"type": "string", "pattern": r"^\s*(?i:true|false)\s*$"}]}
        case _:
            wider = described
    return {"anyOf": [wider, NOTHING]}


def tolerated_properties(described: JSON) -> JSON:
    # What the server says itself is not read; `schemas` neither, as Entra's lists are wrong (entra rule 12).
    wider = {
        name: tolerated(held)
        for name, held in described["properties"].items()
        if not held.get("readOnly") and name != "schemas"
    }
    for name in {"manager", "members"} & wider.keys():
        one = {"anyOf": [wider[name], {"type": "string"}]} if name == "manager" else MEMBER
        wider[name] = {"anyOf": [one, {"type": "array", "items": one}, NOTHING]}
    return wider


def taken(kind: str) -> jsonschema_rs.Validator:
    needed = SCHEMA_OF[f"{kind}Request"]["allOf"][1]
    properties = tolerated_properties(SCHEMA_OF[kind]) | needed["properties"]
    return jsonschema_rs.validator_for({**needed, "properties": properties})


TAKEN = {"/Users": taken("User"), "/Groups": taken("Group")}


def cannot_be_held(case: Case) -> bool:
    """Say whether the body of a POST or PUT is no resource, however it is read."""
    held = TAKEN.get(case.path.removesuffix("/{id}"))
    if case.method not in ("POST", "PUT") or held is None:
        return False
    return case.body is NOT_SET or isinstance(case.body, bytes) or not held.is_valid(case.body)


# Tests --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(database_url: str) -> Iterator[Served]:
    """The application on each kind of database; schemathesis starts it with its first request."""
    upgrade(database_url)
    APP.database_url = database_url
    yield APP
    shutdown_lifespans()


@pytest.fixture(scope="module")
def client(served: Served) -> Client:
    """The client of one tenant for all operations: schemathesis sends more than a thousand requests to each."""
    return a_client(served.database_url)


@schema.parametrize()
@examples(12)
def test_answers_are_as_described(case: Case, client: Client) -> None:
    """Status, headers and body are as described, the token is asked for, and what cannot be held is refused."""
    n = next(NUMBERS)
    mend(case, client, n)
    aim(case, client, n)
    excluded = [*EXCLUDED, *([not_a_server_error] if case.path == "/Me" else [])]
    bad = cannot_be_held(case)

    answer = case.call_and_validate(headers=client.headers, excluded_checks=excluded)

    assert not bad or 400 <= answer.status_code < 500, f"{case.body!r} was taken"


class Story(life.as_state_machine()):  # type: ignore[misc]
    """Requests that build on each other: schemathesis infers from the description which ids go where."""

    client: Client

    def setup(self) -> None:
        # A tenant of its own for each story: hypothesis wants the same start each time.
        self.client = a_client(APP.database_url)
        self.numbers = itertools.count(1)
        self.there: set[str] = set()
        self.gone: set[str] = set()

    def get_call_kwargs(self, case: Case) -> JSON:
        return {"headers": self.client.headers}

    def before_call(self, case: Case) -> None:
        mend(case, self.client, next(self.numbers))

    def validate_response(self, response: schemathesis.Response, case: Case, *_: Any, **kwargs: Any) -> None:
        case.validate_response(
            response,
            excluded_checks=EXCLUDED,
            headers=self.client.headers,
            transport_kwargs=kwargs,
            recorder=self.recorder,
        )
        key = str(case.path_parameters.get("id"))

        assert key not in self.gone or response.status_code >= 400
        assert key not in self.there or response.status_code != 404

        if response.status_code == 201:
            self.there.add(response.json()["id"])
        if case.method == "DELETE" and response.status_code == 204:
            self.there.discard(key)
            self.gone.add(key)


def test_what_is_created_is_there_until_it_is_deleted(served: Served) -> None:
    """Over many requests answers stay as described, and a resource is found from its creation to its deletion."""
    Story.run(settings=hypothesis.settings(examples(20), stateful_step_count=15, phases=[hypothesis.Phase.generate]))
