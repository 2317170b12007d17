"""What the provisioning log says about a request of this door: never a secret, never a personal value."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson

from app_api.endpoint import Endpoint
from app_api.exchange import Answer, Call
from app_api.problems import Problem
from app_core import outbox, provisioning_log
from app_core.provisioning_log import MASK, Entry, Known, Outcome, masked, masked_id, masked_sentence
from app_core.work import Work

MAX_EXCHANGE = 64 * 1024
HEADERS = frozenset({"Idempotency-Key"})
REPLAYED = "The same request had been carried out before (Idempotency-Key)."


def log_success(work: Work, call: Call, endpoint: Endpoint, answer: Answer[Any], seconds: float) -> None:
    """Record a request that was carried out, and what happened with it, in its own transaction."""
    outcome, code, reason = provisioning_log.ending(work, answer.changed)
    entry = Entry(
        action=endpoint.action,
        target_type=endpoint.kind,
        target_id=answer.target_id,
        outcome=outcome,
        status=answer.status,
        reason_code=code,
        reason=reason,
        changed=answer.changed or [],
        exchange=_exchange(call, endpoint, answer.status),
        duration_us=int(seconds * 1e6),
    )
    outbox.flush(work, provisioning_log.entry_of(work, entry))


def log_replay(work: Work, call: Call, endpoint: Endpoint, status: int, seconds: float) -> None:
    """Record a request that had been carried out before and was answered as then."""
    entry = Entry(
        action=endpoint.action,
        target_type=endpoint.kind,
        target_id=_asked_for(call, endpoint),
        outcome=Outcome.SKIPPED,
        status=status,
        reason=REPLAYED,
        exchange=_exchange(call, endpoint, status),
        duration_us=int(seconds * 1e6),
    )
    provisioning_log.record(work, entry)


def log_failure(work: Work, call: Call, endpoint: Endpoint, problem: Problem, seconds: float) -> None:
    """Record a request that was refused, and what its refusal left behind, after its rollback."""
    reason = _sentence(call, problem, endpoint)
    entry = Entry(
        action=endpoint.action,
        target_type=endpoint.kind,
        target_id=_asked_for(call, endpoint),
        outcome=Outcome.FAILURE,
        status=problem.status,
        reason_code=problem.code,
        reason=reason,
        exchange=_exchange(call, endpoint, problem.status, {"code": problem.code, "detail": reason}),
        duration_us=int(seconds * 1e6),
    )
    outbox.flush(work, provisioning_log.entry_of(work, entry))


def _sentence(call: Call, problem: Problem, endpoint: Endpoint) -> str:
    """Say why, without what a client has put into names and values."""
    if problem.plain:
        return problem.detail
    known = words_of(endpoint).__contains__
    errors = problem.facts.get("errors")
    if not errors:
        return masked_sentence(_without_texts(problem.detail, call, known), known)
    return "; ".join([f"{_place(each, known)}: {masked_sentence(each['detail'], known)}" for each in errors[:5]])


def _without_texts(sentence: str, call: Call, known: Known) -> str:
    """Mask what a sentence holds of the texts that were sent, however it quotes them."""
    try:
        body = orjson.loads(call.body) if 0 < len(call.body) <= MAX_EXCHANGE else None
    except ValueError:
        body = None
    for text in sorted(set(_texts(body)), key=len, reverse=True):
        if len(text) > 2 and not known(text):
            sentence = sentence.replace(text, MASK)
    return sentence


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for held in value.values() if isinstance(value, dict) else value:
            yield from _texts(held)


def _place(error: dict[str, str], known: Known) -> str:
    steps = error["pointer"].split("/")[1:] if "pointer" in error else [error["parameter"]]
    return "/".join([step if known(step) or step.isdigit() else MASK for step in steps]) or "the body"


def _asked_for(call: Call, endpoint: Endpoint) -> str | None:
    """Give the id that a request named, in a form that a log can hold."""
    return masked_id(call.keys.get("login_id" if endpoint.kind == "Login" else "id", call.keys.get("object_id")))


def _exchange(call: Call, endpoint: Endpoint, status: int, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Show a request and its answer, masked: the shape of what was sent, and which members."""
    known = words_of(endpoint).__contains__
    request: dict[str, Any] = {"method": call.method, "path": call.route}
    if call.query:
        request["query"] = {name if known(name) else MASK: masked(value, known) for name, value in call.query.items()}
    if call.body:
        request["body"] = _masked_body(call, endpoint)
    return {"request": request, "response": {"status": status, **({} if body is None else {"body": body})}}


def _masked_body(call: Call, endpoint: Endpoint) -> Any:
    if endpoint.takes_image or len(call.body) > MAX_EXCHANGE:
        return f"{len(call.body)} bytes"
    try:
        return masked(orjson.loads(call.body), words_of(endpoint).__contains__)
    except (ValueError, RecursionError):
        return f"{len(call.body)} bytes that are not JSON"


@cache
def words_of(endpoint: Endpoint) -> frozenset[str]:
    """Give the words of an endpoint's own: its parameters, members and listed values. All others may be personal."""
    models = [endpoint.query, *([endpoint.body] if endpoint.body is not None else [])]
    return HEADERS.union(word for model in models for word in _names(model.model_json_schema()))


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        yield from schema.get("enum", [])
        for held in schema.values():
            yield from _names(held)
    elif isinstance(schema, list):
        for held in schema:
            yield from _names(held)
