"""Runs groups of make targets beside each other, and prints what each said when it is done.

    python tools/side_by_side.py "lint types" "js"

Ends with status 1 as soon as all are done, if one has failed.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed


def run(group: str) -> subprocess.CompletedProcess[str]:
    """One after the other, until one fails."""
    command = ["make", "--no-print-directory", *group.split()]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def main(groups: list[str]) -> int:
    failed = 0
    with ThreadPoolExecutor(len(groups)) as pool:
        for done in as_completed([pool.submit(run, group) for group in groups]):
            result = done.result()
            print(result.stdout, end="", flush=True)
            failed |= result.returncode
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
