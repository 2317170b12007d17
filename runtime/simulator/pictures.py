"""Photos without a library: one plain colour, as a PNG of any size."""

import hashlib
import struct
import zlib
from dataclasses import dataclass

SIZES = (48, 64, 96, 120, 240, 360, 432, 504, 648)


@dataclass(frozen=True, slots=True)
class Photo:
    """A stored photo. A drawn one exists in every size up to its own, an uploaded one only as it came."""

    content: bytes
    media_type: str
    width: int
    height: int
    drawn_from: str | None = None

    @property
    def etag(self) -> str:
        """The value of `@odata.mediaEtag`: quoted, and another one for other bytes."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:8].upper()}"'

    def at(self, size: int) -> "Photo | None":
        """Give the photo in one of Graph's sizes; None where it is not stored in that size."""
        if size == self.width == self.height:
            return self
        if self.drawn_from is None or size > self.width or size not in SIZES:
            return None
        return drawn(self.drawn_from, size)


def drawn(seed: str, size: int = 240) -> Photo:
    """Draw the photo that belongs to a seed."""
    colour = hashlib.sha256(seed.encode()).digest()[:3]
    return Photo(_png(colour, size), "image/png", size, size, seed)


def uploaded(content: bytes) -> Photo:
    """Take a photo as bytes; a JPEG is said to be 240 × 240. Raises ValueError for what is neither PNG nor JPEG."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return Photo(content, "image/png", width, height)
    if content.startswith(b"\xff\xd8\xff"):
        return Photo(content, "image/jpeg", 240, 240)
    raise ValueError("A photo is a PNG or a JPEG.")


def _png(colour: bytes, size: int) -> bytes:
    rows = (b"\x00" + colour * size) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
