"""Videos show exactly what was played, in exactly the size that was asked for."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image, ImageFont
from rich.console import Console

from robo_adv import video
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.cli.main import run as command
from robo_adv.cli.video import Video
from robo_adv.envs.game import Game, make_game
from robo_adv.errors import DependencyError, RoboAdvError
from robo_adv.film import write_film
from robo_adv.overlay import Caption, Overlay, shorten
from robo_adv.rendering import use_working_backend
from robo_adv.rollout import Episodes, play
from robo_adv.video import LineUp, pick, record

WIDTH, HEIGHT = 162, 122  # even, but no multiples of 16
SEEDS = [1_000_003, 1_000_004]


@pytest.fixture
def drawing() -> None:
    """Skips a test where nothing can draw."""
    try:
        use_working_backend()
    except DependencyError as error:
        pytest.skip(str(error))


def make(num_envs: int) -> Game:
    return make_game("KickAndDefend-v0", num_envs, threads=1)


def line_up(kicker: str = "chase-ball", keeper: str = "stay-in-goal") -> LineUp:
    game, names = make(1), {"kicker": kicker, "keeper": keeper}
    return LineUp("", {p: SCRIPTED[name](game, p) for p, name in names.items()}, names)


def film(path: Path, *lineups: LineUp, seeds: list[int] = SEEDS, **look: Any) -> video.Recording:
    look = {"width": WIDTH, "height": HEIGHT, "shadows": False, **look}
    return record(path, make, lineups or [line_up()], seeds, **look)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The frames of a recording as they were before compression."""
    frames: list[Any] = []
    monkeypatch.setattr(video, "write_film", lambda path, new, fps, count: frames.extend(new))
    return frames


# Files.


@pytest.mark.usefixtures("drawing")
def test_an_mp4_has_exactly_the_size_and_the_frames_that_were_asked_for(tmp_path: Path) -> None:
    recording = film(tmp_path / "deep" / "a.mp4")
    frames = iio.imread(tmp_path / "deep" / "a.mp4")
    assert frames.shape == (recording.frames, HEIGHT, WIDTH, 3)
    assert iio.immeta(tmp_path / "deep" / "a.mp4")["fps"] == recording.fps == 20
    hold = 14  # 0.7 s
    assert recording.frames == sum(len(take.states) + hold for take in recording.takes[0])


@pytest.mark.usefixtures("drawing")
def test_a_gif_has_the_size_and_the_duration_of_the_episodes(tmp_path: Path) -> None:
    recording = film(tmp_path / "a.gif", seeds=SEEDS[:1])
    with Image.open(tmp_path / "a.gif") as image:
        assert image.size == (WIDTH, HEIGHT) and image.info["loop"] == 0
        total = 0
        for k in range(getattr(image, "n_frames", 1)):
            image.seek(k)
            total += image.info["duration"]
    assert total == pytest.approx(1000 * recording.frames / recording.fps)


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize(
    ("look", "says"),
    [
        ({"width": 161}, "161x122 is odd.*try 162x122"),
        ({"height": 121}, "odd"),
        ({"width": 4000}, "outside 32x32..1920x1080"),
        ({"camera": "sideways"}, "did you mean 'side'"),
        ({"fps": 0.0}, "fps"),
        ({"seeds": []}, "at least one"),
    ],
)
def test_a_video_that_cannot_be_made_is_refused_and_leaves_nothing(
    tmp_path: Path, look: dict[str, Any], says: str
) -> None:
    with pytest.raises(RoboAdvError, match=says):
        film(tmp_path / "a.mp4", **look)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("drawing")
def test_other_endings_than_mp4_and_gif_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RoboAdvError, match=r"\.mp4 or \.gif"):
        film(tmp_path / "a.avi")


