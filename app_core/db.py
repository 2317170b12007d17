"""Two databases behind one small surface: the only dialect branches of the product are here.

Core functions are plain synchronous code on a `Connection`. Statements are SQLAlchemy Core expressions, compiled once
per dialect (`Statement`) and run on the driver's own connection. A `Database` runs one unit of work:

* SQLite: in the event loop's thread, on the one connection of the one process. Writes that arrive in one turn of the
  loop share a durable commit, each in a savepoint of its own; answers leave after the commit.
* PostgreSQL: in a greenlet around the whole transaction, so that asyncpg awaits inside plain code.

All columns hold text, integers, booleans or bytes: what goes in comes back without a converter on either side.
"""

import asyncio
import itertools
import logging
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit
from weakref import WeakKeyDictionary

import asyncpg
import orjson
from sqlalchemy import Boolean, Delete, Insert, Select, String, Table, Update, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.postgresql.dml import OnConflictDoUpdate
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Text
from sqlalchemy.util import await_only, greenlet_spawn
from sqlmodel import SQLModel

from app_core.errors import Busy

logger = logging.getLogger(__name__)
T = TypeVar("T")
Row = Sequence[Any]
Params = Mapping[str, Any]

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata.naming_convention = NAMING

# Compared and sorted by bytes on both databases: SQLite does so by itself, PostgreSQL by this collation.
KeyText = String().with_variant(String(collation="C"), "postgresql")


def table_of(model: type[SQLModel]) -> Table:
    """Give the Core table of a model, for statements."""
    table = model.__table__  # type: ignore[attr-defined]
    assert isinstance(table, Table)
    return table


# Statements ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement in one dialect: its text, and its parameters in order with their defaults."""

    sql: str
    names: tuple[tuple[str, Any], ...]
    lists: frozenset[str]
    """Which parameters are lists: PostgreSQL takes them as arrays, SQLite as JSON."""
    writes: bool = field(init=False)
    """Whether it may change something."""
    holds: bool = field(init=False)
    """Whether it keeps others from changing something."""

    def __post_init__(self) -> None:
        """Look once: it is asked each time the statement is run."""
        object.__setattr__(self, "writes", WRITES.search(self.sql) is not None)
        object.__setattr__(self, "holds", LOCKS.search(self.sql) is not None)


WRITES = re.compile(r"\b(INSERT INTO|UPDATE \S+ SET|DELETE FROM)\b")
LOCKS = re.compile(r"\bFOR (NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)\b")


class Statement:
    """A Core expression, compiled once per dialect, with named parameters.

    Constants inside the expression are bound as they stand; parameters come from `bindparam("name")`.
    """

    __slots__ = ("__weakref__", "_compiled", "changes", "core")

    def __init__(self, core: ClauseElement) -> None:
        self.core = core
        self.changes = _changed_by(core)
        """The table whose rows it changes or removes."""
        self._compiled: dict[str, Compiled] = {}

    def compiled(self, dialect: Dialect) -> Compiled:
        """Give the statement in a dialect."""
        found = self._compiled.get(dialect.name)
        if found is None:
            text = self.core.compile(dialect=dialect)
            assert isinstance(text, SQLCompiler)
            names = tuple((name, text.params[name]) for name in text.positiontup or ())
            lists = frozenset(name for name, bind in text.binds.items() if isinstance(bind.type, postgresql.ARRAY))
            found = self._compiled[dialect.name] = Compiled(str(text), names, lists)
        return found


Step: TypeAlias = tuple[Statement, Params]
Statements: TypeAlias = tuple[Statement, ...]
COUNT = -1
Counts: TypeAlias = tuple[int | None, ...]
"""How many rows each of some writes is expected to change; `COUNT`: it is to be counted; None: nobody asks."""


def _changed_by(core: ClauseElement) -> str | None:
    if isinstance(core, Update | Delete):
        return str(core.table)
    if isinstance(core, Insert) and isinstance(getattr(core, "_post_values_clause", None), OnConflictDoUpdate):
        return str(core.table)
    return None


PARAMETER = re.compile(r"\$(\d+)(::\w+(?:\[\])?(?: COLLATE \"C\")?)?")


