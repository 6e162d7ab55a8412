"""Videos show exactly what was played, in exactly the size that was asked for."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from robo_adv import video
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.cli.main import run as command
from robo_adv.cli.video import Video
from robo_adv.envs.game import Game, make_game
from robo_adv.errors import DependencyError, RoboAdvError
from robo_adv.film import write_film
from robo_adv.rendering import use_working_backend
from robo_adv.rollout import play
from robo_adv.video import LineUp, record

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
