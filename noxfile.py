"""The workshop: nox -s lint tests docs minimums slow fuzz wheel."""

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.default_venv_backend = "venv"
SPELLED = ("kx", "conf", "experiments", "docs", "README.md", "CHANGELOG.md")


def install(session: nox.Session) -> None:
    session.install("-e", ".[dev]", "-c", "constraints.txt")


@nox.session
def lint(session: nox.Session) -> None:
    """Checks style and types."""
    install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("codespell", *SPELLED)


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Runs the tests."""
    install(session)
    session.run("pytest", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Builds the site, and runs every example, command and project of it and of the README."""
    install(session)
    session.run("mkdocs", "build", "--strict", "--site-dir", "site")
    tests = ["tests/test_docs.py", "tests/test_readme.py", "tests/test_site.py"]
    session.run("pytest", "-m", "slow or not slow", *tests, *session.posargs)


@nox.session(python="3.11")
def minimums(session: nox.Session) -> None:
    """Runs the tests with the lowest versions that pyproject.toml admits."""
    session.install("uv")
    lowest = ["--resolution", "lowest-direct", "--python", session.virtualenv.location]
    session.run("uv", "pip", "install", *lowest, "-e", ".[dev]")
    session.run("pytest", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Runs what takes long.

    The full matrix of options, of stores and commands, first runs at once, secrets in all that a
    dying server leaves, many kills, also of each family of examples, stopped runs with samplers,
    phases, several fields and teachers, runs of earlier versions, nodes that Ray and Slurm lose,
    servers that are away, several devices and processes, JAX, large models, the tutorial, the
    commands of the README and of the pages.
    """
    install(session)
    session.run("pytest", "-m", "slow", "-n", "2", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Tries 1,000 random command lines, tables and texts, and pictures (KX_FUZZ_COUNT)."""
    install(session)
    count = {"KX_FUZZ_COUNT": session.env.get("KX_FUZZ_COUNT", "1000")}
    session.run("pytest", "tests/fuzz", "-s", "-n", "0", *session.posargs, env=count)


@nox.session
def wheel(session: nox.Session) -> None:
    """Builds the wheel, installs it alone, and runs a user's own project on it."""
    session.install("build", "hatchling")
    out = session.create_tmp()
    session.run("python", "-m", "build", "--wheel", "--outdir", out)
    import pathlib

    [built] = sorted(pathlib.Path(out).glob("*.whl"))[-1:]
    session.install(str(built), "-c", "constraints.txt")
    folder = pathlib.Path(session.create_tmp(), "project")
    folder.mkdir(exist_ok=True)
    session.chdir(folder)
    session.run("python", "-m", "kx.run", "epochs=1")
    session.run("kx", "runs")
