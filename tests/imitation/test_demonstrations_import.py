"""Arrays of other projects become demonstrations, or are refused with what to do."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from foreign.toys import Cart

from imitation.sample import card, episodes, sample
from robo_adv.agents.demonstration_import import imported
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.errors import RoboAdvError
from robo_adv.imitation import array_files
from robo_adv.imitation.array_files import read_arrays, write_arrays
from robo_adv.imitation.demonstrations import Demonstrations

LENGTHS = (5, 3, 8)


@pytest.fixture(scope="module")
def world() -> Iterator[GymnasiumWorld]:
    made = GymnasiumWorld(Cart, 1)
    yield made
    made.close()


def _episodes() -> list[Any]:
    """Of the cart: 2 observations, 1 action in [-0.5, 2]."""
    return [type(e)(**{**vars(e), "actions": 0.5 * e.actions}) for e in episodes(LENGTHS, 2, 1)]


def _flat(made: list[Any], **extra: Any) -> dict[str, Any]:
    return {
        "obs": np.concatenate([e.observations[:-1] for e in made]),
        "acts": np.concatenate([e.actions for e in made]),
        "rews": np.concatenate([e.rewards for e in made]),
        **extra,
    }


def _write(path: Path, **arrays: Any) -> str:
    np.savez_compressed(path, **arrays)
    return str(path)


DONES = np.isin(np.arange(16), (4, 7, 15))


def test_the_files_of_the_imitation_package_are_read(world: Any, tmp_path: Path) -> None:
    made = _episodes()
    source = _write(
        tmp_path / "rollouts.npz",
        obs=np.concatenate([e.observations for e in made]),
        acts=np.concatenate([e.actions for e in made]),
        rews=np.concatenate([e.rewards for e in made]),
        infos=np.full(16, {}),  # objects that are not needed and never unpickled
        terminal=np.array([True, False, True]),
        indices=np.cumsum([5, 3]),
    )
    data = imported(source, world, "agent", expert="a person")
    assert data.lengths.tolist() == list(LENGTHS)
    assert np.array_equal(data.observations, np.concatenate([e.observations for e in made]))
    assert data.terminations[[4, 7, 15]].tolist() == [True, False, True]
    assert data.truncations[[4, 7, 15]].tolist() == [False, True, False]
    assert data.card.demonstrator.name == "a person" and data.card.demonstrator.kind == "file"
    assert data.card.notes == () and data.check_fits(world, "agent") == ()
    assert len(data.card.demonstrator.sha256) == 64


@pytest.mark.parametrize(
    "ends",
    [
        {"dones": DONES},
        {"dones": DONES.astype(np.float32)},
        {"dones": DONES[:, None]},
        {"terminals": DONES, "timeouts": np.zeros(16, bool)},
        {"terminations": np.zeros(16, bool), "truncations": DONES},
        {"episode_starts": np.isin(np.arange(16), (0, 5, 8))},
        {"lengths": np.array(LENGTHS)},
        {"indices": np.array([[5], [8]])},
    ],
)
def test_episodes_are_cut_where_flags_say(world: Any, tmp_path: Path, ends: Any) -> None:
    made = _episodes()
    data = imported(_write(tmp_path / "a.npz", **_flat(made, **ends)), world, "agent")
    assert data.lengths.tolist() == list(LENGTHS)
    assert np.allclose(data.returns, [e.rewards.sum() for e in made])
    truncated = "truncations" in ends
    assert (data.truncations if truncated else data.terminations)[DONES].all()
    assert array_files.NO_LAST in data.card.notes
    assert np.array_equal(data.observations[5], data.observations[4])  # stands in for it
    assert (array_files.ENDS in data.card.notes) == (not {"terminals", "terminations"} & set(ends))


def test_next_observations_give_the_last_ones(world: Any, tmp_path: Path) -> None:
    made = _episodes()
    seen = np.concatenate([e.observations[1:] for e in made])
    data = imported(
        _write(tmp_path / "a.npz", **_flat(made, dones=DONES, next_obs=seen)), world, "agent"
    )
    assert np.array_equal(data.observations, np.concatenate([e.observations for e in made]))
    assert np.array_equal(data.transitions().next_observation, seen)


def test_episodes_of_equal_length_are_read_from_three_axes(world: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for rows in (6, 7):
        seen, done = rng.normal(size=(4, rows, 2)), rng.uniform(-0.5, 1.0, (4, 6, 1))
        source = _write(tmp_path / f"{rows}.npz", obs=seen, acs=done, rews=np.ones((4, 6)))
        data = imported(source, world, "agent")
        assert data.lengths.tolist() == [6] * 4 and data.returns.tolist() == [6.0] * 4
        assert np.allclose(data.pairs()[0], seen[:, :6].reshape(-1, 2), atol=1e-6)


def test_an_episode_as_long_as_the_time_limit_counts_as_cut_off(tmp_path: Path) -> None:
    source = Path(_write(tmp_path / "a.npz", **_flat(_episodes(), dones=DONES)))
    ends = [(e.terminated, e.truncated) for e in read_arrays(source, time_limit=8).episodes]
    assert ends == [(True, False), (True, False), (False, True)]


def test_an_unfinished_last_episode_counts_as_cut_off(world: Any, tmp_path: Path) -> None:
    open_end = np.isin(np.arange(16), (4, 7))
    data = imported(
        _write(tmp_path / "a.npz", **_flat(_episodes(), terminals=open_end)), world, "agent"
    )
    assert data.lengths.tolist() == [5, 3, 8] and data.truncations[15] and not data.terminations[15]
    assert array_files.CUT in data.card.notes


def test_actions_are_clipped_or_scaled_only_when_asked(world: Any, tmp_path: Path) -> None:
    made = _episodes()
    made[0].actions[0] = 3.0
    source = _write(tmp_path / "a.npz", **_flat(made, dones=DONES))
    with pytest.raises(RoboAdvError, match=r"to 3, beyond 1 in \[-0.5, 2\].*`--clip` clips"):
        imported(source, world, "agent")
    data = imported(source, world, "agent", clip=True)
    assert data.actions[0] == 2.0 and data.actions[1] == made[0].actions[1]
    assert "Actions of 1 of 16 steps were clipped to their bounds." in data.card.notes
    made[0].actions[:3, 0] = [-1.0, 0.0, 1.0]
    source = _write(tmp_path / "b.npz", **_flat(made, dones=DONES))
    data = imported(source, world, "agent", scale="unit")
    assert data.actions[:3, 0].tolist() == [-0.5, 0.75, 2.0]
    assert "Actions in [-1, 1] were scaled to the environment's bounds." in data.card.notes


def test_what_is_exported_is_imported_to_the_bit(world: Any, tmp_path: Path) -> None:
    data = Demonstrations.of(_episodes(), card(2, 1))
    write_arrays(data, tmp_path / "out.npz")
    back = imported(str(tmp_path / "out.npz"), world, "agent")
    assert back.digest == data.digest and back.card.notes == ()


RAGGED = np.array([np.zeros((2, 2)), np.zeros((3, 2))], dtype=object)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"obs": RAGGED}, "obs is an array of Python objects .* only pickle reads.* np.savez"),
        ({"acts": np.full(16, None)}, "acts is an array of Python objects"),
        ({"obs": None}, "has no observations .observations or obs or states."),
        ({"acts": None}, "has no actions"),
        ({"dones": None}, "nothing tells where episodes end: add dones"),
        ({"observations": np.zeros((16, 2))}, "has both observations and obs"),
        ({"acts": np.full((16, 1), "left")}, "acts is <U4, expected real numbers"),
        ({"acts": np.zeros((16, 2))}, "has actions of 2 numbers, those of 'agent' in .* have 1"),
        ({"obs": np.zeros((16, 3))}, r"of 3 numbers, .* have 2 \(observation\): it is of"),
        ({"obs": np.zeros((12, 2))}, "12 observations for 16 actions in 3 episodes, expected 16 or 19"),
        ({"rews": np.zeros(4)}, "4 rewards for 16 actions"),
        ({"dones": np.zeros(3)}, r"flags of shape \(3,\) do not tell where episodes of 16 steps"),
        ({"lengths": np.array([5, 3])}, "make 8 steps, there are 16 actions"),
        ({"lengths": np.array([0, 16])}, "make 16 steps"),
        ({"indices": np.array([5.5, 8])}, r"indices must be whole numbers, got \[5.5, 8.0\]"),
        ({"lengths": np.array([np.nan, 3, 8])}, "lengths must be whole numbers"),
        ({"lengths": np.ones((2, 8))}, r"lengths has shape \(2, 8\), expected one number per episode"),
        ({"seeds": np.zeros((3, 2))}, r"seeds has shape \(3, 2\), expected one number per episode"),
        ({"seeds": np.array([1, 2, np.nan])}, "seeds must be whole numbers"),
        ({"seeds": np.arange(4)}, "4 seeds for 3 episodes"),
        ({"success": np.ones((3, 2))}, r"success has shape \(3, 2\), expected one number per episode"),
        ({"success": np.ones(2)}, "2 success for 3 episodes"),
        ({"next_obs": np.zeros((16, 3))}, "next observations have 3 numbers, observations 2"),
        ({"acts": np.full((16, 1), np.nan)}, "actions holds NaN"),
        ({"obs": np.full((16, 2), np.inf)}, "observations holds NaN or infinity"),
        ({"obs": np.zeros((0, 2)), "acts": np.zeros((0, 1)), "dones": np.zeros(0)}, "not one step"),
        ({"obs": np.zeros((2, 8, 2)), "acts": np.zeros((2, 7, 1)), "lengths": np.array([7, 3])},
         "filled up to equal length"),
        ({"obs": np.zeros((3, 7, 2)), "acts": np.zeros((2, 7, 1))}, "are 2 episodes of 7 steps, obs"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_demonstrations_are_refused(
    world: Any, tmp_path: Path, arrays: dict[str, Any], text: str
) -> None:
    given = {**_flat(_episodes(), dones=DONES), **arrays}
    kept = {name: array for name, array in given.items() if array is not None}
    with pytest.raises(RoboAdvError, match=text) as refused:
        imported(_write(tmp_path / "a.npz", **kept), world, "agent")
    assert "a.npz" in str(refused.value)


class _Trap:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (Path("opened"),)  # type: ignore[return-value]


def test_pickles_are_never_opened(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "expert.pkl").write_bytes(pickle.dumps(_Trap()))
    np.save(tmp_path / "a.npy", np.array([_Trap()], dtype=object), allow_pickle=True)
    source = _write(
        tmp_path / "a.npz", **_flat(_episodes(), dones=np.array([_Trap()] * 16, dtype=object))
    )
    for name in ("expert.pkl", "a.npy", source):
        with pytest.raises(RoboAdvError, match="can run code"):
            imported(name, world, "agent")
    assert not (tmp_path / "opened").exists()
    pickle.loads((tmp_path / "expert.pkl").read_bytes())
    assert (tmp_path / "opened").exists()  # the trap works


def test_files_that_are_missing_cut_short_or_too_large_are_refused(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RoboAdvError, match="there is no file"):
        imported(str(tmp_path / "none.npz"), world, "agent")
    source = Path(_write(tmp_path / "a.npz", **_flat(_episodes(), dones=DONES)))
    content = bytearray(source.read_bytes())
    content[60:90] = b"\0" * 30
    source.write_bytes(bytes(content))
    with pytest.raises(RoboAdvError, match="is broken or cut short"):
        imported(str(source), world, "agent")
    monkeypatch.setattr(array_files, "MOST_BYTES", 100)
    source = Path(_write(tmp_path / "b.npz", **_flat(_episodes(), dones=DONES)))
    with pytest.raises(RoboAdvError, match=r"unpacks to .* bytes, at most 100 are read"):
        imported(str(source), world, "agent")


def test_what_looks_like_another_version_of_the_world_is_noted(tmp_path: Path) -> None:
    class Narrow(Cart):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = gymnasium.spaces.Box(-0.5, 0.5, (2,), np.float32)

    made, narrow = _episodes(), GymnasiumWorld(Narrow, 1)
    seen = np.concatenate([e.observations[:-1] for e in made])
    source = _write(tmp_path / "a.npz", **_flat(made, lengths=np.array(LENGTHS)))
    (told,) = [n for n in imported(source, narrow, "agent").card.notes if "lie outside" in n]
    shown = np.insert(seen, [5, 8, 16], seen[[4, 7, 15]], axis=0)  # the last ones stand in twice
    assert told.startswith(f"{int((abs(shown) > 0.5).any(axis=1).sum())} of 19 observations")
    assert not [n for n in imported(source, GymnasiumWorld(Cart, 1), "agent").card.notes
                if "lie outside" in n]  # fmt: skip


def test_actions_beyond_one_are_no_unit_actions(world: Any, tmp_path: Path) -> None:
    made = _flat(_episodes(), dones=DONES)
    source = _write(tmp_path / "a.npz", **{**made, "acts": np.full((16, 1), 1.5)})
    with pytest.raises(RoboAdvError, match=r"is for actions in \[-1, 1\], .* from 1.5 to 1.5"):
        imported(source, world, "agent", scale="unit")


def test_a_folder_is_no_file(world: Any, tmp_path: Path) -> None:
    with pytest.raises(RoboAdvError, match="is a folder, neither"):
        imported(str(tmp_path), world, "agent")


def test_an_overlong_name_of_the_expert_is_refused(world: Any, tmp_path: Path) -> None:
    source = _write(tmp_path / "a.npz", **_flat(_episodes(), dones=DONES))
    with pytest.raises(RoboAdvError, match="--expert may have 1000 characters, got 1001"):
        imported(source, world, "agent", expert="x" * 1001)
    assert imported(source, world, "agent", expert="x" * 1000).card.demonstrator.name == "x" * 1000


def test_a_set_without_rewards_says_so(world: Any, tmp_path: Path) -> None:
    arrays = _flat(_episodes(), dones=DONES)
    del arrays["rews"]
    data = imported(_write(tmp_path / "a.npz", **arrays), world, "agent")
    assert array_files.NO_REWARDS in data.card.notes and not data.rewards.any()
    assert sample().card.notes == ()
