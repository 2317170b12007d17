"""What answers one method of one path. What it reads and gives is said once: by the annotations of its function."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from inspect import getdoc
from typing import Any, get_args, get_type_hints

from app_api.bodies import Body, Nothing, Query, read_body, read_query
from app_api.exchange import Answer, Call, Image, Lines
from app_api.problems import Problem
from app_core.api_keys import KeyScope
from app_core.work import Work

WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
JSON = "application/json"


class NoQuery(Query):
    """No parameters at all."""


@dataclass(frozen=True)
class Endpoint:
    """A function `run(work, call[, body][, query]) -> Answer[…]`, and what the door must know of it.

    A `body` is a model of `bodies`, or bytes where an image is taken; a `query` is a model as well.
    """

    run: Callable[..., Answer[Any]]
    scope: KeyScope
    action: str
    kind: str
    """What the action is done to: the target type of the provisioning log, and the tag of the description."""
    status: int = 200
    writes: bool = False
    """Whether a GET of it needs a transaction; all else does."""
    logged: bool = True
    """Whether the provisioning log is told; of a GET it never is."""
    once: bool = False
    """Whether the answer shows a secret, which is kept nowhere: it cannot be given again."""
    conditional: bool = False
    """Whether it looks at If-Match."""
    refusals: Collection[str] = ()
    """Codes of problems that it has besides those that all have."""
    before: Callable[[Work, Call], Any] | None = None
    """Reads what `fetch` needs, in a unit of work of its own."""
    fetch: Callable[..., Awaitable[Any]] | None = None
    """Asks the world outside before the transaction begins; what it gives is `fetched` of `run`.

    A function `fetch(call, seen[, body][, query])`; `seen` is what `before` has read.
    """

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The annotations of the function."""
        return get_type_hints(self.run)

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (getdoc(self.run) or "").partition("\n")[0]

    @property
    def body(self) -> type[Body] | None:
        """The model of its body, if that is JSON; without members where it takes none."""
        found: type[Body] = self.hints.get("body", Nothing)
        return None if self.takes_image else found

    @property
    def takes_image(self) -> bool:
        """Whether its body is an image."""
        return self.hints.get("body") is bytes

    @property
    def query(self) -> type[Query]:
        """The model of its query."""
        found: type[Query] = self.hints.get("query", NoQuery)
        return found

    @property
    def gives(self) -> Any:
        """The type of what it answers; None for nothing."""
        (found,) = get_args(self.hints["return"])
        return None if found is type(None) else found

    @property
    def gives_image(self) -> bool:
        """Whether it answers with an image."""
        return self.gives is Image

    @property
    def gives_lines(self) -> bool:
        """Whether it answers with a text of any length."""
        return self.gives is Lines

    def writes_by(self, method: str) -> bool:
        """Say whether a request needs a transaction."""
        return method != "GET" or self.writes

    def is_logged(self, method: str) -> bool:
        """Say whether the provisioning log is told of a request."""
        return method != "GET" and self.logged

    def answer(self, work: Work, call: Call, **fetched: Any) -> Answer[Any]:
        """Read what was sent and carry it out. Raises Problem, DomainError."""
        return self.run(work, call, **self.read(call), **fetched)

    def read(self, call: Call) -> dict[str, Any]:
        """Read what was sent. Raises Problem."""
        read: dict[str, Any] = {}
        query = read_query(self.query, call.query)
        if "query" in self.hints:
            read["query"] = query
        if call.method in WITH_BODY:
            body = call.body if self.body is None else read_body(self.body, call.body)
            if "body" in self.hints:
                read["body"] = body
        return read

    def require_media_type(self, given: str) -> None:
        """Refuse a body of another kind; a JSON body need not say that it is one. Raises Problem."""
        if self.takes_image:
            if not given.startswith("image/"):
                raise Problem("unsupported-media-type", "Send the image itself, with its media type.")
        elif given not in ("", JSON):
            raise Problem("unsupported-media-type", f"Send {JSON}, not {given[:60]}.")
