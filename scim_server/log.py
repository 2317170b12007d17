"""What the provisioning log says about a SCIM request."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from app_core import outbox, provisioning_log
from app_core.provisioning_log import MASK, NO_CHANGE, Entry, Outcome, masked, masked_filter, masked_id, masked_sentence
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
    """Record a request that was carried out, and what happened with it, in its own transaction."""
    outcome, code, reason = _outcome(work, action, answer)
    entry = Entry(
        action=action,
        target_type=kind,
        target_id=answer.target_id,
        outcome=outcome,
        status=answer.status,
        reason_code=code,
        reason=reason,
        changed=answer.changed,
        exchange=exchange(call, answer.status),
        duration_us=int(seconds * 1e6),
    )
    outbox.flush(work, provisioning_log.entry_of(work, entry))
    work.warnings.clear()


def _outcome(work: Work, action: str, answer: Answer) -> tuple[Outcome, str | None, str | None]:
    """Say how a request that was carried out ended, and why that is worth a word."""
    notes = list(dict.fromkeys(answer.notes))
    reasons = []
    if notes:
        named = ", ".join([masked_filter(note, _is_name) for note in notes[:20]])[:500]
        reasons.append(f"Left out, since no schema has it: {named}.")
    reasons += [sentence for _, sentence in work.warnings]
    if reasons:
        return Outcome.WARNING, "unknownAttribute" if notes else work.warnings[0][0], " ".join(reasons)
    if not answer.changed and action in ("replace", "update"):
        return Outcome.SKIPPED, None, NO_CHANGE
    return Outcome.SUCCESS, None, None


def log_failure(work: Work, call: Call, action: str, kind: str, error: ScimError, seconds: float) -> None:
    """Record a request that was refused, after its rollback."""
    entry = Entry(
        action=action,
        target_type=kind,
        target_id=masked_id(call.key or None),
        outcome=Outcome.FAILURE,
        status=error.status,
        reason_code=error.scim_type or error.code or f"http{error.status}",
        reason=_sentence(error),
        exchange=exchange(call, error.status, error),
        duration_us=int(seconds * 1e6),
    )
    outbox.flush(work, provisioning_log.entry_of(work, entry))


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
    if error.plain:
        return error.detail
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
