"""Facts: what conditions may ask of a player's finished episodes."""

from __future__ import annotations

import numpy as np

from robo_adv.rollout import Episodes
from robo_adv.safety.conditions import Facts

# What every world tells, with units; its costs and notes come beside it.
OF_EVERY_EPISODE = {
    "return": "reward",
    "length": "steps",
    "time": "s",
    "won": "1",
    "lost": "1",
    "drawn": "1",
    "terminated": "1",
    "truncated": "1",
    "diverged": "1",
    "forfeit": "1",
}


def facts_of(episodes: Episodes, player: str) -> Facts:
    """What conditions may ask of a player's episodes: its costs, its return, how they ended, notes."""
    index = episodes.players.index(player)
    won = episodes.winner == index
    end = episodes.length * (episodes.control_dt or 1.0)
    stopped = episodes.winner == -2
    values = {
        "return": episodes.returns[player],
        "length": episodes.length,
        "time": end,
        "won": won,
        "lost": (episodes.winner >= 0) & ~won,
        "drawn": episodes.winner == -1,
        "terminated": ~stopped,
        "truncated": stopped,
        "diverged": episodes.diverged,
        "forfeit": episodes.forfeit,
        **episodes.notes,
        **episodes.costs[player],
    }
    return Facts(
        {name: np.asarray(value, dtype=np.float64) for name, value in values.items()},
        {**OF_EVERY_EPISODE, **episodes.units},
        tuple(episodes.costs[player]),
        episodes.first_above.get(player, {}),
        end,
        episodes.control_dt or 1.0,
    )
