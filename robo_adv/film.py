"""Frames to a video file: mp4 (H.264) or gif, of exactly the frames' size, complete or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import imageio.v2
import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
from PIL import Image

from robo_adv.errors import DependencyError
from robo_adv.runs import write_with

Picture = npt.NDArray[np.uint8]
FORMATS = (".mp4", ".gif")


def write_film(path: Path, frames: Iterator[Picture], fps: float, count: int) -> None:
    """Write `count` frames (height, width, 3) to `path`, by its ending.

    Raises:
        RoboAdvError: a full disk or a read-only folder. DependencyError: ffmpeg is missing.
    """
    write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4

    def whole(temporary: Path) -> None:
        try:
            write(temporary, frames, fps, count)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    write_with(path, whole)


def ffmpeg() -> str:
    """Path of the ffmpeg program.

    Raises:
        DependencyError: there is none for this platform.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise DependencyError(
            f"ffmpeg is missing ({error}); install it (`apt-get install ffmpeg`) or set "
            "IMAGEIO_FFMPEG_EXE, or write a .gif"
        ) from error


def _write_mp4(path: Path, frames: Iterator[Picture], fps: float, count: int) -> None:
    ffmpeg()
    path.touch()  # ffmpeg's own message for a folder that cannot be written is unreadable
    # macro_block_size: imageio's default resizes to multiples of 16 without a word.
    writer = imageio.v2.get_writer(
        path, format="FFMPEG", mode="I", fps=fps, codec="libx264", macro_block_size=1,
        pixelformat="yuv420p", quality=None, ffmpeg_log_level="error",
        output_params=["-crf", "20", "-preset", "veryfast", "-movflags", "+faststart"],
    )  # fmt: skip
    try:
        # Not `with writer`, which leaves ffmpeg running, and writing, after an exception.
        with closing(writer):
            for frame in frames:
                writer.append_data(frame)
    except OSError as error:
        lines = [line for line in str(error).splitlines() if line.strip() and "FFMPEG" not in line]
        raise OSError(
            f"ffmpeg stopped; is the disk full? ({lines[-1] if lines else error})"
        ) from error
    # ffmpeg's exit code gets lost on the way, so a disk that filled up at the end shows only here.
    try:
        written, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    except RuntimeError:
        written = 0
    if written != count:
        raise OSError(f"only {written} of {count} frames were written; is the disk full?")


def _write_gif(path: Path, frames: Iterator[Picture], fps: float, count: int) -> None:
    """One palette for all frames, so that nothing flickers; equal frames in a row become one."""
    first = next(frames)
    # Small things such as a ball keep their colour: coverage counts, not the number of pixels.
    palette = Image.fromarray(first).quantize(256, method=Image.Quantize.MAXCOVERAGE)

    def reduced(frame: Picture) -> Image.Image:
        return Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)

    reduced(first).save(
        path, format="GIF", save_all=True, append_images=(reduced(frame) for frame in frames),
        duration=1000.0 / fps, loop=0, optimize=False,
    )  # fmt: skip
