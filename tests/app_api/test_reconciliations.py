"""Reconciliations over the API, against a simulated Entra: ask, follow, read and export what differs, approve."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import orjson
import pytest

from app_core import reconciliations
from app_core.db import Connection
from app_core.ids import new_id
from app_core.reconciliations import Drift, Finding, Outcome, Policy, State
from tests.app_api.conftest import House
from tests.app_api.held import JSON, PREFIX, ids, items, ok, places, refused, walk
from tests.app_api.test_connection import Joined, apart, entra, joined, served, synced
from tests.processes import in_core, wait_for
from tests.raw import sql

__all__ = ["apart", "entra", "joined", "served"]  # fixtures


def finished(joined: Joined, run_id: str, *states: str) -> JSON:
    """Wait until a run is in one of some states and nobody works on it; give it."""

    def read() -> JSON:
        return ok(joined.api.get(f"reconciliations/{run_id}"))

    wait_for(lambda: read()["state"] in states and read()["job"] is None)
    return read()


def planted(house: House, drifts: list[Drift], outcome: Outcome = Outcome.REPORTED) -> str:
    """Write down a run of its own with some findings; give its id."""

    def act(connection: Connection) -> str:
        work = house.customer.work(connection)
        run = reconciliations.ask(work, Policy.REPORT)
        found = [Finding(at, drift, outcome, None) for at, drift in enumerate(drifts)]
        reconciliations.add(work, run.id, found)
        reconciliations.end(work, run.id, State.DONE, {"found": len(found)})
        return run.id

    return in_core(house.database_url, lambda database: database.write(act))


def drift(kind: str = "group_renamed", **changes: Any) -> Drift:
    return Drift(**{"kind": kind, "object_id": new_id(), "our_id": new_id(), "why": "Why.", "repair": "R.", **changes})


# Runs -----------------------------------------------------------------------------------------------------------------


def test_a_report_says_what_a_repair_then_does(joined: Joined) -> None:
    """The same findings twice: first reported, then repaired; each run can be followed."""
    gone = [joined.there.user(name, displayName=name) for name in ("anna", "bert")]
    joined.there.user("carl", displayName="carl")
    synced(joined)
    for each in gone:
        joined.there.do("delete", object=each)
        joined.there.do("purge", object=each)
    long_ago = "UPDATE directory_user SET modified_at = ? WHERE tenant_id = ?"
    sql(joined.house.database_url, long_ago, "2026-01-01T00:00:00.000Z", joined.house.customer.tenant_id)

    asked = joined.api.post("reconciliations", json={"policy": "report"})
    report = ok(asked, 202)
    assert ("queued", "report", "reconcile") == (report["state"], report["policy"], report["job"]["kind"])
    assert f"{PREFIX}/reconciliations/{report['id']}" == asked.headers["location"]
    report = finished(joined, report["id"], "done")
    before = walk(joined.api, "people", 200)
    repair = ok(joined.api.post("reconciliations", json={"policy": "repair"}), 202)
    repair = finished(joined, repair["id"], "done")

    assert (3, 2, 2) == (report["users"], report["found"], report["removals"])
    assert {"user_gone": {"reported": 2}} == report["outcomes"]
    assert {"user_gone": {"repaired": 2}} == repair["outcomes"]
    assert 3 == len(before)
    assert ["carl"] == [each["display_name"] for each in walk(joined.api, "people", 200)]
    assert [repair["id"], report["id"]] == ids(joined.api.get("reconciliations"))
    assert [repair["id"], report["id"]] == [each["id"] for each in walk(joined.api, "reconciliations", 1)]
    found = items(joined.api.get(f"reconciliations/{report['id']}/findings"))
    assert set(gone) == {each["object_id"] for each in found}
    assert all(each["why"] and each["repair"] for each in found)
    assert repair["id"] == joined.log(action="reconcile")["target"]["id"]


def test_held_removals_wait_for_approval(joined: Joined) -> None:
    """More than ten and a fifth are held; approved, those that are still true go (G5)."""
    people = [joined.there.user(f"p{at}", displayName=f"P {at}") for at in range(12)]
    synced(joined)
    for each in people:
        joined.there.do("delete", object=each)
        joined.there.do("purge", object=each)
    run_id = ok_now(joined)
    held = finished(joined, run_id, "held")

    assert (12, {"user_gone": {"held": 12}}) == (held["removals"], held["outcomes"])
    assert "waits for approval" in held["error"]
    assert 12 == len(walk(joined.api, "people", 200))
    approved = ok(joined.api.post(f"reconciliations/{run_id}/approve"), 202)
    assert joined.house.key_ids["admin"] == approved["approved_by"]
    done = finished(joined, run_id, "done")

    assert ({"user_gone": {"repaired": 12}}, None) == (done["outcomes"], done["error"])
    assert [] == walk(joined.api, "people", 200)
    assert "it is done" in refused(joined.api.post(f"reconciliations/{run_id}/approve"), 409, "not-possible")["detail"]


def ok_now(joined: Joined) -> str:
    """Ask for a repair that leaves nothing alone for being fresh; give its id."""

    def act(connection: Connection) -> str:
        return reconciliations.ask(joined.house.customer.work(connection), grace=0.0).id

    return in_core(joined.house.database_url, lambda database: database.write(act))


def test_a_run_that_is_replaced_says_so(house: House, api: httpx.Client) -> None:
    """Another is asked for before a worker has begun; a directory that is let go ends what waits."""
    first, second = (planted_queued(house) for _ in range(2))
    assert ["queued", "failed"] == [each["state"] for each in items(api.get("reconciliations"))]
    assert "Another run took its place" in ok(api.get(f"reconciliations/{first}"))["error"]
    ok(api.post("connection/disconnect"))
    ended = ok(api.get(f"reconciliations/{second}"))

    assert ("failed", "The directory was disconnected.", None) == (ended["state"], ended["error"], ended["job"])


def planted_queued(house: House) -> str:
    def act(connection: Connection) -> str:
        return reconciliations.ask(house.customer.work(connection)).id

    return in_core(house.database_url, lambda database: database.write(act))


@pytest.mark.parametrize("body", [{}, {"policy": "destroy"}, {"policy": None}, {"policy": "report", "grace": 0}])
def test_what_to_do_must_be_said(api: httpx.Client, body: JSON) -> None:
    """Report or repair, and nothing else; no default that might remove somebody."""
    assert places(api.post("reconciliations", json=body)) in (["/policy"], ["/grace"])


def test_a_run_that_is_not_there(api: httpx.Client) -> None:
    """Nor are its findings."""
    for path in ("", "/findings", "/export"):
        refused(api.get(f"reconciliations/{new_id()}{path}"), 404, "not-found")
    refused(api.post(f"reconciliations/{new_id()}/approve"), 404, "not-found")


# Findings -------------------------------------------------------------------------------------------------------------


def test_findings_are_read_in_pages_and_by_kind(house: House, api: httpx.Client) -> None:
    """Every one once, in the order in which they were found."""
    kinds = ["user_gone", "group_renamed", "user_gone", "member_extra", "user_gone"]
    drifts = [drift(kind, member_id="m" if kind == "member_extra" else None) for kind in kinds]
    run_id = planted(house, drifts)
    path = f"reconciliations/{run_id}/findings"

    found = walk(api, path, 2)

    assert list(range(5)) == [each["position"] for each in found]
    assert [each.object_id for each in drifts] == [each["object_id"] for each in found]
    assert [0, 2, 4] == [each["position"] for each in walk(api, path, 1, kind="user_gone")]
    assert 5 == len(walk(api, path, 200, outcome="reported"))
    assert [] == walk(api, path, 200, outcome="held")
    assert [3] == [each["position"] for each in walk(api, path, 200, kind="member_extra", outcome="reported")]
    counts = {"user_gone": {"reported": 3}, "group_renamed": {"reported": 1}, "member_extra": {"reported": 1}}
    assert counts == ok(api.get(f"reconciliations/{run_id}"))["outcomes"]
    assert ["outcome"] == places(api.get(path, params={"outcome": "lost"}))
    assert ["after"] == places(api.get(path, params={"after": "x"}))


@pytest.mark.parametrize("count", [0, 1, 1000, 2500])
def test_an_export_holds_every_finding(house: House, api: httpx.Client, count: int) -> None:
    """However many there are, and in both forms the same."""
    drifts = [drift(name=f"Group\n„{at}“", our_id=None) for at in range(count)]
    run_id = planted(house, drifts)
    path = f"reconciliations/{run_id}/export"

    table, lines = api.get(path), api.get(path, params={"format": "jsonl"})

    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    objects = [orjson.loads(line) for line in lines.content.splitlines()]
    assert [each.object_id for each in drifts] == [row["object_id"] for row in rows]
    assert [{name: "" if value is None else str(value) for name, value in each.items()} for each in objects] == rows
    assert f'attachment; filename="reconciliation-{run_id}.csv"' == table.headers["content-disposition"]
    assert "text/csv; charset=utf-8" == table.headers["content-type"]
    head = api.head(path)
    assert (200, b"") == (head.status_code, head.content)
    assert ["format"] == places(api.get(path, params={"format": "xlsx"}))


def test_an_export_runs_nothing(house: House, api: httpx.Client) -> None:
    """A group may be called like a formula: a table shows it, and JSON has it as it is."""
    names = ['=HYPERLINK("http://evil.example")', "+1", "-1", "@x", "\tx", "Sales"]
    run_id = planted(house, [drift(name=name) for name in names])
    path = f"reconciliations/{run_id}/export"

    table = list(csv.DictReader(io.StringIO(api.get(path).text, newline="")))
    lines = api.get(path, params={"format": "jsonl"}).content.splitlines()

    assert [*(f"'{name}" for name in names[:-1]), "Sales"] == [row["name"] for row in table]
    assert names == [orjson.loads(line)["name"] for line in lines]
