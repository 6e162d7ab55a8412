"""Bundles: what is saved comes back to the bit, and whatever else is given is refused unread.

Every refusal is a BundleError of one line; nothing in a file is ever executed.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from training.tiny import GAME, tiny_bundle

from robo_adv.agents.named import check_fits, find_bundle, named_policy
from robo_adv.bundle import CARD, WEIGHTS, load_bundle, read_card, save_bundle
from robo_adv.cards import MAX_CARD
from robo_adv.envs.game import make_game
from robo_adv.errors import BundleError, RoboAdvError
from robo_adv.training.network import NetworkPolicy

Tensors = dict[str, torch.Tensor]


class Planted:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("original") / "kicker", options={"arms": 0})


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "kicker")
    return tmp_path / "kicker"


def _card(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((folder / CARD).read_text())
    return card


def _write_card(folder: Path, card: Any) -> None:
    (folder / CARD).write_text(json.dumps(card))


def _write_weights(folder: Path, tensors: Tensors | bytes) -> None:
    """Weights with a card that has their hash, as an attacker would write them."""
    if isinstance(tensors, bytes):
        (folder / WEIGHTS).write_bytes(tensors)
    else:
        save_file(tensors, folder / WEIGHTS)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    _write_card(folder, {**_card(folder), "sha256": digest})


def _refused(folder: Path, text: str) -> None:
    with pytest.raises(BundleError, match=text) as refused:
        load_bundle(folder)
    assert "\n" not in str(refused.value), "the refusal is more than one line"
    assert str(folder) in str(refused.value)


def test_a_bundle_comes_back_to_the_bit(original: Path, tmp_path: Path) -> None:
    first = load_bundle(original)
    card = first.card
    save_bundle(
        tmp_path / "again", first.policy, game=card.game, options=card.options,
        player=card.player, layout=[list(part) for part in card.layout],
        net_arch=card.architecture.net_arch, activation=card.architecture.activation,
        provenance={"recipe": "test", "seed": 0},
    )  # fmt: skip
    for name in (CARD, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (original / name).read_bytes()
    second = load_bundle(tmp_path / "again")
    x = np.random.default_rng(0).standard_normal((32, first.policy.observation_size))
    x = x.astype(np.float32)
    actions = [bundle.policy.predict(x, None, None, True)[0] for bundle in (first, second)]
    assert np.array_equal(actions[0], actions[1]) and np.abs(actions[0]).max() > 0.1
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [CARD, WEIGHTS]


def test_saving_replaces_a_bundle_in_one_step(original: Path, folder: Path) -> None:
    tiny_bundle(folder, seed=8)
    assert (folder / WEIGHTS).read_bytes() != (original / WEIGHTS).read_bytes()
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
    load_bundle(folder)


def test_statistics_are_part_of_a_bundle(tmp_path: Path) -> None:
    policy = load_bundle(tiny_bundle(tmp_path / "a")).policy
    extractor: Any = policy.network.features_extractor
    extractor.update(torch.randn(100, policy.observation_size) * 5 + 2)
    card = read_card(tmp_path / "a")
    save_bundle(
        tmp_path / "b", policy, game=card.game, options=card.options, player=card.player,
        layout=[list(part) for part in card.layout], net_arch=(16,), activation="tanh",
        provenance={},
    )  # fmt: skip
    loaded: Any = load_bundle(tmp_path / "b").policy.network.features_extractor
    for name in ("mean", "var", "count"):
        assert torch.equal(getattr(loaded, name), getattr(extractor, name))


# Made for something else.


@pytest.mark.parametrize(
    ("player", "options", "text"),
    [
        ("keeper", {"arms": 0}, "was made for 'kicker' in KickAndDefend-v0, asked for 'keeper'"),
        ("kicker", {"arms": 2}, r"was made for KickAndDefend-v0 with .*'arms': 0.*; this game has"),
        ("kicker", {"body": "ant"}, "; this game has"),
    ],
)
def test_a_bundle_for_another_player_or_body_is_refused(
    folder: Path, player: str, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(BundleError, match=text):
        named_policy(str(folder), make_game(GAME, 1, threads=1, **options), player)


def test_a_bundle_for_another_game_is_refused(folder: Path) -> None:
    _write_card(folder, {**_card(folder), "game": "Sumo-v0"})
    with pytest.raises(BundleError, match="was made for 'kicker' in Sumo-v0"):
        named_policy(str(folder), make_game(GAME, 1, threads=1, arms=0), "kicker")


def test_a_layout_with_the_same_size_but_another_order_is_refused(folder: Path) -> None:
    card = _card(folder)
    card["layout"] = card["layout"][::-1]
    _write_card(folder, card)
    with pytest.raises(BundleError, match="this game has"):
        check_fits(read_card(folder), make_game(GAME, 1, threads=1, arms=0), "kicker", "it")


# Broken or planted weights.


def _drop(tensors: Tensors) -> None:
    del tensors["log_std"]


def _add(tensors: Tensors) -> None:
    tensors["extra"] = torch.zeros(1)


def _reshape(tensors: Tensors) -> None:
    tensors["log_std"] = torch.zeros(4)


def _half(tensors: Tensors) -> None:
    tensors["log_std"] = tensors["log_std"].half()


def _wide_statistics(tensors: Tensors) -> None:
    tensors["features_extractor.mean"] = tensors["features_extractor.mean"].float()


def _nan(tensors: Tensors) -> None:
    tensors["action_net.weight"][0, 3] = float("nan")


def _infinite(tensors: Tensors) -> None:
    tensors["features_extractor.var"][2] = float("inf")


def _negative(tensors: Tensors) -> None:
    tensors["features_extractor.var"][2] = -1.0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_drop, r"other tensors than its architecture: \['log_std'\]"),
        (_add, r"other tensors than its architecture: \['extra'\]"),
        (_reshape, r"tensor 'log_std' has shape \(4,\), expected \(3,\)"),
        (_half, r"tensor 'log_std' is torch\.float16, expected torch\.float32"),
        (
            _wide_statistics,
            r"'features_extractor\.mean' is torch\.float32, expected torch\.float64",
        ),
        (_nan, r"tensor 'action_net\.weight' holds NaN or infinity"),
        (_infinite, r"tensor 'features_extractor\.var' holds NaN or infinity"),
        (_negative, "a variance is negative"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    folder: Path, change: Callable[[Tensors], None], text: str
) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    _write_weights(folder, tensors)
    _refused(folder, text)


def test_edited_weights_are_refused_by_their_hash(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    _refused(folder, "does not match its card .*: it was edited or cut short")


@pytest.mark.parametrize("keep", [0, 4, 100, -8])
def test_truncated_weights_are_refused_with_and_without_a_matching_hash(
    folder: Path, keep: int
) -> None:
    cut = (folder / WEIGHTS).read_bytes()[:keep]
    (folder / WEIGHTS).write_bytes(cut)
    _refused(folder, "it was edited or cut short")
    _write_weights(folder, cut)
    _refused(folder, "is not a safetensors file")


def test_a_header_that_promises_more_than_the_file_holds_is_refused(folder: Path) -> None:
    header = b'{"log_std":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4294967296]}}'
    _write_weights(folder, len(header).to_bytes(8, "little") + header)
    _refused(folder, "is not a safetensors file")
    _write_weights(folder, (2**63).to_bytes(8, "little") + header)
    _refused(folder, "is not a safetensors file")


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_a_pickle_in_place_of_the_weights_is_refused_and_never_run(
    folder: Path, tmp_path: Path, form: str
) -> None:
    mark = tmp_path / "planted-code-ran"
    if form == "pickle":
        content = pickle.dumps(Planted(mark))
    else:
        torch.save({"log_std": Planted(mark)}, tmp_path / "planted.pt")
        content = (tmp_path / "planted.pt").read_bytes()
    _write_weights(folder, content)
    _refused(folder, "is not a safetensors file")
    (folder / CARD).write_bytes(content)
    _refused(folder, "is not JSON")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Planted(mark)))
    assert mark.exists(), "the planted code does nothing, so the check said nothing"


# Edited cards.


def _set(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def edit(card: dict[str, Any]) -> None:
        place: Any = card
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return edit


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (_set("extra_key", to=1), "extra_key: Extra inputs are not permitted"),
        (_set("architecture", "extra", to="x"), r"architecture\.extra"),
        (_set("architecture", "kind", to="pickle"), r"architecture\.kind: Input should be 'mlp'"),
        (_set("architecture", "activation", to="os.system"), r"activation: Input should be 'tanh'"),
        (_set("architecture", "net_arch", to=[10**9]), "layer widths must lie in 1..4096"),
        (_set("architecture", "net_arch", to=[0]), "layer widths must lie in 1..4096"),
        (_set("architecture", "net_arch", to=[16] * 9), r"architecture\.net_arch"),
        (_set("architecture", "net_arch", to="16"), r"architecture\.net_arch"),
        (_set("architecture", "observation_size", to=10**9), r"architecture\.observation_size"),
        (_set("architecture", "observation_size", to=7), "layout has .* numbers, observation_size"),
        (_set("architecture", "action_size", to=-1), r"architecture\.action_size"),
        (_set("architecture", "action_size", to=4), "has shape"),
        (_set("sha256", to="../../etc/passwd"), "sha256"),
        (_set("sha256", to="A" * 64), "sha256"),
        (_set("sha256", to="0" * 64), "does not match its card"),
        (_set("format", to="robo_adv.policy/2"), r"format: Input should be 'robo_adv\.policy/1'"),
        (_set("game", to="x" * 101), "game"),
        (_set("game", to=None), "game"),
        (_set("options", to={"arms": {"__import__": "os"}}), "options"),
        (_set("options", to=[1]), "options"),
        (_set("layout", to=[["own", 1]]), "layout"),
        (_set("layout", 0, 1, to=-5), "layout has"),
    ],
)
def test_edited_cards_are_refused(
    folder: Path, edit: Callable[[dict[str, Any]], None], text: str
) -> None:
    card = _card(folder)
    edit(card)
    _write_card(folder, card)
    _refused(folder, text)


@pytest.mark.parametrize(
    "game", ["../../x", "/etc/passwd", "os:system", "module:CartPole-v1", "CartPole-v1", ""]
)
def test_a_game_name_in_a_card_is_only_looked_up(folder: Path, game: str) -> None:
    """No path, no import and no gymnasium id comes out of a card."""
    _write_card(folder, {**_card(folder), "game": game})
    card = load_bundle(folder).card
    with pytest.raises(RoboAdvError, match="unknown game"):
        make_game(card.game, 1, threads=1, **card.options)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{} {}", b'{"format": 1}', b"NaN"],
    ids=repr,
)
def test_what_is_not_a_card_is_refused(folder: Path, content: bytes) -> None:
    (folder / CARD).write_bytes(content)
    _refused(folder, "is not JSON|is not a policy card")


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"game": ' + b"9" * 5000 + b"}"], ids=["deep", "long number"]
)
def test_cards_that_exhaust_the_json_reader_are_refused(folder: Path, content: bytes) -> None:
    (folder / CARD).write_bytes(content)
    _refused(folder, "is not JSON|is not a policy card")


def test_giant_files_are_refused_by_their_size(folder: Path) -> None:
    with (folder / WEIGHTS).open("r+b") as file:
        file.truncate(2**40)  # sparse: reading it would take the memory of any machine
    _refused(folder, "has 1099511627776 bytes, at most 67108864 expected")
    with (folder / CARD).open("r+b") as file:
        file.truncate(2**40)
    _refused(folder, f"has 1099511627776 bytes, at most {MAX_CARD} expected")


def test_a_card_with_huge_layers_is_refused_before_they_are_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*args: Any) -> Any:
        raise AssertionError("the network was built")

    card = _card(folder)
    card["architecture"]["net_arch"] = [4096] * 8
    _write_card(folder, card)
    monkeypatch.setattr("robo_adv.bundle.build_network", build)
    began = time.monotonic()
    _refused(folder, ".")
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("missing", [CARD, WEIGHTS])
def test_a_folder_that_lacks_a_file_is_no_bundle(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    _refused(folder, f"is not a bundle: no {missing}")


def test_names_that_are_nothing_are_refused(tmp_path: Path) -> None:
    for name in ("zoo:nobody", str(tmp_path / "nowhere")):
        with pytest.raises(RoboAdvError, match=r"unknown zoo policy 'nobody'|is not `zoo:<name>`"):
            find_bundle(name)
    _refused(tmp_path, f"is not a bundle: no {CARD}")


def test_a_name_with_a_path_in_it_does_not_leave_the_zoo(original: Path) -> None:
    name = os.path.relpath(original, Path(make_game.__code__.co_filename).parents[1] / "assets/zoo")
    with pytest.raises(RoboAdvError, match="unknown zoo policy"):
        find_bundle(f"zoo:{name}")


def test_a_run_folder_stands_for_its_best_checkpoint(original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "checkpoints" / "last")
    tiny_bundle(tmp_path / "checkpoints" / "best", seed=4)
    assert find_bundle(str(tmp_path)).card.provenance["seed"] == 4


def test_a_folder_called_zero_does_not_hide_the_scripted_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zero").mkdir()
    monkeypatch.chdir(tmp_path)
    assert (
        type(named_policy("zero", make_game(GAME, 1, threads=1, arms=0), "keeper")).__name__
        == "Zero"
    )


# Any card at all.

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [at, *(path for key, part in inner for path in _paths(part, (*at, key)))]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_fuzzed_cards_load_or_are_refused_by_a_bundle_error(
    original: Path, folder: Path, data: st.DataObject
) -> None:
    card: Any = {"card": copy.deepcopy(_card(original))}
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(_paths(card)[1:]))
        place = card
        for step in path[:-1]:
            place = place[step]
        action = data.draw(st.sampled_from(["replace", "remove", "nudge"]))
        if action == "remove" and path != ("card",):
            place.pop(path[-1])
        elif action == "nudge" and isinstance(place[path[-1]], int):
            place[path[-1]] += data.draw(st.sampled_from([-1, 1, 10**6]))
        else:
            place[path[-1]] = data.draw(_JSON)
    if isinstance(card["card"], dict) and isinstance(card["card"].get("architecture"), dict):
        widths = card["card"]["architecture"].get("net_arch")
        if isinstance(widths, list) and any(isinstance(w, int) and w > 256 for w in widths):
            return  # see the test of huge layers
    (folder / CARD).write_text(json.dumps(card["card"]))
    try:
        bundle = load_bundle(folder)
    except BundleError as error:
        assert "\n" not in str(error)
        return
    assert isinstance(bundle.policy, NetworkPolicy)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=200), st.integers(0, 600))
def test_fuzzed_weights_are_refused_by_a_bundle_error(
    original: Path, folder: Path, noise: bytes, at: int
) -> None:
    content = (original / WEIGHTS).read_bytes()
    _write_weights(folder, content[:at] + noise + content[at + len(noise) :])
    try:
        load_bundle(folder)
    except BundleError as error:
        assert "\n" not in str(error)
