"""Jinja: the environment, the filters, and one part of a page alone."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app_core.clock import Stamp

HERE = Path(__file__).parent
STATIC = HERE / "static"


@cache
def environment() -> Environment:
    """Give the environment of all pages; a name that no page is given is an error, not an empty place."""
    made = Environment(
        loader=FileSystemLoader(HERE / "html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "when": when,
        "day": day,
        "number": number,
        "plural": plural,
        "words": words,
        "initials": initials,
        "browser": browser,
        "address": address,
    }
    made.globals |= {"asset": asset, "icon": icon}
    return made


def render(file: str, facts: dict[str, Any], part: str | None = None) -> bytes:
    """Render a page, or the block of it that is named `part` where there is one.

    The macros of _parts.html are `ui` in every page: a block alone has no imports.
    """
    template = environment().get_template(file)
    facts = {**facts, "ui": environment().get_template("_parts.html").make_module(facts)}
    if part is None or part not in template.blocks:
        return template.render(facts).encode()
    context = template.new_context(facts)
    return "".join(template.blocks[part](context)).encode()


@cache
def digest(name: str) -> str:
    """Give the hash of a static file: a new one is a new address, so browsers may keep it for ever."""
    return sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def asset(name: str) -> str:
    """Give the address of a static file."""
    return f"/console/static/{name}?v={digest(name)}"


def icon(name: str) -> Markup:
    """Give a symbol of static/icons.svg; it says nothing to a screen reader, the word beside it does."""
    drawn = '<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>'
    return Markup(drawn).format(asset("icons.svg"), name)  # noqa: S704 - the text is ours


@cache
def when(stamp: Stamp | None, empty: str = "never") -> Markup | str:
    """Show an instant; console.js puts it into the reader's zone, without scripts it is UTC and says so."""
    if stamp is None:
        return empty
    shown = f"{stamp[:10]} {stamp[11:16]} UTC"
    return Markup('<time datetime="{}">{}</time>').format(stamp, shown)


def day(stamp: Stamp | None) -> Markup | str:
    """Show the day of an instant."""
    return "" if stamp is None else Markup('<time datetime="{}" data-day>{}</time>').format(stamp, stamp[:10])


def number(value: int | None) -> str:
    """Show a number with thin spaces between thousands."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def plural(count: int, one: str, many: str | None = None) -> str:
    """Count things: "1 login", "3 logins"."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def words(text: str) -> str:
    """Show a state of the core as words: `code_sent` is "code sent"."""
    return text.replace("_", " ").replace("-", " ")


def address(text: str | None) -> Markup | str:
    """Show an e-mail address or sign-in name, which is broken before its @ where it does not fit."""
    name, at, domain = (text or "").rpartition("@")
    return Markup("{}<wbr>@{}").format(name, domain) if at else text or ""


SYSTEMS = {
    "Windows": "Windows",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Mac OS": "Mac",
    "Linux": "Linux",
}
BROWSERS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}


def browser(agent: str) -> str:
    """Name a browser by what it says of itself, for a list of sessions."""
    name = next((word for mark, word in BROWSERS.items() if mark in agent), agent[:40] or "unknown")
    system = next((word for mark, word in SYSTEMS.items() if mark in agent), "")
    return f"{name} on {system}" if system else name


def initials(name: str) -> str:
    """Give up to two initials of a name."""
    parts = [part for part in name.replace(".", " ").split() if part[0].isalnum()]
    return "".join([part[0] for part in (parts[:1] + parts[-1:] if len(parts) > 1 else parts)]).upper() or "?"
