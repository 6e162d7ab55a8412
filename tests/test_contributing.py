"""The game of CONTRIBUTING.md runs as it is printed: dropped into `envs/`, and as a plug-in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

PLAY = """
import gymnasium
import numpy as np
import robo_adv
from robo_adv.envs.game import GAMES, make_game

assert "Park-v0" in GAMES
game = make_game("Park-v0", num_envs=16, reward={"driver": "sparse"})
obs = game.reset(np.arange(16))["driver"]
winners = []
for _ in range(120):
    brake = -0.5 * obs[:, :1] - 0.6 * obs[:, 1:2]
    step = game.step({"driver": np.clip(brake, -1.0, 1.0)})
    obs = step.obs["driver"]
    assert obs.shape == (16, game.layouts["driver"].size) and np.isfinite(obs).all()
    winners += [] if step.final is None else list(step.final.winner)
assert len(winners) >= 16 and np.mean(np.array(winners) == 0) > 0.9, winners

heavy = game.design_space.level({"cart_mass": 2.0})
game.reset(np.arange(16), levels=[heavy] * 8 + [game.design_space.nominal] * 8)
speed = np.abs(game.step({"driver": np.ones((16, 1))}).obs["driver"][:, 1])
np.testing.assert_allclose(speed[:8] * 2.0, speed[8:], rtol=1e-5)

env = gymnasium.make("robo_adv/Park-v0")
env.reset(seed=0)
assert np.isfinite(env.step(env.action_space.sample())[1])
env.close()
print("played")
"""


@pytest.fixture
def example() -> str:
    """The one Python block of the page."""
    (block,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return str(block)


def play(folder: Path) -> None:
    """Play the game in a process of its own, so that no other test sees it in the registry."""
    done = subprocess.run(
        [sys.executable, "-c", PLAY],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "played" in done.stdout, done.stderr


@pytest.mark.slow
def test_the_example_is_found_in_the_folder_of_environments(example: str, tmp_path: Path) -> None:
    links = shutil.ignore_patterns("envs", "agents", "assets", "__pycache__")
    shutil.copytree(ROOT / "robo_adv", tmp_path / "robo_adv", ignore=links)
    for name in ("envs", "agents"):
        shutil.copytree(ROOT / name, tmp_path / "robo_adv" / name)
    (tmp_path / "robo_adv" / "assets").symlink_to(ROOT / "assets")
    (tmp_path / "robo_adv" / "envs" / "park.py").write_text(example, encoding="utf-8")
    play(tmp_path)


@pytest.mark.slow
def test_the_example_is_found_as_a_plug_in_of_another_distribution(
    example: str, tmp_path: Path
) -> None:
    (tmp_path / "my_games").mkdir()
    (tmp_path / "my_games" / "park.py").write_text(example, encoding="utf-8")
    metadata = tmp_path / "my_games-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-games\nVersion: 1.0\n")
    (entry_points,) = re.findall(r"^```toml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    groups = tomllib.loads(entry_points)["project"]["entry-points"]
    lines = [f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in points.items())
             for group, points in groups.items()]  # fmt: skip
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    play(tmp_path)


def test_the_example_is_formatted_like_our_own_code(example: str, tmp_path: Path) -> None:
    path = tmp_path / "park.py"
    path.write_text(example, encoding="utf-8")
    config = ["--config", str(ROOT / "pyproject.toml")]
    for command in (["ruff", "check", *config], ["ruff", "format", "--check", *config]):
        done = subprocess.run(
            [sys.executable, "-m", *command, str(path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
