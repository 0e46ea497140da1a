"""Builds the strategy of a config in a separate process, for `kx doctor`."""

import sys

from omegaconf import DictConfig, OmegaConf

from kx.errors import KxError


def main() -> None:
    """Reads a config from standard input, and prints the number of replicas."""
    from kx.strategy import prepare_process, strategy

    config = OmegaConf.create(sys.stdin.read())
    assert isinstance(config, DictConfig)
    try:
        prepare_process(config)
        print(strategy(config).num_replicas_in_sync)
    except KxError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
