"""Every page that a link leads to: it is there, nothing complains, it fits, it can be read by everybody, and is light."""

from __future__ import annotations

import re
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from app_core.db import is_sqlite
from tests.browser.conftest import MOST_BYTES, SHIFTS, Contoso, Reader, Windows

ID = re.compile(r"/[0-9a-f-]{20,}|/[A-Za-z0-9_-]{12,}")
MOST_PAGES = 60
ALIKE = 1
"""How many pages of one form are looked at: /console/people/{id} once; the stories see others."""
LEFT_OUT = re.compile(r"/static/|\.vcf|\.svg|\.css|/export|/photo|microsoft|sign-out|\?(?!.*link=)")


def links_of(reader: Reader) -> list[str]:
    """Give the paths of this server that a page leads to."""
    found = reader.page.eval_on_selector_all("a[href]", "all => all.map(each => each.href)")
    here = urlsplit(reader.url).netloc
    return [urlsplit(each).path for each in found if urlsplit(each).netloc == here and not LEFT_OUT.search(each)]


def walk(reader: Reader, start: str) -> dict[str, int]:
    """Follow the links from page to page; hold each page against the rules, and give what it weighs."""
    weights: dict[str, int] = {}
    seen: dict[str, int] = {}
    waiting, known = deque([start]), {start}
    while waiting and len(weights) < MOST_PAGES:
        path = waiting.popleft()
        form = ID.sub("/{id}", path)
        seen[form] = seen.get(form, 0) + 1
        if seen[form] > ALIKE:
            continue
        weights[path] = visit(reader, path)
        for each in links_of(reader):
            if each not in known:
                known.add(each)
                waiting.append(each)
    return weights


def visit(reader: Reader, path: str) -> int:
    """Look at a page, and give the bytes that came for it, without images."""
    sizes: list[int] = []

    def weigh(request: Any) -> None:
        if request.resource_type != "image":
            sizes.append(request.sizes()["responseBodySize"])

    reader.page.on("requestfinished", weigh)
    answer = reader.page.goto(reader.url + path)
    reader.page.remove_listener("requestfinished", weigh)
    assert answer is not None
    assert 200 == answer.status, path
    reader.page.evaluate(SHIFTS)
    reader.check()
    assert 1 == reader.page.locator("h1").count(), path
    assert 0.1 > reader.page.evaluate("() => window.shifted"), path
    return sum(sizes)


def test_every_page_of_the_console(window: Windows, signed_in: Any, contoso: Contoso) -> None:
    """From the overview on, as far as links lead: at a desk on one database, on a phone at night on the other."""
    at_night = not is_sqlite(contoso.database_url)
    weights = walk(window(signed_in, phone=at_night, dark=at_night), "/console")

    assert {each: weight for each, weight in weights.items() if weight > MOST_BYTES} == {}
    assert {"/console/people", "/console/teams", "/console/templates", "/console/log", "/console/settings"} <= set(
        weights
    )


def test_pages_work_without_scripts(window: Windows, signed_in: Any) -> None:
    """The menu is there, and a form does what it says."""
    reader = window(signed_in, scripts=False)
    reader.open("/console/account")
    reader.page.get_by_label("Dark").check()
    reader.page.get_by_role("button", name="Apply").click()

    assert "dark" == reader.page.locator("html").get_attribute("data-theme")
    assert reader.page.get_by_role("link", name="People").is_visible()


def test_a_link_signs_in_once(window: Windows, contoso: Contoso, signed_in: Any) -> None:
    """Opened again it says so, and signs nobody in."""
    reader = window()
    reader.open(f"/console/sign-in?link={contoso.secrets.link}")

    assert "was used" in reader.page.locator("main").inner_text()
    reader.check()
    reader.open("/console/people")
    assert "/console/sign-in" in reader.page.url


def test_a_stolen_cookie_does_nothing_after_the_sign_out(window: Windows, contoso: Contoso) -> None:
    """The session ends at the server, not in the browser."""
    reader = window()
    reader.sign_in(contoso.link())
    stolen = reader.state()
    reader.page.get_by_role("button", name="Sign out").click()
    reader.page.wait_for_url("**/console/sign-in")

    thief = window(stolen)
    thief.open("/console/people")
    assert "/console/sign-in" in thief.page.url
