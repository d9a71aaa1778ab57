#!/usr/bin/env python3
"""Runs the conformance kit against a host: run.py [--component FILE] [CASE…] -- DRIVER…"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import kit


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the conformance kit against a host.")
    parser.add_argument("--component", type=Path, default=kit.HERE.parent / "target" / "catena.wasm", help="[default: target/catena.wasm]")
    parser.add_argument("cases", nargs="*", help="names of cases [default: all]")
    own, driver = sys.argv[1:], []
    if "--" in own:
        own, driver = own[: own.index("--")], own[own.index("--") + 1 :]
    arguments = parser.parse_args(own)
    if not driver:
        parser.error("expected the command of a driver after --")
    files = sorted(kit.HERE.glob("cases/*.json"))
    chosen = [file for file in files if not arguments.cases or file.stem in arguments.cases]
    if not chosen or len(chosen) < len(arguments.cases):
        parser.error(f"there is no such case; there are {', '.join(file.stem for file in files)}")
    failed = steps = 0
    for file in chosen:
        problem, count = run(json.loads(file.read_text()), driver, arguments.component.resolve())
        steps += count
        failed += problem is not None
        print(f"{'ok    ' if problem is None else 'FAILED'} {file.stem}" + (f": {problem}" if problem else ""))
    print(f"{len(chosen) - failed} passed, {failed} failed")
    print(f"({steps} steps)", file=sys.stderr)
    return 1 if failed or not steps else 0


def run(case: dict, command: list[str], component: Path) -> tuple[str | None, int]:
    component = kit.HERE / case["component"] if "component" in case else component
    try:
        with kit.Driver(command, component) as driver:
            for number, step in enumerate(case["steps"], 1):
                got = kit.shortened(driver.ask(kit.expanded(step["question"])))
                if problem := kit.difference(step["answer"], got):
                    return f"step {number} ({step['question']['ask']}): {problem}", number
    except (OSError, RuntimeError, ValueError) as error:
        return str(error), 0
    return None, len(case["steps"])


if __name__ == "__main__":
    sys.exit(main())
