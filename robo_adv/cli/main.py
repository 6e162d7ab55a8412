"""`robo-adv VERB ...`: finds the verb, parses its arguments, reports errors in one line."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, cast

import tyro
from rich.console import Console

from robo_adv.cli.options import game_first
from robo_adv.cli.verb import INTERRUPTED, MISUSE, Outcome, Verb
from robo_adv.errors import RoboAdvError, unknown

VERBS = {
    "demo": ("Demo", "audit a shipped controller over every port; report and videos"),
    "list": ("List", "what exists: games, bodies, arms, policies, masks, generators, zoo"),
    "train": ("Train", "train a player, alone, against opponents or by self-play; resume"),
    "attack": ("Attack", "train an adversary against a frozen victim"),
    "design": ("DesignVerb", "train on levels that a generator proposes: PLR, ACCEL, PAIRED ..."),
    "data": ("Data", "demonstrations: record, list, show, import, export, subset, corrupt"),
    "imitate": ("Imitate", "learn from demonstrations: GAIL, AIRL, SQIL, ASAF, BC, DAgger; resume"),
    "harden": ("Harden", "fine-tune a controller against perturbed observations or adversaries"),
    "audit": ("AuditVerb", "how a controller fails, over every port; report, videos, replays"),
    "ladder": ("LadderVerb", "attack a controller with a fixed suite; robustness card, ports"),
    "leaderboard": ("Leaderboard", "robustness cards of the zoo in one table"),
    "replay": ("ReplayVerb", "play a recorded failure again, to the bit; film it"),
    "evaluate": ("Evaluate", "win or success rate and costs, with intervals; gate for CI"),
    "levels": ("Levels", "a game's level parameters, constraints and suites of levels"),
    "matrix": ("Matrix", "every policy of one player against every policy of the other"),
    "play": ("Play", "play a few episodes and watch them"),
    "video": ("Video", "record episodes, also side by side, as mp4 or gif"),
    "study": (
        "Study",
        "compare generators of levels, or imitation learners; resumable",
    ),
    "zoo": ("Zoo", "list, show, verify, add and import policies"),
    "doctor": ("Doctor", "check this machine: versions, rendering, ffmpeg, disk"),
    "bench": ("Bench", "speed of engine, learning and attacks; the studies of the documentation"),
}

GAME_FIRST = ("train", "design", "levels", "play", "video")  # their first argument is the game


class _Console(Console):
    """Leaves a broken pipe to `run`; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def overview() -> str:
    """The help text without a verb."""
    lines = ["usage: robo-adv VERB [OPTIONS]   (robo-adv VERB --help for its options)", ""]
    lines += [f"  {name:<12}{text}" for name, (_, text) in VERBS.items()]
    return "\n".join(lines)


def parse(arguments: list[str]) -> Verb:
    """The verb's arguments as an instance of its dataclass.

    Raises:
        UnknownNameError: no such verb. SystemExit: tyro's own for bad flags (2) and --help (0).
    """
    name, *rest = arguments
    if name not in VERBS:
        raise unknown("verb", name, VERBS)
    module = importlib.import_module(f"robo_adv.cli.{name}")
    kind: Any = getattr(module, VERBS[name][0])
    if name in GAME_FIRST:
        rest = game_first(rest)
    if hasattr(kind, "parse"):  # a verb whose defaults depend on its arguments
        return cast(Verb, kind.parse(rest))
    return cast(Verb, tyro.cli(kind, args=rest, prog=f"robo-adv {name}"))


def execute(verb: Verb) -> int:
    """Run a verb, print its run folder, the next command and the JSON line; its exit code."""
    stream = sys.stderr if verb.json else sys.stdout
    width = None if stream.isatty() else 160  # tables in logs and pipes do not wrap at 80
    console = _Console(file=stream, highlight=False, soft_wrap=True, width=width)
    outcome: Outcome = verb.run(console)
    if outcome.folder is not None:
        console.print(f"run folder: {outcome.folder}")
    if outcome.next:
        console.print(f"next: {outcome.next}")
    if verb.json:
        folder = None if outcome.folder is None else str(outcome.folder)
        line = json.dumps({**outcome.data, "folder": folder, "exit_code": outcome.code})
        print(line, flush=True)
    return outcome.code


def run(arguments: list[str]) -> int:
    """Exit code of `robo-adv ARGUMENTS`: 0 done, 1 a check failed, 2 misuse, 3 inconclusive,
    130 interrupted."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    try:
        return execute(parse(arguments))
    except RoboAdvError as error:
        print(f"robo-adv: error: {error}", file=sys.stderr)
        return MISUSE
    except KeyboardInterrupt as stop:
        print(f"\nrobo-adv: {str(stop) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, e.g. `head`, went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(f"robo-adv: error: {error.strerror or error}{where}", file=sys.stderr)
        return MISUSE


def main() -> None:
    """Console script."""
    sys.exit(run(sys.argv[1:]))
