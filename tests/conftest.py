"""What the tests share: a project folder of their own, real data, and runs trained once."""

from __future__ import annotations

import base64
import contextlib
import gc
import gzip
import importlib.util
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from filelock import FileLock

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(os.environ.get("KX_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))


# Two workers share the files out, in this order: the longest first.
LONGEST = (
    "test_readme",
    "test_train",
    "test_search",
    "test_ray",
    "test_slurm",
    "test_learners",
    "test_cli",
    "test_sweep",
    "test_resume",
    "test_experiments",
    "test_families",
    "test_data",
    "test_project",
    "test_texts",
    "test_tokenizers",
    "test_models",
    "test_folds",
    "test_hub",
    "test_strategy",
    "test_backend",
    "test_sender",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets the longest files begin first, so that no worker is idle at the end."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def parts_of(
    labels: Any,
    rule: str = "stratified",
    *,
    stratify: bool = True,
    groups: Any = None,
    contents: Any = None,
    **words: Any,
) -> dict[str, np.ndarray]:
    """Divides examples that have labels alone by an option of `split`."""
    from kx.data import Examples, Spec
    from kx.data.split import rules

    labels = np.asarray(labels)
    names = tuple(map(str, range(int(labels.max(initial=0)) + 1))) if stratify else None
    examples = Examples(
        np.arange(len(labels)), labels, Spec((), "int64"), Spec((), "int32", class_names=names),
        contents=None if contents is None else np.array(contents, dtype=object),
        columns=None if groups is None else lambda name: groups,
    )  # fmt: skip
    if groups is not None:
        rule, words["column"] = "group", "group"
    return getattr(rules, rule)(examples, **words)


def as_data(source: Callable[..., Any], **defaults: Any) -> Callable[..., Any]:
    """Returns a function like a source, that takes the arguments of a split too, and divides."""
    from kx.data.split.divided import divided
    from kx.data.split.rules import stratified
    from kx.data.tokenizers.words import words as tokenized

    def data(*given: Any, **words: Any) -> Any:
        keys = ("validation_fraction", "test_fraction", "limit", "seed", "fold")
        split = {**defaults, **{key: words.pop(key) for key in keys if key in words}}
        tokenizer = words.pop("tokenizer", tokenized)
        examples = source(*given, **words)
        return divided(examples, stratified(examples, **split), lambda _: tokenizer)

    return data


@pytest.fixture(scope="module", autouse=True)
def frozen() -> None:
    """Keeps what was made so far out of garbage collections: each training asks for some."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def collected_rarely() -> None:
    """Lets one training in ten begin with a garbage collection, which takes half a second here."""
    from keras.src.backend.common import global_state

    calls = itertools.count()
    global_state.gc = SimpleNamespace(collect=lambda: next(calls) % 10 or gc.collect())


@pytest.fixture(scope="session", autouse=True)
def eager() -> None:
    """Lets functions of TensorFlow run eagerly: to trace a graph takes longer than a few steps.

    The trained families are trained in graphs, and the tests that ask for `graphs`; with
    KX_TEST_GRAPHS=1 all are.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(not os.environ.get("KX_TEST_GRAPHS"))


@contextlib.contextmanager
def in_graphs() -> Iterator[None]:
    """Lets functions of TensorFlow run as graphs."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)
    yield
    tf.config.run_functions_eagerly(before)


@pytest.fixture
def graphs() -> Iterator[None]:
    """Lets the functions of TensorFlow in a test run as graphs."""
    with in_graphs():
        yield


_DRAWN = {"really": False}
_ONE_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="session", autouse=True)
def sketched() -> None:
    """Figures of reports have one pixel: to draw them takes longer than a small training.

    Those of the trained families are drawn (`trained`), and those of a test that asks (`drawn`).
    """
    from kx.report import page

    draw = page.png_of
    page.png_of = lambda figure: draw(figure) if _DRAWN["really"] else _ONE_PIXEL


@pytest.fixture(scope="session", autouse=True)
def forked_reload() -> None:
    """Exports are loaded again in a forked process: test_project loads one in a cold one."""
    from processes import run

    from kx.export import export

    where = str(Path(export.__file__).with_name("reload.py"))
    export.reloaded = lambda settings: run("python", where, str(settings))


@pytest.fixture
def drawn() -> Iterator[None]:
    """Lets the figures of a test be drawn."""
    _DRAWN["really"] = True
    yield
    _DRAWN["really"] = False


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What kx keeps for all projects goes to a folder of the tests."""
    os.environ["KX_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


def forget_modules(folder: Path) -> None:
    """Forgets what was imported from a folder: another project may have modules of these names."""
    sys.path[:] = [item for item in sys.path if not item.startswith(str(folder))]
    for name, module in list(sys.modules.items()):
        # Not getattr(module, "__file__"): modules that load when they are used would load.
        if str(getattr(module, "__dict__", {}).get("__file__")).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def new_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """An empty project folder, made the current one; modules of other tests are forgotten."""
    forget_modules(tmp_path_factory.getbasetemp())
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield folder
    forget_modules(folder)


@pytest.fixture
def project(new_project: Path, empty_store: Path) -> Path:
    """A project whose tracking store is there, and empty: MLflow takes seconds to make one."""
    shutil.copy(empty_store, new_project / "mlflow.db")
    return new_project


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The engine of all sweeps and searches of a test: its jobs follow a script."""
    from scripted import ScriptedEngine

    engine = ScriptedEngine()
    # What a search draws is seen where its trials are real.
    monkeypatch.setattr("kx.search.results.figures.write_figures", lambda *_: None)
    for place in ("kx.launch.sweep", "kx.search.run"):
        monkeypatch.setattr(f"{place}.make_engine", engine.like)
    return engine


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session, which the workers share."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def made_once(path: Path) -> Iterator[bool]:
    """Whether this worker is the one to make a file or folder; the others wait until it is made."""
    with FileLock(f"{path}.lock"):
        yield not path.exists()


@pytest.fixture(scope="session")
def empty_store(shared: Path) -> Path:
    """A SQLite store as MLflow makes it."""
    path = shared / "mlflow.db"
    with made_once(path) as first:
        if first:
            from mlflow import MlflowClient

            half = shared / "half.db"
            MlflowClient(f"sqlite:///{half}").search_experiments()
            half.rename(path)
    return path


@pytest.fixture(scope="session")
def home(shared: Path, empty_store: Path) -> Path:
    """A project folder whose store all tests of finished runs share."""
    folder = shared / "home"
    with made_once(folder) as first:
        if first:
            folder.mkdir()
            shutil.copy(empty_store, folder / "mlflow.db")
            (folder / "pyproject.toml").touch()
    return folder


@pytest.fixture
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared project folder, made the current one."""
    monkeypatch.chdir(home)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return home


@pytest.fixture(scope="session")
def texts(shared: Path) -> Path:
    """A CSV of short texts: sentiment, three moods, and several labels at once."""
    good = ["a wonderful film", "great fun and moving", "I loved it", "brilliant acting"]
    bad = ["a dull mess", "boring and lifeless", "I hated it", "terrible acting"]
    generator = np.random.default_rng(0)
    lines = ["review,sentiment,mood,topics,funny,sad"]
    for number in range(240):
        positive = number % 2 == 0
        text = " ".join(generator.choice(good if positive else bad, 3))
        mood = ("happy" if number % 4 == 0 else "calm") if positive else "angry"
        topics = "plot|acting" if "acting" in text else "plot"
        word = "good" if positive else "bad"
        lines.append(f"{text},{word},{mood},{topics},{int(positive)},{int('dull' in text)}")
    path = shared / "reviews.csv"
    with made_once(path) as first:
        if first:
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three classes of twenty pictures of many sizes: red, green and blue blots."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for channel, name in enumerate(["red", "green", "blue"]):
        (folder / name).mkdir()
        for number in range(20):
            height, width = generator.integers(16, 48, 2)
            pixels = generator.integers(0, 120, (height, width, 3))
            pixels[..., channel] += 120
            file = folder / name / f"{number}.{'jpg' if number % 2 else 'png'}"
            Image.fromarray(pixels.astype("uint8")).save(file)
    return folder


GENERATOR = np.random.default_rng(0)


def images_of(count: int, shape: tuple[int, ...]) -> np.ndarray:
    return GENERATOR.integers(0, 256, (count, *shape), dtype="uint8")


def idx_bytes(values: np.ndarray) -> bytes:
    code = {"uint8": 8, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
    head = bytes([0, 0, code[values.dtype.name], values.ndim])
    sizes = np.array(values.shape, ">u4").tobytes()
    return head + sizes + values.astype(values.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def mnist_files(tmp_path: Path) -> Path:
    """Sixty and twenty images of ten classes, as idx; one file gzipped."""
    for part, count in (("train", 60), ("t10k", 20)):
        labels = (np.arange(count) % 10).astype("uint8")
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
        content = idx_bytes(images_of(count, (8, 8)))
        path = tmp_path / f"{part}-images-idx3-ubyte"
        if part == "train":
            path.write_bytes(content)
        else:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
    return tmp_path


def record(label: int, pixels: np.ndarray) -> bytes:
    return bytes([label]) + pixels.transpose(2, 0, 1).tobytes()


@pytest.fixture
def cifar_files(tmp_path: Path) -> Path:
    """Sixty and twenty images of ten classes, as CIFAR-10's binary batches."""
    for name, count in (("data_batch_1", 40), ("data_batch_2", 20), ("test_batch", 20)):
        pixels = images_of(count, (32, 32, 3))
        content = b"".join(record(i % 10, image) for i, image in enumerate(pixels))
        (tmp_path / f"{name}.bin").write_bytes(content)
    return tmp_path


FAMILIES = {
    "image": ["model=cnn", "data=digits", "epochs=2", "model.filters=[8,16]", "augment=none"],
    "row": ["model=mlp", "data=wine", "epochs=3", "batch_size=16"],
    "number": ["model=mlp", "data=diabetes", "epochs=3"],
    "text": ["data=text_csv", "data.text=review", "data.label=mood", "epochs=2"],
    "binary": ["data=text_csv", "data.text=review", "data.label=sentiment", "task=binary"],
    "masks": [
        "data=digit_scenes", "data.num_scenes=60", "data.size=32", "model.filters=2",
        "epochs=2", "batch_size=8", "augment=none",
    ],
    "reconstruction": [
        "data=digits", "task=reconstruction", "model=autoencoder", "model.filters=[4]",
        "augment=none", "epochs=2",
    ],
    "distillation": [
        "data=digits", "model=mlp", "model.hidden_units=[8]", "task=distillation",
        "task.teacher=TEACHER", "augment=none", "epochs=2",
    ],
    "adversarial": [
        "data=digits", "task=adversarial", "model.filters=[4,4]", "task.critic.filters=[4]",
        "task.num_samples=32", "task.classifier=TEACHER", "task.latent_size=4", "augment=none",
        "epochs=2", "steps_per_epoch=5",
    ],
    "agent": [
        "data=grid_world", "task=dqn", "data.epoch_steps=120", "task.learning_starts=20",
        "task.replay_size=100", "model.hidden_units=[8]", "epochs=2", "data.test_episodes=12",
    ],
    "translation": [
        "data=text_pairs", "split.limit=150",
        "model.units=16", "model.num_layers=1", "model.num_heads=2", "model.mlp_units=16",
        "task.num_beams=2", "epochs=2",
    ],
    "language": [
        "data=text_lines", "data.num_characters=64", "split.limit=300", "task.context_length=24",
        "task.num_tokens=5", "model.units=16", "model.num_layers=1", "model.num_heads=2",
        "model.mlp_units=16", "epochs=2",
    ],
    "fields": ["data=easy_vqa", "data.num_images=80", "model.filters=[4,8]", "epochs=2"],
    "multilabel": [
        "data=text_csv", "data.text=review", "data.label=[funny,sad]", "task=multilabel",
    ],
}  # fmt: skip
SMALL_TEXT = [
    "model=lstm",
    "model.units=8",
    "model.embedding_units=8",
    "tokenizer.sequence_length=12",
]


def family_overrides(family: str, texts: Path) -> list[str]:
    """The overrides that train one family in a second or two."""
    words = [*FAMILIES[family], "report.num_bootstrap_samples=20"]
    if "data=text_csv" in words:
        words += [f"data.path={texts}", *SMALL_TEXT]
    if not any(word.startswith("epochs=") for word in words):
        words.append("epochs=2")
    return words


@pytest.fixture(scope="session")
def trained(home: Path, texts: Path) -> Iterator[Callable[[str], object]]:
    """A function from a family to its finished run; one of the workers trains it."""
    import kx

    runs: dict[str, object] = {}

    def run_of(family: str) -> object:
        if family not in runs:
            before = Path.cwd()
            os.chdir(home)
            try:
                told = home.parent / f"{family}.txt"
                with made_once(told) as first:
                    if first:
                        words = family_overrides(family, texts)
                        if any("TEACHER" in word for word in words):
                            teacher: Any = run_of("image")
                            words = [word.replace("TEACHER", teacher.id) for word in words]
                        _DRAWN["really"] = True
                        with in_graphs():
                            run = kx.train(*words, quiet=True)
                        told.write_text(run.id)
                runs[family] = run if first else kx.load_run(told.read_text())
            finally:
                _DRAWN["really"] = False
                os.chdir(before)
        return runs[family]

    yield run_of


def compiled(*words: str) -> tuple[Any, Any]:
    """The model of a config, built and compiled for its first phase, and its builder."""

    from kx.config import compose
    from kx.fit.batches import make_data
    from kx.fit.model.phases import make_plan
    from kx.strategy import prepare_process, strategy
    from kx.training import _builder

    config = compose(words).config
    prepare_process(config)
    folder: Any = SimpleNamespace(path=Path.cwd())
    data = make_data(config)
    plan = make_plan(config, data)
    builder = _builder(config, data, plan, None, strategy(config), folder, 0)
    built = builder.build()
    builder.begin_phase(built, builder.phases[0], 0)
    return built.learner, builder


@pytest.fixture(scope="session")
def tfds_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small random sets, prepared as TensorFlow Datasets prepares the real ones."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("tfds")
    shapes = {
        "cifar10": ("3.0.2", (32, 32, 3), 10),
        "cifar100": ("3.0.2", (32, 32, 3), 100),
        "mnist": ("3.0.1", (28, 28, 1), 10),
        "fashion_mnist": ("3.0.1", (28, 28, 1), 10),
    }
    generator = np.random.default_rng(0)
    for name, (version, shape, num_classes) in shapes.items():
        features = {
            "image": tfds.features.Image(shape=shape, encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=num_classes),
        }
        # What the real sets have besides; TFDS reads all of it.
        if name.startswith("cifar"):
            features["id"] = tfds.features.Text()
        if name == "cifar100":
            features["coarse_label"] = tfds.features.ClassLabel(num_classes=20)

        def split(count: int, shape=shape, num_classes=num_classes, features=features):  # type: ignore[no-untyped-def]
            columns = {
                "image": generator.integers(0, 256, (count, *shape), dtype="uint8"),
                "label": np.arange(count) % num_classes,
                "id": [f"example_{i}" for i in range(count)],
                "coarse_label": np.arange(count) % 20,
            }
            return tf.data.Dataset.from_tensor_slices({k: columns[k] for k in features})

        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=version,
            data_dir=str(folder),
            split_datasets={"train": split(400), "test": split(200)},
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )
    for name, config, version, column, tested in (
        ("imdb_reviews", "plain_text", "1.0.0", "text", "test"),
        ("glue", "sst2", "2.0.0", "sentence", "validation"),
    ):
        features = {
            column: tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["negative", "positive"]),
        }
        if name == "glue":
            features["idx"] = np.int32

        def texts(split: str, column=column, features=features):  # type: ignore[no-untyped-def]
            columns = {
                column: [f"{'good' if i % 2 else 'bad'} {split} {i}" for i in range(80)],
                "label": np.arange(80) % 2,
                "idx": np.arange(80, dtype="int32"),
            }
            return tf.data.Dataset.from_tensor_slices({k: columns[k] for k in features})

        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=version,
            config=config,
            data_dir=str(folder),
            split_datasets={split: texts(split) for split in ("train", tested)},
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )
    return folder


@pytest.fixture(scope="session")
def presets(shared: Path) -> Path:
    """Presets of KerasHub, each an encoder with a tokenizer; an empty folder where it is absent."""
    folder = shared / "presets"
    with made_once(folder) as missing:
        if missing:
            folder.mkdir()
            if importlib.util.find_spec("keras_hub") is None:
                return folder
            _make_bert(folder / "bert")
            _make_roberta(folder / "roberta")
    return folder


def _make_bert(folder: Path) -> None:
    import keras_hub
    import tensorflow as tf

    from kx.data.sources.text.reviews import reviews

    texts = tf.data.Dataset.from_tensor_slices(list(reviews(num_examples=100).inputs))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = keras_hub.tokenizers.compute_word_piece_vocabulary(
        texts, 300, lowercase=True, reserved_tokens=special
    )
    keras_hub.models.BertBackbone(
        vocabulary_size=len(words), num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32,
        max_sequence_length=64,
    ).save_to_preset(str(folder))  # fmt: skip
    keras_hub.models.BertTokenizer(vocabulary=words, lowercase=True).save_to_preset(str(folder))


def _make_roberta(folder: Path) -> None:
    import keras_hub

    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves
    hidden = [byte for byte in range(256) if byte not in seen]
    letters = [*map(chr, seen), *(chr(256 + place) for place in range(len(hidden)))]
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words = {token: place for place, token in enumerate([*special, *letters, "Ġt", "th", "in"])}
    keras_hub.models.RobertaBackbone(
        vocabulary_size=len(words), num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32,
        max_sequence_length=256,
    ).save_to_preset(str(folder))  # fmt: skip
    keras_hub.models.RobertaTokenizer(
        vocabulary=words, merges=["Ġ t", "t h", "i n"]
    ).save_to_preset(str(folder))


def few(names: Iterable[str], count: int) -> list[Any]:
    """Parameters of a test: the first ones as they are, the others among the slow tests."""
    slow = pytest.mark.slow
    return [n if i < count else pytest.param(n, marks=slow) for i, n in enumerate(names)]


def needs_shared(name: str) -> Path:
    """The folder of a shared data set; skips the test where it is absent."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs the data set {name} in {SHARED_DATA} (KX_SHARED_DATA)")
    return folder


@pytest.fixture
def needs_git() -> None:
    if shutil.which("git") is None:
        pytest.skip("needs git")
