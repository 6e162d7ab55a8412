"""Suites as JSON: presets that ship, a user's own levels, and digests of what is drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictFloat, StrictInt, StrictStr, ValidationError

from robo_adv.assets import SUITES as FOLDER
from robo_adv.cards import Strict
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels.space import DesignSpace, Level, Value
from robo_adv.levels.suites import MOST_EPISODES, RECIPES, SUITES, LevelSuite, told, widen
from robo_adv.runs import plain, write_text

FORMAT = "robo_adv.levels/1"
DIGESTS = FOLDER / "digests.json"
MOST_BYTES = 64 * 1024 * 1024
KINDS = ("nominal", "presets", "iid-a", "iid-b", "shell", "sweeps", "corners")
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class LevelCard(Strict):
    """A level: what it is called, the values that differ from nominal ones, what it is about."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    values: dict[str, StrictInt | StrictFloat | StrictStr]
    note: str = ""
    varied: tuple[str, ...] = ()


class SuiteCard(Strict):
    """A suite's file; fields are those of LevelSuite.

    Attributes:
        game, space: what the levels are for: a game, and the digest of its design space; not compared
            where they are empty.
    """

    format: Literal["robo_adv.levels/1"]
    name: Annotated[str, Field(pattern=r"^[\w-]{1,60}$")]
    game: str = ""
    options: dict[str, Any] = {}
    space: str = ""
    beyond: Share = 0.0
    episodes: Annotated[int, Field(ge=1, le=MOST_EPISODES)] = 4
    drawn: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**62)] = SUITES
    levels: Annotated[tuple[LevelCard, ...], Field(min_length=1)]


def make_suite(name: str, game: str, space: DesignSpace) -> LevelSuite:
    """The suite that a name or the path of a JSON file means.

    Raises:
        UnknownNameError: neither. RoboAdvError: a file that is refused, or no presets for the game.
    """
    if name in RECIPES:
        return RECIPES[name](space)
    if name == "presets":
        return presets(game, space)
    if name.endswith(".json") or Path(name).is_file():
        return load_suite(Path(name), game, space)
    raise unknown("suite of levels", name, KINDS, hint="or a JSON file of levels, or `all`")


def has_presets(game: str) -> bool:
    """Whether presets ship for a game."""
    return (FOLDER / f"{game}.json").is_file()


def presets(game: str, space: DesignSpace) -> LevelSuite:
    """The game's hand-made levels; those of parameters that the options leave out are left out.

    Raises:
        RoboAdvError: none ship for this game.
    """
    path = FOLDER / f"{game}.json"
    if not has_presets(game):
        known = sorted(p.stem for p in FOLDER.glob("*-v*.json"))
        raise RoboAdvError(
            f"no presets ship for {game} (there are for {', '.join(known)}); name other suites, or a "
            "JSON file of your own levels"
        )
    card = read_suite(path)
    usable = [level for level in card.levels if set(level.values) <= set(space.names)]
    return _suite(card.model_copy(update={"levels": tuple(usable)}), space, path)


