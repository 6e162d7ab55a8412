"""Demonstrations on disk: they come back to the bit, and broken or hostile files are refused."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imitation.sample import sample
from robo_adv.errors import RoboAdvError
from robo_adv.imitation import demonstrations_file
from robo_adv.imitation.demonstrations import load_demonstrations
from robo_adv.imitation.demonstrations_file import ARRAYS, CARD, check_target, read_card

Array = npt.NDArray[Any]


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    observations=st.integers(2, 6),
    actions=st.integers(1, 4),
    first=st.integers(0, 2**64 - 10),
)
def test_saved_demonstrations_come_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    observations: int,
    actions: int,
    first: int,
) -> None:
    folder = tmp_path_factory.mktemp("sets")
    data = sample(lengths, observations=observations, actions=actions)
    data = data.with_card(notes=("ä note",), provenance={"first": first})
    data.save(folder / "a")
    back = load_demonstrations(folder / "a")
    assert back.card == data.card and back.digest == data.digest
    for name, array in data.arrays().items():
        found = back.arrays()[name]
        assert found.dtype == array.dtype and np.array_equal(found, array, equal_nan=True)
    back.save(folder / "b")
    for name in (CARD, ARRAYS):
        assert (folder / "a" / name).read_bytes() == (folder / "b" / name).read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sample((5, 3, 8, 1)).save(tmp_path / "set")
    return tmp_path / "set"


def test_a_set_is_found_by_its_folder_or_either_file(folder: Path) -> None:
    for path in (folder, folder / CARD, folder / ARRAYS, str(folder)):
        assert len(load_demonstrations(path)) == 4
    told = read_card(folder)
    assert (told.episodes, told.steps, told.statistics.successes) == (4, 17, 2)
    assert "Infinity" in (folder / CARD).read_text()  # a word: NaN and Infinity are no JSON numbers
    json.loads((folder / CARD).read_text(), parse_constant=lambda name: pytest.fail(name))


def _repacked(change: Callable[[dict[str, bytes]], Any]) -> Callable[[Path], None]:
    """Changes the members of the archive."""

    def spoil(folder: Path) -> None:
        with zipfile.ZipFile(folder / ARRAYS) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        change(members)
        with zipfile.ZipFile(folder / ARRAYS, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return spoil


def _array(name: str, change: Callable[[Array], Array], pickle: bool = False) -> Any:
    def edit(members: dict[str, bytes]) -> None:
        target = io.BytesIO()
        array = change(np.load(io.BytesIO(members[f"{name}.npy"])))
        np.save(target, array, allow_pickle=pickle)
        members[f"{name}.npy"] = target.getvalue()

    return _repacked(edit)


def _card(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        values = json.loads((folder / CARD).read_text())
        change(values)
        (folder / CARD).write_text(json.dumps(values))

    return spoil


def _text(text: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / CARD).write_text(text)

    return spoil


def _cut_short(folder: Path) -> None:
    content = (folder / ARRAYS).read_bytes()
    (folder / ARRAYS).write_bytes(content[: len(content) // 2])


def _one_byte(folder: Path) -> None:
    content = bytearray((folder / ARRAYS).read_bytes())
    content[300] ^= 0xFF
    (folder / ARRAYS).write_bytes(bytes(content))


def _bomb(folder: Path) -> None:
    """A card and an archive that agree on a gigabyte of zeros per array."""
    values = json.loads((folder / CARD).read_text())
    values["steps"] = 10**8
    values["arrays"]["actions"]["shape"] = [10**8, 2]
    (folder / CARD).write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda f: (f / ARRAYS).unlink(), "no demonstrations.npz in it"),
        (lambda f: (f / CARD).unlink(), "no demonstrations.json in it"),
        (_cut_short, "is broken or cut short"),
        (_one_byte, "is broken or cut short|was edited|holds other arrays"),
        (lambda f: (f / ARRAYS).write_bytes(b"\x80\x04]."), "broken or cut short: File is not a zip"),
        (_array("actions", lambda a: a * np.float32(0.5)), "actions does not match its card"),
        (_array("actions", lambda a: a[:-1]), "actions unpacks to|its card says"),
        (_array("actions", lambda a: a.astype(np.float16)), "actions unpacks to|its card says"),
        (_array("rewards", lambda a: a.view(np.int64)), r"rewards is int64 .*card says <f8"),
        (_array("actions", np.asfortranarray), "its card says"),
        (_array("actions", lambda a: a.reshape(2, -1)), r"actions is float32 of shape \(2, 17\)"),
        (_array("seeds", lambda a: a.astype(object), pickle=True), "seeds"),
        (_repacked(lambda m: m.pop("seeds.npy")), r"holds other arrays than its card: \['seeds.npy'\]"),
        (_repacked(lambda m: m.update({"../x.npy": b"1"})), r"holds other arrays than its card"),
        (_repacked(lambda m: m.update({"actions.npy": b"junk"})), "actions unpacks to 4 bytes"),
        (_repacked(lambda m: m.update({"seeds.npy": b"x" * 160})), "broken or cut short"),
        (_bomb, "expected <f4 of shape"),
        (_text("{"), "is not JSON"),
        (_text("[]"), "is not a card of demonstrations"),
        (_text("x" * 300_000), "bytes, at most"),
        (_card(lambda c: c.update(format="robo_adv.demonstrations/2")), "demonstrations: format"),
        (_card(lambda c: c.update(entry_point="os:system")), "entry_point: Extra inputs"),
        (_card(lambda c: c.pop("action_space")), "action_space: Field required"),
        (_card(lambda c: c.update(action_scaling="unit")), "action_scaling"),
        (_card(lambda c: c["arrays"].pop("seeds")), "lists other arrays"),
        (_card(lambda c: c["arrays"]["actions"].update(dtype="|O")), "actions is |O"),
        (_card(lambda c: c["arrays"]["actions"].update(sha256="0" * 64)), "was edited"),
        (_card(lambda c: c.update(steps=18)), "for 4 episodes of 18 steps together"),
        (_card(lambda c: c["observation_space"].update(shape=[2])), "observations is <f4 of shape"),
        (_card(lambda c: c["observation_space"].update(low=[0.0, 1.0])), "2 bounds for 3 numbers"),
        (_card(lambda c: c["action_space"].update(low="NaN")), "a bound is no number"),
        (_card(lambda c: c["action_space"].update(low=2.0)), "a lower bound is above"),
        (_card(lambda c: c["action_space"].update(high=0.1)), "they are on another scale"),
        (_card(lambda c: c.update(layout=[["x", 2, "m"]])), "the layout has 2 numbers"),
        (_card(lambda c: c["statistics"].update(return_mean=1e6)), "says return_mean 1000000.0"),
        (_card(lambda c: c["statistics"].update(successes=4)), "the card says successes 4"),
    ],
)  # fmt: skip
def test_broken_or_hostile_files_are_refused_in_one_sentence(
    folder: Path, spoil: Callable[[Path], Any], text: str
) -> None:
    spoil(folder)
    with pytest.raises(RoboAdvError, match=text) as refused:
        load_demonstrations(folder)
    assert str(folder) in str(refused.value) and "\n" not in str(refused.value)


def test_an_archive_cannot_unpack_more_than_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demonstrations_file, "MOST_BYTES", 100)
    with pytest.raises(RoboAdvError, match="bytes of arrays, at most 100 are read"):
        load_demonstrations(folder)
    with pytest.raises(RoboAdvError, match="may hold 100 bytes"):
        sample().save(folder)


@pytest.mark.parametrize(
    ("surplus", "text"), [(4, "33 bytes, expected 32"), (20_000, "unpacks to")]
)
def test_a_member_with_more_than_its_card_says_is_refused(
    folder: Path, surplus: int, text: str
) -> None:
    def grow(members: dict[str, bytes]) -> None:
        members["seeds.npy"] += b"\0" * surplus

    _repacked(grow)(folder)
    with pytest.raises(RoboAdvError, match=text):
        load_demonstrations(folder)


def test_other_paths_are_answered_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "expert.npz").write_bytes(b"")
    with pytest.raises(RoboAdvError, match="robo-adv data import FILE"):
        load_demonstrations(tmp_path / "expert.npz")
    with pytest.raises(RoboAdvError, match="robo-adv data record CONTROLLER --out"):
        load_demonstrations(tmp_path / "nowhere")


def test_saving_replaces_demonstrations_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    sample((2,)).save(folder)
    assert len(load_demonstrations(folder)) == 1
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(RoboAdvError, match=r"holds other things .*thesis.tex"):
        sample().save(folder)
    assert (folder / "thesis.tex").exists() and len(load_demonstrations(folder)) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(RoboAdvError, match="is a file"):
        sample().save(tmp_path / "file")
    (folder / "thesis.tex").unlink()
    check_target(folder)
    with pytest.raises(RoboAdvError, match="--overwrite replaces them"):
        check_target(folder, replace=False)
