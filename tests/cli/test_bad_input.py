"""Bad input: one clear line on stderr, exit code 2, no traceback, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training.tiny import FLAGS, Killed, shrink, stop_after, tiny_bundle

from robo_adv.cli import main
from robo_adv.runs import Run
from robo_adv.training import loop

EVALUATE = ["evaluate", "zero", "--opponents", "zero", "--episodes", "8", "--set", "arms=0"]
TRAIN = ["train", "--steps", "256", "--checkpoint-every", "128", "--opponents", "zero", *FLAGS]


@pytest.fixture(autouse=True)
def _short_episodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shrink(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that `robo-adv ARGUMENTS` leaves; checks code and silence elsewhere."""
    before = _files(Path())
    assert main.run(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1, f"expected one line, got {err!r}"
    assert err.startswith("robo-adv: error: ") and "Traceback" not in err
    assert _files(Path()) == before, "something half-written was left"
    return err.removeprefix("robo-adv: error: ").rstrip("\n")


def _files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["evalute"], "unknown verb 'evalute'; did you mean 'evaluate'"),
        ([*EVALUATE, "--game", "KickAndDefnd-v0"], "unknown game 'KickAndDefnd-v0'; did you mean 'KickAndDefend-v0'"),  # noqa: E501
        ([*EVALUATE, "--set", "body=antt"], "unknown body 'antt'; did you mean 'ant'?"),
        ([*EVALUATE, "--set", "arm=4"], "unknown option 'arm'; did you mean 'arms'?"),
        ([*EVALUATE, "--set", "arms"], "option 'arms' is not NAME=VALUE, for example arms=4"),
        ([*EVALUATE, "--set", "=4"], "option '=4' is not NAME=VALUE"),
        ([*EVALUATE, "--player", "keper"], "'keper'; did you mean 'keeper'"),
        (["evaluate", "zeros", "--set", "arms=0"], "unknown policy 'zeros'; did you mean 'zero'?"),
        ([*EVALUATE, "--opponents", "tack-ball"], "unknown policy 'tack-ball'; did you mean 'track-ball' or"),  # noqa: E501
        (["evaluate", "zoo:kiker"], "unknown zoo policy 'kiker'"),
        (["evaluate", "nowhere:policy"], "cannot import policy 'nowhere:policy'"),
        (["evaluate", "os:nothing"], "cannot import policy 'os:nothing'"),
        (["evaluate", "math:pi", "--set", "arms=0"], "math:pi gave float, expected something with predict"),  # noqa: E501
        ([*EVALUATE, "--masks", "initail"], "unknown mask 'initail'; did you mean 'initial'?"),
        ([*EVALUATE, "--set", "arms=9"], "body 'omni' takes arms = 0..8, got 9"),
        ([*EVALUATE, "--set", "arms=-1"], "body 'omni' takes arms = 0..8, got -1"),
        ([*EVALUATE, "--set", "arms=2.5"], "body 'omni' takes arms = 0..8, got 2.5"),
        ([*EVALUATE, "--set", "arms=true"], "body 'omni' takes arms = 0..8, got True"),
        ([*EVALUATE, "--set", "arms=four"], "body 'omni' takes arms = 0..8, got 'four'"),
        ([*EVALUATE, "--set", "body=ant", "arms=4"], "arms = 4 fits body 'omni' only, got 'ant'"),
        ([*EVALUATE, "--set", "keeper_out=wins"], "unknown value of keeper_out 'wins'"),
        ([*EVALUATE, "--episodes", "0"], "episodes must be at least 1, got 0"),
        ([*EVALUATE, "--episodes", "-3"], "episodes must be at least 1, got -3"),
        ([*EVALUATE, "--fail-if", "win_rate"], 'for example "win_rate<0.8"'),
        ([*EVALUATE, "--fail-if", "win_rate<80"], 'for example "win_rate<0.8"'),
        ([*EVALUATE, "--fail-if", "winrate<0.8"], "unknown measure of --fail-if 'winrate'; did you mean 'win_rate'"),  # noqa: E501
        (["matrix", "--kickers", "zero", "--keepers", "zro"], "unknown policy 'zro'"),
        (["matrix", "--kickers", "zero", "--keepers", "zero", "--episodes", "0"], "episodes must be at least 1"),  # noqa: E501
        (["train", "--steps", "0"], "steps must be at least 1, got 0"),
        (["train", "--checkpoint-every", "-5"], "checkpoint_every must be at least 1, got -5"),
        (["train", "--resume", "nowhere"], "nowhere is not a run folder"),
        (["attack", "nowhere"], "is not `zoo:<name>` or an existing bundle folder"),
        (["attack", "zoo:nobody"], "unknown zoo policy 'nobody'"),
        (["zoo", "show"], "takes one NAME, got ()"),
        (["zoo", "show", "nobody"], "unknown zoo policy 'nobody'"),
        (["zoo", "add", "nowhere", "../../evil"], "zoo name '../../evil' must be"),
        (["zoo", "import", "x.zip", "y"], "only with --trust"),
        (["zoo", "import", "x.zip", "y", "--trust"], "x.zip is not a stable-baselines3 zip"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)  # fmt: skip
