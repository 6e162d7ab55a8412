"""`robo-adv bench`: the project's numbers, each by one command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from robo_adv.agents import attack_speed, imitation_speed, limit, race, speed, study
from robo_adv.agents.rivals import Rival, need
from robo_adv.cli.verb import Outcome
from robo_adv.errors import DependencyError, RoboAdvError
from robo_adv.runs import Run, versions
from robo_adv.safety.statistics import Rate
from robo_adv.training.learner import PPOConfig, Threads

Results = dict[str, dict[str, float]]
AT_MOST = {"us_per_level": speed.LEVEL_TARGET, "added": imitation_speed.TARGET}


@dataclass(frozen=True)
class Bench:
    """Measure the engine and learning (speed), gradient attacks against other toolboxes (attacks),
    learning here against the Fetch tasks (fetch), or train and measure the arms study (arms)."""

    what: Annotated[Literal["speed", "attacks", "fetch", "arms"], tyro.conf.Positional] = "speed"
    """speed: engine against plain mj_step loops in every game, what a new level costs, learning
    against the engine and against SubprocVecEnv, GAIL against PPO alone, images/s of cameras (4
    minutes). attacks: FGSM and PGD against the controller's own call, and PGD of Foolbox and ART
    against ours (1 minute). fetch: minutes until the same learner succeeds in Reach-v0 and Push-v0,
    and in gymnasium-robotics' FetchReach and FetchPush (up to --limit-minutes each). arms: does
    masking rescue a victim, for k arms (2 core-hours; resumable)."""
    games: tuple[str, ...] = ()
    """Games to measure, all by default; learning is measured in KickAndDefend-v0 (speed)."""
    rivals: tuple[Rival, ...] = ("foolbox", "art")
    """Toolboxes to compare with, from the extra `rivals`; none with an empty `--rivals` (attacks)."""
    tasks: tuple[Literal["reach", "push"], ...] = ("reach", "push")
    """Tasks to compare (fetch)."""
    limit_minutes: float = 20.0
    """Give up on a task after so many minutes (fetch)."""
    workers: tuple[int, ...] = (2, 4, 8, 16)
    """Processes of gymnasium-robotics' environments; the fastest number is taken (fetch)."""
    seed: int = 1
    """Training seed (fetch)."""
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
    """Of every learner that is timed; untouched, fetch takes the preset of the task."""
    threads: Threads = field(default_factory=Threads)
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        verbs = {
            "speed": self._speed, "attacks": self._attacks, "fetch": self._fetch,
            "arms": self._arms,
        }  # fmt: skip
        return verbs[self.what](console)

    def _speed(self, console: Console) -> Outcome:
        variants = limit.variants(self.games)
        learning = speed.GAME in {game for game, _ in variants.values()}
        run = Run.create(speed.GAME if learning else "engine", "bench", self, 0, self.runs)
        results: Results = {}
        for name, (game, options) in variants.items():
            with console.status(f"engine, {name}"):
                results[f"engine {name}"] = limit.engine_against_limit(game, options)
        for name, (game, options) in speed.level_variants(variants).items():
            with console.status(f"levels, {name}"):
                results[f"levels {name}"] = speed.level_change(game, options)
        if learning:
            with console.status("learning"):
                found = speed.learning_against_engine({}, self.ppo, self.threads)
                results["learning omni"] = found
            with console.status("PAIRED"):
                results["PAIRED"] = speed.design_against_learning(self.threads)
            with console.status("GAIL"):
                results["GAIL"] = imitation_speed.imitation_against_learning(self.threads)
            with console.status("SubprocVecEnv"):
                found = speed.learning_against_subproc(self.ppo, self.threads)
                results["against SubprocVecEnv"] = found
        results |= _cameras(variants, console)
        print_speed(console, results)
        run.finish(results)
        return Outcome({"results": results, "versions": versions()}, run.folder)

    def _attacks(self, console: Console) -> Outcome:
        chosen = tuple(dict.fromkeys(self.rivals))
        need(chosen)  # before a folder is made
        run = Run.create("attacks", "bench", self, 0, self.runs)
        with console.status("attacks"):
            results = attack_speed.compare(attack_speed.prepare(), chosen)
        print_attacks(console, results)
        data = {"results": results, "versions": versions() | attack_speed.rival_versions(chosen)}
        run.finish(data)
        return Outcome(data, run.folder)

    def _fetch(self, console: Console) -> Outcome:
        ppo = None if self.ppo == PPOConfig() else self.ppo
        pairs = [race.PAIRS[task] for task in dict.fromkeys(self.tasks)]
        for pair in pairs:  # before a folder is made
            race.settings(pair, ppo, self.workers)
        if not self.limit_minutes > 0:
            raise RoboAdvError(f"limit_minutes must be above 0, got {self.limit_minutes:g}")
        run = Run.create("fetch", "bench", self, self.seed, self.runs)
        cells: dict[str, dict[str, Any]] = {}
        for pair in pairs:
            cells |= race.compare(
                pair, ppo, self.threads, self.workers, self.limit_minutes, self.seed,
                console.print,
            )  # fmt: skip
        print_fetch(console, cells, self.limit_minutes)
        data = {"cells": cells, "differences": race.DIFFERENCES}
        run.finish(data)
        return Outcome({**data, "versions": versions()}, run.folder)

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


