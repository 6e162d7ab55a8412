"""What an audit's numbers are called in plain words: ports, budgets, units, shares."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from robo_adv.threats.attack import ATTACKS

GAP = "\u00a0"  # keeps a number and its unit on one line
TIMES, MINUS, NONE = "\u00d7", "\u2212", "\u2013"
PORTS = {
    "observation": ("sensors", "what the controller sees is disturbed"),
    "action": ("actuators", "what the controller commands is disturbed"),
    "force": ("pushes", "bodies of the robot are pushed"),
    "level": ("world", "masses, friction, delays and other parameters leave their nominal values"),
    "opponent": ("opponents", "the other players play to beat it"),
}
_SPREAD = {
    "sigma": "standard deviations", "policy": "normaliser deviations", "raw": "sensor units",
}  # fmt: skip
_ON = {"linf": "on every sensor", "l2": "over all sensors together", "std": "of noise per sensor"}


# Attacks as an engineer would describe them; others are told by their documentation.
ATTACK_WORDS = {
    "uniform": "random noise of up to the budget",
    "corner": "random noise, always as large as the budget allows",
    "gaussian": "Gaussian noise",
    "single-sensor": "one sensor alone off or noisy, the worst one",
    "bias": "a constant offset of every sensor, drawn for each episode",
    "fgsm": "false readings that change the action, found by one step along the controller's gradient",
    "pgd": "false readings that change the action most, found by 20 steps along the controller's "
    "gradient",
    "critic": "false readings that the controller itself expects to end worst",
    "q-critic": "false readings that make it act as its own critic rates worst",
    "delay": "readings that come late",
    "dropout": "readings that drop to zero, each sensor on its own",
    "stuck": "sensors that stick to their first reading",
    "action-uniform": "random noise on the commands",
    "action-corner": "random noise on the commands, always as large as the budget allows",
    "nr-mdp": "every command mixed with its extreme opposite",
    "pr-mdp": "some commands replaced by their extreme opposite",
    "action-delay": "commands that take effect late",
    "random-push": "short pushes at random times in random directions",
    "worst-push": "periodic pushes, at the worst moment and in the worst direction of a grid",
    "level-random": "the worst of randomly drawn worlds",
    "level-grid": "the worst change of a single parameter of the world",
    "level-cem": "the worst world that a search by the cross-entropy method found",
    "level-cma": "the worst world that a search by CMA-ES found",
}


def number(value: Any) -> float:
    """A JSON number as a float: the word `inf` is infinite, null is NaN."""
    return math.nan if value is None else float(value)


def percent(share: Any, digits: int = 1) -> str:
    """A share in percent; what is not quite 0 or 100 % never reads as such."""
    value = 100.0 * number(share)
    if math.isnan(value):
        return NONE
    text, least = f"{value:.{digits}f}", 10.0**-digits
    if float(text) in (0.0, 100.0) and value not in (0.0, 100.0):
        return f"<{least:g}" if value < 50 else f">{100 - least:g}"
    return text.removesuffix(".0")


def rate(found: Mapping[str, Any], sign: str = f"{GAP}%") -> str:
    """`75 % [50.9, 91.3]`: a share with its interval in percent."""
    return f"{percent(found['rate'])}{sign} [{percent(found['low'])}, {percent(found['high'])}]"


def estimate(found: Mapping[str, Any], scale: float = 1.0, digits: int = 3) -> str:
    """`0.42 [0.31, 0.55]`: a value with its interval."""
    ends = (scale * number(found.get(key)) for key in ("value", "low", "high"))
    value, low, high = (short(end, digits) for end in ends)
    return f"{value} [{low}, {high}]"


def short(value: Any, digits: int = 3) -> str:
    """A number with few digits; infinite and undefined ones as signs."""
    x = number(value)
    if math.isnan(x):
        return NONE
    if math.isinf(x):
        return "∞" if x > 0 else f"{MINUS}∞"
    text = f"{x:.{digits}g}" if abs(x) < 10**digits else f"{x:.0f}" if abs(x) < 1e6 else f"{x:.1e}"
    return text.replace("-", MINUS)


def p_value(value: Any) -> str:
    """A p-value; very small ones by their bound."""
    if value is None:
        return NONE
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: Any) -> str:
    """`3 min 12 s`."""
    whole = round(number(seconds))
    if whole < 60:
        return f"{number(seconds):.3g}{GAP}s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def count(value: Any) -> str:
    """A count with its thousands apart; other values as they are."""
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else str(value)


def port(name: str) -> str:
    """`observation (sensors)`."""
    return f"{name} ({PORTS[name][0]})" if name in PORTS else name


def budget(row: Mapping[str, Any], size: Any) -> str:
    """A budget in words, for example `0.2 standard deviations on every sensor`."""
    where, norm, unit = (str(row.get(key, "")) for key in ("port", "norm", "unit"))
    x = number(size)
    if x == 0 or where == "opponent":
        return "this opponent" if x else "no attack"
    if where == "level":
        return f"{100 * x:g}{GAP}% of each parameter's range"
    if norm == "mixing":
        return f"{100 * x:g}{GAP}% of each command"
    if norm == "probability":
        return f"{100 * x:g}{GAP}% of {'readings' if where == 'observation' else 'steps'}"
    if norm == "steps":
        return f"{x:g}{GAP}control step{'' if x == 1 else 's'} of delay"
    if unit in _SPREAD:
        what = _SPREAD[unit].removesuffix("s") if x == 1 else _SPREAD[unit]
        return f"{x:g}{GAP}{what} {_ON.get(norm, '')}".rstrip()
    known = {
        "range": f"{TIMES} half of each actuator's range",
        "weight": f"{TIMES} the robot's weight",
    }
    return f"{x:g}{GAP}{known.get(unit, unit)}".rstrip()


def brief(row: Mapping[str, Any], size: Any) -> str:
    """A budget with a short unit, for tables: `0.2 sd`."""
    where, norm, unit = (str(row.get(key, "")) for key in ("port", "norm", "unit"))
    x = number(size)
    if x == 0 or where == "opponent":
        return "this opponent" if x else NONE
    if where == "level" or norm in ("mixing", "probability"):
        return f"{100 * x:g}{GAP}%"
    if norm == "steps":
        return f"{x:g}{GAP}step{'' if x == 1 else 's'}"
    known = {"sigma": "sd", "policy": "sd", "raw": "", "range": f"{TIMES} half range",
             "weight": f"{TIMES} weight"}  # fmt: skip
    return f"{x:g}{GAP}{known.get(unit, unit)}".rstrip()


def under(row: Mapping[str, Any], size: Any) -> str:
    """`pgd (false readings ...) with a budget of 0.2 standard deviations on every sensor`."""
    told = attack(str(row.get("attack", "")))
    about = f"{row.get('attack', row['label'])} ({told})" if told else str(row["label"])
    if row.get("port") == "opponent":
        return f"the opponent {row.get('attack', row['label'])}"
    return f"{about} with a budget of {budget(row, size)}"


def axis(row: Mapping[str, Any]) -> str:
    """The unit as the label of an axis."""
    where, norm, unit = (str(row.get(key, "")) for key in ("port", "norm", "unit"))
    if where == "opponent":
        return "who plays against it"
    if where == "level":
        return "share of each parameter's range"
    if norm in ("mixing", "probability"):
        return "share of each command" if norm == "mixing" else "share of steps"
    known = {"steps": "control steps", "range": f"{TIMES} half the actuator's range",
             "weight": f"{TIMES} the robot's weight", "N": "newtons"}  # fmt: skip
    if unit in _SPREAD:
        return f"{_SPREAD[unit]} {_ON.get(norm, '')}".rstrip()
    return known.get(unit, unit)


def unit(row: Mapping[str, Any], reference: Mapping[str, Any] | None = None) -> str:
    """What one unit of the row's budget means, as a sentence."""
    where, norm, name = (str(row.get(key, "")) for key in ("port", "norm", "unit"))
    if where == "opponent":
        return "There is no size: the usual opponent is replaced by this one."
    if where == "level":
        return "At 100 % every parameter may go to the ends of its range, at 0 % it is nominal."
    if norm == "mixing":
        return "At 100 % the adversary acts alone, at 0 % the controller does."
    if norm == "probability":
        return "How often it happens: at 100 % in every step."
    who = str((reference or {}).get("controller", "")) or "the reference controller"
    told = {
        "sigma": "One standard deviation is how much a sensor's value varies over undisturbed "
        f"episodes of {who}.",
        "policy": "One deviation is the one by which the controller scales that sensor itself.",
        "raw": "The unit is the sensor's own.",
        "range": "At 1 a command may be off by half of the actuator's range.",
        "weight": "At 1 the push is as strong as the robot's own weight.",
        "N": "Force in newtons.",
        "steps": "One control step is the time between two decisions of the controller.",
    }
    return told.get(name, str(row.get("unit_meaning", "")))


def attack(name: str) -> str:
    """What an attack does; '' when it is not known."""
    if name not in ATTACKS:
        return ""
    told = " ".join((inspect.getdoc(ATTACKS[name]) or "").split("\n\n")[0].split())
    return ATTACK_WORDS.get(name, told.removesuffix("."))
