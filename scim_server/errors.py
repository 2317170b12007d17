"""Refusals in SCIM's own form (RFC 7644 §3.12), and the one table from DomainError to status and scimType."""

from typing import Any

import orjson

from app_core.errors import (
    Busy,
    DomainError,
    GroupNameTaken,
    Invalid,
    NotFound,
    Stale,
    StillHolds,
    Unauthenticated,
    UserNameTaken,
)

ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


class ScimError(Exception):
    """A refusal of this door: status, scimType (if the RFCs name one) and a sentence that says what to do."""

    def __init__(self, status: int, scim_type: str | None, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.scim_type = scim_type
        self.detail = detail
        self.code: str | None = None
        """What the core calls the refusal, where SCIM has no word for it."""
        self.plain = False
        """Whether the sentence names nothing personal, so that a log may hold it as it is."""
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def document(self) -> dict[str, Any]:
        """Give the error as JSON; `status` is a string (RFC 7644 §3.12)."""
        kind = {} if self.scim_type is None else {"scimType": self.scim_type}
        return {"schemas": [ERROR], "status": str(self.status), **kind, "detail": self.detail}

    def body(self) -> bytes:
        """Give the error as the body of an answer."""
        return orjson.dumps(self.document())


STATUS: dict[type[DomainError], tuple[int, str | None]] = {
    NotFound: (404, None),
    UserNameTaken: (409, "uniqueness"),
    GroupNameTaken: (409, "uniqueness"),
    Invalid: (400, "invalidValue"),
    Stale: (412, None),
    Unauthenticated: (401, None),
    Busy: (503, None),
}
HEADERS = {401: {"WWW_Authenticate": 'Bearer realm="scim"'}, 503: {"Retry_After": "5"}}


def from_domain(error: DomainError) -> ScimError:
    """Put a refusal of the core into SCIM's words; the nearest class in the table decides."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            status, scim_type = STATUS[kind]
            return ScimError(status, scim_type, error.sentence, **HEADERS.get(status, {}))
    refused = ScimError(409, None, error.sentence)
    refused.code = error.code
    # Which team it is and what it holds is what the administrator must read.
    refused.plain = isinstance(error, StillHolds)
    return refused


def invalid_value(path: str, problem: str) -> ScimError:
    """Refuse a value (RFC 7644 table 9, invalidValue)."""
    return ScimError(400, "invalidValue", f"'{path[:200]}': {problem}")


def invalid_syntax(problem: str) -> ScimError:
    """Refuse a body that does not have the form of its message."""
    return ScimError(400, "invalidSyntax", problem)


def invalid_path(path: str, problem: str) -> ScimError:
    """Refuse a PATCH path."""
    return ScimError(400, "invalidPath", f"'{path[:200]}': {problem}")


def invalid_filter(problem: str) -> ScimError:
    """Refuse a filter, saying what of it cannot be taken."""
    return ScimError(400, "invalidFilter", problem)


def mutability(path: str, problem: str) -> ScimError:
    """Refuse a change of something that cannot change."""
    return ScimError(400, "mutability", f"'{path[:200]}': {problem}")


def no_target(path: str) -> ScimError:
    """Refuse a path that selects nothing and cannot be made to."""
    return ScimError(400, "noTarget", f"'{path[:200]}' selects no value that could be changed.")
