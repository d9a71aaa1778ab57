#!/usr/bin/env python3
"""Measures a fleet on one desk against one process on the same processors, in one run: measure.py [RECORDS]

Everything shares the machine: servers, routers and workers. So more workers show what they cost here, not what more machines would gain.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import desk

PARTITIONS = 16


def main() -> int:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    work = Path(tempfile.mkdtemp(prefix="catena-measure-"))
    try:
        whole = desk.sample(work / "whole.ndjson", records, 200)
        megabytes = whole.stat().st_size / 1e6
        config = work / "config.json"
        config.write_text('{"mode":"filter"}')
        began = time.monotonic()
        subprocess.run([desk.CATENA, "run", "--quiet", "--config", config, "-o", "/dev/null", "--findings", "/dev/null", whole], check=True)
        alone = time.monotonic() - began
        print(f"{records} records, {megabytes:.0f} MB; one process: {megabytes / alone:.0f} MB/s with its start", flush=True)
        print("| copies | sync_interval | workers | ingest MB/s | route and correlate MB/s | bytes to correlators |")
        print("|---|---|---|---|---|---|")
        for replicas, sync, workers in [(3, "always", 1), (3, "always", 2), (3, "always", 4), (3, "2m", 2), (1, "always", 2)]:
            row(work, config, whole, megabytes, replicas, sync, workers)
        return 0
    finally:
        shutil.rmtree(work, ignore_errors=True)


def row(work: Path, config: Path, whole: Path, megabytes: float, replicas: int, sync: str, workers: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="fleet-", dir=work))
    servers = desk.Servers(folder, sync)
    fleet = desk.Fleet(servers, folder)
    try:
        servers.start_all()
        fleet.init(config, "--partitions", PARTITIONS, "--replicas", replicas)
        began = time.monotonic()
        fleet.ingest("measure", whole)
        ingested = time.monotonic() - began
        fleet.start_router("router-0")
        for number in range(workers):
            fleet.start_worker(f"worker-{number}")
        began = time.monotonic()
        while not ((status := fleet.status()) and status["records"] > 0 and status["waiting_blocks"] == 0 and all(one["lag"] == 0 for one in status["partitions"])):
            time.sleep(0.05)
        done = time.monotonic() - began
        share = 100 * status["candidate_bytes"] / status["bytes"]
        print(f"| {replicas} | {sync} | {workers} | {megabytes / ingested:.0f} | {megabytes / done:.0f} | {share:.2f} % |", flush=True)
    finally:
        for process in [*fleet.running.values(), *servers.running.values()]:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
