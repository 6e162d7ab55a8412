"""Demonstrations on disk: a folder with `demonstrations.npz` (no pickle) and `demonstrations.json`.

The loader trusts neither: names, sizes, dtypes and shapes are compared with the card before a number
is unpacked, and no more is unpacked than the card says.
"""

from __future__ import annotations

import hashlib
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.cards import read_json
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.demonstration_card import ArrayCard, Card, FileCard
from robo_adv.runs import write_folder

Array = npt.NDArray[Any]
CARD, ARRAYS = "demonstrations.json", "demonstrations.npz"
MOST_BYTES = 4 * 1024**3  # of all arrays of a set together, unpacked
_HEADER = 10_000  # [bytes] of one array, more than NumPy writes
DTYPES = {
    "observations": "<f4",
    "actions": "<f4",
    "rewards": "<f8",
    "terminations": "|b1",
    "truncations": "|b1",
    "lengths": "<i8",
    "seeds": "<u8",
    "success": "<f8",
}
PICTURES = "pictures"  # uint8, in sets that were recorded with cameras


def dtypes(card: Card) -> dict[str, str]:
    """Names and dtypes of a set's arrays."""
    return {**DTYPES, PICTURES: "|u1"} if card.cameras else DTYPES


def picture_shape(rows: int, card: Card) -> tuple[int, ...]:
    """Of the pictures of so many observations: cameras, height, width, channels."""
    return rows, len(card.cameras), card.camera_size, card.camera_size, 3


def array_card(array: Array) -> ArrayCard:
    """Its dtype, shape and the sha256 of its numbers in C order."""
    digest = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
    return ArrayCard(dtype=array.dtype.str, shape=array.shape, sha256=digest)


def write(folder: Path, card: FileCard, arrays: Mapping[str, Array]) -> None:
    """Write a set, replacing an older one in one step.

    Raises:
        RoboAdvError: the folder holds something else, or cannot be written.
    """
    if sum(array.nbytes for array in arrays.values()) > MOST_BYTES:
        raise RoboAdvError(f"a set of demonstrations may hold {MOST_BYTES:,} bytes; write several")
    check_target(folder)

    def fill(target: Path) -> None:
        np.savez_compressed(target / ARRAYS, allow_pickle=False, **arrays)
        (target / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")

    write_folder(folder, fill)


def check_target(folder: Path, replace: bool = True) -> None:
    """Raises RoboAdvError when `folder` may not become a set of demonstrations."""
    if folder.is_file():
        raise RoboAdvError(f"{folder} is a file, expected a folder to write demonstrations into")
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if set(found) - {CARD, ARRAYS}:
        raise RoboAdvError(
            f"{folder} holds other things ({', '.join(found[:3])} ...); name a new folder"
        )
    if found and not replace:
        raise RoboAdvError(f"{folder} holds demonstrations already; --overwrite replaces them")


def find(path: Path) -> Path:
    """The folder of a set, which itself or one of its two files may be named.

    Raises:
        RoboAdvError: there is none.
    """
    folder = path.parent if path.name in (CARD, ARRAYS) else path
    if folder.is_file():
        raise RoboAdvError(
            f"{path} is not a folder of demonstrations ({ARRAYS} and {CARD}); other files are read "
            "by `robo-adv data import FILE --env ENV --out FOLDER`"
        )
    for name in (CARD, ARRAYS):
        if not (folder / name).is_file():
            raise RoboAdvError(
                f"{folder} is not a folder of demonstrations: no {name} in it; "
                "`robo-adv data record CONTROLLER --out FOLDER` makes one"
            )
    return folder


def read_card(path: Path) -> FileCard:
    """The card alone.

    Raises:
        RoboAdvError: it is missing or refused.
    """
    return read_json(find(path) / CARD, FileCard, "a card of demonstrations")


def read(path: Path) -> tuple[FileCard, dict[str, Array]]:
    """Card and arrays, which have the dtypes, shapes and hashes that the card says.

    Raises:
        RoboAdvError: whatever is wrong with the files, in one sentence.
    """
    folder = find(path)
    card = read_card(folder)
    _check_shapes(card, folder / CARD)
    file = folder / ARRAYS
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive, card, file)
            names = dtypes(card)
            arrays = {name: _unpack(archive, name, card.arrays[name], file) for name in names}
    except RoboAdvError:
        raise
    except (
        zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError,
        RuntimeError, SyntaxError, lzma.LZMAError,
    ) as problem:  # fmt: skip
        raise RoboAdvError(f"{file} is broken or cut short: {problem}") from problem
    for name, array in arrays.items():
        if array_card(array).sha256 != card.arrays[name].sha256:
            raise RoboAdvError(f"{file}: {name} does not match its card: it was edited")
    return card, arrays


