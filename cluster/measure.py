#!/usr/bin/env python3
"""Measures a fleet on one desk against one process on the same processors, in one run: measure.py [RECORDS]

Everything shares the machine: servers, routers and workers. So more workers show what they cost here, not what more machines would gain.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import desk

PARTITIONS = 16

# Copies, sync_interval, routers, workers.
ROWS = [(3, "always", 1, 1), (3, "always", 1, 2), (3, "always", 1, 4), (3, "always", 2, 2), (3, "always", 4, 2), (3, "2m", 1, 2), (1, "always", 1, 2)]


def main() -> int:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
    work = Path(tempfile.mkdtemp(prefix="catena-measure-"))
    try:
        whole = desk.sample(work / "whole.ndjson", records, 200)
        gigabytes = whole.stat().st_size / 1e9
        config = work / "config.json"
        config.write_text('{"mode":"filter"}')
        began, before = time.monotonic(), children()
        subprocess.run([desk.CATENA, "run", "--quiet", "--config", config, "-o", "/dev/null", "--findings", "/dev/null", whole], check=True)
        alone, used = time.monotonic() - began, children() - before
        print(f"{records} records, {gigabytes * 1e3:.0f} MB. One process: {gigabytes / alone * 1e3:.0f} MB/s, {used / gigabytes:.2f} s of a processor for a GB, with its start.")
        print("Seconds of a processor for a GB of records, by process:")
        print("| copies | sync_interval | routers | workers | ingest MB/s | route and correlate MB/s | ingest | servers | routers | workers | bytes to correlators |")
        print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for row in ROWS:
            measure(work, config, whole, gigabytes, *row)
        return 0
    finally:
        shutil.rmtree(work, ignore_errors=True)


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(work: Path, config: Path, whole: Path, gigabytes: float, replicas: int, sync: str, routers: int, workers: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="fleet-", dir=work))
    servers = desk.Servers(folder, sync)
    fleet = desk.Fleet(servers, folder)
    try:
        servers.start_all()
        fleet.init(config, "--partitions", PARTITIONS, "--replicas", replicas)
        began, before = time.monotonic(), children()
        fleet.ingest("measure", whole)
        ingested, ingest = time.monotonic() - began, children() - before
        for number in range(routers):
            fleet.start_router(f"router-{number}")
        for number in range(workers):
            fleet.start_worker(f"worker-{number}")
        began = time.monotonic()
        while not ((status := fleet.status()) and status["records"] > 0 and status["waiting_blocks"] == 0 and all(one["lag"] == 0 for one in status["partitions"])):
            # To ask costs something, too.
            time.sleep(0.5)
        done = time.monotonic() - began
        share = 100 * status["candidate_bytes"] / status["bytes"]
        of = {
            "servers": sum(desk.cpu(process.pid) for process in servers.running.values()),
            "routers": sum(desk.cpu(fleet.running[name].pid) for name in fleet.routers()),
            "workers": sum(desk.cpu(fleet.running[name].pid) for name in fleet.workers()),
        }
        used = " | ".join(f"{seconds / gigabytes:.1f}" for seconds in [ingest, *of.values()])
        rates = f"{gigabytes / ingested * 1e3:.0f} | {gigabytes / done * 1e3:.0f}"
        print(f"| {replicas} | {sync} | {routers} | {workers} | {rates} | {used} | {share:.2f} % |", flush=True)
    finally:
        for process in [*fleet.running.values(), *servers.running.values()]:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
