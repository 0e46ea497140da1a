"""Images with masks in two folders: a class for each pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from kx.contracts.examples import Examples
from kx.contracts.specs import DataIssue, Spec
from kx.data.sources.images.pixels import decode_image, normalization
from kx.errors import ConfigError, DataError, first_line
from kx.paths import expanded
from kx.types import Count, ImageSize

_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
_SPLITS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
_BLACK_AND_WHITE = ["0", "255"]
_VOID = 255  # the class of pixels without a class, in the masks of many sets


def image_masks(
    root: str,
    *,
    image_size: ImageSize = (128, 128),
    class_names: list[str] | None = None,
    ignored_class: int | str | None = None,
    channels: Count = 3,
    normalize: str = "unit",
) -> Examples:
    """Loads images, each with a mask of the same name that has the class of each pixel.

    Args:
        root: Path to a folder with `images/` and `masks/`, or with `train/`, `val/` and `test/`
            that have these. A mask is an image of one channel whose values are class indices, or
            one with a palette, whose indices count.
        image_size: Height and width in pixels to which images and masks are resized; masks by the
            nearest pixel. Defaults to (128, 128).
        class_names: Names of the classes, in the order of their indices. Defaults to None: the
            indices that the masks have.
        ignored_class: Index, or name, of pixels that count in no loss and no score. Defaults to
            None: 255, if a mask has it. Masks of 0 and 255 alone have two classes.
        channels: 3, or 1 for grey images. Defaults to 3.
        normalize: As in `normalization`. Defaults to `"unit"`.

    Returns:
        Raw examples are encoded images, and encoded masks as targets; prepared ones uint8 of shape
        `(height, width, channels)`, targets int32 of shape `(height, width)`.

    Raises:
        ConfigError: If `ignored_class` is no class.
        DataError: If a folder, an image or a mask is missing or cannot be read, or a mask has
            another size than its image, or a class without a name.
    """
    folder = expanded(root)
    pairs, own_splits = _pairs(folder)
    images = [_read(path) for path, _ in pairs]
    encoded, found = [], np.zeros(256, "int64")
    for image, mask in pairs:
        indices = _indices(mask)
        _require_same_size(image, mask, indices)
        found += np.bincount(indices.ravel(), minlength=256)
        encoded.append(tf.io.encode_png(indices[..., None]).numpy())
    of_two = _are_black_and_white(found, class_names, ignored_class, folder.name)
    if of_two:  # no class is left besides 0 if 255 is ignored
        found[1], found[_VOID] = found[_VOID], 0
        class_names = _BLACK_AND_WHITE
    names, ignored, issues = _classes(found, class_names, ignored_class, folder.name)
    if of_two:
        told = f"masks of 0 and 255 alone: 255 is the class {names[1]}"
        issues.append(DataIssue(folder.name, "kept", told))
    height, width = image_size
    return Examples(
        images,
        encoded,
        Spec((height, width, channels), "uint8", kind="image"),
        Spec((height, width), "int32", class_names=names, kind="mask", padding_value=ignored),
        prepare=decode_image((height, width, channels), resize="stretch"),
        prepare_target=_decode_mask(height, width, black_and_white=of_two),
        normalize=normalization(normalize, channels),
        kind="image",
        name=folder.name,
        source=str(folder.absolute()),
        own_splits=own_splits,
        example_name=lambda place: str(pairs[place][0].relative_to(folder)),
        issues=tuple(issues),
        identity=(images, encoded),
    )


def _are_black_and_white(
    found: np.ndarray, class_names: Sequence[str] | None, ignored: int | str | None, name: str
) -> bool:
    """Returns whether masks have the values 0 and 255 for two classes."""
    known = np.flatnonzero(found).tolist()
    if ignored is not None or _VOID not in known or not set(known) <= {0, _VOID}:
        return False
    if class_names is None:
        return known == [0, _VOID]
    if len(class_names) == 2 and list(map(str, class_names)) != _BLACK_AND_WHITE:
        raise DataError(
            f"{name}: the masks have 0 and 255 alone, and data.class_names two names. Leave the"
            " names out for the classes 0 and 255; or write 1 in place of 255. Where 255 is no"
            " class: data.ignored_class=255, with masks of further classes."
        )
    return list(map(str, class_names)) == _BLACK_AND_WHITE


def _pairs(folder: Path) -> tuple[list[tuple[Path, Path]], dict[str, np.ndarray]]:
    """Returns the paths of images with their masks, and the positions of the folder's splits."""
    parts = [name for name in _SPLITS if (folder / name / "images").is_dir()]
    if not parts:
        return _pairs_of(folder), {}
    pairs: list[tuple[Path, Path]] = []
    own_splits: dict[str, np.ndarray] = {}
    for name in parts:
        own = _pairs_of(folder / name)
        own_splits[_SPLITS[name]] = np.arange(len(pairs), len(pairs) + len(own))
        pairs += own
    return pairs, own_splits


