"""Videos of a game of one player say success or not, and count successes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.point import GAME, Brake, Point, add_point

from robo_adv.agents.scripted import SCRIPTED
from robo_adv.cli.main import run as command
from robo_adv.cli.video import favourite
from robo_adv.envs.game import make_game
from robo_adv.errors import DependencyError
from robo_adv.overlay import Caption, Overlay, Picture
from robo_adv.rendering import use_working_backend
from robo_adv.video import play_take

SEED = 1_000_001  # the scripted policy succeeds


@pytest.fixture(autouse=True)
def _point(monkeypatch: pytest.MonkeyPatch) -> None:
    add_point(monkeypatch)


def ending(name: str) -> str:
    game = make_game(GAME, 1, threads=1)
    return play_take(game, {"arm": SCRIPTED[name](game, "arm")}, SEED, None).ending


@pytest.mark.parametrize(
    ("reason", "won", "lost"),
    [
        ("", "success", "no success"),
        ("success", "success", "no success"),
        ("dropped", "success: dropped", "no success: dropped"),
    ],
)
def test_the_banner_says_success_or_not_and_why(
    reason: str, won: str, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Point, "ending", lambda self, i: reason)
    assert (ending("brake"), ending("zero")) == (won, lost)


def test_an_invalid_action_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Brake, "act", lambda self, x: np.full((len(x), 1), np.nan))
    assert ending("brake") == "no success: invalid action"


def test_the_scripted_policy_made_for_a_game_plays_where_nobody_is_named() -> None:
    assert favourite(make_game(GAME, 1, threads=1), "arm") == "brake"
    soccer = make_game("KickAndDefend-v0", 1, threads=1)
    assert [favourite(soccer, p) for p in soccer.players] == ["chase-ball", "track-ball"]
    ants = make_game("KickAndDefend-v0", 1, threads=1, body="ant")
    assert [favourite(ants, p) for p in ants.players] == ["zero", "zero"]


def test_a_lone_players_success_is_green_whatever_its_robots_colour() -> None:
    overlay, picture = Overlay(320, 240, {"arm": (90, 90, 90)}), np.zeros((240, 320, 3), np.uint8)

    def banner(winner: str) -> Any:
        caption = Caption({"arm": "brake"}, {"arm": 0}, banner="-", winner=winner)
        return overlay.draw(picture, caption)[210, 5].astype(int)

    red, green, blue = banner("arm")
    assert green > red + 40 and green > blue + 20
    assert np.ptp(banner("")) < 30  # grey


def test_the_verb_films_one_line_up_and_counts_successes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        use_working_backend()
    except DependencyError as error:
        pytest.skip(str(error))
    captions: list[Caption] = []
    draw = Overlay.draw

    def kept(self: Overlay, picture: Picture, caption: Caption) -> Picture:
        captions.append(caption)
        return draw(self, picture, caption)

    monkeypatch.setattr(Overlay, "draw", kept)
    arguments = [
        "--policies",
        "arm=brake",
        "--episodes",
        "2",
        "--seed",
        str(SEED),
        "--size",
        "64x64",
    ]
    out = tmp_path / "a.gif"
    assert command(["video", "--game", GAME, *arguments, "--no-shadows", "--out", str(out)]) == 0
    assert out.exists()
    assert [c.banner for c in captions if c.banner] == ["success", "no success"]
    assert captions[0].names == {"arm": "brake"} and captions[0].score == {"arm": 0}
    assert captions[-1].score == {"arm": 1}
