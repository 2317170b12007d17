"""What the provisioning log says about a write of these pages: never a secret, never a personal value."""

from typing import Any

from admin_console.endpoint import Answer, Endpoint
from admin_console.request import Request
from app_core import outbox, provisioning_log
from app_core.errors import DomainError, StillHolds
from app_core.provisioning_log import Entry, Outcome, masked_id, masked_sentence
from app_core.work import Work

NO_CHANGE = "Everything was so already."


def log_success(work: Work, endpoint: Endpoint, answer: Answer, seconds: float) -> None:
    """Record a write that was carried out, and what happened with it, in its own transaction."""
    outcome, code, reason = Outcome.SUCCESS, None, None
    if work.warnings:
        outcome, code = Outcome.WARNING, work.warnings[0][0]
        reason = " ".join(dict.fromkeys(sentence for _, sentence in work.warnings))
    elif answer.changed is not None and not answer.changed:
        outcome, reason = Outcome.SKIPPED, NO_CHANGE
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