def _pairs_of(folder: Path) -> list[tuple[Path, Path]]:
    if not (folder / "images").is_dir() or not (folder / "masks").is_dir():
        raise DataError(
            f"data.root: {folder} has no images/ and masks/. Expected these two folders, or train/,"
            " val/ and test/ that have them."
        )
    images, masks = _by_stem(folder / "images"), _by_stem(folder / "masks")
    if lacking := sorted(images.keys() ^ masks.keys()):
        where = "masks" if lacking[0] in images else "images"
        raise DataError(
            f"{folder}: {len(lacking)} names are in one of both folders alone, such as"
            f" {lacking[0]!r}, of which {where}/ has none. A mask has the name of its image."
        )
    if not images:
        raise DataError(f"{folder / 'images'} has no image: {', '.join(_IMAGES)}.")
    return [(images[name], masks[name]) for name in sorted(images)]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _IMAGES:
            if path.is_file() and not path.name.startswith("."):
                print(f"note: {path} is left out. Expected {', '.join(_IMAGES)}")
            continue
        if path.stem in found:
            raise DataError(f"{folder}: two files are named {path.stem!r}.")
        found[path.stem] = path
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}.") from error


def _indices(path: Path) -> np.ndarray:
    """Returns the class indices of a mask, uint8 of shape `(height, width)`."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            mode = image.mode
            pixels = np.asarray(image)
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}.") from error
    if mode == "1":
        return pixels.astype("uint8")
    if mode in ("L", "P"):  # of a palette, the indices
        return pixels
    if mode.startswith("I") and pixels.max(initial=0) <= 255:
        return pixels.astype("uint8")
    raise DataError(
        f"{path} is a mask of mode {mode}. Expected one channel of class indices from 0 to 255, or"
        " a palette: colours as classes are not read. Convert them to indices first."
    )


def _require_same_size(image: Path, mask: Path, indices: np.ndarray) -> None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(image) as opened:
            size = opened.size
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{image} cannot be read: {first_line(error)}.") from error
    if size != indices.shape[::-1]:
        raise DataError(
            f"{mask} is {indices.shape[1]}x{indices.shape[0]}, and its image {size[0]}x{size[1]}."
        )


def _classes(
    found: np.ndarray,
    class_names: Sequence[str] | None,
    ignored_class: int | str | None,
    name: str,
) -> tuple[tuple[str, ...], int | None, list[DataIssue]]:
    """Returns the names of the classes, the index that is ignored, and what was found."""
    issues = []
    known = [int(index) for index in np.flatnonzero(found)]
    names = None if class_names is None else list(map(str, class_names))
    ignored = _ignored_index(ignored_class, names, known)
    if ignored is None and _VOID in known and _VOID >= len(names or range(_VOID)):
        ignored = _VOID
        issues.append(DataIssue(name, "kept", "pixels of class 255 count in no loss and no score"))
    scored = [index for index in known if index != ignored]
    if len(scored) < 2 and len(names or ()) < 2:
        also = "" if ignored is None else f", besides the ignored class {ignored}"
        only = ", ".join(map(str, scored)) or "none"
        raise DataError(
            f"{name}: all pixels of the masks have one class, {only}{also}: there is"
            " nothing to tell apart. Expected two classes or more. See data.ignored_class."
        )
    if names is None:
        names = [str(index) for index in range(max(scored, default=0) + 1)]
    elif ignored is not None and ignored == len(names) - 1:
        names = names[:-1]  # no score for a class that is never right
    if over := [index for index in scored if index >= len(names)]:
        raise DataError(
            f"{name}: the masks have the class {over[0]}, and data.class_names has {len(names)}"
            f" names: 0 to {len(names) - 1}. Name it, or ignore it: data.ignored_class={over[0]}."
        )
    absent = [names[i] for i in range(len(names)) if not found[i] and i != ignored]
    if absent:
        told = ", ".join(absent[:5]) + (" …" if len(absent) > 5 else "")
        issues.append(DataIssue(name, "kept", f"no pixel of {len(absent)} classes: {told}"))
    return tuple(names), ignored, issues


def _ignored_index(
    given: int | str | None, names: Sequence[str] | None, known: Sequence[int]
) -> int | None:
    if given is None:
        return None
    if isinstance(given, str):
        if names is None or given not in names:
            raise ConfigError(
                f"data.ignored_class={given}: there is no class of this name. Names:"
                f" {', '.join(names or ()) or 'none; give data.class_names, or the index'}."
            )
        return names.index(given)
    if given not in known and given >= len(names or ()):
        raise ConfigError(
            f"data.ignored_class={given}: no mask has it. Classes: {', '.join(map(str, known))}."
        )
    return given


def _decode_mask(
    height: int, width: int, *, black_and_white: bool
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    def prepare_target(raw: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        mask = tf.io.decode_png(target, channels=1)
        mask = mask // _VOID if black_and_white else mask
        resized = tf.image.resize(mask, (height, width), "nearest")
        return tf.cast(tf.ensure_shape(resized, (height, width, 1))[..., 0], tf.int32)

    return prepare_target
