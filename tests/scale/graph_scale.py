"""How long a first import from Graph takes, and what it needs: `python -m tests.scale.graph_scale sqlite|postgresql`.

By hand, on a quiet machine: 100,000 people and 1,000 groups with 500,000 memberships by a worker process of its own,
killed and started again in the middle; then a round of 100 changes, of which exactly what has changed may be touched.
It prints processor seconds beside wall time, since a simulated Entra works on the same machine.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from app_core import graph_links, migrations, outbox
from app_core.work import Work
from tests.flows.test_pull import Joined
from tests.postgres import running_postgres
from tests.processes import ServerProcess, a_minute_passes, new_customer, working
from tests.raw import sql
from tests.scale.follow_scale import say
from tests.simulator import Entra, simulated

JSON = dict[str, Any]
CHANGES = 100
POLL = 0.5


Found = tuple[str, str, int, int]


class Scale:
    """A customer of a large directory, and who works for it."""

    def __init__(self, url: str, folder: Path, entra: Entra) -> None:
        self.url, self.folder, self.entra = url, folder, entra
        migrations.upgrade(url)
        self.joined = Joined(url, entra, entra.tenant(), new_customer(url))
        self.tenant_id = self.joined.customer.tenant_id
        self.peak = self.own = 0.0
        self.cpu = 0.0

    def worker(self) -> contextlib.AbstractContextManager[ServerProcess]:
        return working(self.url, self.folder, **self.entra.server_settings)

    def write(self, act: Callable[[Work], Any]) -> Any:
        def flushed(work: Work) -> Any:
            value = act(work)
            outbox.flush(work)
            return value

        return self.joined.read(flushed)

    def count(self, table: str) -> int:
        return int(sql(self.url, f"SELECT count(*) FROM {table} WHERE tenant_id = ?", self.tenant_id)[0][0])

    def progress(self) -> Found:
        """Give the state of the newest job, its phase, how many it has dealt with, and its attempt."""
        query = (
            "SELECT state, phase, done, attempt FROM job WHERE tenant_id = ? AND kind = 'pull' ORDER BY id DESC LIMIT 1"
        )
        state, phase, done, attempt = sql(self.url, query, self.tenant_id)[0]
        return str(state), str(phase), int(done), int(attempt)

    def follow(self, process: ServerProcess, until: Callable[[Found], bool]) -> list[Found]:
        """Look at the job until something is so; note the worker's peak memory and its processor time."""
        seen: list[Found] = []
        stage, begun, done, spent = "", time.perf_counter(), 0, 0.0
        while True:
            found = self.progress()
            used = usage(process.process.pid)
            self.peak, self.own = max(self.peak, used.peak), max(self.own, used.own)
            seen.append(found)
            name, ended = found[1].partition(":")[0], until(found)
            if stage and (ended or name != stage):
                took = f"{time.perf_counter() - begun:.0f} s, {used.cpu - spent:.0f} s of processor"
                say(f"  {stage}", f"{found[2] - done} objects", took)
            if name != stage:
                stage, begun, done, spent = name, time.perf_counter(), found[2], used.cpu
            if ended:
                self.cpu += used.cpu
                return seen
            time.sleep(POLL)


class Usage(NamedTuple):
    """What a process uses: memory at most so far, its own memory now (without mapped files), both in MB, and seconds."""

    peak: float
    own: float
    cpu: float


