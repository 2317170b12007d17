"""How every answer of the API door is held against its description, whatever a test is about; and short words."""

from __future__ import annotations

import itertools
import uuid
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from app_api.app import find_route
from app_api.openapi import description
from tests.builders import GROUP, USER

JSON = dict[str, Any]
DESCRIPTION = description()
PROBLEM = "application/problem+json"
PREFIX = "/api/v1"
numbers = itertools.count(1)


@cache
def validator(reference: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({"$ref": reference, "components": DESCRIPTION["components"]})


def as_described(answer: httpx.Response) -> None:
    """Hold an answer against openapi/app.yaml: its status is announced, its headers are there, its body fits."""
    answer.read()
    said = f"{answer.request.method} {str(answer.request.url)[:200]} → {answer.status_code} {answer.text[:500]}"

    assert answer.status_code < 500, said
    assert answer.headers["x-request-id"], said
    path = answer.request.url.path
    found = find_route(path.removeprefix(PREFIX)) if path.startswith(PREFIX) else None
    method = "GET" if answer.request.method == "HEAD" else answer.request.method
    if found is None or method not in found[1]:
        is_problem(answer, answer.status_code)
        return
    described = DESCRIPTION["paths"][found[0]][method.lower()]["responses"]
    assert str(answer.status_code) in described, said
    response = described[str(answer.status_code)]
    if "$ref" in response:
        response = DESCRIPTION["components"]["responses"][response["$ref"].rpartition("/")[2]]
    for name in response["headers"]:
        assert name in answer.headers, f"no {name}: {said}"
    if answer.request.method == "HEAD":
        assert b"" == answer.content, said
        return
    if "content" not in response:
        assert b"" == answer.content, said
        return
    media_type = answer.headers["content-type"].partition(";")[0]
    assert media_type in response["content"], said
    schema = response["content"][media_type]["schema"] if media_type.endswith("json") else {}
    if schema:
        problems = [str(each) for each in validator(schema["$ref"]).iter_errors(answer.json())]
        assert [] == problems, said
    if answer.status_code >= 400:
        is_problem(answer, answer.status_code)


def is_problem(answer: httpx.Response, status: int) -> None:
    """Hold an answer against RFC 9457."""
    assert PROBLEM == answer.headers["content-type"], answer.text
    if answer.request.method == "HEAD":
        return
    body = answer.json()
    assert status == body["status"], body
    assert body["detail"], body
    assert body["title"], body
    assert answer.headers["x-request-id"] == body["instance"], body


def refused(answer: httpx.Response, status: int, code: str) -> JSON:
    """Hold an answer against a refusal; give its body."""
    assert status == answer.status_code, answer.text
    body: JSON = answer.json()
    assert body["type"].endswith(f"/problems/{code}"), body
    return body


def places(answer: httpx.Response) -> list[str]:
    """Give what an answer says is at fault: pointers and parameters."""
    body = refused(answer, 400, "invalid")
    return [each.get("pointer", each.get("parameter")) for each in body["errors"]]


def ok(answer: httpx.Response, status: int = 200) -> JSON:
    """Hold an answer against a status and give its body."""
    assert status == answer.status_code, answer.text
    body: JSON = answer.json() if answer.content else {}
    return body


def items(answer: httpx.Response) -> list[JSON]:
    """Give the items of a list."""
    found: list[JSON] = ok(answer)["items"]
    return found


def ids(answer: httpx.Response) -> list[str]:
    """Give the ids of a list, in its order."""
    return [each["id"] for each in items(answer)]


def walk(api: httpx.Client, path: str, limit: int = 1, **params: Any) -> list[JSON]:
    """Read a list page by page to its end."""
    found: list[JSON] = []
    after: Any = None
    for _ in range(1000):
        page = ok(api.get(path, params={**params, "limit": limit, **({} if after is None else {"after": after})}))
        found += page["items"]
        assert len(page["items"]) <= limit
        after = page["next"]
        if after is None:
            return found
    raise AssertionError(f"{path} does not end")


# Arranging ------------------------------------------------------------------------------------------------------------


def unique(text: str = "x") -> str:
    """Make a text that no other test of the run uses."""
    return f"{text}-{next(numbers)}-{uuid.uuid4().hex[:8]}"


def new_person(api: httpx.Client, **members: Any) -> JSON:
    return ok(api.post("people", json={"display_name": unique("Person"), **members}), 201)


def new_team(api: httpx.Client, **members: Any) -> JSON:
    return ok(api.post("teams", json={"name": unique("Team"), **members}), 201)


def new_login(api: httpx.Client, team: JSON, **members: Any) -> JSON:
    return ok(api.post(f"teams/{team['id']}/logins", json={"ciphertext": "opaque", **members}), 201)


TITLE = {"key": "title", "source": "job_title", "mode": "always"}
NAME = {"key": "name", "source": "display_name", "mode": "always", "editable": True}


def new_template(api: httpx.Client, *fields: JSON, **members: Any) -> JSON:
    body = {"name": unique("Template"), "fields": list(fields or (NAME, TITLE)), **members}
    return ok(api.post("templates", json=body), 201)


def push_user(scim: httpx.Client, **attributes: Any) -> JSON:
    """Let the directory create a user; give the SCIM resource."""
    name = unique("user")
    body = {
        "schemas": [USER],
        "userName": f"{name}@contoso.com",
        "displayName": name,
        "title": "Guide",
        "externalId": str(uuid.uuid4()),
        **attributes,
    }
    return ok(scim.post("Users", json=body), 201)


def push_group(scim: httpx.Client, *users: JSON, **attributes: Any) -> JSON:
    """Let the directory create a group with these members; give the SCIM resource."""
    body = {
        "schemas": [GROUP],
        "displayName": unique("Group"),
        "externalId": str(uuid.uuid4()),
        "members": [{"value": user["id"]} for user in users],
        **attributes,
    }
    return ok(scim.post("Groups", json=body), 201)


def person_of(api: httpx.Client, user: JSON) -> JSON:
    """Give the person of a user of the directory."""
    found = [each for each in walk(api, "people", 200) if each["directory_user_id"] == user["id"]]
    assert 1 == len(found)
    return found[0]


def team_of(api: httpx.Client, group: JSON) -> JSON:
    """Give the team that a group feeds."""
    team_id = ok(api.get(f"groups/{group['id']}"))["team_id"]
    return ok(api.get(f"teams/{team_id}"))


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)
