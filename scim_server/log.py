"""What the provisioning log says about a SCIM request."""

from typing import Any

import orjson

from app_core import provisioning_log
from app_core.provisioning_log import MASK, Entry, Outcome, masked, masked_filter
from app_core.work import Work
from scim_server.errors import ScimError
from scim_server.exchange import Answer, Call

MAX_EXCHANGE = 64 * 1024
SHOWN = frozenset(
    {"attributes", "excludedattributes", "sortby", "sortorder", "startindex", "count", "aadoptscim062020"}
)


def log_success(work: Work, call: Call, action: str, kind: str, answer: Answer, seconds: float) -> None:
    """Record a request that was carried out, in its own transaction: one that changed nothing is `skipped`."""
    notes = list(dict.fromkeys(answer.notes))
    outcome = Outcome.WARNING if notes else Outcome.SUCCESS
    reason = f"Left out, since no schema has it: {', '.join(notes[:20])[:500]}." if notes else None
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
            target_id=call.key[:200] or None,
            outcome=Outcome.FAILURE,
            status=error.status,
            reason_code=error.scim_type or f"http{error.status}",
            reason=error.detail,
            exchange=exchange(call, error.status, error),
            duration_us=int(seconds * 1e6),
        ),
    )


def exchange(call: Call, status: int, error: ScimError | None = None) -> dict[str, Any]:
    """Show a request and its answer, masked: no secret, no personal value, no long list."""
    request: dict[str, Any] = {"method": call.method}
    if call.query:
        request["query"] = {
            name[:40]: masked_filter(value[:500]) if name == "filter" else value[:200] if name in SHOWN else MASK
            for name, value in call.query.items()
        }
    if call.body:
        request["body"] = _masked_body(call.body)
    response: dict[str, Any] = {"status": status}
    if error is not None:
        response["body"] = error.document()
    return {"request": request, "response": response}


def _masked_body(body: bytes) -> Any:
    if len(body) > MAX_EXCHANGE:
        return f"{len(body)} bytes"
    try:
        return masked(orjson.loads(body))
    except ValueError:
        return f"{len(body)} bytes that are not JSON"
