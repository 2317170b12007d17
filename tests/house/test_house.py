"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["admin_console", "app_api", "app_core", "graph_fallback", "runtime", "scim_server"]
GENERATED = {"__pycache__", "build", "dist", "node_modules"}


def test_no_file_names_a_package_registry() -> None:
    """Which registry serves the packages is the machine's business: no file names a host."""
    hosts = [".".join(parts).encode() for parts in REGISTRIES]
    guilty = [
        str(path.relative_to(ROOT)) for path in files() if any(host in path.read_bytes().lower() for host in hosts)
    ]

    assert [] == guilty


@pytest.mark.parametrize(("script", "shell"), [("run", "sh"), (".ci/run", "bash")])
def test_scripts_are_executable_and_parse(script: str, shell: str) -> None:
    """A clone can start both commands as they are."""
    parsed = subprocess.run([shell, "-n", str(ROOT / script)], capture_output=True, text=True)

    assert os.access(ROOT / script, os.X_OK)
    assert (0, "") == (parsed.returncode, parsed.stderr)


@pytest.mark.parametrize(("lock", "extras"), [("requirements.lock", []), ("requirements-test.lock", ["test"])])
def test_locks_pin_every_dependency_with_hashes(lock: str, extras: list[str]) -> None:
    """What pyproject.toml asks for, the lock pins to one version and to the files of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in extras:
        asked += project["project"]["optional-dependencies"][extra]
    pinned = pins(ROOT / lock)

    assert [] == [name for name in map(normal_name, asked) if name not in pinned]
    assert [] == [name for name, hashes in pinned.items() if not hashes]


def test_test_lock_agrees_with_runtime_lock() -> None:
    """Tests run against what is shipped: the same versions, the same files."""
    runtime, test = ((ROOT / name).read_text() for name in ("requirements.lock", "requirements-test.lock"))
    pin = re.compile(r"^[a-z0-9][^ ]*==[^ ]+", re.MULTILINE)

    assert set() == set(pin.findall(runtime)) - set(pin.findall(test))


def test_import_contracts_hold_every_package() -> None:
    """A new package is named to import-linter by the commit that brings it."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    there = {package for package in PACKAGES if (ROOT / package / "__init__.py").exists()}

    assert there == set(linter["root_packages"])


def test_only_settings_read_the_environment() -> None:
    """runtime/settings.py is the one reader of environment variables."""
    readers = {
        place
        for path in modules(*PACKAGES)
        if path != ROOT / "runtime/settings.py"
        for place in uses(path, {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"})
    }

    assert set() == readers


def test_only_the_clock_reads_the_time() -> None:
    """app_core/clock.py is the one place that asks what time it is, so a test can say what time it is."""
    forbidden = {
        *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"),
        *("datetime.date.today", "time.time", "time.time_ns"),
    }
    readers = {
        place
        for path in modules("app_core", "scim_server", "runtime")
        if path != ROOT / "app_core/clock.py"
        for place in uses(path, forbidden)
    }

    assert set() == readers


def test_readme_names_both_commands() -> None:
    """Whoever arrives finds how to start it and how to test it."""
    readme = (ROOT / "README.md").read_text()

    assert "./run serve" in readme
    assert "./run test" in readme


def test_uses_sees_through_imports(tmp_path: Path) -> None:
    """The rules above hold however a module spells its imports."""
    module = tmp_path / "module.py"
    module.write_text(
        "import os as system, time, datetime as dt\n"
        "from datetime import datetime\n"
        "from os import environ\n"
        "system.environ['A']\n"
        "time.time()\n"
        "dt.datetime.now()\n"
        "datetime.now(tz=None)\n"
        "time.monotonic()\n"
    )
    forbidden = {"os.environ", "time.time", "datetime.datetime.now"}

    assert ["3", "4", "5", "6", "7"] == sorted(place.rsplit(":", 1)[1] for place in uses(module, forbidden))


# Written in pieces, so that this file does not name them.
REGISTRIES = [
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("yarnpkg", "com"),
    ("deb", "debian", "org"),
    ("proxy", "golang", "org"),
    ("crates", "io"),
    ("rubygems", "org"),
]


def files() -> list[Path]:
    """List the files of the repository; without git (an unpacked archive) all that is not generated."""
    listed = subprocess.run(
        [
            *("git", "-c", f"safe.directory={ROOT}"),
            *("ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if (ROOT / ".git").exists():
        assert 0 == listed.returncode, listed.stderr
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not GENERATED.intersection(path.parts) and kept(path)]
    return [path for path in paths if path.is_file()]


def kept(path: Path) -> bool:
    first = path.relative_to(ROOT).parts[0]
    return not first.startswith(".") or first == ".ci"


def modules(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from (ROOT / package).rglob("*.py")


def uses(path: Path, forbidden: set[str]) -> Iterator[str]:
    """Yield `file:line` wherever a module imports or reads one of the dotted names."""
    tree = ast.parse(path.read_text(), str(path))
    meaning: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                meaning[alias.asname or name] = name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                meaning[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                if f"{node.module}.{alias.name}" in forbidden:
                    yield f"{path}:{node.lineno}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted(node, meaning) in forbidden:
            yield f"{path}:{node.lineno}"


def dotted(node: ast.expr, meaning: dict[str, str]) -> str:
    """Spell an attribute chain in full: `dt.datetime.now` → `datetime.datetime.now`."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, meaning)}.{node.attr}"
    return meaning.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def normal_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def pins(lock: Path) -> dict[str, int]:
    """Count the hashes of every pinned package."""
    found: dict[str, int] = {}
    name = ""
    for line in lock.read_text().splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            name = normal_name(line)
            found[name] = 0
        elif line.lstrip().startswith("--hash=sha256:"):
            found[name] += 1
    return found
