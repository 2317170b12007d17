"""POST /Bulk (RFC 7644 §3.7): many operations in one request, with references between them by bulkId.

Each operation is a step of its own: what fails is undone alone and reported, the rest stands. Ids of resources to come
are given out beforehand, so a reference may point forward or in a circle; operations run in the order of their needs.
A member that is made by a later operation of its own circle is added once it is there.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import orjson

from app_core import clock, follow, provisioning
from app_core.errors import DomainError
from app_core.ids import new_id
from app_core.provisioning import GroupChange, MemberStep
from app_core.resource import JsonObject
from app_core.work import Work
from scim_server import groups, users
from scim_server.errors import ScimError, from_domain, invalid_syntax, invalid_value
from scim_server.exchange import Answer, Call, query_of
from scim_server.log import log_failure, log_success

BULK_REQUEST = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
NEVER = 2**31
BULK_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
REFERENCE = re.compile(r"bulkId:([^/?#\"]+)")
PATH = re.compile(r"/?(?P<kind>Users|Groups)(?:/(?P<key>[^/?]+))?/?")

Endpoint = Callable[[Work, Call], Answer]
ENDPOINTS: dict[tuple[str, str], tuple[Endpoint, str]] = {
    ("POST", "Users"): (users.create, "create"),
    ("PUT", "Users"): (users.replace, "replace"),
    ("PATCH", "Users"): (users.update, "update"),
    ("DELETE", "Users"): (users.delete, "delete"),
    ("POST", "Groups"): (groups.create, "create"),
    ("PUT", "Groups"): (groups.replace, "replace"),
    ("PATCH", "Groups"): (groups.update, "update"),
    ("DELETE", "Groups"): (groups.delete, "delete"),
}


@dataclass(slots=True)
class Step:
    """One operation of the request."""

    at: int
    method: str
    path: str
    bulk_id: str | None
    version: str | None
    data: Any
    new_id: str = ""
    references: set[str] = field(default_factory=set)
    answer: Answer | None = None
    error: ScimError | None = None
    call: Call | None = None
    warnings: list[tuple[str, str]] = field(default_factory=list)
    action: str = ""
    kind: str = ""
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        """Say whether it has run."""
        return self.answer is not None or self.error is not None


def run(work: Work, call: Call) -> Answer:
    """Run a bulk request. Raises ScimError for a request that is no BulkRequest or too large."""
    fail_on_errors, steps = _read(call)
    by_bulk_id = {step.bulk_id: step for step in steps if step.method == "POST" and step.bulk_id is not None}
    errors = 0
    later: list[tuple[Step, str]] = []
    for step in _in_order(steps, by_bulk_id):
        if errors >= fail_on_errors:
            break
        _run_step(work, call, step, by_bulk_id, later)
        errors += step.error is not None
    _close_circles(work, later, by_bulk_id)
    for step in steps:
        _log(work, step)
    return Answer(
        200, orjson.dumps({"schemas": [BULK_RESPONSE], "Operations": [_report(call, s) for s in steps if s.done]})
    )


# Reading ------------------------------------------------------------------------------------------------------------


def _read(call: Call) -> tuple[int, list[Step]]:
    body = call.json()
    if not isinstance(body, dict):
        raise invalid_syntax("A bulk request must be a JSON object.")
    parts = {str(name).lower(): value for name, value in body.items()}
    schemas = parts.get("schemas")
    if not isinstance(schemas, list) or BULK_REQUEST not in schemas:
        raise invalid_syntax(f"schemas must be ['{BULK_REQUEST}'].")
    given, fail_on_errors = parts.get("operations"), parts.get("failonerrors")
    if not isinstance(given, list):
        raise invalid_syntax("Operations must be a list.")
    fail_on_errors = NEVER if fail_on_errors is None else fail_on_errors
    if not isinstance(fail_on_errors, int) or isinstance(fail_on_errors, bool) or fail_on_errors < 1:
        raise invalid_syntax("failOnErrors must be an integer of at least 1.")
    if len(given) > call.limits.bulk_operations:
        limit = call.limits.bulk_operations
        raise ScimError(413, None, f"A bulk request may hold {limit} operations, not {len(given)} (maxOperations).")
    steps = [_step(at, each) for at, each in enumerate(given)]
    named = [step.bulk_id for step in steps if step.bulk_id and step.method == "POST"]
    if len(named) != len(set(named)):
        raise invalid_value("bulkId", "each bulkId may be given once.")
    return fail_on_errors, steps


def _step(at: int, given: Any) -> Step:
    if not isinstance(given, dict):
        raise invalid_syntax(f"Operations[{at}] must be a JSON object.")
    parts = {str(name).lower(): value for name, value in given.items()}
    texts = {name: parts.get(name) for name in ("method", "path", "bulkid", "version")}
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise invalid_syntax(f"Operations[{at}].{name} must be text.")
    step = Step(
        at, (texts["method"] or "").upper(), texts["path"] or "", texts["bulkid"], texts["version"], parts.get("data")
    )
    step.references = set(REFERENCE.findall(step.path)) | set(_references(step.data))
    if step.method == "POST":
        step.new_id = new_id()
    return step


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith("bulkId:"):
            yield value.removeprefix("bulkId:")
        elif "bulkId:" in value:
            yield from REFERENCE.findall(value)
    elif isinstance(value, dict):
        for held in value.values():
            yield from _references(held)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _in_order(steps: list[Step], by_bulk_id: dict[str, Step]) -> Iterator[Step]:
    """Give the operations in the order sent, each after those whose resources it refers to (circles aside)."""
    started: set[int] = set()
    for first in steps:
        stack = [(first, iter(sorted(first.references)))] if first.at not in started else []
        started.add(first.at)
        while stack:
            needs = stack[-1][1]
            need = next(
                (by_bulk_id[name] for name in needs if name in by_bulk_id and by_bulk_id[name].at not in started), None
            )
            if need is None:
                yield stack.pop()[0]
            else:
                started.add(need.at)
                stack.append((need, iter(sorted(need.references))))


# Running ------------------------------------------------------------------------------------------------------------


def _run_step(work: Work, call: Call, step: Step, by_bulk_id: dict[str, Step], later: list[tuple[Step, str]]) -> None:
    started = clock.ticks()
    found = PATH.fullmatch(urlsplit(step.path).path)
    endpoint, step.action = ENDPOINTS.get((step.method, found["kind"] if found else ""), (None, "bulk"))
    step.kind = found["kind"].removesuffix("s") if found else "Bulk"
    step.call = replace(call, body=b"")
    waiting: list[str] = []
    try:
        if endpoint is None or found is None:
            raise invalid_value(
                f"Operations[{step.at}]", f"{step.method or 'no method'} {step.path or 'no path'} is not possible."
            )
        step.call = _inner_call(call, step, found["key"] or "", by_bulk_id, waiting)
        with _undone(work):
            step.answer = endpoint(work, step.call)
        step.warnings, work.warnings = work.warnings, []
    except (ScimError, DomainError) as refusal:
        if isinstance(refusal, DomainError):
            follow.after_refusal(work, refusal)
        step.error = refusal if isinstance(refusal, ScimError) else from_domain(refusal)
        waiting.clear()
    step.seconds = clock.ticks() - started
    later += [(step, bulk_id) for bulk_id in waiting]


@contextmanager
def _undone(work: Work) -> Iterator[None]:
    """Undo an operation that is refused, with the events and warnings that it would have had."""
    events, warnings = len(work.events), len(work.warnings)
    try:
        with work.connection.savepoint():
            yield
    except (ScimError, DomainError):
        del work.events[events:], work.warnings[warnings:]
        raise


def _log(work: Work, step: Step) -> None:
    """Write down what came of an operation in the end: a circle may have taken it back."""
    if step.call is None:
        return
    if step.answer is not None:
        work.warnings = step.warnings
        log_success(work, step.call, step.action, step.kind, step.answer, step.seconds)
    elif step.error is not None:
        log_failure(work, step.call, step.action, step.kind, step.error, step.seconds)


def _inner_call(call: Call, step: Step, key: str, by_bulk_id: dict[str, Step], waiting: list[str]) -> Call:
    if step.method == "POST" and not step.bulk_id:
        raise invalid_syntax(f"Operations[{step.at}]: a POST needs a bulkId.")
    if (step.method == "POST") == bool(key):
        raise invalid_value(f"Operations[{step.at}]", f"{step.method} {step.path} is not possible.")
    if step.method != "DELETE" and step.data is None:
        raise invalid_syntax(f"Operations[{step.at}]: {step.method} needs data.")
    is_group = step.path.strip("/").startswith("Groups")
    if is_group and step.method == "POST" and step.bulk_id in step.references:
        raise invalid_value("members", "a group cannot be a member of itself.")
    ids = {name: _id_of(step, name, by_bulk_id) for name in step.references}
    circular = {name for name in ids if not by_bulk_id[name].done}
    waiting += sorted(circular) if is_group else []
    data = _resolved(_without(step.data, circular) if waiting else step.data, ids)
    return replace(
        call,
        method=step.method,
        key=step.new_id or REFERENCE.sub(lambda found: ids[found[1]], key),
        query=query_of(urlsplit(step.path).query.encode()),
        headers={} if step.version is None else {"if-match": step.version},
        body=b"" if data is None else orjson.dumps(data),
    )


def _id_of(step: Step, name: str, by_bulk_id: dict[str, Step]) -> str:
    target = by_bulk_id.get(name)
    if target is None:
        raise invalid_value(f"Operations[{step.at}]", f"no POST of this request has the bulkId '{name[:60]}'.")
    if target.error is not None:
        raise ScimError(409, None, f"Operations[{step.at}]: the operation with bulkId '{name[:60]}' failed.")
    return target.new_id


def _resolved(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, str) and "bulkId:" in value:
        whole = ids.get(value.removeprefix("bulkId:"))
        return whole if whole is not None else REFERENCE.sub(lambda found: ids.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {name: _resolved(held, ids) for name, held in value.items()}
    return [_resolved(each, ids) for each in value] if isinstance(value, list) else value


def _without(data: Any, names: set[str]) -> Any:
    """Leave out the members that are still to come."""
    if not isinstance(data, dict):
        return data
    kept = {}
    for name, held in data.items():
        if name.lower() == "members" and isinstance(held, list):
            kept[name] = [each for each in held if not set(_references(each)) & names]
        elif name.lower() != "members" or not set(_references(held)) & names:
            kept[name] = held
    return kept


def _close_circles(work: Work, later: list[tuple[Step, str]], by_bulk_id: dict[str, Step]) -> None:
    """Put the members in that were not there when their group was made; a group that cannot have them is taken back."""
    for step, bulk_id in later:
        if step.answer is None:
            continue
        target = by_bulk_id[bulk_id]
        if target.answer is None:
            provisioning.delete_group(work, step.new_id)
            step.answer = None
            step.error = ScimError(
                409, None, f"The operation with bulkId '{bulk_id[:60]}' failed, so this one was undone."
            )
            continue
        group = provisioning.lock_group(work, step.new_id)
        provisioning.change_group(work, group, GroupChange(None, [MemberStep("add", [target.new_id])]))
        step.answer.headers["ETag"] = groups.etag(group.version + 1)


# Reporting ----------------------------------------------------------------------------------------------------------


def _report(call: Call, step: Step) -> JsonObject:
    report: JsonObject = {"method": step.method}
    if step.bulk_id is not None:
        report["bulkId"] = step.bulk_id
    if step.error is not None:
        if step.method != "POST":
            report["location"] = call.base + "/" + step.path.strip("/")
        return {**report, "status": str(step.error.status), "response": step.error.document()}
    answer = step.answer
    assert answer is not None
    kind = step.path.strip("/").partition("/")[0].partition("?")[0]
    report["location"] = f"{call.base}/{kind}/{answer.target_id}"
    if "ETag" in answer.headers:
        report["version"] = answer.headers["ETag"]
    return {**report, "status": str(answer.status)}
