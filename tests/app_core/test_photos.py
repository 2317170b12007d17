"""Photos: an image is what its own header says; a person has one."""

from __future__ import annotations

import base64
import struct
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_core import people, photos
from app_core.errors import Invalid
from app_core.photos import FORMATS, MOST_BYTES, check_image
from app_core.work import Work
from tests.app_core.builders import told
from tests.app_core.conftest import MakeWork

# The smallest images that browsers show, each 1 × 1.
JPEG = base64.b64decode(
    "/9j/2wBDAAMCAgICAgMCAgIDAwMDBAYEBAQEBAgGBgUGCQgKCgkICQkKDA8MCgsOCwkJDRENDg8QEBEQCgwSExIQEw8QEBD/"
    "yQALCAABAAEBAREA/8wABgAQEAX/2gAIAQEAAD8A0s8g/9k="
)
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
WEBP_LOSSY = base64.b64decode("UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA")
WEBP_LOSSLESS = base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")


def a_png(width: int = 2, height: int = 3) -> bytes:
    return PNG[:16] + struct.pack(">II", width, height) + PNG[24:]


def a_gif(width: int, height: int) -> bytes:
    return b"GIF87a" + struct.pack("<HH", width, height) + GIF[10:]


def a_jpeg(width: int, height: int, *segments: bytes, frame: int = 0xC0) -> bytes:
    start = struct.pack(">BBHBHHB", 0xFF, frame, 17, 8, height, width, 3)
    return b"\xff\xd8" + b"".join(segments) + start + bytes(9) + b"\xff\xda\x00\x02\xff\xd9"


def a_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def a_webp(width: int, height: int, chunk: bytes = b"VP8X") -> bytes:
    bodies = {
        b"VP8X": bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"),
        b"VP8L": b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + bytes(5),
        b"VP8 ": b"\x30\x01\x00\x9d\x01\x2a" + struct.pack("<HH", width, height),
    }
    body = bodies[chunk]
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + chunk + struct.pack("<I", len(body)) + body


# What is an image ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (JPEG, "image/jpeg"),
        (PNG, "image/png"),
        (GIF, "image/gif"),
        (WEBP_LOSSY, "image/webp"),
        (WEBP_LOSSLESS, "image/webp"),
    ],
)
def test_real_images(data: bytes, media_type: str) -> None:
    """They are known by their own header."""
    assert (media_type, 1, 1) == check_image(data)


sides = st.integers(1, 4096)
exif = a_segment(0xE1, b"Exif\0\0" + JPEG)


@given(sides, sides)
def test_sizes_are_read(width: int, height: int) -> None:
    """Of each format, in each of its forms; a thumbnail inside does not count."""
    assert ("image/png", width, height) == check_image(a_png(width, height))
    assert ("image/gif", width, height) == check_image(a_gif(width, height))
    for chunk in (b"VP8X", b"VP8L", b"VP8 "):
        assert ("image/webp", width, height) == check_image(a_webp(width, height, chunk))
    for frame in (0xC0, 0xC1, 0xC2, 0xC9):
        for before in ((), (exif, a_segment(0xDB, bytes(65)), a_segment(0xC4, bytes(20)), b"\xff\xff\xff\x01")):
            assert ("image/jpeg", width, height) == check_image(a_jpeg(width, height, *before, frame=frame))


@pytest.mark.parametrize("make", [a_png, a_gif, a_jpeg, a_webp])
@pytest.mark.parametrize(("width", "height"), [(4097, 1), (1, 4097)])
def test_an_image_that_is_too_large(make: type, width: int, height: int) -> None:
    """4096 × 4096 pixels are the limit: whoever shows it has to decode it."""
    with pytest.raises(Invalid) as refused:
        check_image(make(width, height))

    assert f"{width} × {height} pixels; at most 4096 × 4096" in refused.value.sentence


@pytest.mark.parametrize("make", [a_png, a_gif, a_jpeg])
def test_an_image_of_no_size(make: type) -> None:
    """It would show nothing."""
    with pytest.raises(Invalid):
        check_image(make(0, 1))


