"""Demonstrations with pictures: kept to the byte, and refused when anything of them is not right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from contracts.plane import add_plane
from hypothesis import given
from hypothesis import strategies as st

from imitation.seeing import SIZE, made_up
from robo_adv.agents.demonstration_pictures import pictures
from robo_adv.errors import RoboAdvError
from robo_adv.imitation import demonstrations_file as file
from robo_adv.imitation.demonstrations import Demonstrations, load_demonstrations
from robo_adv.sight import SightedRows

Array = npt.NDArray[Any]
CAMERAS = ("top", "side")


@pytest.fixture(autouse=True)
def _plane(monkeypatch: pytest.MonkeyPatch) -> None:
    add_plane(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made_up(cameras=CAMERAS).save(tmp_path / "set")
    return tmp_path / "set"


def test_a_set_with_pictures_comes_back_to_the_byte(folder: Path) -> None:
    made, found = made_up(cameras=CAMERAS), load_demonstrations(folder)
    assert found.pictures is not None and made.pictures is not None
    assert found.pictures.dtype == np.uint8 and found.pictures.shape == (36, 2, SIZE, SIZE, 3)
    assert np.array_equal(found.pictures, made.pictures) and found.digest == made.digest
    assert (found.card.cameras, found.card.camera_size) == (CAMERAS, SIZE)


def test_the_digest_tells_pictures_apart() -> None:
    made = made_up()
    assert made.pictures is not None
    other = made.pictures.copy()
    other[0, 0, 0, 0, 0] ^= 1
    changed = Demonstrations(**{**made.arrays(), "pictures": other}, card=made.card)
    assert changed.digest != made.digest


def test_parts_keep_the_pictures_of_their_own_steps() -> None:
    made = made_up(4)
    assert made.pictures is not None
    part = made.take([2, 0])
    assert part.pictures is not None
    rows = np.r_[18:27, 0:9]  # 8 steps and a last observation each
    assert np.array_equal(part.pictures, made.pictures[rows])
    steps = made.transitions(("top",))
    flat = made.pictures.reshape(36, -1)
    now = np.delete(np.arange(36), [8, 17, 26, 35])
    for seen, row in ((steps.observation, now), (steps.next_observation, now + 1)):
        whole = np.concatenate([made.observations[row], flat[row]], axis=1)
        assert np.array_equal(seen[:], whole) and seen[:].dtype == np.float32


def test_cameras_are_chosen_by_name_and_given_in_the_order_asked_for() -> None:
    made = made_up(1, cameras=CAMERAS)
    assert made.pictures is not None
    both = made.pictures.copy()
    both[:, 1] = 7
    data = Demonstrations(**{**made.arrays(), "pictures": both}, card=made.card)
    size = made.observations.shape[1]
    assert (data.transitions(("side",)).observation[:][:, size:] == 7).all()
    turned = data.transitions(("side", "top")).observation[:][:, size:]
    assert (turned[:, : SIZE * SIZE * 3] == 7).all()
    assert np.array_equal(turned[:, SIZE * SIZE * 3 :], both[:-1, 0].reshape(8, -1))
    with pytest.raises(RoboAdvError, match=r"pictures of top, side, asked for tip.*data record"):
        data.transitions(("tip",))


def _edit_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / file.CARD).read_text())
    (folder / file.CARD).write_text(json.dumps({**card, **changes}))


def _rewrite(folder: Path, change: Callable[[dict[str, Array]], None]) -> None:
    with np.load(folder / file.ARRAYS) as archive:
        arrays = {name: archive[name] for name in archive.files}
    change(arrays)
    np.savez_compressed(folder / file.ARRAYS, allow_pickle=False, **arrays)


def _flip(arrays: dict[str, Array]) -> None:
    arrays["pictures"][3, 0, 5, 5, 1] ^= 255


def _shorten(arrays: dict[str, Array]) -> None:
    arrays["pictures"] = arrays["pictures"][:-1]


def _widen(arrays: dict[str, Array]) -> None:
    arrays["pictures"] = arrays["pictures"].astype(np.float32)


def _turn(arrays: dict[str, Array]) -> None:
    arrays["pictures"] = np.swapaxes(arrays["pictures"], 1, 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda arrays: arrays.pop("pictures"), "other arrays than its card"),
        (_flip, "pictures does not match its card"),
        (_shorten, "pictures unpacks to|its card says"),
        (_widen, "pictures unpacks to|its card says"),
        (_turn, "its card says"),
    ],
)
def test_broken_pictures_are_refused(
    folder: Path, change: Callable[[dict[str, Array]], None], words: str
) -> None:
    _rewrite(folder, change)
    with pytest.raises(RoboAdvError, match=words) as refused:
        load_demonstrations(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cameras": [], "camera_size": 0}, "other arrays"),
        ({"cameras": ["top"]}, "expected .u1 of shape"),
        ({"cameras": ["top", "top"]}, "twice"),
        ({"camera_size": 64}, "expected .u1 of shape"),
        ({"camera_size": 0}, "2 cameras of 0 pixels"),
        ({"camera_size": 4096}, "camera_size"),
        ({"cameras": ["a"] * 9}, "cameras"),
    ],
)
def test_cards_that_tell_of_other_pictures_are_refused(
    folder: Path, changes: dict[str, Any], words: str
) -> None:
    _edit_card(folder, **changes)
    with pytest.raises(RoboAdvError, match=words):
        load_demonstrations(folder)


def test_pictures_and_cameras_go_together() -> None:
    made = made_up()
    arrays = made.arrays()
    pictures = arrays.pop("pictures")
    with pytest.raises(RoboAdvError, match="cameras top, and there are no pictures"):
        Demonstrations(**arrays, card=made.card)
    without = made.card.model_copy(update={"cameras": (), "camera_size": 0})
    with pytest.raises(RoboAdvError, match=r"cameras \(none\), and there are pictures"):
        Demonstrations(**arrays, pictures=pictures, card=without)
    episodes = list(made.episodes())
    object.__setattr__(episodes[1], "pictures", None)
    with pytest.raises(RoboAdvError, match="3 of 4 episodes have pictures"):
        Demonstrations.of(episodes, made.card)


def test_data_show_draws_what_the_cameras_saw(tmp_path: Path) -> None:
    assert "cameras.png" in pictures(made_up(cameras=CAMERAS), "made up", tmp_path)
    assert (tmp_path / "cameras.png").stat().st_size > 2000


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_rows_kept_as_bytes_are_the_rows(count: int, more: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (count + more, 9)).astype(np.float32)
    rows[:, :3] += 0.25
    first, second = SightedRows.of(rows[:count], 3), SightedRows.of(rows[count:], 3)
    both = first.and_then(second)
    assert both.shape == rows.shape and np.array_equal(both[:], rows)
    order = rng.permutation(len(rows))
    assert np.array_equal(both.take(order)[:], rows[order])
    assert np.array_equal(both.take(order).and_then(first)[:], np.r_[rows[order], rows[:count]])
