"""Images of one shape, questions about it, and their answers: easy-VQA."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kx.contracts.examples import Examples
from kx.contracts.specs import Spec
from kx.data.sources.images.pixels import decode_image
from kx.data.sources.multimodal.shapes import drawn_questions
from kx.errors import DataError, first_line
from kx.paths import expanded
from kx.types import Count, ImageSize

Question = tuple[str, str, str]  # question, answer, name of the image


def easy_vqa(
    *,
    root: str | None = None,
    image_size: ImageSize = (64, 64),
    num_images: Count = 500,
) -> Examples:
    """Loads images with a question each, to which one of several answers is to be found.

    Questions on one image stay in one split.

    Args:
        root: Path to a folder with `train/` and `test/`, in each `images/NUMBER.png` and
            `questions.json`: a list of `[question, answer, image number]`. Defaults to None: images
            that are drawn, with questions in the same words.
        image_size: Height and width in pixels to which images are resized. Defaults to (64, 64).
        num_images: Number of images that are drawn if there is no `root`. Defaults to 500.

    Returns:
        Raw examples have the fields `image` (encoded bytes) and `question` (a string); prepared
        ones `image`, uint8 of shape `(height, width, 3)`, and `question`, the string.

    Raises:
        DataError: If a file is missing or cannot be read.

    Source: Zhou 2019, "easy-VQA", https://github.com/vzhou842/easy-VQA.
    """
    if root is None:
        images, questions = drawn_questions(num_images)
        own_splits: Mapping[str, np.ndarray] = {}
        name, source = "easy_vqa (drawn)", "kx.data.sources.multimodal.shapes"
    else:
        folder = expanded(root)
        images, questions, own_splits = _read(folder)
        name, source = "easy_vqa", str(folder.absolute())
    asked, answers, names = zip(*questions, strict=True)
    classes = sorted(set(answers))
    number = {answer: place for place, answer in enumerate(classes)}
    return Examples(
        {"image": [images[name] for name in names], "question": list(asked)},
        np.array([number[answer] for answer in answers]),
        {
            "image": Spec((*image_size, 3), "uint8", kind="image"),
            "question": Spec((), "string", kind="text"),
        },
        Spec((), "int32", class_names=tuple(classes)),
        prepare=_prepare(image_size),
        normalize={"image": _unit()},
        kind={"image": "image", "question": "text"},
        name=name,
        source=source,
        own_splits=own_splits,
        contents=np.array(names, dtype=object),
        columns=lambda column: _column(column, names, asked),
        identity=(b"".join(images[name] for name in sorted(images)), *asked, *answers),
    )


def _unit() -> Any:
    import keras

    return keras.layers.Rescaling(1 / 255)


def _column(column: str, names: Sequence[str], asked: Sequence[str]) -> Sequence[str]:
    known = {"image": names, "question": asked}
    if column not in known:
        raise DataError(f"split.column={column}: easy_vqa has the columns {', '.join(known)}.")
    return known[column]


def _prepare(image_size: Sequence[int]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    height, width = image_size
    decode = decode_image((height, width, 3), resize="stretch")

    def prepare(raw: Mapping[str, Any]) -> dict[str, Any]:
        return {**raw, "image": decode(raw["image"])}

    return prepare


def _read(folder: Path) -> tuple[dict[str, bytes], list[Question], dict[str, np.ndarray]]:
    """Reads images by name, questions, and the positions of the folder's own splits."""
    images: dict[str, bytes] = {}
    questions: list[Question] = []
    own_splits: dict[str, np.ndarray] = {}
    for split in ("train", "test"):
        first = len(questions)
        for question, answer, number in _read_questions(folder / split / "questions.json"):
            name = f"{split}/{number}"
            if name not in images:
                images[name] = _read_image(folder / split / "images" / f"{number}.png")
            questions.append((str(question), str(answer), name))
        own_splits[split] = np.arange(first, len(questions))
    return images, questions, own_splits


def _read_questions(file: Path) -> list[list[Any]]:
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"data.root: {file} cannot be read: {first_line(error)}. Expected a folder with"
            " train/ and test/, in each images/ and questions.json."
        ) from error
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 3:
            raise DataError(
                f"{file}: expected [question, answer, image number]. Received as number {number}:"
                f" {row!r}."
            )
    found: list[list[Any]] = rows
    return found


def _read_image(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {first_line(error)}.") from error
