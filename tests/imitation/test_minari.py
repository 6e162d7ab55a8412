"""Minari's data sets: a round trip, and what is refused before Minari sees it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from foreign.toys import Goal

from imitation.sample import card, episodes
from robo_adv.agents.demonstration_import import imported
from robo_adv.agents.recording import place
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.errors import DependencyError, RoboAdvError
from robo_adv.imitation import minari as minari_module
from robo_adv.imitation.demonstrations import Demonstrations
from robo_adv.imitation.minari import ROOT, minari_folder, write_minari

NAME = "cart/expert-v0"


def _has_minari() -> bool:
    try:
        minari_module._minari()
    except DependencyError:
        return False
    return True


needs_minari = pytest.mark.skipif(
    not _has_minari(), reason="the extra is not installed: pip install 'robo-adv[minari]'"
)


@pytest.fixture(scope="module")
def world() -> Iterator[GymnasiumWorld]:
    gymnasium.register("MinariCart-v0", "foreign.toys:Cart", max_episode_steps=20)
    made = GymnasiumWorld("MinariCart-v0", 1)
    yield made
    made.close()
    del gymnasium.registry["MinariCart-v0"]


def _data(world: GymnasiumWorld) -> Demonstrations:
    made = [
        type(e)(**{**vars(e), "actions": 0.5 * e.actions, "success": k % 2})
        for k, e in enumerate(episodes((5, 3, 8), 2, 1))
    ]
    return Demonstrations.of(made, card(2, 1, **place(world, "agent")))


@needs_minari
def test_a_round_trip_through_minari_keeps_every_number(
    world: GymnasiumWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _data(world)
    assert write_minari(data, tmp_path / "root", NAME) == NAME
    back = imported(str(tmp_path / "root" / NAME), world, "agent")
    assert back.digest == data.digest and back.card.notes == ()
    monkeypatch.setenv(ROOT, str(tmp_path / "root"))
    assert imported(f"minari:{NAME}", world, "agent").digest == data.digest


@needs_minari
def test_minari_itself_reads_what_is_exported(
    world: GymnasiumWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import minari

    data = _data(world)
    write_minari(data, tmp_path / "root", NAME)
    assert ROOT not in os.environ  # put back
    monkeypatch.setenv(ROOT, str(tmp_path / "root"))
    found = minari.load_dataset(NAME)
    assert found.total_episodes == 3 and found.total_steps == 16
    for theirs, ours in zip(found.iterate_episodes(), data.episodes(), strict=True):
        assert np.array_equal(theirs.observations, ours.observations)
        assert np.array_equal(theirs.actions, ours.actions)
        assert np.array_equal(theirs.rewards, ours.rewards)
    env = found.recover_environment()
    assert env.spec is not None and env.spec.id == "MinariCart-v0"
    assert gymnasium.spec("MinariCart-v0").kwargs == {}
    assert "robo_adv" in found.storage.metadata["description"]


@needs_minari
def test_dict_observations_are_read_in_the_order_of_the_layout(tmp_path: Path) -> None:
    import minari
    from minari.data_collector.episode_buffer import EpisodeBuffer

    env = Goal()
    world = GymnasiumWorld(Goal, 1)
    rng = np.random.default_rng(0)
    rows: Any = [env.observation_space.sample() for _ in range(5)]
    parts = {key: [row[key] for row in rows] for key in rows[0]}
    buffer = EpisodeBuffer(
        seed=3, observations=parts, actions=list(rng.uniform(-1, 1, (4, 2)).astype(np.float32)),
        rewards=[0.0] * 4, terminations=[False] * 4, truncations=[False] * 4,
    )  # fmt: skip
    before = os.environ.get(ROOT)
    os.environ[ROOT] = str(tmp_path)
    try:
        minari.create_dataset_from_buffers(
            "goal-v0", [buffer], observation_space=env.observation_space,
            action_space=env.action_space,
        )  # fmt: skip
    finally:
        os.environ.pop(ROOT) if before is None else os.environ.update({ROOT: before})
    data = imported(str(tmp_path / "goal-v0"), world, "agent")
    flat = [gymnasium.spaces.flatten(env.observation_space, row) for row in rows]
    assert np.array_equal(data.observations, np.array(flat, dtype=np.float32))
    assert data.truncations.tolist() == [False] * 3 + [True] and data.seeds.tolist() == [3]
    assert minari_module.CUT in data.card.notes


@needs_minari
def test_a_failed_export_leaves_nothing_behind(world: GymnasiumWorld, tmp_path: Path) -> None:
    with pytest.raises(RoboAdvError, match="Minari refuses: Malformed dataset ID: no version!"):
        write_minari(_data(world), tmp_path / "root", "no version!")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(RoboAdvError, match="full is not empty; name a new folder"):
        write_minari(_data(world), tmp_path / "full", NAME)


@needs_minari
def test_data_sets_of_other_environments_or_without_spaces_are_refused(
    world: GymnasiumWorld, tmp_path: Path
) -> None:
    write_minari(_data(world), tmp_path / "root", NAME)
    path = tmp_path / "root" / NAME / "data" / "metadata.json"
    kept = path.read_text()
    changed = json.loads(kept)
    changed["env_spec"] = json.dumps({"id": "Hopper-v5", "entry_point": "os:abort"})
    path.write_text(json.dumps(changed))
    with pytest.raises(RoboAdvError, match="recorded in Hopper-v5, asked for MinariCart-v0"):
        imported(str(path.parent), world, "agent")
    del changed["action_space"]  # Minari would now make what env_spec says
    changed["env_spec"] = json.dumps({"id": "MinariCart-v0", "entry_point": "os:abort"})
    path.write_text(json.dumps(changed))
    with pytest.raises(RoboAdvError, match="has no action_space; Minari would make"):
        imported(str(path.parent), world, "agent")
    path.write_text(kept)
    (path.parent / "main_data.hdf5").write_bytes(b"cut")
    with pytest.raises(RoboAdvError, match="cannot be read by Minari: OSError"):
        imported(str(path.parent), world, "agent")
    path.write_text("{")
    with pytest.raises(RoboAdvError, match="cannot be read"):
        imported(str(path.parent), world, "agent")


def test_a_data_set_that_does_not_exist_is_told_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT, str(tmp_path))
    with pytest.raises(RoboAdvError, match="no Minari data set 'hopper/expert-v0' in"):
        minari_folder("minari:hopper/expert-v0")
    assert minari_folder("expert.npz") is None


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "minari", None)
    with pytest.raises(DependencyError, match=r"pip install 'robo-adv\[minari\]'"):
        minari_module._minari()
