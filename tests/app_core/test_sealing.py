"""Secrets at rest: sealed under the first key, opened under all, bound to a purpose, rotated without a gap."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_core.sealing import SealBroken, Sealer, keys_of

OLD, NEW = "an old key of the operator", "a new key of the operator"
PURPOSE = "webhook secret"


@given(text=st.text())
def test_what_is_sealed_is_opened_again(text: str) -> None:
    """Any text comes back as it was, and is not to be read in what is stored."""
    sealer = Sealer([NEW])

    sealed = sealer.seal(text, PURPOSE)

    assert text == sealer.open(sealed, PURPOSE)
    assert sealed.isascii()
    assert len(text) < 8 or text not in sealed


def test_sealing_twice_differs() -> None:
    """Equal secrets are not to be recognised as equal."""
    sealer = Sealer([NEW])

    assert sealer.seal("x", PURPOSE) != sealer.seal("x", PURPOSE)


def test_rotation() -> None:
    """The new key in front opens what the old one sealed; resealed, the old key can go."""
    sealed = Sealer([OLD]).seal("s3cret", PURPOSE)
    both = Sealer([NEW, OLD])

    resealed = both.reseal(sealed, PURPOSE)

    assert "s3cret" == both.open(sealed, PURPOSE)
    assert not both.is_current(sealed)
    assert both.is_current(resealed)
    assert resealed == both.reseal(resealed, PURPOSE)
    assert "s3cret" == Sealer([NEW]).open(resealed, PURPOSE)


def test_the_key_id_is_stored_and_says_nothing() -> None:
    """What is sealed begins with the name of its key, which is the same on every process and not the key."""
    sealed = Sealer([NEW, OLD]).seal("s3cret", PURPOSE)

    assert sealed.startswith(Sealer([NEW]).key_id + ".")
    assert Sealer([NEW]).key_id != Sealer([OLD]).key_id
    assert NEW not in sealed


def test_a_missing_key_is_named() -> None:
    """Taken away too early, a key is asked for by its id, with what to do."""
    sealed = Sealer([OLD]).seal("s3cret", PURPOSE)

    with pytest.raises(SealBroken) as broken:
        Sealer([NEW]).open(sealed, PURPOSE)

    assert Sealer([OLD]).key_id == broken.value.facts["key_id"]
    assert Sealer([OLD]).key_id in broken.value.sentence
    assert "SECRET_KEY" in broken.value.sentence


def test_another_purpose_does_not_open() -> None:
    """What was sealed for one place and copied to another is refused there."""
    sealer = Sealer([NEW])

    with pytest.raises(SealBroken):
        sealer.open(sealer.seal("s3cret", PURPOSE), "consent state")


@pytest.mark.parametrize("junk", ["", "x", "00000000.", "00000000.abc", "a.b.c", "00000000.é", "ZZZZZZZZ.gAAAAA=="])
def test_junk_is_refused(junk: str) -> None:
    """What never was sealed is refused by name, whatever it looks like."""
    with pytest.raises(SealBroken):
        Sealer([NEW]).open(junk, PURPOSE)


@given(at=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_a_changed_bit_is_noticed(at: int, bit: int) -> None:
    """Whoever can write to the database cannot change what is sealed there."""
    sealer = Sealer([NEW])
    key_id, token = sealer.seal("s3cret", PURPOSE).split(".")
    raw = bytearray(base64.urlsafe_b64decode(token))
    raw[at % len(raw)] ^= 1 << bit

    with pytest.raises(SealBroken):
        sealer.open(f"{key_id}.{base64.urlsafe_b64encode(raw).decode()}", PURPOSE)


def test_keys_of_a_setting() -> None:
    """Blanks around keys and a comma too many do no harm."""
    assert (NEW,) == keys_of(NEW)
    assert (NEW, OLD) == keys_of(f" {NEW} , {OLD},")


def test_no_key_seals_nothing() -> None:
    """A sealer without a key would protect nothing."""
    for keys in ([], [""]):
        with pytest.raises(ValueError, match="at least one key"):
            Sealer(keys)