def test_mistakes_are_named_in_one_line(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert text in _refused(capsys, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        [*EVALUATE, "--set", "body=3"],
        [*EVALUATE, "--seed", "-1"],
        ["evaluate", ":policy"],
        ["evaluate", "..:policy"],
        [*EVALUATE, "--sigma", "nan", "--masks", "noise"],
        [*TRAIN, "--seed", "-1"],
        [*TRAIN, "--ppo.learning-rate", "nan"],
    ],
    ids=lambda arguments: " ".join(arguments[-2:]),
)
def test_values_that_nothing_checks_are_named_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["train", "KickAndDefnd-v0"], "unknown game 'KickAndDefnd-v0'"),
        (["train", "--player", "kiper"], "unknown player"),
        (["train", "--opponents", "zro"], "unknown policy 'zro'"),
        (["train", "--reward", "dens"], "unknown reward preset 'dens'; did you mean 'dense'?"),
        (["train", "--set", "arms=9"], "takes arms = 0..8"),
        (["train", "--set", "arm=4"], "unknown option 'arm'"),
    ],
)
def test_a_training_that_cannot_begin_leaves_no_run_folder(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert text in _refused(capsys, *arguments, *FLAGS[2:])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["evaluate", "zero", "--episods", "8"], "--episodes"),
        (["evaluate"], "policy"),
        (["evaluate", "zero", "--episodes", "many"], "many"),
        (["train", "--recipe", "selfplai"], "selfplay"),
        (["train", "--ppo.batch-size", "1000000"], "exceeds num_envs"),
        (["train", "--ppo.num-envs", "0"], "num_envs must be at least 1"),
        (["train", "--ppo.activation", "gelu"], "'gelu' is not one of"),
        (["attack", "x", "--port", "camera"], "opponent"),
        (["zoo", "lst"], "list"),
    ],
)  # fmt: skip
def test_flags_that_do_not_parse_are_explained(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """tyro draws these in a box; the words and the exit code are what counts."""
    try:
        code = main.run(arguments)
    except SystemExit as stopped:
        code = int(str(stopped.code))
    out, err = capsys.readouterr()
    assert code == 2 and out == ""
    assert text in " ".join(err.replace("│", " ").split()) and "Traceback" not in err
    assert not _files(tmp_path)


# Bundles.


def _cut(folder: Path) -> None:
    weights = folder / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:-20])


def _edit(folder: Path) -> None:
    card = json.loads((folder / "policy.json").read_text())
    (folder / "policy.json").write_text(json.dumps({**card, "surprise": 1}))


