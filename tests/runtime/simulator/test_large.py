"""The large directory: it starts quickly, fits, and is read to its end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.runtime.simulator.rounds import latest, ok, pages, read
from tests.simulator import EntraTenant, simulated

PEOPLE, GROUPS, MEMBERSHIPS = 100_000, 1_000, 500_000
MOST_BYTES = 1.5 * 1024**3
MOST_SECONDS = 20


def memory_of(pid: int) -> int:
    """Read the most that a process has held, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_large_directory(tmp_path: Path) -> None:
    """100,000 people, 1,000 groups and 500,000 memberships, all of it over the socket, and then a hundred changes."""
    begun = time.monotonic()
    with simulated(tmp_path, "--large", str(PEOPLE), str(GROUPS), str(MEMBERSHIPS)) as entra:
        started = time.monotonic() - begun
        directory = entra.tenant()
        entra.do("settings", delta_page=999, members_page=5000)
        with directory.graph() as graph:
            people, users_link = read(graph, "/users/delta?$select=displayName,mail,jobTitle,department,manager")
            told, _ = read(graph, "/groups/delta?$select=displayName,members")
            listed = sum(len(page["value"]) for page in pages(graph, "/users?$select=id&$top=999"))
            groups_link = latest(graph, "/groups/delta")
            changed = directory.do("churn", count=100, seed=5)["changes"]
            later = [*read(graph, users_link)[0], *read(graph, groups_link)[0]]
            assert 200 == graph.get(f"/users/{people[0]['id']}").status_code
        read_all = time.monotonic() - begun - started
        memory = memory_of(entra.process.pid)
        print(f"start {started:.1f} s, reading {read_all:.1f} s, {memory / 1024**2:.0f} MiB at most")

    assert (PEOPLE, PEOPLE) == (len({user["id"] for user in people}), listed)
    members = [each for group in told for each in group["members@delta"]]
    assert (GROUPS, MEMBERSHIPS) == (len({group["id"] for group in told}), len(members))
    assert (100, True) == (len(changed), 20 < len(later) <= 200)
    assert memory < MOST_BYTES
    assert started < MOST_SECONDS


def test_numbers_are_met(contoso: EntraTenant) -> None:
    """A directory made by numbers has just these; what cannot be is refused."""
    made = contoso.do("large", people=50, groups=7, memberships=200)

    assert {"users": 50, "groups": 7, "memberships": 200} == made
    answer = contoso.entra.control.post(
        "/control/large", json={"people": 2, "groups": 2, "memberships": 5, "tenant": contoso.id}
    )
    assert 400 == answer.status_code


def test_company_is_the_same_again(contoso: EntraTenant) -> None:
    """From one seed come the same people, with valid addresses and managers among themselves."""
    other = contoso.entra.new_tenant()
    for directory in (contoso, other):
        directory.do("company", people=12, groups=5, seed=9)

    people, others = contoso.truth()["users"], other.truth()["users"]

    assert [user["displayName"] for user in people] == [user["displayName"] for user in others]
    assert all(user["mail"].isascii() for user in people)
    ids = {user["id"] for user in people}
    assert [None] == [user["manager"] for user in people if user["manager"] not in ids]
    with contoso.graph() as graph:
        assert 12 == len(ok(graph.get("/users"))["value"])
