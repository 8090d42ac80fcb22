"""The checker finds each thing that can be wrong with numbered events, and JavaScript's counts the same."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import Any

import pytest
from node_program import node_command

from holdfast.demo.checker import Acks, Checker, Payloads

# What came, of how many, and what that is: lost, repeated, disordered.
CASES: list[tuple[list[int], int, tuple[int, int, int]]] = [
    ([], 0, (0, 0, 0)),
    ([], 3, (3, 0, 0)),
    ([1, 2, 3], 3, (0, 0, 0)),
    ([1, 3], 3, (1, 0, 0)),
    ([2, 3], 3, (1, 0, 0)),
    ([1, 2], 3, (1, 0, 0)),
    ([1, 2, 2, 3], 3, (0, 1, 0)),
    ([1, 2, 3, 1, 2, 3], 3, (0, 3, 0)),
    ([1, 3, 2], 3, (0, 0, 1)),
    ([3, 2, 1], 3, (0, 0, 2)),
    ([1, 2, 5, 4, 4, 6], 6, (1, 1, 1)),
    ([1, 4, 2, 2, 6], 6, (2, 1, 1)),
]


@pytest.mark.parametrize(("numbers", "sent", "wrong"), CASES)
def test_lost_repeated_and_disordered_are_told_apart(
    numbers: list[int], sent: int, wrong: tuple[int, int, int]
) -> None:
    checker = Checker()
    for number in numbers:
        checker.take(number)
    verdict = checker.verdict(sent)
    assert (verdict.lost, verdict.repeated, verdict.disordered) == wrong
    assert verdict.received == len(numbers)
    assert verdict.is_clean == (numbers == list(range(1, sent + 1)))
    assert checker.distinct == len(set(numbers))


def test_damaged_data_is_found() -> None:
    payloads = Payloads(seed=1, limit_bytes=64, binary=0.5)
    checker = Checker(payloads)
    for number in range(1, 11):
        checker.take(number, payloads.of(number))
    assert checker.verdict().is_clean
    for damaged in (None, "", payloads.of(12)):
        checker.take(11, damaged)
    assert checker.damaged == 3
    assert not checker.verdict().is_clean


def test_payloads_have_every_size_and_both_kinds() -> None:
    assert Payloads().of(1) is None
    data = [Payloads(seed=2, limit_bytes=65536, binary=0.2).of(number) for number in range(1, 2001)]
    sizes = [len(one) for one in data if one is not None]
    assert min(sizes) == 1
    assert 32768 < max(sizes) < 65536
    assert 300 < sum(isinstance(one, bytes) for one in data) < 500
    assert data != [Payloads(seed=3, limit_bytes=65536, binary=0.2).of(number) for number in range(1, 2001)]


def test_each_acknowledgement_is_to_come_once() -> None:
    acks = Acks()
    for number in (1, 2, 3, 4):
        acks.ask(number)
    acks.answer(1, 1)
    acks.answer(2, "two")
    acks.answer(1, 1)
    acks.fail(3)
    assert acks.to_json() == {
        "asked": 4,
        "answered": 3,
        "failed": 1,
        "wrong": 1,
        "repeated": 1,
        "pending": 1,
    }


SCRIPT = """
import { createHash } from "node:crypto";
import { Acks, Checker, payloads } from "ROOT/benchmarks/chaos_checker.mjs";
const { cases, plan } = JSON.parse(process.argv[1]);
const verdicts = cases.map(([numbers, sent]) => {
  const checker = new Checker();
  for (const number of numbers) checker.take(number);
  return checker.verdict(sent);
});
const of = payloads(plan);
const hash = createHash("sha256");
const checker = new Checker(of);
for (let number = 1; number <= 300; number++) {
  const data = of(number);
  hash.update(typeof data == "string" ? "text" : "bytes").update(data);
  checker.take(number, number % 100 ? (typeof data == "string" ? data : new Uint8Array(data)) : "damaged");
}
const acks = new Acks();
for (const number of [1, 2, 3, 4]) acks.ask(number);
acks.settle(1, null, 1);
acks.settle(2, null, "two");
acks.settle(1, null, 1);
acks.settle(3, new Error("gone"));
console.log(JSON.stringify({ verdicts, hash: hash.digest("hex"), damaged: checker.damaged, acks }));
"""


def javascript(cases: object, plan: object) -> Any:
    command = [*node_command(SCRIPT), json.dumps({"cases": cases, "plan": plan})]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout)


def test_javascript_counts_and_fills_the_same() -> None:
    told = javascript(CASES, {"seed": 7, "limitBytes": 4096, "binary": 0.3})
    payloads = Payloads(seed=7, limit_bytes=4096, binary=0.3)
    for (numbers, sent, _), verdict in zip(CASES, told["verdicts"], strict=True):
        checker = Checker()
        for number in numbers:
            checker.take(number)
        assert checker.verdict(sent).to_json() == verdict
    digest = hashlib.sha256()
    for number in range(1, 301):
        data = payloads.of(number)
        assert data is not None
        digest.update(b"text" + data.encode() if isinstance(data, str) else b"bytes" + data)
    assert told["hash"] == digest.hexdigest()
    assert told["damaged"] == 3
    assert told["acks"] == {
        "asked": 4,
        "answered": 3,
        "failed": 1,
        "wrong": 1,
        "repeated": 1,
        "pending": 1,
    }
