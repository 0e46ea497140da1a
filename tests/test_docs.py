"""The examples in the docstrings, and what the package shows of itself."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re

import pytest
import yaml
from conftest import REPOSITORY

import kx
from kx.config import compose

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(kx.__path__, "kx.")
    if module.name not in ("kx.__main__", "kx.export.reload")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str, project) -> None:  # type: ignore[no-untyped-def]
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_what_is_public_is_there_and_documented() -> None:
    for name in kx.__all__:
        assert getattr(kx, name) is not None
    assert set(dir(kx)) == set(kx.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = kx.trian


def test_the_version_is_in_the_changelog() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(kx.__version__)}\]", text, re.MULTILINE)


def test_the_room_sizes_stay_small() -> None:
    for path in (REPOSITORY / "kx").rglob("*.py"):
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= 310, f"{path}: {lines} lines: is it two rooms?"


def test_the_manifests_run_what_kx_composes(project) -> None:  # type: ignore[no-untyped-def]
    text = (REPOSITORY / "docs" / "guides" / "scale.md").read_text(encoding="utf-8")
    found = [
        yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)
    ]
    manifests = {block["kind"]: block for block in found if "kind" in block}
    worker = manifests["TFJob"]["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]
    words = [worker["containers"][0]["command"], manifests["RayJob"]["spec"]["entrypoint"].split()]
    for python, module, name, *overrides in words:
        assert (python, module, name) == ("python", "-m", "kx.run")
        assert compose(overrides).config.tracking.uri.startswith("http://")
    [layout] = [block for block in found if "strategy" in block]
    assert set(layout["strategy"]) <= set(compose(["strategy=model_parallel"]).config.strategy)
