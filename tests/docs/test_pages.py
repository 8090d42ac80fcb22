"""The pages keep up with the code: their Python runs, and every public name has its place."""

from __future__ import annotations

import re
from pathlib import Path

import holdfast

DOCS = Path(__file__).parents[2] / "docs"


def test_python_of_the_guide_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / "events.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 10
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"block {number} of events.md", "exec"), names)


def test_every_public_name_is_in_the_reference() -> None:
    pages = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    assert set(re.findall(r"^::: holdfast\.(\w+)$", pages, re.MULTILINE)) == set(holdfast.__all__)


def test_every_reason_is_explained() -> None:
    page = (DOCS / "events.md").read_text()
    assert [reason for reason in holdfast.CloseReason if f"`{reason}`" not in page] == []
