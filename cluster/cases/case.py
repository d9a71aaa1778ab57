"""A fleet with one stream of records, and what all failure cases ask of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import desk

RECORDS, CHAINS = 20_000, 60


class Case:
    """A fleet with one stream of records in some files."""

    def __init__(self, folder: Path, sync: str = "always") -> None:
        self.folder = folder
        self.servers = desk.Servers(folder, sync)
        self.fleet = desk.Fleet(self.servers, folder)
        self.config = folder / "config.json"
        self.config.write_text('{"mode":"filter"}')
        self.files: list[Path] = []
        self.has_failed = False

    def up(self, *options: object, routers: int = 2, workers: int = 2, partitions: int = 8) -> None:
        self.servers.start_all()
        self.fleet.init(self.config, "--partitions", partitions, *options)
        for number in range(routers):
            self.fleet.start_router(f"router-{number}")
        for number in range(workers):
            self.worker(f"worker-{number}")

    def worker(self, name: str) -> None:
        self.fleet.start_worker(name, "--checkpoint-after", "2s")

    def parts(self, count: int, records: int = RECORDS) -> Iterator[Path]:
        """One stream, cut into files, each of which is put in before the next is asked for."""
        whole = desk.sample(self.folder / "whole.ndjson", records, CHAINS)
        lines = whole.read_bytes().splitlines(keepends=True)
        size = -(-len(lines) // count)
        for number in range(count):
            path = self.folder / f"part-{number:03}.ndjson"
            path.write_bytes(b"".join(lines[number * size : (number + 1) * size]))
            self.files.append(path)
            self.fleet.ingest("case", *self.files)
            yield path

    def put(self, name: str, lines: list[str]) -> None:
        """Puts one more file of records in."""
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n")
        self.files.append(path)
        self.fleet.ingest("case", *self.files)

    def check(self) -> str:
        desk.wait_until_done(self.fleet)
        return desk.compare(self.fleet, self.config, self.files)

    def wait_for(self, name: str, text: str, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while text not in self.fleet.log(name):
            if time.monotonic() > until:
                raise AssertionError(f"{name} does not say {text!r}: {self.fleet.log(name)[-500:]}")
            time.sleep(0.2)

    def owners(self) -> set[str]:
        status = self.fleet.status()
        return {one["worker"] for one in status["partitions"] if one["worker"]} if status else set()