def test_the_limit_of_bytes() -> None:
    """4 MiB, to the byte."""
    whole = PNG + bytes(MOST_BYTES - len(PNG))

    assert ("image/png", 1, 1) == check_image(whole)
    with pytest.raises(Invalid) as refused:
        check_image(whole + b"\0")
    assert f"has {MOST_BYTES + 1} bytes; at most {MOST_BYTES}" in refused.value.sentence


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>',
        b"<!DOCTYPE html><script>alert(1)</script>",
        b"BM" + bytes(60),
        b"II*\0" + bytes(60),
        b"%PDF-1.7" + bytes(60),
        b"RIFF\x24\0\0\0WAVEfmt " + bytes(40),
        b"RIFF\x24\0\0\0WEBPXXXX" + bytes(40),
        b"\0\0\0\x1cftypavif" + bytes(60),
        PNG[1:],
        PNG[:8] + b"\0\0\0\x0dIDAT" + PNG[16:],
        b"\xff\xd8\xff\xd9" + bytes(40),
        b"\xff\xd8" + a_segment(0xE0, bytes(20)) + b"\xff\xda" + bytes(40),
        b"\xff\xd8\xff\xe0\x00\x01" + bytes(40),
        b"\xff\xd8\xff\xc0\x00\x07" + bytes(40),
        b"\xff\xd8" + b"\xff" * 100_000,
    ],
)
def test_what_is_no_image(data: bytes) -> None:
    """Whatever its sender says it is."""
    with pytest.raises(Invalid) as refused:
        check_image(data)

    assert "JPEG, PNG, GIF or WebP" in refused.value.sentence


@given(st.sampled_from([JPEG, PNG, GIF, WEBP_LOSSY, WEBP_LOSSLESS, a_jpeg(2, 2, exif), a_webp(3, 3)]), st.data())
def test_a_broken_image_breaks_nothing(image: bytes, data: st.DataObject) -> None:
    """Cut anywhere, with any bytes changed: an answer or a refusal, and never a format that it does not begin with."""
    broken = bytearray(image[: data.draw(st.integers(0, len(image)))])
    for at in data.draw(st.lists(st.integers(0, max(0, len(broken) - 1)), max_size=4)):
        if broken:
            broken[at] = data.draw(st.integers(0, 255))
    try:
        media_type, width, height = check_image(bytes(broken))
    except Invalid:
        return
    assert media_type in FORMATS
    assert 0 < width <= 4096
    assert 0 < height <= 4096


# The photo of a person ----------------------------------------------------------------------------------------------


def test_a_person_has_one_photo(work: Work) -> None:
    """A new one takes the place of the former; both times the person says so, once."""
    person = people.insert_manual(work, "Ada", None)
    told(work)
    for data in (PNG, JPEG):
        assert photos.put(work, people.lock(work, person.id), data)
        assert ["person.updated"] == told(work, person.id)
        assert not photos.put(work, people.lock(work, person.id), data)
        assert [] == told(work)
    kept, after = photos.get(work, person.id), people.lock(work, person.id)

    assert kept is not None
    assert (JPEG, sha256(JPEG).hexdigest(), "image/jpeg", 1, 1, work.now, photos.Origin.HAND) == tuple(kept)
    assert (kept.hash, person.version + 2) == (after.photo_hash, after.version)


def test_a_photo_that_is_refused_leaves_the_former(work: Work) -> None:
    """Nothing is told."""
    person = people.insert_manual(work, "Ada", None)
    photos.put(work, person, PNG)
    told(work)
    with pytest.raises(Invalid):
        photos.put(work, people.lock(work, person.id), b"<svg/>")

    assert photos.get(work, person.id) == photos.Photo(PNG, sha256(PNG).hexdigest(), "image/png", 1, 1, work.now)
    assert [] == told(work)


def test_taking_a_photo_away(work: Work) -> None:
    """Once; then there is none, and that is no change."""
    person = people.insert_manual(work, "Ada", None)
    photos.put(work, person, PNG)
    told(work)

    assert photos.remove(work, people.lock(work, person.id))
    assert ["person.updated"] == told(work, person.id)
    assert photos.get(work, person.id) is None
    assert people.lock(work, person.id).photo_hash is None
    assert not photos.remove(work, people.lock(work, person.id))
    assert [] == told(work)


def test_handing_a_photo_over(work: Work) -> None:
    """Two people who are one keep it; where there is none nothing happens."""
    twin, heir = people.insert_manual(work, "Ada", None), people.insert_manual(work, "Ada", None)
    photos.hand_over(work, twin.id, heir.id)
    assert people.lock(work, heir.id).photo_hash is None

    photos.put(work, twin, PNG)
    photos.hand_over(work, twin.id, heir.id)

    assert photos.get(work, twin.id) is None
    assert people.lock(work, twin.id).photo_hash is None
    assert PNG == getattr(photos.get(work, heir.id), "data", None)
    assert sha256(PNG).hexdigest() == people.lock(work, heir.id).photo_hash


def test_a_photo_goes_with_its_person_and_stays_in_its_tenant(make_work: MakeWork) -> None:
    """Nobody else's id leads to it (V1)."""
    work, other = make_work(), make_work()
    person = people.insert_manual(work, "Ada", None)
    photos.put(work, person, PNG)

    assert photos.get(other, person.id) is None
    people.remove(work, people.lock(work, person.id))
    assert photos.get(work, person.id) is None
