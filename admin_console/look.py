"""The colours of a card: what a template says, and what follows from it so that everything on it can be read.

Text on the brand colour is black or white, whichever reads better; a text colour that cannot be read on its background
is not used. Contrast is WCAG 2.2's: at least 4.5 to 1 for text, 3 to 1 for what is drawn.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

DEFAULT = {"primary_color": "#2f5bea", "text_color": "#16202e", "background_color": "#ffffff"}
"""What a template shows that says nothing."""
TEXT, DRAWN = 4.5, 3.0
NAME = re.compile(r"([0-9a-f]{6})-([0-9a-f]{6})-([0-9a-f]{6})")
BLACK, WHITE, NIGHT = "#000000", "#ffffff", "#0e131b"


@dataclass(frozen=True, slots=True)
class Look:
    """The three colours of a template, in lower case."""

    primary: str
    text: str
    background: str

    @property
    def name(self) -> str:
        """Its name, made of its colours: the same colours have the same stylesheet, and others another address."""
        return "-".join([self.primary[1:], self.text[1:], self.background[1:]])

    @property
    def css_class(self) -> str:
        """The class of what is shown in these colours."""
        return f"look-{self.name}"

    @property
    def stylesheet(self) -> str:
        """The address of its stylesheet."""
        return f"/c/look/{self.name}.css"

    @property
    def legible(self) -> bool:
        """Say whether the chosen text can be read on the chosen background."""
        return contrast(self.text, self.background) >= TEXT


def look_of(chosen: Mapping[str, str]) -> Look:
    """Give the colours of a template's look."""
    colours = {name: chosen.get(name, fallback).lower() for name, fallback in DEFAULT.items()}
    return Look(colours["primary_color"], colours["text_color"], colours["background_color"])


def named(name: str) -> Look | None:
    """Give the look with a name; None for what is no name."""
    found = NAME.fullmatch(name)
    return None if found is None else Look(f"#{found[1]}", f"#{found[2]}", f"#{found[3]}")


@lru_cache(maxsize=256)
def stylesheet(look: Look) -> str:
    """Write the stylesheet of a look: variables alone, which card.css uses."""
    day = {**_card_colours(look), "page": mixed(WHITE, look.primary, 0.08)}
    night = {"page": mixed(NIGHT, look.primary, 0.12)}
    return (
        f".{look.css_class}{{{_variables(day)}}}\n"
        f"@media (prefers-color-scheme:dark){{.{look.css_class}{{{_variables(night)}}}}}\n"
    )


def _variables(colours: Mapping[str, str]) -> str:
    return "".join([f"--card-{name}:{colour};" for name, colour in colours.items()])


def _card_colours(look: Look) -> dict[str, str]:
    paper = look.background
    ink = look.text if look.legible else readable_on(paper)
    on_brand = readable_on(look.primary)
    tint = mixed(paper, look.primary, 0.12)
    return {
        "brand": look.primary,
        # The gradient goes away from the text on it, so that what reads at its beginning reads at its end.
        "brand-2": mixed(look.primary, BLACK if on_brand == WHITE else WHITE, 0.26),
        "on-brand": on_brand,
        "paper": paper,
        "ink": ink,
        "soft": _soft(ink, paper),
        "line": mixed(paper, ink, 0.14),
        "tint": tint,
        "sign": look.primary if contrast(look.primary, tint) >= DRAWN else ink,
        "link": look.primary if contrast(look.primary, paper) >= TEXT else ink,
    }


def _soft(ink: str, paper: str) -> str:
    """Give the softest mixture that can still be read."""
    steps = (mixed(ink, paper, share / 100) for share in (40, 35, 30, 25, 20, 15, 10, 5))
    return next((each for each in steps if contrast(each, paper) >= TEXT), ink)


def readable_on(colour: str) -> str:
    """Give white where it can be read on a colour, else black."""
    return WHITE if contrast(WHITE, colour) >= TEXT else BLACK


def contrast(one: str, other: str) -> float:
    """Give the contrast of two colours, from 1 to 21 (WCAG 2.2, contrast ratio)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def mixed(colour: str, other: str, share: float) -> str:
    """Mix a share of another colour into one."""
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join([f"{round(one + (two - one) * share):02x}" for one, two in pairs])


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [each / 255 for each in _channels(colour)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