def usage(pid: int) -> Usage:
    """Look at a process."""
    lines = [line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    memory = {words[0]: int(words[1]) / 1024 for words in lines if words[0] in ("VmHWM:", "RssAnon:")}
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(memory["VmHWM:"], memory["RssAnon:"], (int(fields[11]) + int(fields[12])) / 100)


def measure(scale: Scale, people: int, groups: int, memberships: int) -> None:
    scale.joined.do(lambda hand: hand.connect(scale.joined.there.id))
    scale.write(graph_links.ask_for_pull)
    started = time.perf_counter()
    with scale.worker() as process:
        half = scale.follow(process, lambda found: found[2] >= people // 2)
        process.kill()
    killed = scale.progress()
    say("killed in the middle", f"{killed[2]} dealt with", f"{scale.count('directory_user')} users here")
    a_minute_passes(scale.url, scale.tenant_id)
    with scale.worker() as process:
        rest = scale.follow(process, lambda found: found[0] in ("done", "failed"))
        took = time.perf_counter() - started
        state, _, _, attempt = scale.progress()
        assert ("done", 2) == (state, attempt), scale.progress()
        counted = tuple(map(scale.count, ("directory_user", "directory_group", "directory_membership")))
        assert (people, groups, memberships) == counted, counted
        say(
            "imported",
            f"{people} users, {groups} groups, {memberships} memberships",
            f"{took:.0f} s",
            f"{scale.cpu:.0f} s of processor",
        )
        say(
            "the worker's memory",
            f"{scale.peak:.0f} MB at most, {scale.own:.0f} MB of them its own",
            f"{len(set(half + rest))} readings of progress",
        )
        chosen = [scale.entra.do("show", object=f"Group {at:05}") for at in range(1, 36)]
        change(scale, process, chosen, "1")
        change(scale, process, chosen, "2")
        say("a round without a change", *map(str, pulled(scale, process)))


def change(scale: Scale, process: ServerProcess, groups: Sequence[JSON], mark: str) -> None:
    """Change a hundred people and groups, each once; just these rows may have another version afterwards."""
    entra, domain = scale.entra, scale.joined.there.domain
    people = [f"person{at:06}@{domain}" for at in range(65)]
    known = {each["id"] for group in groups for each in group["members"]}
    strangers = [each for each in (entra.do("show", object=name)["id"] for name in people) if each not in known]
    steps: list[JSON] = [{"do": "change_user", "user": each, "jobTitle": f"Title {mark}"} for each in people[:60]]
    steps += [{"do": "change_user", "user": each, "accountEnabled": mark != "1"} for each in people[60:]]
    steps += [
        {"do": "rename_group", "group": each["id"], "name": f"Renamed {mark} {at}"}
        for at, each in enumerate(groups[:20])
    ]
    join = "add_members" if mark == "1" else "remove_members"
    leave = "remove_members" if mark == "1" else "add_members"
    steps += [{"do": join, "group": each["id"], "members": strangers[:1]} for each in groups[20:30]]
    steps += [{"do": leave, "group": each["id"], "members": [each["members"][0]["id"]]} for each in groups[30:35]]
    assert CHANGES == len(steps)
    entra.script(*steps)
    touched, said = pulled(scale, process)
    say(f"a round of {CHANGES} changes", f"{touched} touched", said)
    assert (65, 35) == touched


def pulled(scale: Scale, process: ServerProcess) -> tuple[tuple[int, int], str]:
    """Pull once; give how many users and groups have another version than before, and what it took."""
    before = versions(scale)
    spent = usage(process.process.pid).cpu
    started = time.perf_counter()
    scale.write(graph_links.ask_for_pull)
    scale.follow(process, lambda found: found[0] in ("done", "failed"))
    took = f"{time.perf_counter() - started:.1f} s, {usage(process.process.pid).cpu - spent:.1f} s of processor"
    after = versions(scale)
    users, groups = (sum(held[key] != then.get(key) for key in held) for held, then in zip(after, before, strict=True))
    return (users, groups), took


def versions(scale: Scale) -> tuple[dict[str, int], dict[str, int]]:
    """Give the version of each user and each group."""
    queries = [
        f"SELECT id, version FROM {table} WHERE tenant_id = ?" for table in ("directory_user", "directory_group")
    ]
    users, groups = (
        {str(key): int(version) for key, version in sql(scale.url, each, scale.tenant_id)} for each in queries
    )
    return users, groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=["sqlite", "postgresql"])
    parser.add_argument(
        "--size", type=int, nargs=3, default=(100_000, 1000, 500_000), metavar=("PEOPLE", "GROUPS", "MEMBERSHIPS")
    )
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.database == "sqlite":
            url = f"sqlite:///{folder}/scale.db"
        else:
            url = stack.enter_context(stack.enter_context(running_postgres()).database())
        started = time.perf_counter()
        entra = stack.enter_context(simulated(folder, "--large", *map(str, given.size)))
        say("a simulated Entra", f"{time.perf_counter() - started:.0f} s", f"{usage(entra.process.pid).peak:.0f} MB")
        measure(Scale(url, folder, entra), *given.size)
        used = usage(entra.process.pid)
        say("the simulated Entra", f"{used.peak:.0f} MB at most", f"{used.cpu:.0f} s of processor")


if __name__ == "__main__":
    main()
