"""A real browser in front of a real server: Contoso as `scim-server demo` sets it up, and people who look at its pages.

Chromium comes from the system. Where there is none these tests are left out, and the run says so.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from app_core import clock, sessions
from app_core.db import Connection, open_database
from app_core.sessions import Kind, Subject
from runtime import demo
from runtime.demo import Play, Secrets
from tests.postgres import running_postgres
from tests.processes import ServerProcess, serving
from tests.simulator import Entra, simulated

T = TypeVar("T")
P = ParamSpec("P")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]
AXE = (Path(__file__).parent / "axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SETTLED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
SHIFTS = """() => { window.shifted = 0; new PerformanceObserver(list => {
  for (const each of list.getEntries()) if (!each.hadRecentInput) window.shifted += each.value;
}).observe({type: "layout-shift", buffered: true}); }"""
WAIT = 20_000
"""How long is waited for what a page is to show, in milliseconds: the machine may be busy with other tests."""
expect.set_options(timeout=WAIT)
MOST_BYTES = 100_000
"""What a page may weigh without its images: what comes over the wire."""


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of these tests' own: their server has its worker."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('browser')}/scim-server.db"
        return
    with running_postgres() as postgres:
        database = postgres.database()
        yield in_a_thread(database.__enter__)
        in_a_thread(database.__exit__, None, None, None)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, without a window; for this package alone: its driver keeps a loop in this thread that others cannot use."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip(f"the browser tests are left out: none of {', '.join(NAMES)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


def in_a_thread(job: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Do what needs a loop of its own in a thread of its own: this one belongs to the browser's loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(job, *arguments, **named).result()


def aside(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine beside the browser's loop."""
    return in_a_thread(lambda: asyncio.run(coroutine))


@dataclass(frozen=True)
class Contoso:
    """The company of the demo, on a server of these tests."""

    server: ServerProcess
    entra: Entra
    secrets: Secrets
    database_url: str

    @property
    def url(self) -> str:
        return self.server.url

    def play(self, act: Callable[[Play], Any]) -> Any:
        """Let something happen at the company."""

        async def run() -> Any:
            async with httpx.AsyncClient(timeout=120) as http:
                return await act(Play(http, self.url, self.entra.url, self.secrets))

        return aside(run())

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the JSON API as the vendor's application."""
        told: dict[str, Any] = self.play(lambda play: play.api(method, path, body))
        return told

    def push(self, cycle: str = "incremental") -> None:
        """Let the simulated Entra push."""
        self.play(lambda play: play.push(cycle))

    def person(self, name: str) -> dict[str, Any]:
        """Give the person of a name, as the JSON API has them."""
        people = self.api("GET", "people?limit=200")["items"]
        return next(dict(each) for each in people if each["display_name"] == name)

    def core(self, job: Callable[[Connection], T]) -> T:
        """Let the core do something beside the server."""

        async def run() -> T:
            database = await open_database(self.database_url)
            try:
                return await database.write(job)
            finally:
                await database.close()

        return aside(run())

    def link(self, subject: Subject | None = None) -> str:
        """Make a link that signs somebody in: the administrator, if nobody is named."""
        wanted = subject or Subject(Kind.ADMINISTRATOR, self.secrets.tenant_id, self.secrets.administrator_id)
        return self.core(lambda connection: sessions.new_link(connection, wanted, clock.now()))


@pytest.fixture(scope="package")
def contoso(browser: Browser, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contoso]:
    """Contoso after its first cycle, with templates, cards, logins and a person who waits."""
    folder = tmp_path_factory.mktemp("contoso")
    with ExitStack() as stack:
        entra = stack.enter_context(simulated(folder))
        entra.do("company", people=demo.PEOPLE, groups=demo.GROUPS, oddities=True)
        secrets = aside(demo.found_tenant(database_url))
        server = stack.enter_context(
            serving(database_url, folder, worker=True, secret_key="a key for tests", **entra.server_settings)
        )
        made = Contoso(server, entra, secrets, database_url)
        made.play(Play.begin)
        yield made


