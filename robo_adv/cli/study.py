"""`robo-adv study WHAT`: comparisons of training methods, each one resumable command."""

from __future__ import annotations

from typing import Any, cast

import tyro

from robo_adv.cli.study_design import StudyDesign
from robo_adv.cli.study_imitate import StudyImitate
from robo_adv.cli.verb import Verb
from robo_adv.errors import unknown

STUDIES: dict[str, tuple[Any, str]] = {
    "design": (StudyDesign, "which generator of levels makes the best student?"),
    "imitate": (StudyImitate, "who learns what from how few demonstrations?"),
}


class Study:
    """Comparisons of training methods."""

    @staticmethod
    def parse(arguments: list[str]) -> Verb:
        """The study's arguments as an instance of its dataclass."""
        if not arguments or arguments[0] in ("-h", "--help"):
            lines = [f"  {name:<9}{text}" for name, (_, text) in STUDIES.items()]
            print("\n".join(["usage: robo-adv study WHAT [OPTIONS]", "", *lines]))
            raise SystemExit(0)
        name, *rest = arguments
        if name not in STUDIES:
            raise unknown("study", name, STUDIES)
        return cast(Verb, tyro.cli(STUDIES[name][0], args=rest, prog=f"robo-adv study {name}"))
