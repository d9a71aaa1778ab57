"""What the runner and the maker of the kit share: drivers, and how answers are compared. Standard library only."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
#: Longer texts are kept as their digest.
LONG = 2_000


class Driver:
    """A host that answers questions about one component."""

    def __init__(self, command: list[str], component: Path) -> None:
        self._process = subprocess.Popen(
            [*command, "--component", str(component)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        """The process id of the driver."""
        return self._process.pid

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Asks one question. A driver that ends or answers no JSON is an error."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the driver ended with {self._process.wait()} at the question {question['ask']}")
        answer = json.loads(line)
        if len(answer.keys() & {"ok", "fault", "trap"}) != 1:
            raise RuntimeError(f"the driver answered {line[:200]!r}")
        return answer

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def expanded(value: Any) -> Any:
    """A question with its long texts."""
    if isinstance(value, dict):
        if value.keys() == {"repeat", "times"}:
            return value["repeat"] * value["times"]
        return {name: expanded(member) for name, member in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(one, dict) and one.keys() == {"repeat", "times"} for one in value):
            return "".join(one["repeat"] * one["times"] for one in value)
        return [expanded(element) for element in value]
    return value


def shortened(value: Any) -> Any:
    """An answer with the digests of its long texts."""
    if isinstance(value, str) and len(value) > LONG:
        return "sha256:" + hashlib.sha256(value.encode()).hexdigest()
    if isinstance(value, dict):
        return {name: shortened(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shortened(element) for element in value]
    return value


def difference(expected: Any, got: Any, at: str = "") -> str | None:
    """Where an answer differs from the expected one."""
    if expected == "*":
        return None
    if isinstance(expected, dict) and isinstance(got, dict):
        if expected.keys() != got.keys():
            return f"{at or 'the answer'} has the members {sorted(got)}, expected {sorted(expected)}"
        parts = [(name, expected[name], got[name]) for name in expected]
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return f"{at} has {len(got)} elements, expected {len(expected)}"
        parts = [(place, one, other) for place, (one, other) in enumerate(zip(expected, got))]
    elif expected != got or isinstance(expected, bool) != isinstance(got, bool):
        return f"{at} is {shown(got)}, expected {shown(expected)}"
    else:
        return None
    found = (difference(one, other, f"{at}.{name}") for name, one, other in parts)
    return next((problem for problem in found if problem), None)


def shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 300 else text[:300] + "…"
