"""Captions are drawn and fit; which episodes are shown follows its rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import ImageFont

from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.overlay import Caption, Overlay, shorten
from robo_adv.rollout import Episodes
from robo_adv.video import pick, robot_colours

# Captions.

COLOURS = {"kicker": (40, 100, 220), "keeper": (210, 40, 60)}
PLAIN = Caption({"kicker": "a", "keeper": "b"}, {"kicker": 0, "keeper": 0})


@pytest.mark.parametrize(
    "changed",
    [
        {"names": {"kicker": "other", "keeper": "b"}},
        {"score": {"kicker": 0, "keeper": 1}},
        {"title": "adversary"},
        {"note": "won 3 of 100"},
        {"left": "scenario 7"},
        {"right": "episode 1 of 2"},
        {"banner": "goal", "winner": "kicker"},
    ],
)
def test_everything_a_caption_says_is_drawn(changed: dict[str, Any]) -> None:
    overlay, picture = Overlay(320, 240, COLOURS), np.full((240, 320, 3), 90, np.uint8)
    before, after = (
        overlay.draw(picture, caption) for caption in (PLAIN, Caption(**{**vars(PLAIN), **changed}))
    )
    assert (before != after).any()
    assert (picture == 90).all()


def test_players_have_the_colours_of_their_robots() -> None:
    colours = robot_colours(make_game("KickAndDefend-v0", 1, threads=1))
    assert colours["kicker"][2] > colours["kicker"][0]  # blue
    assert colours["keeper"][0] > colours["keeper"][2]  # red
    shown = Overlay(320, 240, colours).draw(np.zeros((240, 320, 3), np.uint8), PLAIN)
    for player in ("kicker", "keeper"):
        assert (shown == colours[player]).all(axis=2).sum() > 50


def test_long_and_foreign_names_are_shortened_to_fit() -> None:
    font = ImageFont.load_default(17)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert shorten("zoo:short", font, 500) == "zoo:short"
    assert shorten("日本\n", font, 500) == "???"
    name = shorten("zoo:" + "x" * 200 + "-s3", font, 120)
    assert font.getlength(name) <= 120 and name.startswith("zoo:") and name.endswith("-s3")
    for size in ((32, 32), (640, 480), (1920, 1080)):
        Overlay(*size, COLOURS).draw(np.zeros((size[1], size[0], 3), np.uint8), PLAIN)


# Which episodes are shown.


def episodes(winner: list[int], length: list[int]) -> Episodes:
    n = len(winner)
    seeds, zero = np.arange(n, dtype=np.uint64), np.zeros(n, dtype=bool)
    return Episodes(
        ("kicker", "keeper"), seeds, np.array(winner), np.array(length), zero, zero, {}, {}
    )


PLAYED = episodes([0, 1, 1, -1, 0, -2, 1], [40, 30, 10, 120, 90, 50, 20])


def test_worst_shows_the_fastest_losses_first_and_the_hardest_wins_last() -> None:
    assert list(pick(PLAYED, "kicker", "worst", 7)) == [2, 6, 1, 5, 3, 4, 0]
    assert list(pick(PLAYED, "kicker", "worst", 2)) == [2, 6]
    assert list(pick(PLAYED, "keeper", "worst", 2)) == [0, 4]


def test_median_shows_the_middle_of_that_order() -> None:
    assert list(pick(PLAYED, "kicker", "median", 1)) == [5]
    assert list(pick(PLAYED, "kicker", "median", 3)) == [1, 5, 3]


def test_random_is_drawn_from_its_seed_alone() -> None:
    many = episodes([0] * 100, list(range(1, 101)))
    one, again, other = (list(pick(many, "kicker", "random", 5, seed)) for seed in (1, 1, 2))
    assert one == again != other and len(set(one)) == 5


def test_all_shows_all_in_order() -> None:
    assert list(pick(PLAYED, "kicker", "all", 2)) == list(range(7))


def test_unknown_ways_and_players_are_refused() -> None:
    with pytest.raises(RoboAdvError, match="way of picking"):
        pick(PLAYED, "kicker", "best", 1)
    with pytest.raises(RoboAdvError, match="player"):
        pick(PLAYED, "kiker", "worst", 1)
