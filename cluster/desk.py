"""What scripts/cluster and the failure cases share: three servers and a fleet on the loopback, and the comparison with one process."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CATENA = os.environ.get("CATENA") or str(ROOT / "target/release/catena")
NATS_SERVER = os.environ.get("NATS_SERVER") or shutil.which("nats-server") or "nats-server"


def free_ports(count: int) -> list[int]:
    """Below those that the system gives to connections: one of these may be taken before a server has it."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


class Servers:
    """Three servers, each with a store of its own."""

    def __init__(self, folder: Path, sync: str = "always", settings: str = "") -> None:
        self.folder = folder
        self.clients, routes, self.monitors = free_ports(3), free_ports(3), free_ports(3)
        self.urls = ",".join(f"nats://127.0.0.1:{port}" for port in self.clients)
        peers = ", ".join(f"nats://127.0.0.1:{port}" for port in routes)
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        for number in range(3):
            (folder / f"server-{number}.conf").write_text(
                f'server_name: n{number}\nlisten: "127.0.0.1:{self.clients[number]}"\nhttp: "127.0.0.1:{self.monitors[number]}"\n'
                f'jetstream {{ store_dir: "{folder}/store-{number}", sync_interval: {sync} }}\n'
                f'cluster {{ name: desk, listen: "127.0.0.1:{routes[number]}", routes: [{peers}], no_advertise: true }}\n{settings}'
            )

    def start(self, number: int) -> None:
        log = (self.folder / f"server-{number}.log").open("ab")
        command = [NATS_SERVER, "-c", str(self.folder / f"server-{number}.conf")]
        self.running[number] = subprocess.Popen(command, stdout=log, stderr=log)

    def start_all(self) -> None:
        for number in range(3):
            self.start(number)

    def kill(self, number: int) -> None:
        self.running[number].kill()
        self.running[number].wait()

    def leader(self, stream: str) -> int | None:
        """The server that leads a stream."""
        for monitor in self.monitors:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/jsz?accounts=true&streams=true", timeout=5) as answer:
                    accounts = json.load(answer).get("account_details") or []
            except (OSError, ValueError):
                continue
            for detail in (one for account in accounts for one in account.get("stream_detail") or []):
                leader = (detail.get("cluster") or {}).get("leader")
                if detail["name"] == stream and leader:
                    return int(leader.removeprefix("n"))
        return None

    def request(self, subject: str, payload: bytes = b"", wait: bool = True, headers: str = "") -> bytes:
        """Asks, or just publishes, by the protocol of the servers' clients. Headers are lines."""
        head = f"NATS/1.0\r\n{headers}\r\n\r\n".encode() if headers else b""
        lengths = f"{len(head)} {len(head) + len(payload)}" if headers else f"{len(payload)}"
        verb = "HPUB" if headers else "PUB"
        for port in self.clients:
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as connection:
                    connection.settimeout(5)
                    lines = connection.makefile("rb")
                    lines.readline()
                    connection.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB answer 1\r\n')
                    connection.sendall(f"{verb} {subject} {'answer' if wait else ''} {lengths}\r\n".encode() + head + payload + b"\r\nPING\r\n")
                    while line := lines.readline():
                        if line.startswith(b"HMSG"):
                            head_length, length = (int(field) for field in line.split()[-2:])
                            return lines.read(length)[head_length:]
                        if line.startswith(b"MSG"):
                            return lines.read(int(line.split()[-1]))
                        if line.startswith(b"PING"):
                            connection.sendall(b"PONG\r\n")
                        if line.startswith(b"PONG") and not wait:
                            return b""
            except OSError:
                continue
        raise RuntimeError("no server answers")


