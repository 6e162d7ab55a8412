"""Robustness cards of the zoo: where they lie, and whether they are of the weights beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robo_adv.agents.named import bundle_folder, find_card, zoo_names
from robo_adv.audit.robustness import CARD, RobustnessCard, card_name
from robo_adv.bundle import CARD as POLICY
from robo_adv.errors import RoboAdvError
from robo_adv.threats.threat import PORTS

STALE = "the card is of other weights; measure again with `robo-adv ladder {0} --save-card`"


def robustness_of(name: str) -> dict[str, RobustnessCard]:
    """The robustness cards beside a bundle (`zoo:<name>`, or a folder), by port.

    Raises:
        RoboAdvError: one that is refused.
    """
    folder = bundle_folder(name)
    if folder is None:
        return {}
    paths = {port: folder / card_name(port) for port in PORTS}
    return {port: RobustnessCard.load(path) for port, path in paths.items() if path.exists()}


def cards_of_zoo() -> tuple[dict[str, RobustnessCard], dict[str, str]]:
    """All cards of the zoo by name (and port), and those that are not of the weights beside them, with
    the reason.

    Raises:
        RoboAdvError: a card that is refused.
    """
    found, stale = {}, {}
    for name in zoo_names():
        weights = find_card(f"zoo:{name}").sha256
        for port, card in robustness_of(f"zoo:{name}").items():
            label = name if port == "observation" else f"{name} ({port})"
            if card.controller_sha256 == weights:
                found[label] = card
            else:
                stale[label] = STALE.format(f"zoo:{name}")
    return found, stale


def read_cards(paths: Sequence[Path]) -> dict[str, RobustnessCard]:
    """Cards from run folders and files, by the controller's name.

    Raises:
        RoboAdvError: one that is missing or refused.
    """
    found: dict[str, RobustnessCard] = {}
    for path in paths:
        beside = robustness_of(str(path)) if (path / POLICY).is_file() else {}
        if not beside and (path / POLICY).is_file():
            raise RoboAdvError(
                f"no robustness card lies beside {path}; `robo-adv ladder {path} --save-card` makes one"
            )
        single = [] if beside else [RobustnessCard.load(path / CARD if path.is_dir() else path)]
        for card in (*beside.values(), *single):
            name = card.controller
            if name in found:
                name = f"{name} ({path})"
            if name in found:
                raise RoboAdvError(f"--cards names {path} twice")
            found[name] = card
    return found
