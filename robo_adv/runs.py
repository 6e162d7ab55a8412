"""Runs: a folder with everything one training or evaluation made, and what made it.

Every write that matters goes to a temporary file and is renamed; `DONE` is written last.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from robo_adv.errors import RoboAdvError

PACKAGES = ("robo_adv", "mujoco", "gymnasium", "stable_baselines3", "torch", "numpy", "scipy")


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, and the machine."""
    out = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    out["cpus"] = str(os.cpu_count())
    for package in PACKAGES:
        try:
            out[package] = version(package)
        except PackageNotFoundError:
            out[package] = "not installed"
    return out


def plain(value: Any) -> Any:
    """`value` as JSON values: dataclasses as objects, tuples as lists, arrays as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value) if isinstance(value, Path) else value


def write_text(path: Path, text: str) -> None:
    """Write a file so that readers see the old or the new one, never a part.

    Raises:
        RoboAdvError: the disk is full or the folder is read-only.
    """
    write_with(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_with(path: Path, write: Callable[[Path], Any]) -> None:
    """As `write_text`, for a function that writes the file at the path it is given."""
    temporary = path.with_name(f".{path.name}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RoboAdvError(f"cannot write {path}: {error.strerror or error}") from error


def write_folder(path: Path, write: Callable[[Path], Any]) -> None:
    """Replace a whole folder: `write` fills a fresh one, which then takes the place of the old."""
    temporary, old = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write(temporary)
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RoboAdvError(f"cannot write {path}: {error.strerror or error}") from error


class Run:
    """One run folder: `runs/<game>/<verb>/<time>-<hash>-s<seed>/`.

    Make new ones with `Run.create`, open existing ones with `Run.open`.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.config = folder, config

    @staticmethod
    def create(
        game: str, verb: str, config: Any, seed: int, root: Path = Path("runs")
    ) -> Run:  # fmt: skip
        """A new folder with config.json, versions.json and command.txt, written before any work.

        Raises:
            RoboAdvError: the folder cannot be written.
        """
        values = plain(config)
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:6]
        stamp = time.strftime("%Y%m%d-%H%M%S")
        base = root / game / verb / f"{stamp}-{digest}-s{seed}"
        folder, extra = base, 1
        while folder.exists():
            folder, extra = base.with_name(f"{base.name}-{extra}"), extra + 1
        return Run.at(folder, game, verb, config, seed)

    @staticmethod
    def at(folder: Path, game: str, verb: str, config: Any, seed: int) -> Run:
        """A new run in exactly this folder, for example a part of another run."""
        run = Run(folder, {"verb": verb, "game": game, "seed": seed, "config": plain(config)})
        run.write_json("config.json", run.config)
        run.write_json("versions.json", versions())
        command = [Path(sys.argv[0]).name, *sys.argv[1:]]
        write_text(folder / "command.txt", " ".join(command) + "\n")
        return run

    @staticmethod
    def open(folder: Path | str) -> Run:
        """An existing run.

        Raises:
            RoboAdvError: no such run, or its config cannot be read.
        """
        path = Path(folder) / "config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RoboAdvError(f"{folder} is not a run folder: no {path.name} in it") from error
        except json.JSONDecodeError as error:
            raise RoboAdvError(f"{path} is not JSON: {error}") from error
        if not isinstance(config, dict):
            raise RoboAdvError(f"{path} is not a run's config: expected a JSON object")
        return Run(Path(folder), config)

    @property
    def command(self) -> str:
        """The command that made it; '' where that was not kept."""
        path = self.folder / "command.txt"
        return path.read_text(encoding="utf-8").strip() if path.is_file() else ""

    @property
    def done(self) -> bool:
        return (self.folder / "DONE").exists()

    def change(self, config: Mapping[str, Any]) -> None:
        """Give the run another config, for example more steps; it is no longer done."""
        self.config = {**self.config, "config": plain(config)}
        self.write_json("config.json", self.config)
        (self.folder / "DONE").unlink(missing_ok=True)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the run, atomically."""
        write_text(self.folder / name, json.dumps(plain(value), indent=1) + "\n")

    def log(self, values: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        try:
            with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(plain(values)) + "\n")
        except OSError as error:
            where = self.folder / "metrics.jsonl"
            raise RoboAdvError(f"cannot write {where}: {error.strerror or error}") from error

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line that a kill cut short is left out."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return []
        lines = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return lines

    def truncate_metrics(self, steps: int) -> None:
        """Drop the lines beyond `steps`: those of work that a resume does again."""
        kept = [line for line in self.metrics() if line.get("steps", 0) <= steps]
        write_text(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in kept))

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json, then DONE."""
        self.write_json("summary.json", summary)
        write_text(self.folder / "DONE", time.strftime("%Y-%m-%dT%H:%M:%S") + "\n")
