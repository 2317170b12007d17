"""What the provisioning log says about a SCIM request."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from app_core import provisioning_log
from app_core.provisioning_log import MASK, Entry, Outcome, masked, masked_filter, masked_id, masked_sentence
from app_core.work import Work
from scim_server.errors import ScimError
from scim_server.exchange import Answer, Call
from scim_server.filters import resolve
from scim_server.schemas import RESOURCE_TYPES

MAX_EXCHANGE = 64 * 1024
SCIM_URN = "urn:ietf:params:scim:"
NAME = re.compile(r"[A-Za-z$][\w:.$-]{0,200}", re.ASCII)
SHOWN = frozenset(
    {"attributes", "excludedattributes", "sortby", "sortorder", "startindex", "count", "aadoptscim062020"}
)


def log_success(work: Work, call: Call, action: str, kind: str, answer: Answer, seconds: float) -> None:
    """Record a request that was carried out, in its own transaction: one that changed nothing is `skipped`."""
    notes = list(dict.fromkeys(answer.notes))
    outcome = Outcome.WARNING if notes else Outcome.SUCCESS
    named = ", ".join([masked_filter(note, _is_name) for note in notes[:20]])[:500]
    reason = f"Left out, since no schema has it: {named}." if notes else None
    if not notes and not answer.changed and action in ("replace", "update"):
        outcome, reason = Outcome.SKIPPED, "Everything was so already."
    provisioning_log.record(
        work,
        Entry(
            action=action,
            target_type=kind,
            target_id=answer.target_id,
            outcome=outcome,
            status=answer.status,
            reason_code="unknownAttribute" if notes else None,
            reason=reason,
            changed=answer.changed,
            exchange=exchange(call, answer.status),
            duration_us=int(seconds * 1e6),
        ),
    )


def log_failure(work: Work, call: Call, action: str, kind: str, error: ScimError, seconds: float) -> None:
    """Record a request that was refused, after its rollback."""
    provisioning_log.record(
        work,
        Entry(
            action=action,
            target_type=kind,
            target_id=masked_id(call.key or None),
            outcome=Outcome.FAILURE,
            status=error.status,
            reason_code=error.scim_type or f"http{error.status}",
            reason=_sentence(error),
            exchange=exchange(call, error.status, error),
            duration_us=int(seconds * 1e6),
        ),
    )


def exchange(call: Call, status: int, error: ScimError | None = None) -> dict[str, Any]:
    """Show a request and its answer, masked: no secret, no personal value, no long list."""
    request: dict[str, Any] = {"method": call.method}
    if call.query:
        request["query"] = {
            name[:40]: masked_filter(value, known) if name == "filter" else value[:200] if name in SHOWN else MASK
            for name, value in call.query.items()
        }
    if call.body:
        request["body"] = _masked_body(call.body)
    response: dict[str, Any] = {"status": status}
    if error is not None:
        response["body"] = {**error.document(), "detail": _sentence(error)}
    return {"request": request, "response": response}


def _masked_body(body: bytes) -> Any:
    if len(body) > MAX_EXCHANGE:
        return f"{len(body)} bytes"
    try:
        return masked(orjson.loads(body), known)
    except ValueError:
        return f"{len(body)} bytes that are not JSON"


@lru_cache(maxsize=2048)
def known(word: str) -> bool:
    """Say whether a word of a request is a name of the protocol: an attribute, a sub-attribute or a schema."""
    name = word.strip(".:").lower()
    return name.startswith(SCIM_URN) or name in NAMES or any(resolve(kind, name) is not None for kind in RESOURCE_TYPES)


def _sentence(error: ScimError) -> str:
    # A path that no schema has is what the administrator must find in the mapping; it names, and holds no value.
    return masked_sentence(error.detail, _is_name if error.scim_type == "invalidPath" else known)


def _is_name(word: str) -> bool:
    return known(word) or NAME.fullmatch(word) is not None


def _names() -> Iterator[str]:
    for kind in RESOURCE_TYPES:
        yield from (kind.name.lower(), kind.endpoint.strip("/").lower(), kind.urn.lower(), *kind.extensions)
        for attributes in (kind.attributes, *(inner for _, inner in kind.extensions.values())):
            for attribute in attributes.values():
                yield from attribute.sub
    yield from ("operations", "body", "value", "path", "sortby", "sortorder", "count", "startindex", "bulkid", "op")


NAMES = frozenset(_names())