class Fleet:
    def __init__(self, servers: Servers, folder: Path) -> None:
        self.servers, self.folder = servers, folder
        self.urls = servers.urls
        # For every command.
        self.options: list[object] = []
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def command(self, *arguments: object) -> list[str]:
        role, *rest = (str(one) for one in arguments)
        return [CATENA, "cluster", role, "--nats", self.urls, *map(str, self.options), *rest]

    def call(self, *arguments: object, check: bool = True) -> bytes:
        done = subprocess.run(self.command(*arguments, "--log-level", "warn"), capture_output=True, timeout=120)
        if check and done.returncode:
            raise RuntimeError(f"{arguments[0]}: {done.stderr.decode()}")
        return done.stdout

    def start(self, name: str, *arguments: object) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        self.running[name] = subprocess.Popen(self.command(*arguments), stdout=log, stderr=log)

    def start_worker(self, name: str, *options: object) -> None:
        self.start(name, "work", "--name", name, *options)

    def start_router(self, name: str, *options: object) -> None:
        self.start(name, "route", "--name", name, *options)

    def init(self, config: Path, *options: object) -> None:
        """Waits until the servers have a leader."""
        until = time.monotonic() + 60
        while True:
            try:
                self.call("init", "--config", config, "--waiting-bytes", 2_000_000_000, *options)
                return
            except (RuntimeError, subprocess.TimeoutExpired):
                if time.monotonic() > until:
                    raise
                time.sleep(1)

    def ingest(self, source: str, *files: Path) -> None:
        done = subprocess.run(self.command("ingest", "--source", source, *files), capture_output=True, timeout=300)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def end(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def workers(self) -> list[str]:
        return [name for name in self.running if name.startswith("worker")]

    def routers(self) -> list[str]:
        return [name for name in self.running if name.startswith("router")]

    def status(self) -> dict[str, Any] | None:
        try:
            return json.loads(self.call("status", "--json"))
        except (RuntimeError, ValueError, subprocess.TimeoutExpired):
            return None


class Chaos:
    """One fault after the other, each undone after a while."""

    def __init__(self, fleet: Fleet, configs: list[Path], seed: int) -> None:
        self.fleet, self.configs, self.random = fleet, configs, random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.later: list[tuple[float, object]] = []
        self.next_worker = 100

    def step(self) -> None:
        now = time.monotonic()
        for due, undo in [one for one in self.later if one[0] <= now]:
            self.later.remove((due, undo))
            undo()  # type: ignore[operator]
        faults = [self.kill_worker] * 3 + [self.stop_worker, self.leave, self.kill_router, self.stop_router]
        faults += [self.kill_leader, self.kill_server, self.kill_servers, self.change]
        fault = self.random.choice(faults)
        self.counts[fault.__name__] += 1
        fault()

    def undo_all(self) -> None:
        for _, undo in self.later:
            undo()  # type: ignore[operator]
        self.later.clear()

    def after(self, seconds: float, undo: object) -> None:
        self.later.append((time.monotonic() + seconds, undo))

    def kill_worker(self) -> None:
        name = self.random.choice(self.fleet.workers())
        self.fleet.end(name)
        self.fleet.start_worker(name)

    def stop_worker(self) -> None:
        self.stop(self.fleet.workers())

    def stop_router(self) -> None:
        self.stop(self.fleet.routers())

    def stop(self, names: list[str]) -> None:
        """Stopped for longer than its leases: it comes back as a zombie."""
        process = self.fleet.running[self.random.choice(names)]
        process.send_signal(signal.SIGSTOP)
        self.after(15, lambda: process.poll() is None and process.send_signal(signal.SIGCONT))

    def leave(self) -> None:
        """One leaves in order, another joins."""
        self.fleet.end(self.random.choice(self.fleet.workers()), signal.SIGTERM)
        self.next_worker += 1
        self.fleet.start_worker(f"worker-{self.next_worker}")

    def kill_router(self) -> None:
        name = self.random.choice(self.fleet.routers())
        self.fleet.end(name)
        self.fleet.start_router(name)

    def kill_leader(self) -> None:
        """That of a stream to which somebody commits."""
        leader = self.fleet.servers.leader(self.random.choice(["CATENA_IN", "CATENA_EVENTS", "CATENA_OUT"]))
        self.kill_server(leader)

    def kill_server(self, number: int | None = None) -> None:
        number = self.random.randrange(3) if number is None else number
        self.fleet.servers.kill(number)
        time.sleep(self.random.uniform(0, 2))
        self.fleet.servers.start(number)

    def kill_servers(self) -> None:
        for number in range(3):
            self.fleet.servers.kill(number)
        time.sleep(1)
        for number in range(3):
            self.fleet.servers.start(number)

    def change(self) -> None:
        self.fleet.call("apply", "--config", self.random.choice(self.configs), check=False)


def cpu(process: int) -> float:
    """Seconds of processor time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def metrics(port: int) -> str:
    """What a process on the loopback tells about itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


def value(text: str, start: str) -> float:
    """The sum of the samples that begin so."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(start))


def plain(findings: bytes) -> list[str]:
    """Findings without the place of their record, which one process names by file and line."""
    found = []
    for line in findings.splitlines():
        finding = json.loads(line)
        finding.pop("enrichments", None)
        found.append(json.dumps(finding, sort_keys=True))
    return sorted(found)


def envelopes(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Puts three records of fifty into one: it concerns the identities of all."""
    several: list[str] = []
    for number, line in enumerate(lines):
        if number % 50 >= 3:
            yield line
            continue
        several.append(line.decode())
        if len(several) == 3:
            yield json.dumps({"Messages": [{"Body": one} for one in several]}).encode() + b"\n"
            several.clear()
    yield from (line.encode() for line in several)


def sample(path: Path, records: int, chains: int, seed: int = 7) -> Path:
    options = ["--records", records, "--chains", chains, "--of-interest", 150, "--seed", seed]
    with path.open("wb") as out:
        subprocess.run([CATENA, "sample", *map(str, options)], check=True, stdout=out)
    return path


def wait_until_done(fleet: Fleet, seconds: float = 180) -> None:
    """Until everything that is in is correlated."""
    until = time.monotonic() + seconds
    while True:
        status = fleet.status()
        if status and status["waiting_blocks"] == 0 and status["unjoined"] == 0 and all(one["lag"] == 0 for one in status["partitions"]):
            return
        if time.monotonic() > until:
            raise AssertionError(f"it does not catch up: {json.dumps(status)}")
        time.sleep(0.5)


def records(output: bytes) -> Iterator[bytes]:
    """Records, byte for byte. A fleet writes each on a line; one process leaves them in the container in which they came."""
    for line in output.splitlines():
        if not line.startswith(b'{"Records":['):
            yield line
            continue
        # The records of a sample have no spaces between their members, and neither has a container of them.
        yield from (json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() for record in json.loads(line)["Records"])


def compare(fleet: Fleet, config: Path, paths: list[Path], twice: bool = False) -> str:
    """Compares findings and output with those of one process, where records may come twice if told so. Returns both counts."""
    found, output = fleet.call("read", "findings"), fleet.call("read", "records")
    own = fleet.folder / "findings.ndjson"
    one = subprocess.run(
        [CATENA, "run", "--quiet", "--overwrite", "--config", config, "--findings", own, *paths], check=True, capture_output=True
    )
    expected, got = plain(own.read_bytes()), plain(found)
    missing, more = Counter(expected) - Counter(got), Counter(got) - Counter(expected)
    if missing or more:
        raise AssertionError(f"{missing.total()} of {len(expected)} findings are missing, {more.total()} are too many")
    lines, own_lines = Counter(records(output)), Counter(records(one.stdout))
    if twice:
        lines, own_lines = Counter(set(lines)), Counter(set(own_lines))
    if lines != own_lines:
        raise AssertionError(f"{(own_lines - lines).total()} of {own_lines.total()} records are missing, {(lines - own_lines).total()} are too many")
    return f"{len(got)} findings and {lines.total()} records"
