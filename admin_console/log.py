"""What the provisioning log says about a write of these pages: never a secret, never a personal value."""

from typing import Any

from admin_console.endpoint import Answer, Endpoint
from admin_console.request import Request
from app_core import outbox, provisioning_log
from app_core.errors import DomainError, StillHolds
from app_core.provisioning_log import Entry, Outcome, masked_id, masked_sentence
from app_core.work import Work


def log_success(work: Work, endpoint: Endpoint, answer: Answer, seconds: float) -> None:
    """Record a write that was carried out, and what happened with it, in its own transaction."""
    outcome, code, reason = provisioning_log.ending(work, answer.changed)
    entry = Entry(
        action=endpoint.action,
        target_type=endpoint.kind,
        target_id=answer.target_id,
        outcome=outcome,
        status=200,
        reason_code=code,
        reason=reason,
        changed=answer.changed or [],
        duration_us=int(seconds * 1e6),
    )
    outbox.flush(work, provisioning_log.entry_of(work, entry))


def log_failure(work: Work, endpoint: Endpoint, request: Request, error: DomainError, seconds: float) -> None:
    """Record a write that was refused, after its rollback."""
    # Which team it is and what it holds is what the administrator must read.
    reason = error.sentence if isinstance(error, StillHolds) else masked_sentence(error.sentence, _nothing)
    entry = Entry(
        action=endpoint.action,
        target_type=endpoint.kind,
        target_id=masked_id(request.keys.get("id")),
        outcome=Outcome.FAILURE,
        status=409,
        reason_code=error.code,
        reason=reason,
        duration_us=int(seconds * 1e6),
    )
    outbox.flush(work, provisioning_log.entry_of(work, entry))


def _nothing(word: Any) -> bool:
    return False
