"""What a video says on top of its pictures: who plays, the score, the scenario, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_BAR = (14, 18, 26, 205)
_WHITE, _PALE = (255, 255, 255, 255), (205, 213, 224, 255)
_NOBODY: Colour = (82, 90, 104)  # banner of an episode that nobody won
_SUCCESS: Colour = (46, 125, 79)  # of one that a lone player won
_FULL_SIZE = 480  # [px] height at which text is 17 px


@dataclass(frozen=True)
class Caption:
    """What one frame says; empty texts are left out.

    Attributes:
        names, score: per player, in the order they are shown; None where nothing is scored.
        title, note: of the line-up.
        left, right: the bottom line. banner: how the episode ended; winner: whose colour it has
            (green for a lone player).
    """

    names: Mapping[str, str]
    score: Mapping[str, int] | None
    title: str = ""
    note: str = ""
    left: str = ""
    right: str = ""
    banner: str = ""
    winner: str = ""


class Overlay:
    """Draws captions on pictures of one size; text scales with the picture.

    Args:
        width, height: of the picture [px]. colours: per player, that of its robot.
    """

    def __init__(self, width: int, height: int, colours: Mapping[str, Colour]) -> None:
        self.width, self.height, self.colours = width, height, colours
        self.text = max(7, round(17 * min(height / _FULL_SIZE, width / 560)))
        self.pad = max(2, round(0.5 * self.text))
        self.bar = round(2.1 * self.text)

    def draw(self, picture: Picture, caption: Caption) -> Picture:
        """The picture (height, width, 3) with the caption, in a fresh array."""
        image = Image.fromarray(picture)
        canvas = ImageDraw.Draw(image, "RGBA")
        self._scoreboard(canvas, caption)
        self._headline(canvas, caption)
        self._bottom(canvas, caption)
        if caption.banner:
            self._banner(canvas, caption)
        return np.array(image, dtype=np.uint8)

    def _scoreboard(self, canvas: ImageDraw.ImageDraw, caption: Caption) -> None:
        """One field per player: a chip in its colour with its score, its role and its policy. Two
        players' chips meet in the middle."""
        canvas.rectangle((0, 0, self.width, self.bar - 1), fill=_BAR)
        players = list(caption.names)
        field, chip = self.width / len(players), 1.1 * self.bar
        for i, player in enumerate(players):
            left, right = round(i * field), round((i + 1) * field)
            mirrored = len(players) == 2 and i == 0
            x = right - chip if mirrored else left
            canvas.rectangle((x, 0, x + chip, self.bar - 1), fill=(*self.colours[player], 255))
            if caption.score is not None:
                points = str(caption.score[player])
                self._put(canvas, (x + chip / 2, self.bar / 2), points, 1.25, "mm")
            edge = x - self.pad if mirrored else x + chip + self.pad
            room = field - chip - 2 * self.pad
            name = f"{player}  {caption.names[player]}"
            self._put(canvas, (edge, self.bar / 2), name, 1.0, "rm" if mirrored else "lm", room)

    def _headline(self, canvas: ImageDraw.ImageDraw, caption: Caption) -> None:
        text = ": ".join(part for part in (caption.title, caption.note) if part)
        if not text:
            return
        room, middle = 0.9 * self.width, (self.width / 2, self.bar + 0.9 * self.text)
        shown = shorten(text, _font(self.text), room)
        half = _font(self.text).getlength(shown) / 2 + self.pad
        box = (middle[0] - half, self.bar, middle[0] + half, middle[1] + 0.85 * self.text)
        canvas.rectangle(box, fill=_BAR)
        self._put(canvas, middle, shown, 1.0, "mm", room)

    def _bottom(self, canvas: ImageDraw.ImageDraw, caption: Caption) -> None:
        y = self.height - 0.75 * self.bar
        canvas.rectangle((0, y, self.width, self.height), fill=_BAR)
        middle, room = (y + self.height) / 2, self.width / 2 - 2 * self.pad
        self._put(canvas, (self.pad, middle), caption.left, 0.85, "lm", room)
        self._put(canvas, (self.width - self.pad, middle), caption.right, 0.85, "rm", room)

    def _banner(self, canvas: ImageDraw.ImageDraw, caption: Caption) -> None:
        middle, half = 0.875 * self.height, 0.62 * self.bar
        colours = self.colours if len(caption.names) > 1 else dict.fromkeys(caption.names, _SUCCESS)
        fill = (*colours.get(caption.winner, _NOBODY), 235)
        canvas.rectangle((0, middle - half, self.width, middle + half), fill=fill)
        place = (self.width / 2, middle)
        self._put(canvas, place, caption.banner, 1.6, "mm", 0.94 * self.width)

    def _put(
        self,
        canvas: ImageDraw.ImageDraw,
        place: tuple[float, float],
        text: str,
        size: float,
        anchor: str,
        room: float = float("inf"),
    ) -> None:
        """Text of `size` times the normal one, shortened to `room` [px]."""
        font = _font(max(6, round(size * self.text)))
        shown = shorten(text, font, room)
        fill = _WHITE if size >= 1.0 else _PALE
        canvas.text(place, shown, fill, font, anchor)


def shorten(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """`text` in the font's letters, its middle replaced by `…` until it fits `room` [px]."""
    clean = "".join(c if c == "…" or (c.isascii() and c.isprintable()) else "?" for c in text)
    keep, shown = len(clean), clean
    while keep > 1 and font.getlength(shown) > room:
        keep -= 1
        shown = f"{clean[: (keep + 1) // 2]}…{clean[len(clean) - keep // 2 :]}"
    return shown


def colour(rgba: Sequence[float]) -> Colour:
    """Eight-bit red, green, blue of a MuJoCo colour in [0, 1]."""
    red, green, blue = (round(255 * min(max(float(x), 0.0), 1.0)) for x in rgba[:3])
    return red, green, blue


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # wheels of Pillow bring FreeType
    return font
