#!/usr/bin/env python3
"""Measures hosts with the drivers of the kit, and prints a table: measure.py [--component FILE] NAME=DRIVER…

    conformance/measure.py rust=target/release/examples/conformance python='python hosts/python/conformance.py'

Compare the columns of one run: machines are shared, and differ.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

import kit

MB = 1_000_000
BATCH = 4 << 20


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures hosts with the drivers of the conformance kit.")
    parser.add_argument("--component", type=Path, default=kit.HERE.parent / "target" / "catena.wasm", help="[default: target/catena.wasm]")
    parser.add_argument("--program", default=kit.HERE.parent / "target/release/catena", help="makes the records [default: target/release/catena]")
    parser.add_argument("hosts", nargs="+", metavar="NAME=DRIVER")
    arguments = parser.parse_args()
    print("| host | harmless MB/s | mixed MB/s | one record µs | load ms | memory MB after 2,000 batches | trap and recovery ms |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        harmless, mixed, one, small = (Path(folder, name) for name in ("harmless", "mixed", "one", "small"))

        def sample(*options: str) -> bytes:
            return subprocess.run([arguments.program, "sample", "--records", "40000", *options], check=True, capture_output=True).stdout

        harmless.write_bytes(sample("--chains", "0"))
        mixed.write_bytes(sample("--chains", "100", "--of-interest", "150"))
        lines = mixed.read_bytes().splitlines(keepends=True)
        one.write_bytes(next(line for line in lines if b'"CreateSnapshot"' in line))
        small.write_bytes(b"".join(lines[:80]))
        for host in arguments.hosts:
            name, _, command = host.partition("=")
            cells = measure(shlex.split(command), arguments.component.resolve(), harmless, mixed, one, small)
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return 0


def measure(command: list[str], component: Path, harmless: Path, mixed: Path, one: Path, small: Path) -> list[str]:
    began = time.perf_counter()
    with kit.Driver(command, component) as driver:
        ok(driver, {"ask": "open", "as": "first", "config": "{}"})
        load = (time.perf_counter() - began) * 1000

        def timed(file: Path, batch_bytes: int, times: int) -> float:
            ok(driver, {"ask": "open", "as": "timed", "config": "{}"})
            taken = ok(driver, {"ask": "time", "on": "timed", "file": str(file), "batch_bytes": batch_bytes, "times": times})
            ok(driver, {"ask": "close", "on": "timed"})
            return float(taken)

        timed(mixed, BATCH, 1)
        rates = [file.stat().st_size / MB / (min(timed(file, BATCH, 1) for _ in range(3)) / 1000) for file in (harmless, mixed)]
        record = timed(one, BATCH, 2000) / 2000 * 1000
        timed(small, BATCH, 2000)
        memory = memory_of(driver.pid)
    with kit.Driver(command, kit.HERE / "traps.wasm") as driver:
        opening = {"ask": "open", "as": "a", "config": "{}"}
        trap = {"ask": "process", "on": "a", "batch": "!\n", "form": "text", "now_ms": None}
        ok(driver, opening)
        began = time.perf_counter()
        if "trap" not in driver.ask(trap):
            raise RuntimeError("the component did not trap")
        ok(driver, opening)
        ok(driver, {**trap, "batch": "{}\n"})
        recovery = (time.perf_counter() - began) * 1000
    return [f"{rates[0]:,.0f}", f"{rates[1]:,.0f}", f"{record:,.0f}", f"{load:,.0f}", f"{memory:,.0f}", f"{recovery:,.1f}"]


def ok(driver: kit.Driver, question: dict[str, object]) -> object:
    answer = driver.ask(question)
    if "ok" not in answer:
        raise RuntimeError(f"{question['ask']}: {answer}")
    return answer["ok"]


def memory_of(process: int) -> float:
    """The most resident memory of one process among this and those that it started, in MB."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    most, waiting = 0.0, [process]
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, [])
        try:
            status = Path(f"/proc/{one}/status").read_text()
        except OSError:
            continue
        resident = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
        most = max(most, *(int(kilobytes) / 1000 for kilobytes in resident), 0.0)
    return most


if __name__ == "__main__":
    raise SystemExit(main())