def read_suite(path: Path) -> SuiteCard:
    """A suite's file, of whatever game.

    Raises:
        RoboAdvError: it is missing, too large, not JSON, or no suite.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise RoboAdvError(f"{path} has {size} bytes, at most {MOST_BYTES} expected")
        return SuiteCard.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as problem:
        raise RoboAdvError(f"cannot read the levels {path}: {problem.strerror}") from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise RoboAdvError(
            f"{path} is not a suite of levels ({FORMAT}): {where}: {first['msg']}; "
            "`robo-adv levels GAME --out FOLDER` writes examples"
        ) from problem
    except (ValueError, RecursionError) as problem:  # JSON and Unicode errors are ValueErrors
        raise RoboAdvError(f"{path} is not JSON: {problem}") from problem


def load_suite(path: Path, game: str, space: DesignSpace) -> LevelSuite:
    """The suite of a file, checked against a game's design space.

    Raises:
        RoboAdvError: it is refused, or was made for another game or space.
    """
    card = read_suite(path)
    if card.game and card.game.removeprefix("robo_adv/") != game:
        raise RoboAdvError(f"{path} holds levels of {card.game}, the controller plays {game}")
    suite = _suite(card, space, path)
    if card.space and card.space != space.digest:
        raise RoboAdvError(
            f"{path} was written for another design space (digest {card.space}, options "
            f"{card.options}) than that of {game} here ({space.digest}): its parameters are the same, "
            "but bounds, nominal values or kinds changed; use the same options and version, or remove "
            "the field `space` to read the values as they are"
        )
    return suite


def _suite(card: SuiteCard, space: DesignSpace, path: Path) -> LevelSuite:
    wide = widen(space, card.beyond) if card.beyond else space
    levels: list[Level] = []
    for level in card.levels:
        try:
            _check_whole(wide, level.values)
            levels.append(wide.level(level.values))
        except RoboAdvError as error:
            beyond = f" (moved outwards by {card.beyond:g} of the range)" if card.beyond else ""
            raise RoboAdvError(f"{path}: level {level.name!r}: {error}{beyond}") from error
    names = [level.name for level in card.levels]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RoboAdvError(f"{path}: two levels are called {twice!r}; names must differ")
    return LevelSuite(
        card.name, tuple(levels), tuple(names), tuple(level.varied for level in card.levels),
        card.episodes, card.drawn, card.seed, card.beyond,
        notes=tuple(level.note for level in card.levels),
    )  # fmt: skip


def _check_whole(space: DesignSpace, values: Mapping[str, Value]) -> None:
    """Raises RoboAdvError for a fraction where whole numbers are asked for."""
    for name, value in values.items():
        if isinstance(value, float) and space[name].kind == "int" and value % 1:
            raise RoboAdvError(f"parameter {name!r} takes whole numbers, got {value:g}")


def save_suite(
    suite: LevelSuite, path: Path, game: str, space: DesignSpace, options: Mapping[str, Any]
) -> None:
    """Write a suite, every value of every level, as a file that `load_suite` reads.

    Raises:
        RoboAdvError: it cannot be written.
    """
    head = {
        "format": FORMAT, "name": suite.name, "game": game, "options": plain(options),
        "space": space.digest, "beyond": suite.beyond, "episodes": suite.episodes,
        "drawn": suite.drawn, "seed": suite.first,
    }  # fmt: skip
    lines = [json.dumps(_level_json(suite, j)) for j in range(len(suite))]
    text = (
        json.dumps(head, indent=1)[:-2] + ',\n "levels": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    )
    write_text(path, text)


def _level_json(suite: LevelSuite, j: int) -> dict[str, Any]:
    out: dict[str, Any] = {"name": suite.labels[j], "values": dict(suite.levels[j].values)}
    if suite.notes and suite.notes[j]:
        out["note"] = suite.notes[j]
    if suite.varied and suite.varied[j]:
        out["varied"] = suite.varied[j]
    return out


def digests(game: str, space: DesignSpace, names: Sequence[str] = KINDS) -> dict[str, str]:
    """Digest per suite that the game has."""
    kept = [name for name in names if name != "presets" or has_presets(game)]
    return {name: make_suite(name, game, space).digest for name in kept}


def published(space: DesignSpace) -> dict[str, str]:
    """Frozen digest per suite of a design space; {} for a space of which none are frozen."""
    found = json.loads(DIGESTS.read_text(encoding="utf-8")) if DIGESTS.is_file() else {}
    return dict(found.get(space.digest, {}).get("suites", {}))


def changed(suite: LevelSuite, space: DesignSpace) -> str:
    """What to tell of a suite that is not the published one, in a sentence; '' if nothing."""
    frozen = published(space).get(suite.name, suite.digest)
    if frozen == suite.digest:
        return ""
    return (
        f"Suite {suite.name} gives other levels (digest {suite.digest}) than the published one "
        f"({frozen}): do not compare numbers across machines or versions."
    )


def about(suite: LevelSuite) -> str:
    """A suite in a few words: how many levels, and what was done to them."""
    parts = [f"{len(suite)} level{'s' if len(suite) > 1 else ''}"]
    if suite.repaired:
        parts.append(f"{suite.repaired} repaired")
    if suite.left_out:
        parts.append(f"{suite.left_out} impossible")
    if suite.beyond:
        parts.append(f"up to {told(100 * suite.beyond)} % beyond the bounds")
    return ", ".join(parts)