def _empty(folder: Path) -> None:
    (folder / "policy.json").unlink()


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (_cut, "it was edited or cut short"),
        (_edit, "is not a policy card: surprise"),
        (_empty, "is not a bundle: no policy.json in it"),
    ],
)
def test_a_broken_bundle_is_named_in_one_line(
    harm: Callable[[Path], None], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_bundle(Path("victim"))
    harm(folder)
    for arguments in (
        ["evaluate", "victim"],
        ["evaluate", "zero", "--opponents", "victim", "--player", "keeper", "--set", "arms=0"],
        ["matrix", "--kickers", "victim", "--keepers", "zero"],
        ["zoo", "add", "victim", "some-name"],
    ):
        assert text in _refused(capsys, *arguments)


@pytest.mark.parametrize(("harm", "text"), [(_cut, "cut short"), (_edit, "surprise")])
def test_an_attack_on_a_broken_bundle_leaves_no_run_folder(
    harm: Callable[[Path], None], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(tiny_bundle(Path("victim")))
    assert text in _refused(capsys, "attack", "victim", *FLAGS[2:])


def test_a_bundle_of_another_player_or_body_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    tiny_bundle(Path("keeper"), player="keeper")
    tiny_bundle(Path("kicker"), options={"arms": 2})
    said = _refused(capsys, "evaluate", "keeper", "--player", "kicker")
    assert said == "keeper plays 'keeper', --player says 'kicker'"
    said = _refused(capsys, "matrix", "--kickers", "keeper", "--keepers", "zero")
    assert "was made for 'keeper' in KickAndDefend-v0, asked for 'kicker'" in said
    said = _refused(capsys, "evaluate", "kicker", "--opponents", "keeper", "--episodes", "8")
    assert "keeper was made for KickAndDefend-v0 with" in said and "this game has" in said


def test_a_text_file_is_not_a_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    Path("notes.txt").write_text("hello")
    assert "notes.txt is a file, expected a bundle folder" in _refused(
        capsys, "evaluate", "notes.txt"
    )


# Resuming what cannot be resumed.


def test_a_run_that_is_no_training_cannot_be_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([*EVALUATE, "--json"]) == 0
    folder = json.loads(capsys.readouterr().out)["folder"]
    assert "is a run of 'evaluate', which is not a training" in _refused(
        capsys, "train", "--resume", folder
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "is not JSON"),
        ('{"verb": "protagonist", "config": {}}', "does not fit this version"),
        ('{"verb": "protagonist", "config": {"ppo": {"net_arch": [16]}, "threads": {}, "x": 1}}',
         "does not fit this version"),
        ("[]", ""),
        ('{"verb": "protagonist"}', ""),
        ('{"verb": "protagonist", "config": {"ppo": {"net_arch": 4}, "threads": 5}}', ""),
    ],
)  # fmt: skip
def test_an_edited_config_is_refused(
    content: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run").mkdir()
    Path("run/config.json").write_text(content)
    assert text in _refused(capsys, "train", "--resume", "run")


def test_a_checkpoint_that_is_a_pickle_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 1, "interrupted")
        assert main.run(TRAIN) == 130
    capsys.readouterr()
    (folder,) = Path("runs/KickAndDefend-v0/protagonist").iterdir()
    (folder / "checkpoints" / "resume.safetensors").write_bytes(b"\x80\x04\x95K\x01.")
    assert main.run(["train", "--resume", str(folder)]) == 2
    assert "is not a resume state" in capsys.readouterr().err


# Places that cannot be written. Root ignores permissions, so /proc and files stand for them.


@pytest.mark.parametrize("runs", ["/proc/runs", "file/runs", "file"])
@pytest.mark.parametrize("arguments", [EVALUATE, TRAIN], ids=["evaluate", "train"])
def test_a_run_folder_that_cannot_be_made_is_named(
    arguments: list[str], runs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("in the way")
    said = _refused(capsys, *arguments, "--runs", runs)
    assert runs in said
    assert Path("file").read_text() == "in the way"


def test_a_full_disk_is_named_and_leaves_no_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name in ("summary.json", "last"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    for arguments in (EVALUATE, TRAIN):
        assert main.run(arguments) == 2
        err = capsys.readouterr().err.strip().splitlines()
        assert len(err) == 1 and err[0].startswith("robo-adv: error: cannot write ")
        assert err[0].endswith(": No space left on device")
        assert not list(Path().rglob("DONE")) and not list(Path().rglob("*.tmp*"))
        shutil.rmtree("runs")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_file_that_cannot_grow_during_training_is_named_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real failing write: the kernel refuses what goes beyond a file of 3000 bytes."""
    train, limits = loop.train, resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(*args: Any, **kwargs: Any) -> Any:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
        try:
            return train(*args, **kwargs)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr("robo_adv.agents.protagonist.train_loop", limited)
    assert main.run(TRAIN) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err and err.count("robo-adv: error: cannot write") == 1
    assert not list(Path().rglob("policy.*")) and not list(Path().rglob("DONE"))


@pytest.mark.parametrize(
    "stop",
    [KeyboardInterrupt(), KeyboardInterrupt("told to stop")],
    ids=["bare", "with text"],
)
def test_ctrl_c_anywhere_ends_with_130_and_one_line(
    stop: KeyboardInterrupt, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise stop

    for place in ("robo_adv.cli.evaluate.world_of", "robo_adv.cli.evaluate.evaluate"):
        with monkeypatch.context() as patch:
            patch.setattr(place, interrupted)
            assert main.run(EVALUATE) == 130
        err = capsys.readouterr().err
        assert err.strip() == f"robo-adv: {stop.args[0] if stop.args else 'interrupted'}"
        assert not list(Path().rglob("*"))


def test_a_kill_before_the_first_checkpoint_can_be_resumed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 0, "killed")
        with pytest.raises(Killed):
            main.run(TRAIN)
    (folder,) = Path("runs/KickAndDefend-v0/protagonist").iterdir()
    assert main.run(["train", "--resume", str(folder)]) == 0
    assert Run.open(folder).done