class Lateral:
    """Runs a SELECT for the one row that another finds, in one statement (PostgreSQL).

    Parameters of the SELECT that are columns of that row are taken from it and cannot come from anywhere else. The row
    of `outer` comes first, then whether the SELECT found anything, then its columns.
    """

    def __init__(self, outer: Statement, table: str, columns: tuple[str, ...]) -> None:
        self.outer = outer
        self.table = table
        self.columns = columns
        self._joined: WeakKeyDictionary[Statement, Statement] = WeakKeyDictionary()

    def joined_to(self, inner: Statement) -> Statement:
        """Give the statement that runs both."""
        found = self._joined.get(inner)
        if found is None:
            found = self._joined[inner] = _Written(self._join(inner.compiled(PostgresConnection.dialect)))
        return found

    def _join(self, inner: Compiled) -> Compiled:
        outer = self.outer.compiled(PostgresConnection.dialect)
        head, _, condition = outer.sql.partition("WHERE")
        columns, _, _ = head.partition("FROM")
        names = list(outer.names)

        def replaced(found: re.Match[str]) -> str:
            name, default = inner.names[int(found[1]) - 1]
            if name in self.columns:
                return f"{self.table}.{name}"
            if (name, default) not in names:
                names.append((name, default))
            return f"${names.index((name, default)) + 1}{found[2] or ''}"

        body = PARAMETER.sub(replaced, inner.sql)
        # Both texts are compiled statements; nothing of a request is in them.
        found = f"SELECT true AS asked_found, rows.* FROM ({body}) AS rows"  # noqa: S608
        sql = f"{columns}, asked.* FROM {self.table} LEFT JOIN LATERAL ({found}) AS asked ON true WHERE {condition}"
        return Compiled(sql, tuple(names), inner.lists)


class Together:
    """Makes one PostgreSQL statement of independent writes: WITH each of them, SELECT how many rows some changed.

    A SELECT may be among them: how many rows it found. Those that nobody counts cost the least.
    """

    def __init__(self) -> None:
        self._merged: WeakKeyDictionary[Statement, dict[tuple[Statements, Counts], Compiled]] = WeakKeyDictionary()

    def of(self, statements: Statements, counts: Counts) -> Compiled:
        """Give the statement; its parameters are those of each write in turn.

        It fails, mostly by a division by zero, where a write changes another number of rows than is expected. It gives
        the numbers of those that are to be counted, behind one column of no meaning.
        """
        known = self._merged.setdefault(statements[0], {})
        if (statements, counts) not in known:
            known[statements, counts] = self._merge(statements, counts)
        return known[statements, counts]

    def _merge(self, statements: Statements, counts: Counts) -> Compiled:
        names: list[tuple[str, Any]] = []
        parts: dict[int, str] = {}
        homes: dict[Statement, int] = {}
        for at, (statement, count) in enumerate(zip(statements, counts, strict=True)):
            compiled = statement.compiled(PostgresConnection.dialect)
            sql, plain = _renumbered(compiled.sql, len(names)), count is None and PLAIN_INSERT.fullmatch(compiled.sql)
            home = homes.setdefault(statement, at) if plain else at
            if home != at:
                # One more row, in its turn: statements that nobody counts are carried out in an order of PostgreSQL's.
                parts[home] += f", {sql.partition(' VALUES ')[2]}"
            else:
                counted = count is not None and compiled.writes and "RETURNING" not in sql
                parts[at] = f"{sql} RETURNING 1" if counted else sql
            names += compiled.names
        right = [_right(at, count) for at, count in enumerate(counts) if count is not None and count != COUNT]
        first = f"1 / (CASE WHEN {' AND '.join(right)} THEN 1 ELSE 0 END)" if right else "1"
        told = [f"(SELECT count(*) FROM q{at})" for at, count in enumerate(counts) if count == COUNT]  # noqa: S608
        written = ", ".join(f"q{at} AS ({part})" for at, part in parts.items())
        return Compiled(f"WITH {written} SELECT {', '.join([first, *told])}", tuple(names), frozenset())


PLAIN_INSERT = re.compile(r"INSERT INTO \w+ \([^()]*\) VALUES \([^()]*\)")


def _right(at: int, count: int) -> str:
    """Say in SQL that a write has changed so many rows; for one row, or none, nothing need be counted."""
    if count == 1:
        return f"(SELECT true FROM q{at})"  # noqa: S608 - a number
    if count == 0:
        return f"(SELECT true FROM q{at}) IS NULL"  # noqa: S608
    return f"(SELECT count(*) FROM q{at}) = {count:d}"  # noqa: S608


