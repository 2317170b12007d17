"""What a request to Graph is, and what an answer is: the words that the modules of the Graph face share."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

from runtime.simulator.cloud import Cloud, Tenant
from runtime.simulator.directory import Directory
from runtime.simulator.faults import Struck

JsonObject = dict[str, Any]
JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"


class GraphError(Exception):
    """A refusal in Graph's form."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


@dataclass(slots=True)
class Answer:
    """A status and a body: a document, or bytes as they are. A `broken` one ends before its body is whole."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = JSON
    broken: bool = False

    def content(self) -> bytes:
        """Write the body."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came, from the socket or as a part of a batch. Header names are in lower case."""

    method: str
    path: str
    raw_query: str
    headers: Mapping[str, str]
    body: bytes = b""
    in_batch: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose caller is known: the token says the tenant and the permissions."""

    cloud: Cloud
    incoming: Incoming
    tenant: Tenant
    roles: frozenset[str]
    struck: Struck

    @property
    def directory(self) -> Directory:
        """The directory that is read."""
        return self.tenant.directory

    @property
    def query(self) -> dict[str, str]:
        """The query options."""
        return dict(parse_qsl(self.incoming.raw_query, keep_blank_values=True))

    @property
    def url(self) -> str:
        """The address without its query, as links begin."""
        return f"{self.cloud.base_url}/v1.0{self.incoming.path}"

    @property
    def eventual(self) -> bool:
        """Whether the client takes the index that may lag."""
        return self.incoming.headers.get("consistencylevel", "").lower() == "eventual"

    def may(self, roles: frozenset[str]) -> bool:
        """Say whether the token holds one of these permissions."""
        return bool(self.roles & roles)

    def json(self) -> JsonObject:
        """Read the body. Raises GraphError."""
        try:
            body = orjson.loads(self.incoming.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise GraphError(400, "BadRequest", "Unable to read JSON request payload.")
        return body


def error_answer(cloud: Cloud, error: GraphError, headers: Mapping[str, str]) -> Answer:
    """Write a refusal."""
    request_id = str(uuid.uuid4())
    inner = {
        "date": cloud.clock.now().rstrip("Z"),
        "request-id": request_id,
        "client-request-id": headers.get("client-request-id", request_id),
    }
    body = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
    return Answer(error.status, body, error.headers)
