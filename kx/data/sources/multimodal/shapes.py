"""Drawn images of one shape, with questions in the words of easy-VQA."""

from __future__ import annotations

import io

import numpy as np

COLORS = {
    "black": (0, 0, 0), "blue": (0, 0, 255), "brown": (150, 75, 0), "gray": (128, 128, 128),
    "green": (0, 128, 0), "red": (255, 0, 0), "teal": (0, 128, 128), "yellow": (255, 255, 0),
}  # fmt: skip
SHAPES = ("circle", "rectangle", "triangle")
_SIZE = 64
_ABOUT = ("does the image contain a {}?", "is there a {}?", "is there a {} in the image?",
          "is a {} present?")  # fmt: skip
_NOT_ABOUT = ("does the image not contain a {}?", "is there not a {}?", "is no {} present?")
_NUM_YES_OR_NO = 6  # questions on an image, half of which are answered by yes


def drawn_questions(
    num_images: int, seed: int = 0
) -> tuple[dict[str, bytes], list[tuple[str, str, str]]]:
    """Draws images of one shape of one color, and asks questions about each.

    Args:
        num_images: Number of images.
        seed: Seed of shapes, places and questions. Defaults to 0.

    Returns:
        PNG bytes by name, and `(question, answer, name of the image)`.
    """
    generator = np.random.default_rng(seed)
    images, questions = {}, []
    for number in range(num_images):
        shape, color = str(generator.choice(SHAPES)), str(generator.choice(list(COLORS)))
        name = f"drawn/{number}"
        images[name] = _draw(shape, color, generator)
        asked = [
            ("what shape is in the image?", shape),
            (f"what is the {color} shape?", shape),
            ("what color is the shape?", color),
            (f"what color is the {shape}?", color),
            *_yes_or_no(shape, color, generator),
        ]
        questions += [(question, answer, name) for question, answer in asked]
    return images, questions


def _yes_or_no(shape: str, color: str, generator: np.random.Generator) -> list[tuple[str, str]]:
    """Returns questions that are answered by yes or no, as often by each."""
    found = []
    for number in range(_NUM_YES_OR_NO):
        yes, of_shape = number % 2 == 0, bool(generator.integers(2))
        positive = bool(generator.integers(2))
        is_there = yes if positive else not yes
        known, others = (shape, SHAPES) if of_shape else (color, tuple(COLORS))
        chosen = known
        if not is_there:
            chosen = str(generator.choice([one for one in others if one != known]))
        form = str(generator.choice(_ABOUT if positive else _NOT_ABOUT))
        found.append(
            (form.format(chosen if of_shape else f"{chosen} shape"), "yes" if yes else "no")
        )
    return found


def _draw(shape: str, color: str, generator: np.random.Generator) -> bytes:
    """Returns a PNG of a shape at a random place on a light background."""
    from PIL import Image, ImageDraw

    background = tuple(int(value) for value in generator.integers(230, 256, 3))
    image = Image.new("RGB", (_SIZE, _SIZE), background)
    draw = ImageDraw.Draw(image)
    wide, tall = (int(value) for value in generator.integers(_SIZE // 4, _SIZE // 2, 2))
    left, top = (
        int(generator.integers(2, _SIZE - wide - 2)),
        int(generator.integers(2, _SIZE - tall - 2)),
    )
    if shape == "circle":
        side = min(wide, tall)
        draw.ellipse((left, top, left + side, top + side), fill=COLORS[color])
    elif shape == "rectangle":
        draw.rectangle((left, top, left + wide, top + tall), fill=COLORS[color])
    else:
        corners = [(left, top + tall), (left + wide, top + tall), (left + wide // 2, top)]
        draw.polygon(corners, fill=COLORS[color])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
