"""The arms study: does masking rescue a victim of an adversarial keeper, and does k matter?

For each number of arms k and each seed: self-play, then an adversarial keeper against the kicker, then
one table on paired scenarios. Each part is skipped when its run is done and resumed when it is not, so
the study can be stopped at any time and split over processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_adv.agents import adversary, selfplay
from robo_adv.agents.evaluation import World, evaluate
from robo_adv.agents.named import named_policy
from robo_adv.errors import RoboAdvError
from robo_adv.masks import MASKS
from robo_adv.policy import Pool
from robo_adv.runs import Run
from robo_adv.training.learner import Threads
from robo_adv.training.loop import RESUME

GAME = "KickAndDefend-v0"


@dataclass(frozen=True)
class ArmsStudy:
    """Attributes:
    arms, seeds: the grid. folder: where the runs and tables go. episodes: per row.
    """

    arms: tuple[int, ...] = (0, 2, 4, 8)
    seeds: tuple[int, ...] = (1, 2, 3)
    folder: Path = Path("runs") / "arms"
    selfplay_steps: int = 2_500_000
    attack_steps: int = 1_200_000
    episodes: int = 500
    threads: Threads = Threads()


def _part(folder: Path, name: str, config: Any, train: Callable[..., Path]) -> Path:
    """The bundle folder of one training: done before, resumed, or new."""
    path = folder / name
    best = path / "checkpoints" / ("last" if name == "selfplay" else "best")
    if (path / "DONE").exists():
        return best
    if (path / RESUME).exists():
        return train(config, Run.open(path), resume=True)
    return train(config, Run.at(path, GAME, name, config, config.seed))


def train_cell(study: ArmsStudy, arms: int, seed: int) -> None:
    """Self-play and the adversary for one k and seed."""
    folder = study.folder / f"k{arms}-s{seed}"
    play = selfplay.SelfPlayConfig(
        game=GAME, options={"arms": arms}, steps=study.selfplay_steps, seed=seed,
        threads=study.threads,
    )  # fmt: skip
    bundles = _part(folder, "selfplay", play, selfplay.train)
    attack = adversary.AdversaryConfig(
        victim=str(bundles / "kicker"), steps=study.attack_steps, seed=seed, threads=study.threads
    )
    _part(folder, "adversary", attack, adversary.train)


def measure_cell(study: ArmsStudy, arms: int, seed: int) -> dict[str, Any]:
    """The table of one k and seed; the normal keepers are those of every trained seed at this k."""
    folder = study.folder / f"k{arms}-s{seed}"
    world = World(GAME, {"arms": arms})
    game = world.make(1, threads=1)

    def load(cell: Path, name: str, player: str) -> Any:
        return named_policy(str(cell / name), game, player)

    cells = sorted(study.folder.glob(f"k{arms}-s*/selfplay/DONE"))
    keepers = [
        load(done.parents[1], "selfplay/checkpoints/last/keeper", "keeper") for done in cells
    ]
    victim = load(folder, "selfplay/checkpoints/last/kicker", "kicker")
    opponents = {
        "normal": Pool(keepers),
        "zero": named_policy("zero", game, "keeper"),
        "random": named_policy("random", game, "keeper"),
        "adversary": load(folder, "adversary/checkpoints/best", "keeper"),
    }
    rows = evaluate(
        world, "kicker", victim, opponents, masks=("none", *MASKS), episodes=study.episodes
    )
    table = [row.to_json() for row in rows]
    result = {"arms": arms, "seed": seed, "normal_keepers": len(keepers), "rows": table}
    Run(folder, {}).write_json("table.json", result)
    return result


def collect(study: ArmsStudy) -> list[dict[str, Any]]:
    """The tables that exist, measured now if their trainings are done.

    Raises:
        RoboAdvError: nothing is trained yet.
    """
    tables = [
        measure_cell(study, arms, seed)
        for arms in study.arms
        for seed in study.seeds
        if (study.folder / f"k{arms}-s{seed}" / "adversary" / "DONE").exists()
    ]
    if not tables:
        raise RoboAdvError(f"no finished cell of the arms study in {study.folder}; train it first")
    return tables


def run_cells(study: ArmsStudy, announce: Callable[[str], None]) -> None:
    """Train every cell of the grid."""
    for seed in study.seeds:
        for arms in study.arms:
            announce(f"k = {arms}, seed {seed}")
            train_cell(study, arms, seed)
