"""A bare Hydra app: `@hydra.main` and nothing else, on the conf/ that it is given."""

from __future__ import annotations

import os

import hydra
from omegaconf import DictConfig


@hydra.main(config_path=os.environ["KX_BENCHMARK_CONF"], config_name="run", version_base="1.3")
def main(config: DictConfig) -> None:
    print(config)


if __name__ == "__main__":
    main()
