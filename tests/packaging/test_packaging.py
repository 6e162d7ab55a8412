"""The wheel holds what the tree holds, and folders called `envs` or `agents` are never in the way."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import robo_adv

ROOT = Path(__file__).parents[2]
FOLDERS = ("robo_adv", "envs", "agents", "assets")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in folder `cwd`, which comes first on its path."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def copy_of_the_tree(folder: Path, links: bool) -> Path:
    """The sources without `build/`, whose left-overs setuptools would pack; with links or without."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=ignore, symlinks=True)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    for name in FOLDERS[1:]:
        (folder / "robo_adv" / name).unlink(missing_ok=True)
        if links:
            (folder / "robo_adv" / name).symlink_to(Path("..") / name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("links", [False, True], ids=["without links", "with links"])
def test_the_wheel_holds_every_file_of_the_tree_once(links: bool, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    copy_of_the_tree(source, links)
    built = python("-m", "build", "--wheel", "--no-isolation", "--outdir", "..", cwd=source)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    checker = str(ROOT / "tests" / "packaging" / "wheel_contents.py")
    compared = python(checker, str(wheel), cwd=tmp_path)
    assert compared.returncode == 0, compared.stdout + compared.stderr


@pytest.mark.slow
def test_a_forgotten_subpackage_is_noticed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    copy_of_the_tree(source, links=False)
    (source / "envs" / "soccer" / "__init__.py").unlink()  # so that setup.py does not find it
    built = python("-m", "build", "--wheel", "--no-isolation", "--outdir", "..", cwd=source)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    checker = str(ROOT / "tests" / "packaging" / "wheel_contents.py")
    compared = python(checker, str(wheel), cwd=tmp_path)
    assert compared.returncode == 1
    assert "missing from the wheel: robo_adv/envs/soccer/kick_and_defend.py" in compared.stdout


@pytest.mark.parametrize("name", ["envs", "agents"])
def test_importing_a_source_folder_by_its_own_name_says_what_to_import(name: str) -> None:
    done = python("-c", f"import {name}", cwd=ROOT)
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("ImportError") and f"`robo_adv.{name}`" in error


@pytest.mark.slow
def test_folders_of_the_same_name_in_a_users_project_do_not_shadow_ours(tmp_path: Path) -> None:
    for name in ("envs", "agents", "assets"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('decoy')")
    code = "import robo_adv.agents, robo_adv.assets, robo_adv.envs.game; print('ours')"
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "ours", done.stderr
    assert python("-c", "import envs", cwd=tmp_path).stderr.endswith("RuntimeError: decoy\n")


def test_every_folder_of_sources_is_a_package() -> None:
    for folder in FOLDERS[:3]:
        for path in (ROOT / folder).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), f"{path.parent} has no __init__.py"


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert robo_adv.__version__ == project["version"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_ships_is_pinned() -> None:
    """Every core and development dependency has a pin in constraints.txt, so CI tests one set."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {
        re.split(r"[\[<>=!~ ]", line)[0]
        for line in [*project["dependencies"], *extras["dev"], *extras["onnx"]]
    }
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {line.split("==")[0] for line in text.splitlines() if "==" in line}
    assert wanted <= pinned, f"no pin for {', '.join(sorted(wanted - pinned))}"
    assert "://" not in text and "+" not in text
