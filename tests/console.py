"""A browser without scripts: it signs in by a link, sends forms as its pages have them, and reads what they say."""

from __future__ import annotations

import contextlib
import html
import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import httpx

from app_core import administrators, clock, connections, sessions, tenants
from app_core.db import Connection
from app_core.sessions import Kind, Subject
from app_core.work import Actor, Source, Work
from tests.answers import unique
from tests.processes import in_core

TOKEN = re.compile(r'name="_token" value="([0-9a-f]*)"')
UNSEEN, TAG = ("script", "style", "head"), re.compile(r"<[^>]+>")


@dataclass
class Browser:
    """Somebody in front of the pages."""

    http: httpx.Client
    token: str = ""
    """The forgery token of the last page that had one."""

    def get(self, path: str, status: int = 200, **query: Any) -> httpx.Response:
        """Open a page and hold its status."""
        return self._seen(self.http.get(path, params=query or None), status)

    def post(self, path: str, status: int = 303, files: Any = None, **form: Any) -> httpx.Response:
        """Send a form with the token of the last page, and hold the status of the answer."""
        return self._seen(self.http.post(path, data={"_token": self.token, **form}, files=files), status)

    def send(self, path: str, **form: Any) -> str:
        """Send a form that leads to another page; give what that page says."""
        return said(self.get(where(self.post(path, **form))))

    def _seen(self, answer: httpx.Response, status: int) -> httpx.Response:
        assert status == answer.status_code, f"{answer.request.url.path}: {answer.status_code}\n{said(answer)}"
        found = TOKEN.search(answer.text)
        self.token = found[1] if found else self.token
        return answer


def where(answer: httpx.Response) -> str:
    """Give where a redirect leads."""
    return answer.headers["location"]


def said(answer: httpx.Response) -> str:
    """Give the text of a page, in one line."""
    text = answer.text
    for name in UNSEEN:
        text = re.sub(rf"<{name}\b.*?</{name}>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(TAG.sub(" ", text)).split())


def values(answer: httpx.Response) -> dict[str, str]:
    """Give what the inputs of a page hold, by their ids."""
    found = {}
    for tag in re.findall(r"<input\b[^>]*>", answer.text):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if "id" in attributes:
            found[attributes["id"]] = html.unescape(attributes.get("value", ""))
    return found


class _Form(HTMLParser):
    """Reads what a form would send as it stands."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id = form_id
        self.inside = False
        self.sent: dict[str, list[str]] = {}
        self.select: str | None = None
        self.area: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.inside = given.get("id") == self.form_id
        if not self.inside:
            return
        name = given.get("name")
        if tag == "input" and name and (given.get("type") not in ("checkbox", "radio") or "checked" in given):
            self.sent.setdefault(name, []).append(given.get("value", "on"))
        elif tag == "select":
            self.select = name
        elif tag == "option" and self.select and ("selected" in given or self.select not in self.sent):
            self.sent[self.select] = [given["value"]]
        elif tag == "textarea" and name:
            self.area = name
            self.sent[name] = [""]

    def handle_endtag(self, tag: str) -> None:
        self.select = None if tag == "select" else self.select
        self.area = None if tag == "textarea" else self.area
        self.inside = self.inside and tag != "form"

    def handle_data(self, data: str) -> None:
        if self.area is not None:
            self.sent[self.area] = [data.removeprefix("\n")]


def form_of(answer: httpx.Response, form_id: str) -> dict[str, list[str]]:
    """Give what a form of a page would send as it stands, without its buttons."""
    reader = _Form(form_id)
    reader.feed(answer.text)
    assert reader.sent, f"there is no form {form_id}"
    return {name: values for name, values in reader.sent.items() if name != "_token"}


@contextlib.contextmanager
def nobody(url: str) -> Iterator[Browser]:
    """Open a browser in which nobody is signed in, at an address of its own: each may try only so much."""
    address = str(ipaddress.IPv4Address(int.from_bytes(os.urandom(3)) | 10 << 24))
    with httpx.Client(base_url=url, headers={"X-Forwarded-For": address}, timeout=60) as http:
        yield Browser(http)


@contextlib.contextmanager
def administrator(url: str, database_url: str, tenant_id: str) -> Iterator[Browser]:
    """Open a browser in which an administrator of a tenant has signed in by a link."""

    def link(connection: Connection) -> str:
        directory_id = connections.first_of(connection, tenants.find(connection, tenant_id))
        work = Work(connection, tenant_id, directory_id, Actor(Source.SYSTEM, "test"), "test", clock.now())
        return sessions.new_link(
            connection, administrators.add(work, f"{unique('admin')}@contoso.com").subject, work.now
        )

    with nobody(url) as browser:
        secret = in_core(database_url, lambda database: database.write(link))
        browser.post("/console/sign-in", link=secret)
        browser.get("/console/account")
        yield browser


@contextlib.contextmanager
def member(url: str, database_url: str, tenant_id: str, person_id: str) -> Iterator[Browser]:
    """Open a browser in which a person of a tenant has signed in by a link."""
    subject = Subject(Kind.MEMBER, tenant_id, person_id)

    def link(connection: Connection) -> str:
        return sessions.new_link(connection, subject, clock.now())

    with nobody(url) as browser:
        secret = in_core(database_url, lambda database: database.write(link))
        browser.post("/me/sign-in", link=secret)
        yield browser
