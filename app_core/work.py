"""One unit of work: a connection, the tenant it acts in, who acts, and the instant it counts as."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app_core import clock
from app_core.db import Connection, Params, Row, Statement
from app_core.events import Event


class Source(StrEnum):
    """Through which door a change came."""

    SCIM = "scim"
    GRAPH = "graph"
    ADMIN = "admin"
    MEMBER = "member"
    """A person for themselves: signed in, by a start code, or by a claim link."""
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the door and the secret, session or job behind it."""

    source: Source
    id: str


@dataclass(slots=True)
class Work:
    """What a core function works with. Every statement it runs is bound to `tenant_id` (V1)."""

    connection: Connection
    tenant_id: str
    connection_id: str
    actor: Actor
    correlation_id: str
    now: clock.Stamp
    first: Callable[[Statement, Params], Sequence[Row]] | None = None
    """Runs the first SELECT in another way: together with the look-up of the caller (`connections.open_with`)."""
    unread: Callable[[], None] | None = None
    """Done before a write that comes before any SELECT: the caller is to be known otherwise (`connections.assume`)."""
    events: list[Event] = field(default_factory=list)
    """What happened so far; the edge writes it down beside the facts before it commits (`outbox.flush`)."""
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """What was stored and still does not do all it should: a code and a sentence for the log."""

    def record(self, event: Event) -> None:
        """Note that something happened; only called where a fact has changed (invariant 21)."""
        self.events.append(event)

    def warn(self, code: str, sentence: str) -> None:
        """Note something that the administrator should mend, though the change stands."""
        self.warnings.append((code, sentence))

    def rows(self, statement: Statement, **params: Any) -> Sequence[Row]:
        """Run a statement in this tenant and give all rows it returns."""
        if self.first is not None:
            first, self.first = self.first, None
            return first(statement, params)
        return self.connection.rows(statement, {"tenant_id": self.tenant_id, **params})

    def row(self, statement: Statement, **params: Any) -> Row | None:
        """Run a statement in this tenant and give its first row, if any."""
        if self.first is not None:
            return next(iter(self.rows(statement, **params)), None)
        return self.connection.row(statement, {"tenant_id": self.tenant_id, **params})

    def run(self, statement: Statement, **params: Any) -> int:
        """Run a statement in this tenant and give the number of rows it changed."""
        self._require_tenant()
        return self.connection.run(statement, {"tenant_id": self.tenant_id, **params})

    def run_later(self, statement: Statement, **params: Any) -> None:
        """Run a write in this tenant of which nobody asks how many rows it changed: it may share a trip with others."""
        self._require_tenant()
        self.connection.run_later(statement, {"tenant_id": self.tenant_id, **params})

    def run_many(self, statement: Statement, params: Sequence[dict[str, Any]]) -> None:
        """Run a statement in this tenant once for each set of parameters."""
        self._require_tenant()
        if params:
            self.connection.run_many(statement, [{"tenant_id": self.tenant_id, **each} for each in params])

    def run_expecting(self, steps: Sequence[tuple[Statement, Params]], counts: Sequence[int]) -> list[int]:
        """Run writes that will hardly change other numbers of rows than these; give the numbers that they changed."""
        self._require_tenant()
        bound = [(each, {"tenant_id": self.tenant_id, **params}) for each, params in steps]
        return self.connection.run_expecting(bound, counts)

    def assume(self, statement: Statement, **params: Any) -> bool:
        """Take it that a SELECT finds one row in this tenant, or give False: then it is to be asked."""
        self._require_tenant()
        return self.connection.assume(statement, {"tenant_id": self.tenant_id, **params})

    def hold(self, *statements: Statement, **params: Any) -> None:
        """Keep others from changing rows of this tenant, by one SELECT … FOR UPDATE after the other."""
        if self.first is not None and len(statements) == 1:
            self.rows(statements[0], **params)
            return
        self._require_tenant()
        self.connection.hold(statements, {"tenant_id": self.tenant_id, **params})

    def _require_tenant(self) -> None:
        if self.first is None:
            return
        if self.unread is None:
            raise RuntimeError("The first statement of this work must be a SELECT: its tenant is not known yet.")
        self.first = None
        self.unread()