def _cameras(
    variants: Mapping[str, tuple[str, dict[str, Any]]], console: Console
) -> Results:  # fmt: skip
    """Images/s per variant and camera; nothing, and a line that says why, where none can be drawn."""
    out: Results = {}
    try:
        for name, (game, options) in variants.items():
            with console.status(f"cameras, {name}"):
                out[f"images/s {name}"] = speed.images_per_second(game, options)
    except DependencyError as error:
        console.print(f"images/s: not measured; {error}")
    return out


def print_speed(console: Console, results: Results) -> None:
    """One line per number; what misses its target is marked."""
    table = Table("measure", "value", "target", box=None)
    for name, values in results.items():
        for key, value in values.items():
            least = _target(name, key)
            verdict = "" if least is None else f">= {least:g}{'' if value >= least else ' MISSED'}"
            if key in AT_MOST:
                most = AT_MOST[key]
                verdict = f"<= {most:g}{'' if value <= most else ' MISSED'}"
            text = f"{value:,.3f}" if value < 100 else f"{value:,.0f}"
            table.add_row(f"{name}: {key}", text, verdict)
    console.print(table)


def _target(name: str, key: str) -> float | None:
    if name.startswith("engine ") and key == "ratio":
        return limit.TARGET
    if name == "PAIRED" and key == "ratio":
        return speed.DESIGN_TARGET
    return speed.IMAGES_TARGET if name.startswith("images/s ") else None


def print_attacks(console: Console, results: Mapping[str, Mapping[str, float]]) -> None:
    """One line per attack: its time, the loss it reached, and its target; what misses it is marked."""
    table = Table("attack", "us/observation", "loss", "ratio", "target", box=None)
    for name, row in results.items():
        most, least = attack_speed.AT_MOST.get(name), attack_speed.AT_LEAST.get(name)
        ratio = row.get("times_ours", row.get("controller_calls", 0.0))
        unit = "times ours" if "times_ours" in row else "controller calls"
        target = f"<= {most:g}" if most else f">= {least:g}" if least else ""
        missed = (most and ratio > most) or (least and ratio < least)
        table.add_row(
            name, f"{row['us_per_observation']:,.2f}",
            f"{row['loss']:.4f}" if "loss" in row else "",
            f"{ratio:,.1f} {unit}", target + (" MISSED" if missed else ""),
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{attack_speed.CONTROLLER} (tanh, 64 x 64), all observations at once, one thread,"
    )
    console.print(
        "CPU time. Loss: mean squared distance of the mean action from the clean one; all"
    )
    console.print("toolboxes get the same loss, ball, steps and a random start.")


def print_fetch(
    console: Console, cells: Mapping[str, Mapping[str, Any]], limit_minutes: float
) -> None:  # fmt: skip
    """One line per task, and what is not the same on both sides."""
    table = Table("task", "success", "minutes", "steps", "steps/s", "environments", box=None)
    for task, cell in cells.items():
        share = f"{100 * cell['success']:.1f} %"
        late = f"not within {limit_minutes:g}: {share}"
        table.add_row(
            task, f">= {100 * cell['threshold']:.0f} %",
            f"{cell['minutes']:.2f}" if cell["reached"] else late,
            f"{cell['steps']:,}", f"{cell['steps_per_s']:,.0f}", str(cell["num_envs"]),
        )  # fmt: skip
    console.print(table)
    console.print(f"success: of the exploring policy at the end of the last {race.WINDOW} or more")
    console.print("episodes. The tasks are alike, not equal:")
    for line in race.DIFFERENCES:
        console.print(f"- {line}")


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
