"""Lower folders never import higher ones: library <- envs <- agents <- command line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ABOVE = {
    "robo_adv": ("robo_adv.envs", "robo_adv.agents", "robo_adv.cli"),
    "envs": ("robo_adv.agents", "robo_adv.cli"),
    "agents": ("robo_adv.cli",),
}


def _imports(path: Path) -> list[str]:
    """Modules that a file imports when it runs, anywhere in it (not under TYPE_CHECKING)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("folder", ABOVE)
def test_no_file_imports_from_a_folder_above_its_own(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*.py") if "cli" not in path.parts]
    links = ("envs", "agents", "assets")
    own = [p for p in files if not (folder == "robo_adv" and p.relative_to(ROOT).parts[1] in links)]
    assert own
    for path in own:
        if path.parent == ROOT / "robo_adv" and path.name in ("__init__.py", "__main__.py"):
            continue  # the umbrella, which registers the games, and the console script
        wrong = [m for m in _imports(path) if m.startswith(ABOVE[folder])]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"
