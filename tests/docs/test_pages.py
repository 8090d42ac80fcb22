"""The pages keep up with the code: their Python runs, and every public name has its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

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


def blocks_of(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


async def test_metrics_of_the_page_on_operation_are_what_prometheus_reads() -> None:
    names: dict[str, Any] = {}
    for block in blocks_of("operation.md"):
        exec(compile(block, "operation.md", "exec"), names)
    lines = (await names["metrics"](None)).body.decode().splitlines()
    assert 'holdfast_sessions{by="websocket"} 0' in lines
    assert "holdfast_draining 0" in lines
    assert [line for line in lines if not re.fullmatch(r'holdfast_\w+(\{by="[^"\\]+"\})? \d+', line)] == []


def test_every_number_of_stats_is_explained_on_the_page_on_operation() -> None:
    page = (DOCS / "operation.md").read_text()
    assert [name for name in holdfast.Stats.__slots__ if f"`{name}`" not in page] == []