def grey_frames(count: int) -> Iterator[Any]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_an_interrupted_recording_leaves_the_old_file_and_no_other(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("old")

    def interrupted() -> Iterator[Any]:
        yield from grey_frames(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(tmp_path / name, interrupted(), 20, 10)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "old"


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(RoboAdvError, match="cannot write") as caught:
            write_film(tmp_path / name, grey_frames(60), 20, 60)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken").symlink_to(tmp_path / "missing" / "folder")
    with pytest.raises(RoboAdvError, match="cannot write"):
        write_film(tmp_path / "broken" / name, grey_frames(2), 20, 2)


# What is shown.


@pytest.mark.usefixtures("drawing")
def test_a_video_shows_the_same_episodes_as_an_evaluation_of_the_same_scenarios(
    kept: list[Any], tmp_path: Path
) -> None:
    lineup, seeds = line_up(), list(range(1_000_000, 1_000_006))
    takes = film(tmp_path / "a.mp4", lineup, seeds=seeds, width=32, height=32).takes[0]
    result = play(make(4), lineup.policies, np.array(seeds, dtype=np.uint64))
    assert [take.winner for take in takes] == [result.players[w] for w in result.winner]
    assert [len(take.states) - 1 for take in takes] == list(result.length)
    assert len({take.winner for take in takes}) == 2  # both outcomes, or the test says little


def test_a_take_ends_with_the_state_that_was_judged() -> None:
    game = make(1)
    for seed in range(1_000_000, 1_000_010):
        take = video.play_take(game, line_up().policies, seed, None)
        if take.winner == "kicker":
            break
    game.batch.state[0] = take.states[-1]
    assert game.qpos[0, 0] > game.pitch.goal_x  # type: ignore[attr-defined]
    game.batch.state[0] = take.states[-2]
    assert game.qpos[0, 0] <= game.pitch.goal_x  # type: ignore[attr-defined]


@pytest.mark.usefixtures("drawing")
def test_side_by_side_is_as_wide_as_both_and_the_shorter_one_holds_its_last_picture(
    kept: list[Any], tmp_path: Path
) -> None:
    lineups = [line_up("chase-ball"), line_up("zero")]
    recording = film(tmp_path / "a.mp4", *lineups, seeds=SEEDS[:1])
    short, long = (len(takes[0].states) for takes in recording.takes)
    assert recording.width == 2 * WIDTH and short < long
    assert all(frame.shape == (HEIGHT, 2 * WIDTH, 3) for frame in kept)
    left = [frame[:, : WIDTH - 1] for frame in kept]
    assert all((frame == left[-1]).all() for frame in left[short - 1 :])
    assert (left[short - 2] != left[-1]).any()
    right = [frame[:, WIDTH + 1 :] for frame in kept]
    assert (right[short] != right[long - 2]).any()  # time goes on beside it


@pytest.mark.usefixtures("drawing")
def test_the_level_of_a_scenario_is_drawn(kept: list[Any], tmp_path: Path) -> None:
    space = make(1).design_space
    pictures = []
    for value in (0.5, 1.3):
        kept.clear()
        level = space.level({"goal_half_width": value})
        film(tmp_path / "a.mp4", line_up("zero"), seeds=SEEDS[:1], levels=[level])
        pictures.append(kept[0])
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.usefixtures("drawing")
def test_the_banner_says_how_a_game_says_it_ended(
    monkeypatch: pytest.MonkeyPatch, kept: list[Any], tmp_path: Path
) -> None:
    kind = type(make(1))
    monkeypatch.setattr(kind, "ending", lambda self, i: "goal", raising=False)
    take = film(tmp_path / "a.mp4", seeds=SEEDS[:1], width=32, height=32).takes[0][0]
    assert take.ending == f"goal: {take.winner} wins"


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
    colours = video.robot_colours(make(1))
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


# The verbs.


@pytest.mark.usefixtures("drawing")
def test_the_verb_shows_the_worst_of_the_second_line_up_beside_the_first(tmp_path: Path) -> None:
    verb = Video(
        policies=("kicker=chase-ball", "keeper=stay-in-goal"), versus=("keeper=track-ball",),
        pick="worst", among=20, episodes=1, size=f"{WIDTH}x{HEIGHT}", shadows=False,
        titles=("normal", "adversary"), runs=tmp_path,
    )  # fmt: skip
    outcome = verb.run(Console(quiet=True))
    assert outcome.folder is not None and (outcome.folder / "DONE").exists()
    assert iio.improps(outcome.data["video"]).shape[1:] == (HEIGHT, 2 * WIDTH, 3)
    first, second = outcome.data["line_ups"]
    assert [one["title"] for one in (first, second)] == ["normal", "adversary"]
    assert second["policies"] == {"kicker": "chase-ball", "keeper": "track-ball"}
    assert first["episodes"][0]["seed"] == second["episodes"][0]["seed"]
    assert second["episodes"][0]["winner"] == "keeper"


def test_play_tells_how_each_episode_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--episodes", "2", "--no-video", "--runs", str(tmp_path)]
    assert command(["play", *arguments]) == 0
    told = capsys.readouterr().out
    assert "1000000" in told and "1000001" in told and "keeper" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "161x120"],
        ["--size", "wide"],
        ["--policies", "kiker=zero"],
        ["--policies", "zero"],
        ["--policies", "kicker=zero", "kicker=random"],
        ["--camera", "sideways"],
        ["--episodes", "0"],
        ["--set", "arms=9"],
    ],
    ids=" ".join,
)
def test_bad_input_ends_in_one_line_with_2_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert command(["video", *arguments, "--runs", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err.count("robo-adv: error: ") == 1
    assert not list(tmp_path.iterdir())
