"""`robo-adv demo`: the main job in one command."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from robo_adv.agents.demo import ADVERSARY, DemoConfig, DemoResult, run_demo
from robo_adv.agents.evaluation import NORMAL, Row, opponent_policy, world_of
from robo_adv.agents.named import find_card, named_policy
from robo_adv.cli.options import need_two_players
from robo_adv.cli.tables import print_rows
from robo_adv.cli.verb import Outcome
from robo_adv.cli.video import record_with_progress
from robo_adv.errors import DependencyError
from robo_adv.runs import Run
from robo_adv.safety.report import Film, Provenance, Rates, Section, Training, write_report
from robo_adv.safety.report import Row as Line
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.video import LineUp, pick


@dataclass(frozen=True)
class Demo:
    """Train an adversarial keeper against a shipped kicker (1-3 minutes on 2 cores), print what it
    does to the kicker's win rate, with and without masks, and write a video and a report."""

    victim: str = "zoo:kicker-omni4-s1"
    """Whose weakness is looked for."""
    steps: int = 1_000_000
    """Environment steps of the adversary's training."""
    seed: int = 0
    """Training seed."""
    episodes: int = 400
    """Episodes per row of the table."""
    video_episodes: int = 3
    """Episodes in the video; 0 makes none."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    threads: Threads = field(default_factory=Threads)
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        config = DemoConfig(
            self.victim, self.steps, self.seed, self.episodes, self.ppo, self.threads
        )
        card = find_card(self.victim)
        measure = f"measure it with `robo-adv evaluate {self.victim}`"
        need_two_players(card.game, "the demonstration", measure)
        run = Run.create(card.game, "demo", config, self.seed, self.runs)
        console.print(f"an adversary learns to beat {self.victim}; the victim does not learn")
        result = run_demo(config, run, lambda label: console.print(f"evaluating: {label}"))
        print_rows(console, f"{self.victim} as {card.player}", result.rows)
        sections: list[Section] = [_table(self.victim, result.rows, card.player)]
        sections.append(Training("The adversary's training", result.training.metrics(), "Wins of the adversary, exploring; the table uses its best checkpoint on scenarios it never met."))  # fmt: skip  # noqa: E501
        film = self._film(console, run, result) if self.video_episodes else None
        if film is not None:
            sections.insert(1, film)
        facts = {
            "victim": self.victim,
            "scenario seeds": f"from {result.rows[0].episodes.seeds[0]}",
        }
        sections.append(Provenance("What made these numbers", run, facts))
        report = run.folder / "report.html"
        write_report(report, f"{self.victim} under attack", sections, "port: opponent")
        console.print(f"report: {report}")
        data = {"rows": [row.to_json() for row in result.rows], "adversary": str(result.adversary),
                "report": str(report), "video": None if film is None else str(film.path)}  # fmt: skip
        run.finish(data)
        attack = run.folder / "adversary"
        return Outcome(data, run.folder, f"robo-adv evaluate {self.victim} --opponents {attack}")

    def _film(self, console: Console, run: Run, result: DemoResult) -> Film | None:
        """Side by side: typical scenarios that the adversary won. None where nothing can draw."""
        world = world_of([self.victim])
        game = world.make(1, threads=1)
        card = find_card(self.victim)
        other = next(p for p in game.players if p != card.player)
        victim = named_policy(self.victim, game, card.player)
        lineups = []
        for title, name in ((NORMAL, NORMAL), (ADVERSARY, str(result.adversary))):
            policies = {card.player: victim, other: opponent_policy(name, game, other)}
            names = {card.player: self.victim.removeprefix("zoo:"), other: title}
            row = next(r for r in result.rows if r.opponent == title and r.mask == "none")
            rate = row.episodes.win_rate(card.player)
            note = f"{card.player} won {rate.count} of {rate.total}"
            lineups.append(LineUp(f"{title} {other}", policies, names, note))
        attacked = next(r for r in result.rows if r.opponent == ADVERSARY and r.mask == "none")
        rows = pick(attacked.episodes, card.player, "median", self.video_episodes)
        path = run.folder / "videos" / "normal-and-adversary.mp4"
        try:
            record_with_progress(
                console, path, world, lineups, [int(s) for s in attacked.episodes.seeds[rows]],
                width=640, height=480, fps=None, shadows=True, camera=None,
            )  # fmt: skip
        except DependencyError as error:
            console.print(f"no video: {error}")
            return None
        console.print(f"video: {path}")
        return Film("The same scenarios, a normal opponent and the adversary", path,
                    "Chosen as the median episodes against the adversary, not the worst.")  # fmt: skip


def _table(victim: str, rows: list[Row], player: str) -> Rates:
    lines = [
        Line(
            row.opponent if row.mask == "none" else f"{row.opponent}, victim's view: {row.mask}",
            row.episodes.win_rate(player),
            "",
            row.opponent == ADVERSARY and row.mask == "none",
        )
        for row in rows
    ]
    return Rates(f"Win rate of {victim}", lines)
