"""`robo-adv bench`: the project's numbers, each by one command."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from robo_adv.agents import speed, study
from robo_adv.cli.verb import Outcome
from robo_adv.runs import Run, versions
from robo_adv.safety.statistics import Rate
from robo_adv.training.learner import PPOConfig, Threads


@dataclass(frozen=True)
class Bench:
    """Measure the engine and learning (speed), or train and measure the arms study (arms)."""

    what: Annotated[Literal["speed", "arms"], tyro.conf.Positional] = "speed"
    """speed: engine against plain mj_step loops, learning against the engine and against
    SubprocVecEnv (2 minutes). arms: does masking rescue a victim, for k arms (2 core-hours;
    resumable)."""
    arms: tuple[int, ...] = (0, 2, 4, 8)
    """Numbers of arms (arms)."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Training seeds (arms)."""
    selfplay_steps: int = 2_500_000
    """Environment steps of both players together (arms)."""
    attack_steps: int = 1_200_000
    """Environment steps of the adversary (arms)."""
    episodes: int = 500
    """Episodes per row (arms)."""
    collect: bool = False
    """Only measure and print what is trained (arms)."""
    folder: Path = Path("runs") / "arms"
    """Where the arms study lives."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    threads: Threads = field(default_factory=Threads)
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        return self._arms(console) if self.what == "arms" else self._speed(console)

    def _speed(self, console: Console) -> Outcome:
        run = Run.create(speed.GAME, "bench", self, 0, self.runs)
        results: dict[str, dict[str, float]] = {}
        for name, options in (("omni", {"body": "omni"}), ("ant", {"body": "ant"})):
            with console.status(f"engine, {name}"):
                results[f"engine {name}"] = speed.engine_against_limit(options)
        with console.status("learning"):
            results["learning omni"] = speed.learning_against_engine({}, self.ppo, self.threads)
        with console.status("SubprocVecEnv"):
            results["against SubprocVecEnv"] = speed.learning_against_subproc(
                self.ppo, self.threads
            )
        table = Table("measure", "value", box=None)
        for name, values in results.items():
            for key, value in values.items():
                table.add_row(f"{name}: {key}", f"{value:,.3f}" if value < 100 else f"{value:,.0f}")
        console.print(table)
        run.finish(results)
        return Outcome({"results": results, "versions": versions()}, run.folder)

    def _arms(self, console: Console) -> Outcome:
        plan = study.ArmsStudy(
            self.arms, self.seeds, self.folder, self.selfplay_steps, self.attack_steps,
            self.episodes, self.threads,
        )  # fmt: skip
        if not self.collect:
            study.run_cells(plan, console.print)
        with console.status("measuring"):
            tables = study.collect(plan)
        print_arms(console, tables)
        return Outcome({"tables": tables}, self.folder)


def print_arms(console: Console, tables: list[dict[str, Any]]) -> None:
    """One line per k, opponent and mask: the mean over seeds and each seed's rate [95 %]."""
    table = Table("k", "keeper", "mask", "kicker wins, mean", "per seed [95 %]", box=None)
    lines: dict[tuple[int, str, str], list[str]] = {}
    means: dict[tuple[int, str, str], list[float]] = {}
    for cell in tables:
        for row in cell["rows"]:
            key = (cell["arms"], row["opponent"], row["mask"])
            rate = Rate(row["win_rate"]["count"], row["win_rate"]["episodes"])
            lines.setdefault(key, []).append(f"s{cell['seed']}: {rate}")
            means.setdefault(key, []).append(float(rate))
    for key, rates in lines.items():
        arms, opponent, mask = key
        table.add_row(
            str(arms), opponent, mask, f"{100 * mean(means[key]):.1f} %", "  ".join(rates)
        )
    console.print(table)
