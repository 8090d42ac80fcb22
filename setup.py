"""Everything is in pyproject.toml but this: a wheel and an sdist are never made without the JavaScript bundle."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))

from bundle import BundleError, ensure_bundle  # noqa: E402 - found through the path above


def bundle_or_exit() -> None:
    try:
        ensure_bundle(ROOT)
    except BundleError as error:
        sys.exit(f"holdfast: {error}")


class BuildPyWithBundle(build_py):
    def run(self) -> None:
        # An editable install reads client_js/dist where it is, whenever it is built.
        if not self.editable_mode:
            bundle_or_exit()
        super().run()

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        # The root is the package, and this file lies in it.
        found = super().find_package_modules(package, package_dir)
        return [module for module in found if (package, module[1]) != ("holdfast", "setup")]


class SdistWithBundle(sdist):
    def run(self) -> None:
        bundle_or_exit()
        super().run()


setup(cmdclass={"build_py": BuildPyWithBundle, "sdist": SdistWithBundle})
