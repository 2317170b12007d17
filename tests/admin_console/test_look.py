"""Colours of cards: whatever an administrator chooses, what stands on a card can be read."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from admin_console import look
from admin_console.look import Look, contrast, look_of, named, stylesheet

colours = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


def variables(text: str) -> dict[str, str]:
    return dict(re.findall(r"--card-([a-z0-9-]+):(#[0-9a-f]{6})", text.partition("@media")[0]))


@given(primary=colours, text=colours, background=colours)
def test_everything_on_a_card_can_be_read(primary: str, text: str, background: str) -> None:
    """Text has a contrast of at least 4.5 to 1 to what is behind it, at both ends of the gradient; signs have 3 to 1."""
    found = variables(stylesheet(Look(primary, text, background)))

    for behind in ("brand", "brand-2"):
        assert 4.5 <= contrast(found["on-brand"], found[behind]), (behind, found)
    for on_paper in ("ink", "soft", "link"):
        assert 4.5 <= contrast(found[on_paper], found["paper"]), (on_paper, found)
    assert 3 <= contrast(found["sign"], found["tint"]), found


def test_a_chosen_text_colour_stands_where_it_can_be_read() -> None:
    """It is taken as it is, and given up for black or white only where nobody could read it."""
    good, poor = Look("#0b6e4f", "#334455", "#ffffff"), Look("#0b6e4f", "#dddddd", "#ffffff")

    assert (True, False) == (good.legible, poor.legible)
    assert ("#334455", "#000000") == (variables(stylesheet(good))["ink"], variables(stylesheet(poor))["ink"])


def test_contrast_is_that_of_wcag() -> None:
    """Black on white is 21, a colour on itself 1; the grey of WCAG's examples is just enough."""
    assert (21.0, 1.0) == (round(contrast("#000000", "#ffffff"), 3), contrast("#123456", "#123456"))
    assert contrast("#767676", "#ffffff") >= 4.5 > contrast("#777777", "#ffffff")


def test_the_name_of_a_look_is_its_colours() -> None:
    """Who has the name has the colours; what is no name is none, whatever else stands in it."""
    found = look_of({"primary_color": "#0A66C2"})

    assert "0a66c2-16202e-ffffff" == found.name
    assert found == named(found.name)
    assert [None] * 3 == [named(each) for each in ("0a66c2", "0A66C2-16202e-ffffff", "0a66c2-16202e-ffffff}x{")]
    assert set(look.DEFAULT) == {"primary_color", "text_color", "background_color"}
