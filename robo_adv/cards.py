"""Cards: small JSON files with a strict schema, read without trusting them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from robo_adv.errors import RoboAdvError

MAX_CARD = 256 * 1024  # [bytes]
Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A schema that knows all its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_json(
    path: Path, schema: type[Model], what: str, error: type[RoboAdvError] = RoboAdvError
) -> Model:
    """What a card says.

    Args:
        what: the file should be, for messages. error: is raised.

    Raises:
        RoboAdvError: missing, too large, not JSON, or not of the schema.
    """
    try:
        size = path.stat().st_size
        if size > MAX_CARD:
            raise error(f"{path} has {size} bytes, at most {MAX_CARD} expected")
        return schema.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as problem:
        raise error(f"cannot read {what} {path}: {problem.strerror}") from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise error(f"{path} is not {what}: {where}: {first['msg']}") from problem
    except (ValueError, RecursionError) as problem:  # JSON and Unicode errors are ValueErrors
        raise error(f"{path} is not JSON: {problem}") from problem
