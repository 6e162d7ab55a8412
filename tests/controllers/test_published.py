"""Published checkpoints of SA-PPO's family are read safely and play as their own code plays them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from controllers.published_files import (
    ACTIONS,
    SIZE,
    Bomb,
    Env,
    Identity,
    Mlp,
    Recurrent,
    published_code,
    write,
)

from robo_adv.agents.controllers import controller
from robo_adv.agents.published import read_published
from robo_adv.cli import main
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.errors import RoboAdvError
from robo_adv.policy import begun
from robo_adv.threats.access import Access
from robo_adv.threats.attack import Perturbation, View
from robo_adv.threats.attacked import Attacked
from robo_adv.threats.attacks.noise import Corner
from robo_adv.threats.attacks.pgd import PGD
from robo_adv.threats.mlp import MLP
from robo_adv.threats.threat import Threat

Array = npt.NDArray[Any]
PLAYER = "agent"


@pytest.fixture(scope="module")
def hopper() -> GymnasiumWorld:
    return GymnasiumWorld("Hopper-v5", 2)


def policy(seed: int = 0) -> Mlp:
    torch.manual_seed(seed)
    return Mlp("final_mean", ACTIONS)


def observations(n: int = 5) -> Array:
    return np.random.default_rng(3).normal(size=(n, SIZE))


def filtered(state: Any, seen: Array) -> torch.Tensor:
    """What the published code shows its policy."""
    z = (seen - state.rs._M) / (state.rs.std + 1e-8)
    return torch.as_tensor(z if state.clip is None else np.clip(z, -state.clip, state.clip)).float()


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("clip", [10.0, 1.5, None])
def test_a_published_policy_acts_as_in_its_own_code(
    tmp_path: Path, hopper: GymnasiumWorld, old: bool, clip: float | None
) -> None:
    mine = policy()
    state = write(tmp_path / "victim.model", mine, clip=clip, old=old)
    found = controller(str(tmp_path / "victim.model"), hopper, PLAYER)
    seen = 3.0 * observations()
    with torch.no_grad():
        x = filtered(state, seen)
        wanted = mine(x).numpy()
    np.testing.assert_allclose(found.policy.predict(seen)[0], wanted, atol=1e-5)
    assert isinstance(found.access.mean, MLP)
    assert found.access.value is not None and found.access.std is not None
    assert found.access.normaliser is not None
    np.testing.assert_allclose(found.access.normaliser[1], state.rs.std, rtol=1e-6)
    std = found.access.std(torch.zeros(2, SIZE))
    np.testing.assert_allclose(std.numpy(), np.full((2, ACTIONS), np.exp(-0.7)), rtol=1e-6)


def test_nothing_in_a_published_file_is_run(tmp_path: Path, hopper: GymnasiumWorld) -> None:
    for old in (False, True):
        write(tmp_path / "victim.model", policy(), old=old, extra=Bomb(tmp_path / "ran"))
        controller(str(tmp_path / "victim.model"), hopper, PLAYER)
    assert not (tmp_path / "ran").exists()
    with published_code():
        torch.load(tmp_path / "victim.model", weights_only=False)
    assert (tmp_path / "ran").exists(), "an ordinary reader runs it"


def recurrent(tmp_path: Path) -> tuple[Recurrent, Any, str]:
    torch.manual_seed(0)
    mine = Recurrent()
    state = write(tmp_path / "lstm.model", mine)
    return mine, state, str(tmp_path / "lstm.model")


def test_a_recurrent_policy_remembers_as_in_its_own_code(
    tmp_path: Path, hopper: GymnasiumWorld
) -> None:
    mine, state, path = recurrent(tmp_path)
    found = controller(path, hopper, PLAYER)
    steps = np.stack([observations() + 0.1 * t for t in range(4)])
    memory: Any = begun(found.policy, np.arange(5, dtype=np.uint64), steps[0])
    for row in range(5):  # theirs plays one episode at a time
        with torch.no_grad():
            embedded = mine.embedding_layer(filtered(state, steps[:, row]))
            wanted = mine.output_layer(mine.lstm(embedded[None])[0][0])
        own: Any = tuple(part[row : row + 1] for part in memory)
        for t in range(4):
            action, own = found.policy.predict(steps[t, row : row + 1], own)
            np.testing.assert_allclose(action[0], wanted[t].numpy(), atol=1e-5)


def test_attacks_see_a_recurrent_policy_from_inside_in_its_present_state(
    tmp_path: Path, hopper: GymnasiumWorld
) -> None:
    *_, path = recurrent(tmp_path)
    found = controller(path, hopper, PLAYER)
    assert not found.black_box
    seen, said = observations(), []

    class Spy(Perturbation):
        port = "observation"

        def propose(self, view: View) -> Array:
            assert view.access is not None and view.access.mean is not None
            x = torch.as_tensor(view.clean, dtype=torch.float32).requires_grad_(True)
            action = view.access.mean(x)
            assert action.requires_grad
            said.append(action.detach().numpy())
            return view.clean

    attacked = Attacked(
        found.policy, Threat("observation", 0.1), Spy(), np.ones(SIZE), access=found.access
    )
    state: Any = attacked.start(np.arange(5, dtype=np.uint64), seen)
    for t in range(4):
        action, state = attacked.predict(seen + 0.1 * t, state)
        np.testing.assert_allclose(said[-1], action, atol=1e-6)
    again = found.access.mean(torch.as_tensor(seen + 0.3, dtype=torch.float32))  # type: ignore[misc]
    assert np.abs(again.detach().numpy() - action).max() > 1e-3, "a fresh memory acts otherwise"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policy_model": {}}, "policy_model"),
        ({"envs": []}, "no `envs`"),
        ({"policy_model": {"affine_layers.0.weight": torch.ones(4, SIZE)}}, "Gaussian policy"),
        ({"policy_model": {"log_stdev": torch.full((ACTIONS,), torch.nan)}}, "NaN"),
    ],
)
def test_what_is_no_published_checkpoint_is_refused_in_words(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    write(tmp_path / "odd.model", policy(), **change)
    with pytest.raises(RoboAdvError, match=said):
        read_published(tmp_path / "odd.model", SIZE, ACTIONS)


def test_files_of_other_kinds_and_other_robots_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.model").write_text("no checkpoint")
    with pytest.raises(RoboAdvError, match="is not a published checkpoint"):
        read_published(tmp_path / "text.model", SIZE, ACTIONS)
    torch.save([1, 2], tmp_path / "list.model")
    with pytest.raises(RoboAdvError, match="list"):
        read_published(tmp_path / "list.model", SIZE, ACTIONS)
    write(tmp_path / "victim.model", policy())
    with pytest.raises(RoboAdvError, match="11"):
        read_published(tmp_path / "victim.model", 17, 6)
    with pytest.raises(RoboAdvError, match=r"no file .*missing\.model"):
        controller(str(tmp_path / "missing.model"), GymnasiumWorld("Hopper-v5", 1), PLAYER)


def test_a_policy_that_was_not_normalised_sees_what_is_there(tmp_path: Path) -> None:
    mine = policy()
    with published_code():
        content = {"policy_model": mine.state_dict(), "envs": [Env(Identity())]}
        torch.save(content, tmp_path / "plain.model")
    found = read_published(tmp_path / "plain.model", SIZE, ACTIONS)
    assert (found.normaliser.mean == 0).all() and (found.normaliser.std == 1).all()
    assert found.critic is None


def test_pgd_moves_a_recurrent_policy_more_than_noise_does(
    tmp_path: Path, hopper: GymnasiumWorld
) -> None:
    *_, path = recurrent(tmp_path)
    found = controller(path, hopper, PLAYER)
    threat, seen = Threat("observation", 0.3), observations(32)
    seeds = np.arange(32, dtype=np.uint64)

    def moved(attack: Any) -> float:
        attacked = Attacked(found.policy, threat, attack, np.ones(SIZE), access=found.access)
        state: Any = attacked.start(seeds, seen)
        plain: Any = begun(found.policy, seeds, seen)
        total = 0.0
        for t in range(3):
            action, state = attacked.predict(seen + 0.2 * t, state)
            clean, plain = found.policy.predict(seen + 0.2 * t, plain)
            total += float(np.abs(action - clean).mean())
        return total

    assert moved(PGD()) > 1.5 * moved(Corner())


def test_raw_actions_reach_the_environment_when_they_are_not_clipped() -> None:
    """The cost of control of HalfCheetah is 0.1 |a|^2 of what it is given."""
    action = {PLAYER: np.full((1, 6), 3.0)}
    rewards = []
    for clip in (True, False):
        world = GymnasiumWorld("HalfCheetah-v5", 1, clip_actions=clip)
        world.reset(np.zeros(1, dtype=np.uint64))
        rewards.append(float(world.step(action).rewards[PLAYER][0]))
        assert world.options == ({} if clip else {"clip_actions": False})
        world.close()
    assert rewards[0] - rewards[1] == pytest.approx(0.1 * 6 * (9.0 - 1.0), abs=1e-6)
    with pytest.raises(RoboAdvError, match="true or false"):
        GymnasiumWorld("HalfCheetah-v5", 1, clip_actions="no")  # type: ignore[arg-type]


def test_a_published_policy_becomes_a_bundle_that_acts_alike(
    tmp_path: Path, hopper: GymnasiumWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = policy()
    write(tmp_path / "victim.model", mine)
    arguments = [
        "zoo", "import", str(tmp_path / "victim.model"), str(tmp_path / "bundle"), "--trust",
        "--env", "Hopper-v5",
    ]  # fmt: skip
    assert main.run(arguments) == 0
    assert main.run(["zoo", "show", str(tmp_path / "bundle")]) == 0
    out = capsys.readouterr().out
    assert '"Hopper-v5"' in out and str(tmp_path / "bundle") in out.splitlines()[-1]
    assert main.run(arguments) == 0
    assert "in place of the bundle there" in capsys.readouterr().out
    own, imported = (
        controller(str(tmp_path / name), hopper, PLAYER) for name in ("victim.model", "bundle")
    )
    seen = 5.0 * observations()
    space = hopper.action_space(PLAYER)
    wanted = np.clip(own.policy.predict(seen)[0], space.low, space.high)
    starts = np.ones(len(seen), dtype=bool)
    done = imported.policy.predict(seen, None, starts, True)[0]
    np.testing.assert_allclose(np.clip(done, space.low, space.high), wanted, atol=1e-5)
    x = torch.as_tensor(seen, dtype=torch.float32)
    for name in ("value", "std"):
        first, second = getattr(own.access, name)(x), getattr(imported.access, name)(x)
        np.testing.assert_allclose(second.detach().numpy(), first.detach().numpy(), rtol=1e-4)
    assert own.access.normaliser is not None and imported.access.normaliser is not None
    np.testing.assert_allclose(
        imported.access.normaliser[1], own.access.normaliser[1], rtol=1e-6
    )  # fmt: skip


def test_what_a_bundle_cannot_hold_is_not_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recurrent(tmp_path)
    write(tmp_path / "unclipped.model", policy(), clip=None)
    for name, said in (
        ("lstm", "a policy with a memory"), ("unclipped", "clips observations at inf"),
        ("missing", "there is no file"),
    ):  # fmt: skip
        arguments = ["zoo", "import", str(tmp_path / f"{name}.model"), str(tmp_path / "bundle")]
        assert main.run([*arguments, "--trust", "--env", "Hopper-v5"]) == 2
        assert said in capsys.readouterr().err
    assert main.run([*arguments, "--env", "Hopper-v5"]) == 2
    assert "--trust" in capsys.readouterr().err
    write(tmp_path / "victim.model", policy())
    arguments = ["zoo", "import", str(tmp_path / "victim.model"), str(tmp_path / "bundle")]
    assert main.run([*arguments, "--trust"]) == 2
    assert "does not say where it plays" in capsys.readouterr().err
    raw = ["--trust", "--env", "Hopper-v5", "--set", "clip_actions=false"]
    assert main.run([*arguments, *raw]) == 2
    assert "within the range" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_a_published_relu_policy_is_not_taken_for_a_tanh_one(tmp_path: Path) -> None:
    larger = {
        "affine_layers.0.weight": torch.ones(400, SIZE), "affine_layers.0.bias": torch.ones(400),
        "affine_layers.1.weight": torch.ones(300, 400), "affine_layers.1.bias": torch.ones(300),
        "final_mean.weight": torch.ones(ACTIONS, 300), "final_mean.bias": torch.ones(ACTIONS),
        "log_stdev": torch.zeros(ACTIONS),
    }  # fmt: skip
    write(tmp_path / "larger.model", policy(), policy_model=larger)
    with pytest.raises(RoboAdvError, match="with ReLU"):
        read_published(tmp_path / "larger.model", SIZE, ACTIONS)


class Echo:
    """A user's own policy with a memory, as stable-baselines3 keeps it (episodes on the second axis):
    it does what it saw before."""

    def predict(
        self, observation: Array, state: Any = None, starts: Any = None, deterministic: bool = False
    ) -> tuple[Array, Any]:
        seen = observation[None, :, :ACTIONS]
        before = np.zeros_like(seen) if state is None else np.where(starts[:, None], 0.0, state)
        return before[0] + 0.1 * seen[0], seen

    @staticmethod
    def _mean(x: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        return before + 0.1 * x[:, :ACTIONS]

    @property
    def access(self) -> Access:
        return Access(
            mean=lambda x: self._mean(x, torch.zeros(len(x), ACTIONS)),
            recall=lambda state: Access(
                mean=lambda x: self._mean(x, torch.as_tensor(state[0][:, 0]))
            ),
        )


def test_a_policy_of_yours_with_a_memory_is_no_black_box_when_it_says_how_it_recalls(
    hopper: GymnasiumWorld,
) -> None:
    found = controller(f"{__name__}:Echo", hopper, PLAYER)
    assert not found.black_box and found.access.recall is not None
    seen = 0.1 * observations()
    state: Any = begun(found.policy, np.arange(5, dtype=np.uint64), seen)
    starts = np.ones(5, dtype=bool)
    for t in range(3):
        inside = found.access.recall(state)
        x = torch.as_tensor(seen + t)
        action, state = found.policy.predict(seen + t, state, starts)
        starts[:] = False
        assert inside.mean is not None
        np.testing.assert_allclose(inside.mean(x).numpy(), action)
