"""Starts `scim-server` and the simulated Entra from a process that has imported both: a second less for each.

What is started is a process of its own like any other: it has its environment, its files, and ends by its signals.

pytest ── asks ──> the nursery ── forks twice ──> `scim-server …`, an orphan that pytest adopts and waits for
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parent.parent
PR_SET_CHILD_SUBREAPER = 36
MODULES = ("runtime.asgi", "runtime.server", "runtime.worker", "graph_fallback.client", "graph_fallback.tokens")
ADOPTING = platform.system() == "Linux"
ASKING = Lock()


class Process:
    """A process that the nursery has started; as `subprocess.Popen` has it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Give its exit code, or None while it runs; minus the number of the signal that ended it."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self, timeout: float = 60) -> int:
        """Wait for its end and give its exit code. Raises TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("scim-server", timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to stop: SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    *,
    program: str = "runtime.cli",
) -> Process:
    """Start `python -m PROGRAM ARGUMENTS` with this environment alone; what it says goes to these files."""
    if not ADOPTING:
        return _start_alone([program, *arguments], environment, stdout, stderr)
    asked = {
        "program": program,
        "arguments": list(arguments),
        "environment": dict(environment),
        "files": [str(stdout), str(stderr)],
    }
    # Whoever reads them may do so before the process has opened them.
    for file in (stdout, stderr):
        file.touch()
    with ASKING:
        nursery = _nursery()
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        nursery.stdin.write(json.dumps(asked) + "\n")
        nursery.stdin.flush()
        return Process(int(nursery.stdout.readline()))


def _start_alone(arguments: Sequence[str], environment: Mapping[str, str], stdout: Path, stderr: Path) -> Process:
    with stdout.open("ab") as output, stderr.open("ab") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
    child.returncode = 0  # It is ours to wait for.
    return Process(child.pid)


@cache
def _nursery() -> subprocess.Popen[str]:
    # Orphans come to us, so that we can wait for them.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    nursery = subprocess.Popen(
        [sys.executable, "-m", "tests.nursery"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(_end, nursery)
    return nursery


def _end(nursery: subprocess.Popen[str]) -> None:
    nursery.kill()
    nursery.communicate()


# In the nursery -------------------------------------------------------------------------------------------------------


def main() -> None:
    """Fork a process for each line that comes in, and answer its id."""
    for name in MODULES:
        import_module(name)
    import runtime.cli
    import runtime.simulator.__main__

    programs = {"runtime.cli": runtime.cli.main, "runtime.simulator": runtime.simulator.__main__.main}
    for line in sys.stdin:
        asked = json.loads(line)
        reads, writes = os.pipe()
        between = os.fork()
        if not between:
            pid = os.fork()
            if pid:
                os.write(writes, str(pid).encode())
                os._exit(0)
            os.close(reads)
            os.close(writes)
            _settle(asked["environment"], asked["files"])
            sys.exit(programs[asked["program"]](asked["arguments"]))
        os.close(writes)
        # Only when the one between has ended is its child an orphan.
        os.waitpid(between, 0)
        print(os.read(reads, 20).decode(), flush=True)
        os.close(reads)


def _settle(environment: Mapping[str, str], files: Sequence[str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, path in enumerate(files, start=1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    os.close(nothing)
    if environment.get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