def _renumbered(sql: str, start: int) -> str:
    return PARAMETER.sub(lambda found: f"${start + int(found[1])}{found[2] or ''}", sql)


class _Written(Statement):
    """A SELECT that exists in one dialect only, as text."""

    __slots__ = ("_written",)

    def __init__(self, written: Compiled) -> None:
        self._written = written
        self.changes = None

    def compiled(self, dialect: Dialect) -> Compiled:
        return self._written


def _arguments(compiled: Compiled, params: Params) -> list[Any]:
    return [params.get(name, default) for name, default in compiled.names]


def _sqlite_arguments(compiled: Compiled, params: Params) -> list[Any]:
    if not compiled.lists:
        return [params.get(name, default) for name, default in compiled.names]
    return [
        orjson.dumps(params[name]).decode() if name in compiled.lists else params.get(name, default)
        for name, default in compiled.names
    ]


def insert_or_ignore(table: Table) -> Any:
    """Start an INSERT that leaves a row alone that is already there (both dialects know ON CONFLICT)."""
    return postgresql_insert(table).on_conflict_do_nothing()


def upsert(table: Table) -> Any:
    """Start an INSERT to be continued with `on_conflict_do_update` (both dialects spell it alike)."""
    return postgresql_insert(table)


# The dialects of this module: PostgreSQL's compiler also writes what SQLite needs of ON CONFLICT, so that one
# statement serves both; SQLite's own compiler has to be told.
@compiles(postgresql.Insert, "sqlite")
def _insert_on_sqlite(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    return str(compiler.visit_insert(element, **kw))  # type: ignore[no-untyped-call]


class among(ColumnElement[bool]):  # noqa: N801 - reads as an SQL operator
    """Say whether a column is one of a list parameter, however long: `among(U.c.id, "ids")`."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: ColumnElement[str], name: str) -> None:
        self.column = column
        self.values: BindParameter[Sequence[str]] = bindparam(name, type_=postgresql.ARRAY(Text()))


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = compiler.process(element.column, **kw), compiler.process(element.values, **kw)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - compiled text


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    return f"{compiler.process(element.column, **kw)} = ANY ({compiler.process(element.values, **kw)})"


def any_row(chosen: Select[Any]) -> ColumnElement[bool]:
    """Say whether a SELECT finds a row: an EXISTS that is asked row by row.

    In place of an EXISTS PostgreSQL may read a whole table first, which it believes to be small or empty.
    """
    return chosen.limit(1).scalar_subquery().is_not(None)


class json_text(ColumnElement[str]):  # noqa: N801
    """One text value of a flat JSON object column, by its key; NULL when absent."""

    inherit_cache = False
    type = Text()

    def __init__(self, column: ColumnElement[str], member: str) -> None:
        self.column = column
        self.member = member.replace("'", "''").replace('"', "")


@compiles(json_text, "sqlite")
def _json_text_sqlite(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_extract({compiler.process(element.column, **kw)}, '$.\"{element.member}\"')"


@compiles(json_text, "postgresql")
def _json_text_postgresql(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(CAST({compiler.process(element.column, **kw)} AS JSON) ->> '{element.member}') COLLATE \"C\""


class position(FunctionElement[int]):  # noqa: N801
    """Where one text occurs in another, from 1; 0 when it does not."""

    inherit_cache = True
    name = "position"


@compiles(position, "sqlite")
def _position_sqlite(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    return f"instr({compiler.process(element.clauses, **kw)})"


@compiles(position, "postgresql")
def _position_postgresql(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **kw)})"


class joined(FunctionElement[str]):  # noqa: N801
    """The texts of all rows, joined by commas; NULL when there is none.

    `joined(text, key)` joins in the order of a key on PostgreSQL, and in the order of the index read on SQLite.
    """

    inherit_cache = True
    name = "joined"


@compiles(joined, "sqlite")
def _joined_sqlite(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    return f"group_concat({compiler.process(next(iter(element.clauses)), **kw)}, ',')"


@compiles(joined, "postgresql")
def _joined_postgresql(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    text, *order = [compiler.process(each, **kw) for each in element.clauses]
    return f"string_agg({text}, ','{f' ORDER BY {order[0]}' if order else ''})"


# Connections --------------------------------------------------------------------------------------------------------


class Violation(Exception):
    """A constraint of the schema refused a write; `detail` names its columns."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail

    def unique(self, column: str) -> bool:
        """Say whether a unique key over this column was violated."""
        return self.kind == "unique" and column in self.detail

    @property
    def reference(self) -> bool:
        """Say whether a reference to a missing row (or from a remaining one) was violated."""
        return self.kind == "reference"


class WrongGuess(Exception):
    """Something that was taken as given is otherwise, or a write was refused: the job is run again, step by step."""


class Connection(Protocol):
    """One connection within one unit of work."""

    dialect: Dialect
    far: bool
    """Whether each statement is a trip to another process."""

    def rows(self, statement: Statement, params: Params) -> Sequence[Row]:
        """Run a statement and give all rows it returns."""

    def row(self, statement: Statement, params: Params) -> Row | None:
        """Run a statement and give its first row, if any."""

    def run(self, statement: Statement, params: Params) -> int:
        """Run a statement and give the number of rows it changed."""

    def run_many(self, statement: Statement, params: Sequence[Params]) -> None:
        """Run a statement once for each set of parameters."""

    def run_expecting(self, steps: Sequence[Step], counts: Sequence[int]) -> list[int]:
        """Run writes that will hardly change other numbers of rows than these; give the numbers that they changed.

        They do not see each other, and may wait like those of `run_later`. Where the expectation proves wrong, or one
        is refused, the whole job is run again, and nothing waits.
        """

    def run_later(self, statement: Statement, params: Params) -> None:
        """Run a write, at the latest before the next read; nobody asks how many rows it changed.

        Nothing but what others do at the same time may refuse it.
        """

    def assume(self, statement: Statement, params: Params) -> bool:
        """Take it that a SELECT finds one row; it is run with the next writes, and in any case before the commit.

        Where it finds none nothing is stored, and the whole job is run again. Gives False where nothing is assumed:
        then ask.
        """

    def hold(self, statements: Statements, params: Params) -> None:
        """Keep others from changing rows until the transaction ends, by one SELECT … FOR UPDATE after the other."""

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo just what happens inside when it fails."""
        yield


def _sqlite_dialect() -> Dialect:
    dialect: Dialect = sqlite.dialect(paramstyle="qmark")
    # SQLite knows true and false; else conditions would be compared with 1, and no index used.
    dialect.supports_native_boolean = True
    return dialect


class SqliteConnection:
    """The one SQLite connection of the process."""

    dialect: Dialect = _sqlite_dialect()
    far = False

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw

    def rows(self, statement: Statement, params: Params) -> Sequence[Row]:
        """Run a statement and give all rows it returns."""
        return self._execute(statement, params).fetchall()

    def row(self, statement: Statement, params: Params) -> Row | None:
        """Run a statement and give its first row, if any."""
        row: Row | None = self._execute(statement, params).fetchone()
        return row

    def run(self, statement: Statement, params: Params) -> int:
        """Run a statement and give the number of rows it changed."""
        return self._execute(statement, params).rowcount

    def run_many(self, statement: Statement, params: Sequence[Params]) -> None:
        """Run a statement once for each set of parameters."""
        compiled = statement.compiled(self.dialect)
        try:
            self.raw.executemany(compiled.sql, [_sqlite_arguments(compiled, each) for each in params])
        except sqlite3.IntegrityError as error:
            raise _sqlite_violation(error) from error

    def run_expecting(self, steps: Sequence[Step], counts: Sequence[int]) -> list[int]:
        """Run writes one after the other, and count: here nothing is far."""
        return [self.run(statement, params) for statement, params in steps]

    def run_later(self, statement: Statement, params: Params) -> None:
        """Run a write at once: here nothing is far."""
        self.run(statement, params)

    def assume(self, statement: Statement, params: Params) -> bool:
        """Assume nothing: here nothing is far."""
        return False

    def hold(self, statements: Statements, params: Params) -> None:
        """Do nothing: there is one writer, who holds all."""

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo just what happens inside when it fails."""
        self.raw.execute("SAVEPOINT inner_step")
        try:
            yield
        except BaseException:
            self.raw.execute("ROLLBACK TO inner_step")
            self.raw.execute("RELEASE inner_step")
            raise
        self.raw.execute("RELEASE inner_step")

    def _execute(self, statement: Statement, params: Params) -> sqlite3.Cursor:
        compiled = statement.compiled(self.dialect)
        try:
            return self.raw.execute(compiled.sql, _sqlite_arguments(compiled, params))
        except sqlite3.IntegrityError as error:
            raise _sqlite_violation(error) from error


def _sqlite_violation(error: sqlite3.IntegrityError) -> Violation:
    kinds = {
        "SQLITE_CONSTRAINT_UNIQUE": "unique",
        "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
        "SQLITE_CONSTRAINT_FOREIGNKEY": "reference",
        # What ON DELETE RESTRICT stops.
        "SQLITE_CONSTRAINT_TRIGGER": "reference",
    }
    return Violation(kinds.get(error.sqlite_errorname, "check"), str(error))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A write (or a SELECT) that waits for the next trip, and how many rows it is said to change, as in `Counts`."""

    step: Step
    count: int | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes something: then nobody may read before it is run."""
        return self.step[0].compiled(PostgresConnection.dialect).writes


class PostgresConnection:
    """An asyncpg connection, driven from inside a greenlet.

    A transaction is begun by the first statement that holds or changes something; where nothing but writes that wait
    have come together by the end, they are one statement, which is a transaction by itself.
    """

    dialect: Dialect = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]
    far = True

    def __init__(self, raw: "asyncpg.Connection[Any]", *, begins: bool = False, guesses: bool = False) -> None:
        self.raw = raw
        self.changed = 1
        """About how many rows were written: the planner must hear of many."""
        self.begun = False
        """Whether there is a transaction to be ended by who made this."""
        self._begins = begins
        self._guesses = guesses
        self._later: list[Waiting] = []

    def rows(self, statement: Statement, params: Params) -> Sequence[Row]:
        """Run a statement and give all rows it returns."""
        compiled = self._ready_for(statement)
        rows: Sequence[Row] = self._wait(self.raw.fetch(compiled.sql, *_arguments(compiled, params)))
        return rows

    def row(self, statement: Statement, params: Params) -> Row | None:
        """Run a statement and give its first row, if any."""
        compiled = self._ready_for(statement)
        row: Row | None = self._wait(self.raw.fetchrow(compiled.sql, *_arguments(compiled, params)))
        return row

    def run(self, statement: Statement, params: Params) -> int:
        """Run a statement and give the number of rows it changed."""
        compiled = self._ready_for(statement)
        status: str = self._wait(self.raw.execute(compiled.sql, *_arguments(compiled, params)))
        count = int(status.rpartition(" ")[2] or 0)
        self.changed += count
        return count

    def run_many(self, statement: Statement, params: Sequence[Params]) -> None:
        """Run a statement once for each set of parameters."""
        compiled = self._ready_for(statement)
        self._wait(self.raw.executemany(compiled.sql, [_arguments(compiled, each) for each in params]))
        self.changed += len(params)

    def run_expecting(self, steps: Sequence[Step], counts: Sequence[int]) -> list[int]:
        """Keep writes for the next trip and take the counts as given, or go at once where that was wrong before."""
        self._make_room(steps)
        if self._guesses:
            self._later += map(Waiting, steps, counts)
            return list(counts)
        self._begin()
        waiting, self._later = self._later, []
        return self._together([*waiting, *[Waiting(step, COUNT) for step in steps]])

    def run_later(self, statement: Statement, params: Params) -> None:
        """Keep a write for the next trip, whatever that is for."""
        self._make_room([(statement, params)])
        self._later.append(Waiting((statement, params)))

    def assume(self, statement: Statement, params: Params) -> bool:
        """Keep a SELECT for the next trip, unless an assumption was wrong before."""
        if self._guesses:
            self._later.append(Waiting((statement, params), 1))
        return self._guesses

    def hold(self, statements: Statements, params: Params) -> None:
        """Hold rows in one trip: each SELECT is carried out when it is counted, from left to right."""
        self._settle_writes()
        self._begin()
        self._together([Waiting((each, params), COUNT) for each in statements])

    def carried_out(self, job: Callable[["PostgresConnection"], T]) -> T:
        """Run a job and all of its writes; those that have waited for each other to the end make no BEGIN."""
        value = job(self)
        if self._begins and self._later:
            waiting, self._later = self._later, []
            self._together(waiting)
        else:
            self.settle()
        return value

    def settle(self) -> None:
        """Run what waits: writes before anything is read, and all of it before the commit."""
        if self._later:
            self._begin()
            waiting, self._later = self._later, []
            self._together(waiting)

    def _ready_for(self, statement: Statement) -> Compiled:
        compiled = statement.compiled(self.dialect)
        if compiled.writes:
            self.settle()
        else:
            self._settle_writes()
        if compiled.writes or compiled.holds:
            self._begin()
        return compiled

    def _settle_writes(self) -> None:
        """Run what waits before others read; what is merely assumed may wait on."""
        if any(each.writes for each in self._later):
            self.settle()

    def _begin(self) -> None:
        if self._begins:
            self._begins, self.begun = False, True
            self._wait(self.raw.execute("BEGIN"))

    def _make_room(self, steps: Sequence[Step]) -> None:
        """Run what waits where PostgreSQL would leave out a second change of the same rows."""
        if not _apart(*[each.step for each in self._later], *steps):
            self.settle()

    def _together(self, waiting: Sequence[Waiting]) -> list[int]:
        counts = tuple(each.count for each in waiting)
        merged = TOGETHER.of(tuple(each.step[0] for each in waiting), counts)
        given = [_arguments(each.step[0].compiled(self.dialect), each.step[1]) for each in waiting]
        try:
            row: Row = self._wait(self.raw.fetchrow(merged.sql, *itertools.chain.from_iterable(given)))
        except (Violation, asyncpg.DivisionByZeroError, asyncpg.CardinalityViolationError) as error:
            if any(count not in (None, COUNT) for count in counts):
                raise WrongGuess from error
            raise
        return list(row[1:])

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo just what happens inside when it fails; inside nothing is guessed, for it may well fail."""
        self.settle()
        self._begin()
        guesses, self._guesses = self._guesses, False
        self._wait(self.raw.execute("SAVEPOINT inner_step"))
        try:
            yield
            self.settle()
        except BaseException:
            self._later.clear()
            self._wait(self.raw.execute("ROLLBACK TO inner_step; RELEASE inner_step"))
            raise
        finally:
            self._guesses = guesses
        self._wait(self.raw.execute("RELEASE inner_step"))

    @staticmethod
    def _wait(awaitable: Any) -> Any:
        try:
            return await_only(awaitable)
        except asyncpg.UniqueViolationError as error:
            raise Violation("unique", str(error.constraint_name)) from error
        except (asyncpg.ForeignKeyViolationError, asyncpg.RestrictViolationError) as error:
            raise Violation("reference", str(error.constraint_name)) from error
        except (asyncpg.CheckViolationError, asyncpg.NotNullViolationError) as error:
            raise Violation("check", str(error.constraint_name)) from error


TOGETHER = Together()


def _apart(*steps: Step) -> bool:
    """Say whether no two writes change the rows of one table, of which PostgreSQL would leave one out."""
    changed = [step[0].changes for step in steps if step[0].changes is not None]
    return len(set(changed)) == len(changed)


# Databases ----------------------------------------------------------------------------------------------------------


class Database(Protocol):
    """Runs units of work. `read` promises to change nothing; `write` is one durable transaction."""

    async def read(self, job: Callable[[Connection], T]) -> T:
        """Run a job that only reads."""

    async def write(self, job: Callable[[Connection], T]) -> T:
        """Run a job in one transaction: all of it is durable when this returns, or nothing of it happened."""

    async def close(self) -> None:
        """Let go of all connections."""


PATIENCE = 10  # seconds that a connection waits for what another one holds
SQLITE_PRAGMAS = (
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-65536",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA mmap_size=268435456",
)


def open_sqlite(path: str) -> sqlite3.Connection:
    """Open a file with everything this product relies on: WAL, durable commits, foreign keys."""
    raw = sqlite3.connect(path, PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=512)
    _write_ahead(raw)
    for pragma in SQLITE_PRAGMAS:
        raw.execute(pragma)
    return raw


def _write_ahead(raw: sqlite3.Connection) -> None:
    """Keep a log beside the file; of those who open a new file at once SQLite lets one do so and refuses the others.

    It does not wait for them, since each may hold what the other wants: so we ask again.
    """
    last = time.monotonic() + PATIENCE
    while True:
        try:
            raw.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > last:
                raise
            time.sleep(0.01)


# What an index entry may share with many others: a tenant's whole data, a connection's, an attribute's, a kind's.
COARSE = frozenset({"tenant_id", "connection_id", "template_id", "attribute", "kind", "type_key", "source", "outcome"})
MANY, SOME = 1_000_000, 10


def settle_statistics(raw: sqlite3.Connection) -> None:
    """Let SQLite look after itself, then give its planner the statistics of a large database.

    Plans must not depend on when somebody last counted: statistics taken while a table was small make it scan, none at
    all make it take the first index that starts with the tenant (measured: 12 ms in place of 0.05 ms).
    """
    raw.execute("PRAGMA optimize")
    if not raw.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'").fetchone():
        raw.execute("ANALYZE")
    raw.execute("BEGIN IMMEDIATE")
    raw.execute("DELETE FROM sqlite_stat1")
    for (table,) in raw.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall():
        for _, index, unique, *_ in raw.execute(f"PRAGMA index_list({table})").fetchall():
            numbers = _statistics_of(raw, index, bool(unique))
            raw.execute("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", (table, index, numbers))
    raw.execute("COMMIT")
    raw.execute("ANALYZE sqlite_schema")  # reads them anew


def _statistics_of(raw: sqlite3.Connection, index: str, unique: bool) -> str:
    """Say how many rows share the first column, the first two, … of an index, as `sqlite_stat1` spells it."""
    columns = [row[2] for row in raw.execute(f"PRAGMA index_info({index})")]
    counts, fine = [], 0
    for at, column in enumerate(columns):
        fine += column not in COARSE
        last = unique and at == len(columns) - 1
        counts.append(1 if last or fine > 1 else SOME if fine else MANY)
    return " ".join(map(str, [MANY, *counts]))


def _sqlite_failure(error: Exception) -> Exception:
    """Say Busy where another process kept the write lock longer than `PATIENCE`."""
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
        return Busy()
    return error


Pending = tuple[Callable[[Connection], Any], "asyncio.Future[Any]"]


class SqliteDatabase:
    """One connection on the event loop's thread: a statement takes less time than a change of threads."""

    def __init__(self, path: str) -> None:
        self._raw = open_sqlite(path)
        self._connection = SqliteConnection(self._raw)
        self._pending: list[Pending] = []

    async def read(self, job: Callable[[Connection], T]) -> T:
        """Run a job that only reads. Nothing of this process can come between its statements."""
        return job(self._connection)

    async def write(self, job: Callable[[Connection], T]) -> T:
        """Run a job with the others of this turn of the loop, in a savepoint of its own, under one commit."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._pending.append((job, done))
        if len(self._pending) == 1:
            loop.call_soon(self._flush)
        return await done

    def _flush(self) -> None:
        batch, self._pending = self._pending, []
        answers: list[tuple[asyncio.Future[Any], Any, Exception | None]] = []
        try:
            self._raw.execute("BEGIN IMMEDIATE")
            for job, done in batch:
                answers.append((done, *self._attempt(job)))
            self._raw.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the edge of the batch: whatever it is, each waiting job hears of it
            # The commit itself failed (disk full, locked): nobody of the batch may be told otherwise.
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")
            answers = [(done, None, _sqlite_failure(error)) for _, done in batch]
        for done, value, failure in answers:
            if done.done():
                continue
            if failure is None:
                done.set_result(value)
            else:
                done.set_exception(failure)

    def _attempt(self, job: Callable[[Connection], Any]) -> tuple[Any, Exception | None]:
        self._raw.execute("SAVEPOINT job")
        try:
            value = job(self._connection)
        except Exception as error:  # noqa: BLE001 - travels to whoever waits for the job
            self._raw.execute("ROLLBACK TO job")
            self._raw.execute("RELEASE job")
            return None, error
        self._raw.execute("RELEASE job")
        return value, None

    async def optimize(self) -> None:
        """Give the planner its statistics anew. It takes the write lock: for a process that serves."""
        settle_statistics(self._raw)

    async def close(self) -> None:
        """Close the file."""
        self._raw.close()


class _BareConnection(asyncpg.Connection):  # type: ignore[misc]
    """A pooled connection without the reset query: each unit of work ends its transaction itself."""

    def get_reset_query(self) -> str:
        return ""


class PostgresDatabase:
    """A pool of asyncpg connections; each unit of work runs whole in one greenlet."""

    ATTEMPTS = 6
    FIRST_ANALYZE = 200

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool
        self._writes = 0
        self._analyze_at = self.FIRST_ANALYZE
        self._analysis: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str, *, size: int = 16) -> "PostgresDatabase":
        """Connect the pool."""
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=size,
            connection_class=_BareConnection,
            statement_cache_size=256,
            command_timeout=60,
            # One plan a statement, made once: no statement here depends on what its values are. A plan that was made
            # while a table was empty must not read through it when it is full.
            server_settings={
                "jit": "off",
                "plan_cache_mode": "force_generic_plan",
                "enable_seqscan": "off",
                # Such a plan asks how many rows there are, not which values they hold: a small sample will do.
                "default_statistics_target": "10",
            },
        )
        return cls(pool)

    async def read(self, job: Callable[[Connection], T]) -> T:
        """Run a job that only reads, without a transaction around it."""
        async with self._pool.acquire() as raw:
            return await greenlet_spawn(job, PostgresConnection(raw))

    async def write(self, job: Callable[[Connection], T]) -> T:
        """Run a job in a transaction, and again from the start after what only happened because of others.

        That is a deadlock, a serialization failure, or a reference to a row that went while the job was looking at it:
        the next try sees that it is gone and says so. Raises Busy when others come first each time.
        """
        guesses = True
        for attempt in itertools.count(1):
            try:
                return await self._once(job, guesses=guesses)
            except WrongGuess:
                guesses = False
                continue
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
                if attempt == self.ATTEMPTS:
                    logger.warning("a write was given up after %d attempts: %s", attempt, type(error).__name__)
                    raise Busy from error
            except Violation as error:
                if attempt == self.ATTEMPTS or not error.reference:
                    raise
            # Those who met here must not meet again: each waits as long as chance says.
            await asyncio.sleep(0.01 * 2**attempt * random.random())  # noqa: S311 - no secret
        raise AssertionError("unreachable")

    async def _once(self, job: Callable[[Connection], T], *, guesses: bool) -> T:
        async with self._pool.acquire() as raw:
            connection = PostgresConnection(raw, begins=True, guesses=guesses)
            try:
                value: T = await greenlet_spawn(connection.carried_out, job)
            except BaseException:
                if connection.begun:
                    await raw.execute("ROLLBACK")
                raise
            try:
                if connection.begun:
                    await raw.execute("COMMIT")
            except asyncpg.IntegrityConstraintViolationError as error:
                raise Violation("unique", str(error.constraint_name)) from error
            self._count_write(connection.changed)
            return value

    def _count_write(self, rows: int) -> None:
        """Have statistics taken as the tables fill: after 200 writes of this process, 400, 800 and so on.

        A plan made on empty tables takes any index that starts with the tenant, and autovacuum looks once a minute.
        """
        self._writes += rows
        if self._writes >= self._analyze_at and (self._analysis is None or self._analysis.done()):
            self._analyze_at = self._writes * 2
            self._analysis = asyncio.create_task(self._analyze())

    async def _analyze(self) -> None:
        try:
            async with self._pool.acquire() as raw:
                await raw.execute("ANALYZE")
        except (asyncpg.PostgresError, OSError):
            logger.warning("statistics could not be taken; autovacuum will")

    async def close(self) -> None:
        """Close the pool."""
        if self._analysis is not None:
            await self._analysis
        await self._pool.close()


def is_sqlite(url: str) -> bool:
    """Say which of the two databases a URL means."""
    return url.startswith("sqlite:")


def sqlite_path(url: str) -> str:
    """Give the file of a SQLite URL: three slashes for a relative path, four for an absolute one."""
    return unquote(urlsplit(url).path.removeprefix("/")) or ":memory:"


async def open_database(url: str, *, pool_size: int = 4) -> Database:
    """Open the database behind a URL; the schema is another matter (`migrations.upgrade`)."""
    if is_sqlite(url):
        return SqliteDatabase(sqlite_path(url))
    return await PostgresDatabase.open(url, size=pool_size)
