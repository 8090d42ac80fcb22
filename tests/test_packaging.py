"""The archives hold what they must, from a folder of any name; and every check can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".make",
    ".hypothesis",
    "node_modules",
    "*.egg-info",
    "__pycache__",
    ".coverage*",
    ".*_cache",
)
MODULES_ONLY = ("holdfast.session", "holdfast.socket", "holdfast.websocket")
BUNDLE = [
    name + kind + end
    for name in ("holdfast", "holdfast.compat", "holdfast.msgpack", *MODULES_ONLY)
    for kind in ("", ".esm")
    for end in (".min.js", ".min.js.map")
    if name + kind not in MODULES_ONLY
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository in a folder whose name no package could have."""
    folder = tmp_path / "x-y.z"
    for path in ROOT.iterdir():
        if path.name in NOT_COPIED(str(ROOT), [path.name]) or path.name in ("dist", "build"):
            continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=NOT_COPIED)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy2(path, folder / path.name)
    # The name under which the checkers find the package; the Makefile makes the same link.
    (folder / ".make" / "typing").mkdir(parents=True)
    (folder / ".make" / "typing" / "holdfast").symlink_to(Path("..", ".."))
    return folder


def run(folder: Path, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def without_npm(tmp_path: Path) -> str:
    """A PATH on which there is nothing at all."""
    (tmp_path / "empty").mkdir(exist_ok=True)
    return str(tmp_path / "empty")


def build(folder: Path, *what: str, path: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", "out", *what, ".")
    return run(folder, *command, PATH=path)


# --- what is shipped


def test_a_wheel_built_from_the_sdist_without_npm_holds_the_whole_package(
    checkout: Path, tmp_path: Path
) -> None:
    built = build(checkout, path=without_npm(tmp_path))
    assert built.returncode == 0, built.stdout
    [wheel] = (checkout / "out").glob("holdfast-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    expected = {"holdfast/__init__.py", "holdfast/fast.py", "holdfast/py.typed"}
    expected |= {f"holdfast/client_js/dist/{name}" for name in BUNDLE}
    for package in ("engine", "transports", "compat", "demo"):
        for path in (checkout / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(f"holdfast/{path.relative_to(checkout).as_posix()}")
    assert {name for name in names if ".dist-info/" not in name} == expected

    run(checkout, sys.executable, "-m", "zipfile", "-e", wheel, tmp_path / "installed")
    probe = "import holdfast, holdfast.engine.errors; print(holdfast.__file__)"
    shown = run(tmp_path, sys.executable, "-c", probe, PYTHONPATH=str(tmp_path / "installed"))
    assert shown.stdout.strip() == str(tmp_path / "installed" / "holdfast" / "__init__.py")


def test_an_editable_install_works_in_a_folder_of_any_name(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / "client_js" / "dist", ignore_errors=True)
    environment = tmp_path / "venv"
    run(tmp_path, sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    [site] = environment.glob("lib/python*/site-packages")
    pip = (sys.executable, "-m", "pip", "--python", python)
    installed = run(
        checkout,
        *pip,
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-e",
        ".",
        PYTHONPATH=sysconfig.get_path("purelib"),
    )
    assert installed.returncode == 0, installed.stdout
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    probe = "import holdfast, holdfast.engine.errors; print(holdfast.__file__)"
    assert run(tmp_path, python, "-c", probe).stdout.strip() == str(checkout / "__init__.py")


@pytest.mark.parametrize("kind", ["--wheel", "--sdist"])
@pytest.mark.parametrize("state", ["missing", "stale"])
def test_no_archive_is_made_without_an_up_to_date_bundle(
    checkout: Path, tmp_path: Path, kind: str, state: str
) -> None:
    if state == "missing":
        shutil.rmtree(checkout / "client_js" / "dist", ignore_errors=True)
    else:
        (checkout / "client_js" / "added.js").write_text("export const added = 1;\n")
    built = build(checkout, kind, path=without_npm(tmp_path))
    assert built.returncode != 0
    [line] = [line for line in built.stdout.splitlines() if line.startswith("holdfast: ")]
    assert "npm is not installed: install Node.js" in line
    assert not list(checkout.glob("out/*"))


# --- every check can fail


def contracts(checkout: Path) -> subprocess.CompletedProcess[str]:
    """What `make imports` runs, on the copy."""
    program = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    return run(checkout, sys.executable, "-c", program, PYTHONPATH=str(checkout / ".make" / "typing"))


def test_the_import_contracts_hold(checkout: Path) -> None:
    checked = contracts(checkout)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("engine/errors.py", "from .wire import packet", "Imports only go down in the engine"),
        ("engine/wire/packet.py", "from ..session import streams", "Imports only go down in the engine"),
        ("engine/session/streams.py", "from ..dispatch import planted", "Imports only go down in the engine"),
        ("engine/host.py", "from .. import transports", "Imports only go down"),
        ("transports/http.py", "from .. import compat", "Imports only go down"),
        ("compat/socketio/options.py", "from ... import demo", "Imports only go down"),
        ("engine/unplaced.py", "", "every module has its place"),
        ("engine/wire/packet.py", "import time", "Values and state know no I/O"),
        ("engine/session/streams.py", "import anyio", "Values and state know no I/O"),
        ("engine/subprotocols/planted.py", "import secrets", "Values and state know no I/O"),
        ("engine/session/streams.py", "from ..host import Host", "Values and state know no I/O"),
        ("transports/polling.py", "from .stream import __all__", "No transport knows another"),
        ("transports/http.py", "from .polling import __all__", "No transport knows another"),
        ("engine/host.py", "import starlette.requests", "Only the transports know the web framework"),
    ],
)
def test_a_planted_import_breaks_its_contract(checkout: Path, file: str, line: str, contract: str) -> None:
    (checkout / "engine" / "dispatch" / "planted.py").touch()
    with (checkout / file).open("a") as source:
        source.write(f"\n{line}\n")
    checked = contracts(checkout)
    assert checked.returncode != 0
    assert any(contract in broken and "BROKEN" in broken for broken in checked.stdout.splitlines()), (
        checked.stdout
    )


def test_a_planted_unused_import_fails_the_linter(checkout: Path) -> None:
    (checkout / "engine" / "planted.py").write_text("import os\n")
    checked = run(checkout, sys.executable, "-m", "ruff", "check", "--no-cache", "engine/planted.py")
    assert checked.returncode != 0
    assert "F401" in checked.stdout


@pytest.mark.timeout(240)
def test_a_planted_type_error_fails_pyright_in_every_package(checkout: Path) -> None:
    wrong = (
        "from holdfast.engine.errors import MessageTooLarge\n\nsize: str = MessageTooLarge(1, 2).size_bytes\n"
    )
    packages = ("engine", "transports", "compat", "demo", "examples")
    for package in packages:
        (checkout / package / "planted.py").write_text(wrong)
    pyright = ROOT / "tools" / "node_modules" / ".bin" / "pyright"
    checked = run(checkout, pyright, "--pythonpath", sys.executable)
    assert checked.returncode != 0
    for package in packages:
        assert f"{package}/planted.py:3:13 - error" in checked.stdout
