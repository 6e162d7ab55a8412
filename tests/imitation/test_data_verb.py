"""`robo-adv data`: what each action prints and writes, and that mistakes are one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import matplotlib.image
import numpy as np
import pytest
from foreign.toys import Cart

from imitation.sample import sample
from robo_adv.agents.demonstration_pictures import components, pictures
from robo_adv.cli import main
from robo_adv.imitation.demonstrations import load_demonstrations

RECORD = ["data", "record", "random", "--env", "DataCart-v0", "--episodes", "4"]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    gymnasium.register("DataCart-v0", Cart, max_episode_steps=20)
    yield
    del gymnasium.registry["DataCart-v0"]


def _run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON line; what people read goes to stderr."""
    assert main.run([*arguments, "--json"]) == code
    out, err = capsys.readouterr()
    assert err.strip()
    found: dict[str, Any] = json.loads(out)
    return found


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    before = sorted(Path().rglob("*"))
    assert main.run(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("robo-adv: error: ")
    assert sorted(Path().rglob("*")) == before, "something half-written was left"
    return err


def test_from_recording_to_export_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    made = _run(capsys, *RECORD, "--out", "sets/cart", "--success", "return>=0")
    assert (
        made["episodes"] == 4 and made["game"] == "DataCart-v0" and made["recording"]["played"] == 4
    )
    data = load_demonstrations("sets/cart")
    assert made["sha256"] == data.digest and made["statistics"]["judged"] == 4
    _run(capsys, "data", "export", "sets/cart", "--to", "npz", "--out", "cart.npz")
    again = _run(capsys, "data", "import", "cart.npz", "--env", "DataCart-v0", "--out", "sets/back")
    assert again["sha256"] == data.digest and again["demonstrator"]["name"] == "cart.npz"
    first = _run(capsys, "data", "subset", "sets/cart", "--first", "2", "--out", "sets/two")
    assert first["episodes"] == 2 and load_demonstrations("sets/two").digest == data.first(2).digest
    wrong = _run(capsys, "data", "corrupt", "sets/cart", "--out", "sets/wrong", "--wrong", "random",
                 "--share", "0.5")  # fmt: skip
    (told,) = wrong["corruption"]
    assert told["kind"] == "wrong actions" and 0 < told["changed_steps"] < data.steps
    (Path("sets") / "broken").mkdir()
    (Path("sets") / "broken" / "demonstrations.json").write_text("{}")
    listed = _run(capsys, "data", "list", "sets")["sets"]
    assert list(listed) == ["sets/back", "sets/broken", "sets/cart", "sets/two", "sets/wrong"]
    assert "no demonstrations.npz" in listed["sets/broken"]["error"]
    assert listed["sets/two"]["notes"] == ["The first 2 of 4."]


def test_show_prints_numbers_and_draws_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    sample((5, 3, 8, 1)).save("set")
    assert main.run(["data", "show", "set"]) == 0
    out = capsys.readouterr().out
    for text in ("agent in Toy-v0", "4, 17 steps; 1 to 8 each", "50.0 [", "2 terminated, 2 cut off",
                 "position(2) clock(1)", "[-1, 1]", "elsewhere"):  # fmt: skip
        assert text in out, text
    found = _run(capsys, "data", "show", "set")
    folder = Path(found["folder"]) / "pictures"
    assert found["pictures"] == ["episodes.png", "actions.png", "observations.png", "coverage.png"]
    for name in found["pictures"]:
        picture = matplotlib.image.imread(folder / name)
        assert picture.shape[0] > 200 and picture.std() > 0.05
    assert (Path(found["folder"]) / "DONE").exists()
    assert _run(capsys, "data", "show", "set", "--no-pictures")["folder"] is None


def test_single_steps_constant_numbers_and_one_dimension_can_be_drawn(tmp_path: Path) -> None:
    for data in (sample((1,)), sample((2, 2), observations=2, actions=5)):
        assert len(pictures(data, "few", tmp_path)) == 4
    still = np.ones((5, 1))
    assert np.array_equal(components(still)[0], np.zeros((5, 2)))


def test_components_are_the_directions_of_largest_variance() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    points, shares = components(np.stack([3.0 * x, -7.0 * x, rng.normal(size=len(x))], axis=1))
    assert np.allclose(shares, [2 / 3, 1 / 3], atol=0.01)
    assert np.allclose(points.var(axis=0), [2.0, 1.0], atol=0.03)
    assert abs(np.corrcoef(points[:, 0], x)[0, 1]) > 0.99


def test_only_successful_says_what_was_thrown_away(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*RECORD, "--out", "good", "--only-successful", "--success", "return>=0.5"]
    assert main.run(arguments) == 0
    out = capsys.readouterr().out
    told = load_demonstrations("good").card.recording
    assert f"{told.played} scenarios from seed 9,000,000, {told.failed} thrown away" in out
    assert f"({told.failed} failed)" in out
    few = _run(capsys, *arguments, "--overwrite", "--attempts", str(told.played - 1), code=1)
    assert few["episodes"] == 3


def test_what_exists_is_replaced_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    _run(capsys, *RECORD, "--out", "set")
    assert "set holds demonstrations already; --overwrite" in _refused(
        capsys, *RECORD, "--out", "set"
    )
    _run(capsys, *RECORD, "--out", "set", "--overwrite")
    Path("full").mkdir()
    Path("full/notes.txt").touch()
    text = _refused(capsys, *RECORD, "--out", "full", "--overwrite")
    assert "holds other things (notes.txt ...)" in text
    Path("taken.npz").touch()
    assert "taken.npz exists" in _refused(
        capsys, "data", "export", "set", "--to", "npz", "--out", "taken.npz"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["recrod"], "unknown action of data 'recrod'; did you mean 'record'"),
        (["show", "nowhere"], "nowhere is not a folder of demonstrations"),
        (["list", "nowhere"], "there is no folder nowhere"),
        (["record", "rnadom", "--env", "DataCart-v0", "--out", "a"], "did you mean 'random'"),
        (["record", "random", "--env", "DataCart-v0", "--out", "a", "--episodes", "0"], "episodes"),
        (["record", "random", "--env", "DataCart-v0", "--out", "a", "--only-successful"], "--success"),
        (["import", "no.npz", "--env", "DataCart-v0", "--out", "a"], "there is no file no.npz"),
        (["import", "no.npz", "--env", "DataCart-v0", "--out", "a", "--player", "arm"], "player"),
        (["export", "set", "--to", "npz", "--out", "set.zip"], "expected the name of a .npz file"),
        (["subset", "set", "--out", "a", "--first", "9"], "there are 4 demonstrations, asked for the"),
        (["subset", "set", "--out", "set"], "--overwrite"),
        (["corrupt", "set", "--out", "a"], "name exactly one of --noise SIGMA, --wrong"),
        (["corrupt", "set", "--out", "a", "--noise", "1", "--wrong", "random"], "--noise and --wrong"),
        (["corrupt", "set", "--out", "a", "--noise", "-1"], "sigma must be"),
        (["corrupt", "set", "--out", "a", "--mix", "nowhere"], "nowhere is not a folder of"),
        (["corrupt", "set", "--out", "a", "--noise", "1", "--seed", "-1"], "seed must be at least 0"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    sample((5, 3, 8, 1)).save("set")
    assert text in _refused(capsys, "data", *arguments)


def test_every_action_has_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["record", "--help"], ["corrupt", "--help"]):
        with pytest.raises(SystemExit) as stopped:
            main.run(["data", *arguments])
        assert stopped.value.code == 0
        assert "robo-adv data" in capsys.readouterr().out