def _check_shapes(card: FileCard, path: Path) -> None:
    """Raises RoboAdvError unless the card's arrays are those of its episodes and spaces."""
    names = dtypes(card)
    if set(card.arrays) != set(names):
        odd = sorted(set(card.arrays) ^ set(names))
        raise RoboAdvError(f"{path} lists other arrays than {', '.join(names)}: {odd[:4]}")
    steps, episodes = (card.steps,), (card.episodes,)
    wanted: dict[str, tuple[int, ...]] = {
        "observations": (card.steps + card.episodes, card.observation_space.size),
        "actions": (card.steps, card.action_space.size),
        **dict.fromkeys(("rewards", "terminations", "truncations"), steps),
        **dict.fromkeys(("lengths", "seeds", "success"), episodes),
        PICTURES: picture_shape(card.steps + card.episodes, card),
    }
    for name, dtype in names.items():
        got = card.arrays[name]
        if (got.dtype, got.shape) != (dtype, wanted[name]):
            raise RoboAdvError(
                f"{path}: {name} is {got.dtype} of shape {got.shape}, expected {dtype} of shape "
                f"{wanted[name]} for {card.episodes} episodes of {card.steps} steps together"
            )
    if (size := sum(_nbytes(array) for array in card.arrays.values())) > MOST_BYTES:
        raise RoboAdvError(f"{path}: {size:,} bytes of arrays, at most {MOST_BYTES:,} are read")


def _nbytes(array: ArrayCard) -> int:
    count = 1
    for length in array.shape:
        count *= length
    return count * np.dtype(array.dtype).itemsize


def _check_members(archive: zipfile.ZipFile, card: FileCard, file: Path) -> None:
    """Raises RoboAdvError unless the archive holds exactly the card's arrays, in their sizes."""
    members = {info.filename: info for info in archive.infolist()}
    expected = {f"{name}.npy": name for name in dtypes(card)}
    if len(archive.infolist()) != len(expected) or set(members) != set(expected):
        odd = sorted(set(members) ^ set(expected)) or ["a name twice"]
        raise RoboAdvError(f"{file} holds other arrays than its card: {odd[:4]}")
    for filename, name in expected.items():
        needed, size = _nbytes(card.arrays[name]), members[filename].file_size
        if not needed < size <= needed + _HEADER:
            raise RoboAdvError(
                f"{file}: {name} unpacks to {size:,} bytes, its card says {needed:,} and a header"
            )


def _unpack(archive: zipfile.ZipFile, name: str, card: ArrayCard, file: Path) -> Array:
    """One array; its own header must say what the card says before numbers are read."""
    with archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(stream, max_header_size=_HEADER)
        else:
            header = np.lib.format.read_array_header_2_0(stream, max_header_size=_HEADER)
        shape, fortran, dtype = header
        if dtype.hasobject or (dtype.str, shape, fortran) != (card.dtype, card.shape, False):
            raise RoboAdvError(
                f"{file}: {name} is {dtype} of shape {shape}, its card says {card.dtype} of shape "
                f"{card.shape}"
            )
        data = stream.read(_nbytes(card) + 1)
    if len(data) != _nbytes(card):
        raise RoboAdvError(f"{file}: {name} has {len(data):,} bytes, expected {_nbytes(card):,}")
    return np.frombuffer(data, dtype=dtype).reshape(shape)
