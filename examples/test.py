#!/usr/bin/env python3
"""Tests the recipes with the real shippers: examples/test.py [--catena FILE] [SHIPPER…]

Each recipe gets 10,000 records, slowly and as fast as it takes them, undisturbed and while its processes are stopped and killed. Its
findings are compared with those of one run over the same records. A shipper that is not installed is skipped, unless it is named.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORDS = 10_000
CHAINS = 100
# Records per second; None: all at once.
RATES = (1_500, None)
PATIENCE = 60.0
# Seconds until a shipper that does not end is killed.
GRACE = 3.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ids_in(path: Path) -> list[str]:
    """The ids of the findings in a file, an unfinished last line left out."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line)["finding_info"]["uid"] for line in lines if line.strip()]


class Shipper:
    """A recipe with its processes, in a folder of its own."""

    name: str
    program: str
    # What may be lost by a kill, in seconds of records: the time between two saves of a run that reads a pipe, which cannot be read
    # again. By stopping the processes, nothing may be lost.
    lost_by_kill = 1.5

    def __init__(self, catena: str, folder: Path) -> None:
        self.catena = catena
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        self.port = free_port()
        for name in ("log/audit", "lib", "spool"):
            (folder / name).mkdir(parents=True)
        self.input = folder / "log/audit/audit.ndjson"
        self.input.touch()
        self.findings = folder / "log/catena-findings.ndjson"

    def render(self, name: str, mode: int = 0o644) -> Path:
        """A file of the recipe, with the paths and the port of this test."""
        text = (HERE / self.name / name).read_text()
        for old, new in {
            "/usr/bin/catena": self.catena,
            "/var/lib/": f"{self.folder}/lib/",
            "/var/log": f"{self.folder}/log",
            "/var/spool": f"{self.folder}/spool",
            "5514": str(self.port),
            "1883": str(self.port),
        }.items():
            text = text.replace(old, new)
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def spawn(self, *command: object) -> subprocess.Popen[bytes]:
        log = (self.folder / "test.log").open("ab")
        child = subprocess.Popen(
            [str(part) for part in command], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        self.running.append(child)
        return child

    def prepare(self) -> None:
        """What is done once."""

    def start(self) -> None:
        raise NotImplementedError

    def feed(self, lines: list[bytes]) -> None:
        with self.input.open("ab") as file:
            file.writelines(lines)

    def stop(self, with_signal: int) -> None:
        """Ends the shipper, with what it has started, as a service manager does: by force if it takes too long."""
        for child in self.running:
            for number in (with_signal, signal.SIGKILL):
                try:
                    os.killpg(child.pid, number)
                    child.wait(GRACE)
                    break
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    print(f"{self.name}: does not end by signal {number}")
        self.running.clear()
        # What moved to a group of its own, and what still ends.
        until = time.monotonic() + 30
        while others := self.processes(""):
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name}: {others} do not end")
            if with_signal == signal.SIGKILL or time.monotonic() > until - 20:
                self.signal_all("", signal.SIGKILL)
            time.sleep(0.05)

    def processes(self, name: str) -> list[int]:
        """The processes of this test whose program has this name, or any."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            mine = any(str(self.folder).encode() in part for part in command)
            if mine and (not name or os.path.basename(command[0]).decode() == name):
                found.append(int(entry.name))
        return found

    def signal_all(self, name: str, number: int) -> None:
        for process in self.processes(name):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass


class Rsyslog(Shipper):
    name, program = "rsyslog", "rsyslogd"

    def prepare(self) -> None:
        text = self.render("catena.conf").read_text()
        work = self.folder / "lib/rsyslog"
        work.mkdir()
        (self.folder / "catena.conf").write_text(f'global(workDirectory="{work}")\n{text}')

    def start(self) -> None:
        self.spawn("rsyslogd", "-n", "-i", self.folder / "pid", "-f", self.folder / "catena.conf")


class SyslogNg(Shipper):
    name, program = "syslog-ng", "syslog-ng"

    def prepare(self) -> None:
        self.render("catena.conf")

    def start(self) -> None:
        own = [f"--{what}={self.folder / what}" for what in ("persist-file", "control", "pidfile")]
        self.spawn("syslog-ng", "-F", "--no-caps", "-f", self.folder / "catena.conf", *own)


class Tenzir(Shipper):
    name, program = "tenzir", "tenzir"

    def prepare(self) -> None:
        for pipeline in ("catena.tql", "findings.tql"):
            self.render(pipeline)

    def start(self) -> None:
        for pipeline in ("catena.tql", "findings.tql"):
            self.spawn("tenzir", "--bare-mode", "-f", self.folder / pipeline)


class Mosquitto(Shipper):
    name, program = "mosquitto", "mosquitto"

    def prepare(self) -> None:
        (self.folder / "lib/mosquitto").mkdir()
        text = self.render("mosquitto.conf").read_text()
        (self.folder / "mosquitto.conf").write_text(f"{text}\nuser root\n" if os.getuid() == 0 else text)
        self.render("catena-mqtt", 0o755)
        self.findings = self.folder / "received.ndjson"
        self.broker: subprocess.Popen[bytes] | None = None
        self.publisher: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.broker is None:
            # A broker and a receiver of its own: the recipe is what is stopped and killed.
            self.broker = self.spawn("mosquitto", "-c", self.folder / "mosquitto.conf")
            wait_for_port(self.port)
            where = ["-h", "127.0.0.1", "-p", str(self.port), "-q", "1"]
            received = self.findings.open("ab")
            self.receiver = subprocess.Popen(["mosquitto_sub", *where, "-c", "-i", "receiver", "-t", "catena/findings"], stdout=received)
            # The session of the subscriber begins with its first connection.
            subprocess.run(["mosquitto_sub", *where, "-c", "-i", "catena", "-t", "audit", "-E"], check=True)
            self.publisher = subprocess.Popen(["mosquitto_pub", *where, "-t", "audit", "-l"], stdin=subprocess.PIPE)
            self.running.clear()
        self.spawn(self.folder / "catena-mqtt", "127.0.0.1", self.port)

    def feed(self, lines: list[bytes]) -> None:
        assert self.publisher is not None and self.publisher.stdin is not None
        self.publisher.stdin.writelines(lines)
        self.publisher.stdin.flush()

    def processes(self, name: str) -> list[int]:
        broker = self.broker.pid if self.broker else 0
        return [process for process in super().processes(name) if process != broker]

    def close(self) -> None:
        for child in (self.publisher, self.receiver, self.broker):
            if child is not None:
                child.kill()
                child.wait()


class Journald(Shipper):
    """A journal that the test writes; journalctl reads it as it reads that of the system."""

    name, program = "journald", "journalctl"
    lost_by_kill = 0.0

    def prepare(self) -> None:
        self.render("catena-journal", 0o755)
        self.journal = self.folder / "journal"
        self.journal.mkdir()
        self.writer = next(path for path in ("/lib/systemd", "/usr/lib/systemd") if Path(path, "systemd-journal-remote").exists())
        self.at = 1_767_607_200_000_000

    def start(self) -> None:
        self.spawn(self.folder / "catena-journal", "--file", self.journal / "audit.journal")
        work = self.folder / "lib/catena"
        work.mkdir(exist_ok=True)
        (work / "audit.ndjson").touch()
        state = ["--state", work / "state", "--save-every", "1s"]
        self.spawn(self.catena, "run", "--mode", "findings", "--findings", self.findings, *state, "--follow", work / "audit.ndjson")

    def feed(self, lines: list[bytes]) -> None:
        """Adds entries to the journal, in the export format (systemd, "Journal Export Formats")."""
        entries = []
        for line in lines:
            self.at += 1_000
            message = line.rstrip(b"\n")
            fields = b"__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=%032x\nSYSLOG_IDENTIFIER=audit\n"
            entries.append(fields % (self.at, self.at, 7) + b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n\n")
        tool = Path(self.writer, "systemd-journal-remote")
        written = self.journal / "audit.journal"
        subprocess.run([tool, f"--output={written}", "-"], input=b"".join(entries), check=True, capture_output=True)


SHIPPERS: list[type[Shipper]] = [Rsyslog, SyslogNg, Tenzir, Mosquitto, Journald]


def wait_for_port(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def run(kind: type[Shipper], catena: str, lines: list[bytes], expected: set[str], rate: int | None, disturbed: str) -> str:
    """One way through a recipe. Returns what is wrong, or an empty text."""
    folder = Path(tempfile.mkdtemp(prefix=f"catena-{kind.name}-"))
    shipper = kind(catena, folder)
    steps = {
        "undisturbed": [],
        "stopped": [("catena", signal.SIGTERM), ("", signal.SIGTERM), ("catena", signal.SIGTERM), ("", signal.SIGTERM)],
        "killed": [("catena", signal.SIGKILL), ("", signal.SIGKILL), ("catena", signal.SIGKILL), ("", signal.SIGKILL)],
    }[disturbed]
    try:
        shipper.prepare()
        shipper.start()
        chunk = len(lines) // 20
        for number, at in enumerate(range(0, len(lines), chunk)):
            shipper.feed(lines[at : at + chunk])
            time.sleep(chunk / rate if rate else 0.1)
            if steps and number % 4 == 3 and number // 4 < len(steps):
                name, with_signal = steps[number // 4]
                if name:
                    shipper.signal_all(name, with_signal)
                else:
                    shipper.stop(with_signal)
                    shipper.start()
        until = time.monotonic() + (PATIENCE if disturbed != "killed" else PATIENCE / 4)
        found: list[str] = []
        while time.monotonic() < until and not expected <= set(found):
            time.sleep(0.2)
            found = ids_in(shipper.findings)
        missing, more, twice = expected - set(found), set(found) - expected, len(found) - len(set(found))
        # A finding needs its records: each that is lost costs at most two.
        lost = len(steps) * shipper.lost_by_kill * (rate or 0) if disturbed == "killed" else 0
        allowed = 2 * CHAINS * lost // RECORDS
        told = f"{len(found)} findings, {len(missing)} of {len(expected)} missing, {len(more)} more, {twice} twice"
        print(f"{kind.name:10} {disturbed:11} {f'{rate}/s' if rate else 'at once':8} {told}", flush=True)
        if more or len(missing) > allowed or (disturbed == "undisturbed" and twice):
            log = folder / "test.log"
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            return f"{kind.name}, {disturbed}: {told}\n{tail}"
        return ""
    finally:
        shipper.stop(signal.SIGKILL)
        if isinstance(shipper, Mosquitto):
            shipper.close()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--catena", default=str(HERE.parent / "target/release/catena"), help="the program")
    parser.add_argument("shippers", nargs="*", metavar="SHIPPER", help=", ".join(kind.name for kind in SHIPPERS))
    arguments = parser.parse_args()
    unknown = set(arguments.shippers) - {kind.name for kind in SHIPPERS}
    if unknown:
        parser.error(f"no recipe for {', '.join(sorted(unknown))}")
    options = ["--records", str(RECORDS - 3 * CHAINS), "--chains", str(CHAINS), "--disorder", "0", "--duplicates", "0"]
    lines = subprocess.run([arguments.catena, "sample", *options], check=True, capture_output=True).stdout.splitlines(keepends=True)
    whole = subprocess.run([arguments.catena, "run", "--quiet", "--mode", "findings"], input=b"".join(lines), check=True, capture_output=True)
    expected = {json.loads(line)["finding_info"]["uid"] for line in whole.stdout.splitlines()}
    assert len(expected) == 2 * CHAINS, len(expected)
    problems, tested = [], 0
    for kind in SHIPPERS:
        if arguments.shippers and kind.name not in arguments.shippers:
            continue
        if shutil.which(kind.program) is None:
            print(f"{kind.name:10} skipped: {kind.program} is not installed", flush=True)
            if arguments.shippers:
                problems.append(f"{kind.name}: {kind.program} is not installed")
            continue
        tested += 1
        for rate in RATES:
            # Within the second that it takes all records at once, kills lose what a pipe is allowed to.
            kills = ("killed",) if rate or not kind.lost_by_kill else ()
            for disturbed in ("undisturbed", "stopped", *kills):
                problem = run(kind, arguments.catena, lines, expected, rate, disturbed)
                problems += [problem] if problem else []
    for problem in problems:
        print(f"FAILED {problem}", file=sys.stderr)
    print(f"{tested} shippers tested, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
