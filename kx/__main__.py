"""Makes `python -m kx …` the same as `kx …`."""

from kx.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