@dataclass
class Reader:
    """Somebody with a browser: every complaint of the browser is kept, every page is held against the rules."""

    context: BrowserContext
    url: str
    page: Page = field(init=False)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))

    def _hear(self, message: ConsoleMessage) -> None:
        # A refusal is an answer with a status of its own, which the browser reports as well.
        if message.type in ("error", "warning") and "the server responded with a status of 4" not in message.text:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def open(self, path: str) -> Page:
        """Go to a page."""
        self.page.goto(self.url + path)
        return self.page

    def check(self) -> None:
        """Hold the page against the rules: WCAG 2.2 AA by axe, no complaint, nothing wider than the window."""
        self.page.evaluate(SETTLED)
        self.page.evaluate(AXE)
        found = self.page.evaluate(
            "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']}).then(r => r.violations.map("
            "v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | ')))",
            RULES,
        )
        wide = self.page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        where = self.page.url

        assert [] == found, where
        assert 0 >= wide, f"{where} is {wide} pixels too wide"
        assert [] == self.complaints

    def sign_in(self, link: str) -> None:
        """Sign in to the console by a link."""
        self.open(f"/console/sign-in?link={link}")
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/console")

    def connect_graph(self) -> None:
        """Consent at the simulated Microsoft, and ask for the first sync."""
        self.page.get_by_role("link", name="Connect Microsoft Graph").click()
        self.page.get_by_role("button", name="Lea Winter").click()
        self.page.get_by_role("button", name="Sync").click()

    def wait_for_the_sync(self) -> None:
        """Wait for the end of the sync that runs."""
        sync = self.page.locator("#sync")
        expect(sync.get_by_role("progressbar")).to_have_count(0)
        expect(sync).not_to_contain_text("never")

    def disconnect_graph(self) -> None:
        """Let the directory go."""
        self.page.get_by_role("button", name="Disconnect").click()
        self.yes()
        expect(self.page.get_by_role("link", name="Connect Microsoft Graph")).to_be_visible()

    def yes(self) -> None:
        """Confirm what the page asks."""
        self.page.get_by_role("dialog").get_by_role("button", name="Yes").click()

    def state(self) -> Any:
        """Give the cookies, for another window of the same person."""
        return json.loads(json.dumps(self.context.storage_state()))


@dataclass
class Windows:
    """Opens windows: of nobody, or of somebody who is signed in."""

    browser: Browser
    url: str
    opened: list[BrowserContext] = field(default_factory=list)

    def __call__(self, state: Any = None, *, phone: bool = False, dark: bool = False, scripts: bool = True) -> Reader:
        context = self.browser.new_context(
            viewport={"width": 390, "height": 844} if phone else {"width": 1280, "height": 800},
            color_scheme="dark" if dark else "light",
            storage_state=state,
            java_script_enabled=scripts,
            timezone_id="Europe/Berlin",
            locale="en-GB",
            reduced_motion="reduce",
        )
        context.set_default_timeout(WAIT)
        self.opened.append(context)
        return Reader(context, self.url)


@pytest.fixture
def window(browser: Browser, contoso: Contoso) -> Iterator[Windows]:
    """Opens windows, and closes them."""
    windows = Windows(browser, contoso.url)
    yield windows
    for context in windows.opened:
        context.close()


@pytest.fixture(scope="package")
def signed_in(browser: Browser, contoso: Contoso) -> Any:
    """The cookies of Contoso's administrator, who has used a link; the printed one went with it."""
    reader = Windows(browser, contoso.url)()
    reader.sign_in(contoso.link())
    state = reader.state()
    reader.context.close()
    return state


@pytest.fixture
def admin(window: Windows, signed_in: Any) -> Reader:
    """Contoso's administrator at a desk."""
    return window(signed_in)
