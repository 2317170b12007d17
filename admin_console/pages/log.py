"""The provisioning log: what came in by any door, what became of it, and what to do about it (P7)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from admin_console.advice import advice_on
from admin_console.endpoint import Answer, page
from admin_console.exports import as_csv, as_json_lines
from admin_console.paging import ROWS, at
from admin_console.request import Request
from app_core import names, provisioning_log
from app_core.errors import NotFound
from app_core.names import Named
from app_core.provisioning_log import Look, Wanted
from app_core.work import Work

PATH = "/console/log"
EXPORTED = 5_000
SHOWN = 4
"""How many changed attributes a line names."""
MOST_MEANT = 200
LOOKS = 5
"""How many times an export looks on for entries that a filter lets in."""
FILTERS = ("q", "outcome", "source", "action", "reason")
OUTCOMES = {
    "success": ("done", "good"),
    "skipped": ("no change", "plain"),
    "warning": ("warning", "warn"),
    "failure": ("refused", "bad"),
}
DOORS = {
    "scim": "Entra (SCIM)",
    "graph": "Entra (Graph)",
    "admin": "Console and API",
    "member": "Member",
    "system": "This server",
}
ACTIONS = (
    *("create", "update", "replace", "delete", "pull", "pull-created", "pull-changed", "pull-removed", "pull-photo"),
    *("activate", "revoke activation", "issue start code", "mail start code", "claim", "add as team", "remove team"),
    *("assign", "reactivate", "move", "reconcile", "approve", "sync now", "revoke"),
)
"""Actions to choose from; any other may be typed."""
PULLED = {"pull-created": "imported", "pull-changed": "changed", "pull-removed": "removed", "pull-photo": "photo of"}
KINDS = {"ApiKey": "API key"}
ACTORS = {"cli": "the command line", "schedule": "the schedule"}
NAMELESS = {"scim": "a token that is gone", "graph": "a job", "system": "a job"}
COLUMNS = (
    *("at", "outcome", "action", "target_type", "target_id", "target", "source", "actor", "actor_id"),
    *("status", "reason_code", "reason", "changed", "correlation_id", "duration_us"),
)


class Line(NamedTuple):
    """An entry as shown: what was done to what, by whom, and how it ended."""

    entry: Mapping[str, Any]
    what: str
    kind: str
    target: Named | None
    gone: bool
    """Whether it was done to something that would have a name if it still were here."""
    door: str
    actor: str
    word: str
    tone: str

    @property
    def changed(self) -> str:
        """Name a few of the attributes that changed, by the last part of their names."""
        short = [each.removesuffix(":User").rsplit(":", 1)[-1] for each in self.entry["changed"]]
        short = [each if each != "2.0" else "enterprise" for each in short]
        more = f" and {len(short) - SHOWN} more" if len(short) > SHOWN else ""
        return ", ".join(short[:SHOWN]) + more


def log(work: Work, request: Request) -> Answer:
    """Show the newest entries, or those behind a place, that the filters let in."""
    before = request.asked("before")
    wanted, filters = _wanted(work, request), _filters(request)
    look = provisioning_log.look(work, wanted, before=before or "~", limit=ROWS)
    return page(
        "log/list.html",
        "Provisioning log",
        place="log",
        lines=_lines(work, look.entries),
        newer=None if before else _newer_path(wanted, filters),
        filtered=bool(filters),
        looked_through=provisioning_log.LOOKED_THROUGH if look.next and len(look.entries) < ROWS else None,
        next=look.next and at(PATH, {**filters, "before": look.next}),
        first=at(PATH, filters) if before else None,
        filters={name: request.asked(name) for name in FILTERS},
        exports={kind: at(f"{PATH}/export", {**filters, "format": kind}) for kind in ("csv", "jsonl")},
        exported=EXPORTED,
        outcomes=OUTCOMES,
        doors=DOORS,
        actions=ACTIONS,
    )


def newer(work: Work, request: Request) -> Answer:
    """Give the rows of entries from a place on, for a page that is open."""
    since = request.asked("since")
    entries = provisioning_log.newer(work, _wanted(work, request), since) if since else []
    return page("log/newer.html", "Provisioning log", lines=_lines(work, entries))


def entry(work: Work, request: Request) -> Answer:
    """Show one entry, and say what it means."""
    found = provisioning_log.find(work, request.id)
    if found is None:
        raise NotFound("Log entry", request.id)
    (line,) = _lines(work, [found])
    exchange = None if found["exchange"] is None else orjson.dumps(found["exchange"], option=orjson.OPT_INDENT_2)
    return page(
        "log/entry.html",
        f"{line.what}: {line.word}",
        place="log",
        line=line,
        advice=advice_on(found),
        exchange=None if exchange is None else exchange.decode(),
        others=at(PATH, {"q": found["target_id"]}) if found["target_id"] else None,
    )


def export(work: Work, request: Request) -> Answer:
    """Give the newest entries that the filters let in as a file."""
    lines = _lines(work, _exported(work, _wanted(work, request)))
    name = f"provisioning-log-{work.now[:10]}"
    if request.asked("format") == "jsonl":
        return as_json_lines(name, [_facts(line) | {"exchange": line.entry["exchange"]} for line in lines])
    return as_csv(name, COLUMNS, [[_cell(value) for value in _facts(line).values()] for line in lines])


def _exported(work: Work, wanted: Wanted) -> Sequence[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    look = Look([], "~")
    for _ in range(LOOKS):
        if look.next is None or len(found) >= EXPORTED:
            break
        look = provisioning_log.look(work, wanted, before=look.next, limit=EXPORTED - len(found))
        found += look.entries
    return found


def _facts(line: Line) -> dict[str, Any]:
    known = {
        "target": None if line.target is None else line.target.name,
        "actor": line.actor,
        "actor_id": line.entry["actor"],
    }
    return {name: known[name] if name in known else line.entry[name] for name in COLUMNS}


def _cell(value: Any) -> Any:
    return " ".join(value) if isinstance(value, list) else value


# What is asked for --------------------------------------------------------------------------------------------------


def _wanted(work: Work, request: Request) -> Wanted:
    return Wanted(
        outcome=_one_of(OUTCOMES, request.asked("outcome")),
        source=_one_of(DOORS, request.asked("source")),
        action=request.asked("action") or None,
        reason_code=request.asked("reason") or None,
        target_ids=_meant(work, request),
    )


def _meant(work: Work, request: Request) -> Sequence[str] | None:
    if request.asked("meant"):
        return request.asked("meant").split(",")[:MOST_MEANT]
    return names.meant(work, request.asked("q")) if request.asked("q") else None


def _one_of(known: Mapping[str, Any], value: str) -> str | None:
    return value if value in known else None


def _newer_path(wanted: Wanted, filters: Mapping[str, str]) -> str:
    """Give the path of what is newer. Who is meant is not looked up again with each question."""
    meant = "" if wanted.target_ids is None else ",".join(wanted.target_ids)
    return at(f"{PATH}/newer", {**filters, "q": "", "meant": meant})


def _filters(request: Request) -> dict[str, str]:
    return {name: request.asked(name) for name in FILTERS if request.asked(name)}


# What is shown ------------------------------------------------------------------------------------------------------


def _lines(work: Work, entries: Sequence[Mapping[str, Any]]) -> Sequence[Line]:
    targets = names.targets(work, [(each["target_type"], each["target_id"]) for each in entries])
    actors = names.actors(work, [(each["source"], each["actor"]) for each in entries])
    return [_line(each, targets, actors) for each in entries]


def _line(
    entry: Mapping[str, Any],
    targets: Mapping[tuple[str, str], Named],
    actors: Mapping[tuple[str, str], tuple[str, Named]],
) -> Line:
    kind, key = entry["target_type"], entry["target_id"]
    target = targets.get((kind, key))
    return Line(
        entry,
        _what(entry["action"], kind),
        thing(kind),
        target,
        target is None and key is not None and kind in names.LOOKS,
        DOORS.get(entry["source"], entry["source"]),
        _actor(entry, actors.get((entry["source"], entry["actor"]))),
        *OUTCOMES[entry["outcome"]],
    )


def _what(action: str, kind: str) -> str:
    """Say what was done: "Create user", "Pull: imported user", "Issue start code"."""
    if action in PULLED:
        return f"Pull: {PULLED[action]} {thing(kind)}"
    words = action.replace("-", " ").capitalize()
    return words if " " in words else f"{words} {thing(kind)}"


def thing(kind: str) -> str:
    """Show a kind of the core as words: `ApiKey` is "API key"."""
    return KINDS.get(kind) or re.sub(r"(?<!^)(?=[A-Z])", " ", kind).lower()


def _actor(entry: Mapping[str, Any], found: tuple[str, Named] | None) -> str:
    if found is None:
        return ACTORS.get(entry["actor"]) or NAMELESS.get(entry["source"], "somebody who is no longer here")
    what, named = found
    return named.name if what in ("administrator", "member") else f"{what} “{named.name}”"
