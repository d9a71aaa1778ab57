#!/usr/bin/env python3
"""The failure cases of a fleet, each on three real servers with real kills: failures.py [CASE…]

Every case ends with the same comparison: findings and output are those of one process. Needs what scripts/cluster needs.
"""

from __future__ import annotations

import gzip
import http.server
import json
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import desk
import secure

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


def leaders_are_killed(case: Case) -> str:
    """The leader of each stream in turn, under load."""
    case.up()
    streams = ["CATENA_IN", "CATENA_EVENTS", "CATENA_OUT", "CATENA_STATE", "CATENA_DEPLOYMENT", "CATENA_LEASES"]
    for _, stream in zip(case.parts(len(streams)), streams):
        leader = case.servers.leader(stream)
        assert leader is not None, f"{stream} has no leader"
        case.servers.kill(leader)
        time.sleep(2)
        case.servers.start(leader)
        time.sleep(2)
    return case.check()


def all_servers_are_killed(case: Case) -> str:
    case.up()
    for _ in case.parts(4):
        for number in range(3):
            case.servers.kill(number)
        time.sleep(1)
        case.servers.start_all()
        time.sleep(3)
    return case.check()


def a_zombie_worker_is_refused(case: Case) -> str:
    """Stopped in the middle of its work for longer than its leases; another one takes over; then it goes on."""
    case.up(workers=1)
    parts = case.parts(6)
    next(parts), next(parts)
    desk.wait_until_done(case.fleet)
    case.fleet.running["worker-0"].send_signal(signal.SIGSTOP)
    next(parts), next(parts)
    case.worker("worker-1")
    time.sleep(14)
    desk.wait_until_done(case.fleet)
    case.fleet.running["worker-0"].send_signal(signal.SIGCONT)
    for _ in parts:
        pass
    return case.check()


class Proxy(threading.Thread):
    """Passes connections on. Again and again it waits for a commit, passes it on, and loses the answer and the connection."""

    def __init__(self, to: int) -> None:
        super().__init__(daemon=True)
        self.to = to
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        # Seconds of a connection before a commit of it is lost.
        self.every = 0.5
        self.lost = 0

    def run(self) -> None:
        while True:
            near, _ = self.listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self.to), 5)
            except OSError:
                near.close()
                continue
            deaf, due = threading.Event(), time.monotonic() + self.every
            threading.Thread(target=self.pump, args=(near, far, deaf, due), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, deaf, None), daemon=True).start()

    def lose(self, near: socket.socket, far: socket.socket) -> None:
        # Long enough for the commit to be stored.
        time.sleep(0.3)
        self.lost += 1
        for one in (near, far):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def pump(self, source: socket.socket, to: socket.socket, deaf: threading.Event, due: float | None) -> None:
        """To the server with a time when it is due, from the server without one, until nothing is let through."""
        before = b""
        try:
            while data := source.recv(1 << 16):
                if due is None and deaf.is_set():
                    continue
                is_commit = due is not None and time.monotonic() >= due and b"Catena-Commit:" in before + data
                if is_commit and not deaf.is_set():
                    deaf.set()
                    threading.Thread(target=self.lose, args=(source, to), daemon=True).start()
                to.sendall(data)
                before = data[-16:]
        except OSError:
            pass


def answers_to_commits_are_lost(case: Case) -> str:
    """Those of ingest, of a router and of workers."""
    case.up(routers=0, workers=0)
    proxy = Proxy(case.servers.clients[0])
    proxy.start()
    direct, through = case.servers.urls, f"nats://127.0.0.1:{proxy.port}"
    case.fleet.urls = through
    names = ["router-0", "worker-0", "worker-1"]
    case.fleet.start_router(names[0])
    for name in names[1:]:
        case.worker(name)
    for _ in case.parts(20):
        case.fleet.urls = through
        time.sleep(1)
    case.fleet.urls = direct
    told = case.check()
    unknown = {name: case.fleet.log(name).count("unknown whether") for name in names}
    assert min(unknown["router-0"], unknown["worker-0"] + unknown["worker-1"]) > 2, f"too few answers were lost: {unknown}"
    return f"{told}; {proxy.lost} connections lost in a commit; {unknown} answers missed"


def workers_are_killed_at_any_time(case: Case) -> str:
    """Between chunks and pointer, after a commit, during a replay: at short intervals, with checkpoints all the time."""
    case.up(workers=0)
    for number, _ in enumerate(case.parts(20)):
        name = f"worker-{number}"
        case.fleet.start_worker(name, "--checkpoint-after", "100ms")
        time.sleep(1.3 + number * 0.13)
        case.fleet.end(name)
        # Its leases end by themselves, which takes longer: the next one need not wait.
        case.servers.request("$JS.API.STREAM.PURGE.CATENA_LEASES", b"{}")
    case.worker("last")
    return case.check()


def a_zombie_router_is_refused(case: Case) -> str:
    case.up(routers=1)
    parts = case.parts(6)
    next(parts), next(parts)
    case.fleet.running["router-0"].send_signal(signal.SIGSTOP)
    next(parts), next(parts)
    case.fleet.start_router("router-1")
    time.sleep(14)
    desk.wait_until_done(case.fleet)
    case.fleet.running["router-0"].send_signal(signal.SIGCONT)
    for _ in parts:
        time.sleep(1)
    return case.check()


def a_long_backlog_is_worked_off(case: Case) -> str:
    """Blocks that fill messages, while nobody reads."""
    case.up(workers=0, routers=0)
    for _ in case.parts(2, records=150_000):
        pass
    case.fleet.start_router("router-0")
    time.sleep(10)
    case.worker("worker-0")
    return case.check()


def writers_wait_while_there_is_no_quorum(case: Case) -> str:
    """No loss, and no busy loop."""
    case.up()
    parts = case.parts(3)
    next(parts)
    for number in (1, 2):
        case.servers.kill(number)
    busy = {name: desk.cpu(process.pid) for name, process in case.fleet.running.items()}
    time.sleep(30)
    used = {name: desk.cpu(process.pid) - busy[name] for name, process in case.fleet.running.items()}
    for number in (1, 2):
        case.servers.start(number)
    for _ in parts:
        pass
    assert max(used.values()) < 6, f"seconds of processor time in 30 s without a quorum: {used}"
    return f"{case.check()}; at most {max(used.values()):.1f} s of processor time in 30 s"


def a_full_stream_makes_producers_wait(case: Case) -> str:
    case.servers.start_all()
    case.fleet.init(case.config, "--partitions", 8)
    # Room for some blocks.
    case.fleet.call("init", "--config", case.config, "--partitions", 8, "--waiting-bytes", 3_000_000)
    whole = desk.sample(case.folder / "whole.ndjson", 100_000, CHAINS)
    case.files.append(whole)
    ingest = subprocess.Popen(case.fleet.command("ingest", "--source", "case", whole), stderr=(case.folder / "ingest.log").open("wb"))
    case.fleet.running["ingest"] = ingest
    case.wait_for("ingest", "is full; waiting")
    assert ingest.poll() is None, "it did not wait"
    case.fleet.start_router("router-0")
    case.worker("worker-0")
    assert ingest.wait(120) == 0
    return case.check()


def large_batches_of_many_partitions_are_stored(case: Case) -> str:
    """More messages at once, and more batches in flight, than a server takes."""
    case.up(partitions=256, workers=3)
    for _ in case.parts(3):
        pass
    return case.check()


def rules_change_under_load(case: Case) -> str:
    case.up()
    step = {"id": "s", "provider": "aws", "service": "none.amazonaws.com", "actions": ["Never"]}
    other = case.folder / "other.json"
    rule = {"id": "never", "version": 1, "title": "Never", "severity": "low", "steps": [step]}
    other.write_text(json.dumps({"mode": "filter", "rules": [rule]}))
    for number, _ in enumerate(case.parts(6)):
        case.fleet.call("apply", "--config", other if number % 2 == 0 else case.config)
        if number == 3:
            case.fleet.end("worker-0")
            case.worker("worker-0")
    return case.check()


def another_version_takes_over(case: Case) -> str:
    """A component of other bytes: its processes wait beside the old ones, which hand over at the marker of `apply`, with all state."""
    new = case.folder / "new.wasm"
    name = b"another-version"
    section = bytes([len(name)]) + name
    new.write_bytes(component().read_bytes() + bytes([0, len(section)]) + section)
    case.up()
    parts = case.parts(6)
    next(parts), next(parts)
    case.fleet.start_router("router-new", "--component", new)
    case.fleet.start_worker("worker-new", "--checkpoint-after", "2s", "--component", new)
    next(parts)
    case.fleet.call("apply", "--config", case.config, "--component", new)
    next(parts)
    desk.wait_until_done(case.fleet, 90)
    for old in ("router-0", "router-1", "worker-0", "worker-1"):
        case.fleet.end(old)
    for _ in parts:
        pass
    told = case.check()
    owners = case.owners()
    assert owners == {"worker-new"}, owners
    taken = case.fleet.log("worker-new").count("taken over from another version")
    assert taken > 4, case.fleet.log("worker-new")
    return f"{told}; {taken} partitions taken over"


def component() -> Path:
    """As the plain command builds it."""
    path = desk.ROOT / "target/wasm32-unknown-unknown/release/catena.wasm"
    if not path.exists():
        subprocess.run(["cargo", "build", "--release", "--target", "wasm32-unknown-unknown"], cwd=desk.ROOT, check=True)
    return path


def garbage_stops_nobody(case: Case) -> str:
    """Messages that are no blocks, halves of blocks, blocks of an epoch that never was; and damaged records that fit no message."""
    case.up()
    subjects = ["catena.in.stranger", "catena.events.3", "catena.pieces.1", "catena.out.1", "catena.rest", "catena.findings.2"]
    heads = ["", "Catena-Fragment: 1/2", "Catena-Fragment: 2/2", "Catena-Epoch: ffffffffffffffff", 'Catena-Pieces: {"part":7,"count":1,"of":1}', "Catena-Marker: no"]
    for number, _ in enumerate(case.parts(4)):
        for subject in [*subjects, f"catena.events.{number}"]:
            for head in heads:
                case.servers.request(subject, b"garbage", wait=False, headers=head)
    damaged = case.folder / "damaged.ndjson"
    # A record that names the call of a rule, and that breaks off.
    start = '{"eventVersion":"1.08","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","requestParameters":{"a":"'
    lines = [start + "\\" * (1_000_000 * number) + random.Random(number).randbytes(700_000).hex() for number in range(4)]
    damaged.write_text("\n".join(lines) + "\n")
    case.files.append(damaged)
    case.fleet.ingest("case", *case.files)
    told = case.check()
    rejected = [json.loads(line) for line in case.fleet.call("read", "rejected").splitlines()]
    assert sorted(one["record"].strip() for one in rejected) == sorted(lines), [one["record"][:200] for one in rejected]
    return f"{told}; {len(rejected)} records rejected"


def partitions_move_between_workers(case: Case) -> str:
    """One worker, three, two, under load."""
    case.up(workers=1)
    parts = case.parts(12)
    for _ in range(3):
        next(parts)
    for name in ("worker-1", "worker-2"):
        case.worker(name)
    for _ in range(5):
        next(parts)
        time.sleep(1.5)
    status = case.fleet.status()
    spread = case.owners()
    case.fleet.end("worker-0", signal.SIGTERM)
    for _ in parts:
        time.sleep(1)
    assert status is not None and len(spread) >= 2, f"only {spread} worked"
    return f"{case.check()}; at first {len(spread)} workers had partitions"


def a_damaged_checkpoint_is_passed_over(case: Case) -> str:
    case.up(workers=1)
    parts = case.parts(6)
    for _ in range(4):
        next(parts)
        time.sleep(2.5)
    desk.wait_until_done(case.fleet)
    time.sleep(3)
    case.fleet.end("worker-0")
    for partition in range(8):
        asked = json.dumps({"last_by_subj": f"catena.state.{partition}.*"}).encode()
        answer = json.loads(case.servers.request("$JS.API.STREAM.MSG.GET.CATENA_STATE", asked))
        subject = answer["message"]["subject"]
        case.servers.request("$JS.API.STREAM.PURGE.CATENA_STATE", json.dumps({"filter": subject}).encode())
    case.servers.request("$JS.API.STREAM.PURGE.CATENA_LEASES", b"{}")
    case.worker("worker-1")
    for _ in parts:
        pass
    told = case.check()
    passed_over = case.fleet.log("worker-1").count("taking the checkpoint before it")
    assert passed_over > 0, "no damage was noticed"
    return f"{told}; {passed_over} checkpoints passed over"


def servers_that_write_late_are_warned_about(case: Case) -> str:
    case.servers.start_all()
    case.fleet.init(case.config, "--partitions", 8)
    monitor = f"http://127.0.0.1:{case.servers.monitors[0]}"
    checked = subprocess.run(case.fleet.command("init", "--config", case.config, "--partitions", 8, "--monitor", monitor), capture_output=True, text=True)
    assert "acknowledges records before they are written" in checked.stderr, checked.stderr
    return "warned"


def replicas_are_not_asked(case: Case) -> str:
    """What is behind must not be read: the streams do not allow it."""
    case.up()
    for _ in case.parts(1):
        pass
    for stream in ("CATENA_IN", "CATENA_EVENTS", "CATENA_OUT", "CATENA_STATE", "CATENA_DEPLOYMENT"):
        info = json.loads(case.servers.request(f"$JS.API.STREAM.INFO.{stream}"))
        assert not info["config"].get("allow_direct"), f"{stream} allows it"
    return case.check()


class Receiver(http.server.BaseHTTPRequestHandler):
    """A webhook that fails now and then."""

    taken: list[str] = []
    asked = 0

    def do_POST(self) -> None:
        Receiver.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        is_ok = Receiver.asked % 7 != 0
        if is_ok:
            Receiver.taken.append(self.headers["Idempotency-Key"])
        self.send_response(200 if is_ok else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def every_finding_is_sent(case: Case) -> str:
    """To a receiver that fails, by a sender that is killed: at least once, and the ids tell duplicates."""
    case.up()
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    options = ["--send", f"http://127.0.0.1:{receiver.server_port}/", "--spool", case.folder / "spool"]
    for _ in case.parts(8):
        case.fleet.start("sender", "send", *options)
        time.sleep(1)
        case.fleet.end("sender")
    told = case.check()
    case.fleet.start("sender", "send", *options)
    ids = {json.loads(line)["finding_info"]["uid"] for line in case.fleet.call("read", "findings").splitlines()}
    until = time.monotonic() + 60
    while not ids <= set(Receiver.taken):
        assert time.monotonic() < until, f"{len(ids - set(Receiver.taken))} of {len(ids)} findings were not sent"
        time.sleep(0.2)
    assert set(Receiver.taken) == ids, "something else was sent"
    return f"{told}; {len(Receiver.taken)} deliveries"


def fail_over(case: Case) -> str:
    """How long from the kill of a worker to the first commit of its partitions by another."""
    case.up(workers=2)
    parts = case.parts(40)
    for _ in range(4):
        next(parts)
        time.sleep(0.5)
    desk.wait_until_done(case.fleet)
    owned = {one["partition"] for one in case.fleet.status()["partitions"] if one["worker"] == "worker-0"}  # type: ignore[index]
    case.fleet.end("worker-0")
    began, first = time.monotonic(), None
    for _ in parts:
        status = case.fleet.status()
        moved = {one["partition"] for one in status["partitions"] if one["worker"] == "worker-1"} if status else set()
        if first is None and owned & moved:
            first = time.monotonic() - began
        if owned <= moved:
            break
        time.sleep(0.3)
    last = time.monotonic() - began
    for _ in parts:
        pass
    assert owned and first is not None, "no partition moved"
    return f"{case.check()}; first commit by another after {first:.1f} s, of all {len(owned)} partitions after {last:.1f} s"


def routers_share_the_work(case: Case) -> str:
    """Three at once, one of which is killed, and a fourth that joins."""
    case.up(routers=0, workers=1)
    ports = desk.free_ports(4)
    parts = case.parts(120, records=120_000)
    for number in range(3):
        case.fleet.start_router(f"router-{number}", "--metrics", ports[number])
    for number, _ in enumerate(parts):
        if number == 90:
            desk.wait_until_done(case.fleet)
            taken = [desk.value(desk.metrics(port), "catena_cluster_messages_total") for port in ports[:3]]
            case.fleet.end("router-1")
            case.fleet.start_router("router-3", "--metrics", ports[3])
    told = case.check()
    taken.append(desk.value(desk.metrics(ports[3]), "catena_cluster_messages_total"))
    assert all(count > 0 for count in taken), f"one had nothing to do: {taken}"
    return f"{told}; messages by router: {', '.join(f'{count:.0f}' for count in taken)}"


def a_file_of_one_long_line_passes(case: Case) -> str:
    """As CloudTrail writes them: a line of 28 MB, which fits no message."""
    case.config.write_text('{"mode":"enrich"}')
    case.up()
    lines = desk.sample(case.folder / "whole.ndjson", RECORDS, CHAINS).read_bytes().splitlines()
    path = case.folder / "trail.json"
    path.write_bytes(b'{"Records":[' + b",".join(lines) + b"]}\n")
    case.files.append(path)
    case.fleet.ingest("case", path)
    return case.check()


def records_of_several_identities_are_joined(case: Case) -> str:
    """Envelopes with up to five records of different callers, and workers that are killed: the output is that of one process."""
    case.config.write_text('{"mode":"enrich"}')
    case.up()
    lines = desk.sample(case.folder / "whole.ndjson", RECORDS, CHAINS).read_text().splitlines()
    wrapped, at = [], 0
    while at < len(lines):
        some = lines[at : at + len(wrapped) % 5 + 1]
        wrapped.append(json.dumps({"Messages": [{"Body": one} for one in some]}))
        at += len(some)
    for number in range(8):
        path = case.folder / f"part-{number}.ndjson"
        path.write_text("\n".join(wrapped[number::8]) + "\n")
        case.files.append(path)
        case.fleet.ingest("case", *case.files)
        time.sleep(2)
        name = f"worker-{number % 2}"
        case.fleet.end(name)
        case.servers.request("$JS.API.STREAM.PURGE.CATENA_LEASES", b"{}")
        case.worker(name)
    told = case.check()
    joined = json.loads(case.servers.request("$JS.API.STREAM.INFO.CATENA_OUT", b'{"subjects_filter":"catena.out.joined"}'))
    assert joined["state"].get("subjects"), "nothing was joined"
    return told


def an_envelope_of_hundreds_of_callers_passes(case: Case) -> str:
    """8 MB that hardly compress, for all of 256 partitions: copied to each, it would fit no commit."""
    case.config.write_text('{"mode":"enrich"}')
    case.up(partitions=256)
    lines = desk.sample(case.folder / "whole.ndjson", RECORDS, CHAINS).read_text().splitlines()
    call = next(json.loads(line) for line in lines if "CreateSnapshot" in line)
    noise, bodies = random.Random(7), []
    for number in range(600):
        user = {"type": "IAMUser", "principalId": f"P{number}", "arn": f"arn:aws:iam::123456789012:user/many{number}"}
        one = {**call, "eventID": f"many-{number}", "userIdentity": user, "padding": noise.randbytes(6_500).hex()}
        bodies.append({"Body": json.dumps(one)})
    for number, some in enumerate([lines[:10_000], [json.dumps({"Messages": bodies})], lines[10_000:]]):
        path = case.folder / f"part-{number}.ndjson"
        path.write_text("\n".join(some) + "\n")
        case.files.append(path)
    case.fleet.ingest("case", *case.files)
    return case.check()


def each_file_is_read_once(case: Case) -> str:
    """Whatever their order and names: new ones that sort before, damaged ones that are mended, longer ones, others of the same name, values
    without line ends between them, standard input in between."""
    case.config.write_text('{"mode":"enrich"}')
    case.up()
    lines = desk.sample(case.folder / "whole.ndjson", RECORDS, CHAINS).read_bytes().splitlines()
    size = len(lines) // 10
    some = [b"\n".join(lines[number * size : (number + 1) * size]) + b"\n" for number in range(10)]
    files = {name: case.folder / f"{name}.ndjson" for name in "abcdef"}
    packed = case.folder / "g.ndjson.gz"

    def ingest(*given: object, code: int = 0, stdin: bytes = b"") -> None:
        done = subprocess.run(case.fleet.command("ingest", "--source", "case", *given), input=stdin, capture_output=True, timeout=120, cwd=case.folder)
        assert done.returncode == code, f"{given}: {done.returncode}: {done.stderr.decode()}"

    files["b"].write_bytes(some[0])
    files["d"].write_bytes(some[1])
    whole = gzip.compress(some[2])
    packed.write_bytes(whole[: len(whole) // 2])
    ingest(files["b"], packed, files["d"], code=1)
    # One that sorts before, one that is mended, and no other again, by whatever name.
    files["a"].write_bytes(some[3])
    packed.write_bytes(whole)
    ingest(files["a"], "b.ndjson", packed, "./d.ndjson")
    ingest(stdin=some[4])
    files["d"].write_bytes(some[1] + some[5])
    ingest(files["d"], files["a"], case.folder / "../" / case.folder.name / "b.ndjson")
    # Rotated: another file has the name.
    files["d"].write_bytes(some[6] + some[7])
    files["c"].write_bytes(some[8].replace(b"\n", b""))
    ingest(files["c"], files["d"])
    ingest(files["d"], files["c"], packed)
    files["e"].write_bytes(some[9])
    ingest(case.folder / "missing.ndjson", files["e"], code=1)
    case.files.append(case.folder / "expected.ndjson")
    case.files[0].write_bytes(b"".join(some))
    desk.wait_until_done(case.fleet)
    # Which of them complete chains depends on their order; it shows in annotations alone.
    output = Counter(re.sub(rb',"catena":\{.*\}$', b"}", line) for line in case.fleet.call("read", "records").splitlines())
    expected = Counter(line for part in some for line in part.splitlines())
    assert output == expected, f"{(expected - output).total()} records are missing, {(output - expected).total()} are too many"
    return f"{output.total()} records, each once"


def a_stream_that_was_made_anew_is_told(case: Case) -> str:
    """Its sequences begin again, below the pointers: what comes must not be passed over in silence."""
    case.up()
    for _ in case.parts(3):
        pass
    told = case.check()
    case.servers.request("$JS.API.STREAM.DELETE.CATENA_IN")
    case.fleet.init(case.config, "--partitions", 8)
    case.fleet.ingest("other", case.files[0])
    until = time.monotonic() + 30
    while not any("was it made anew?" in case.fleet.log(f"router-{number}") for number in range(2)):
        assert time.monotonic() < until, case.fleet.log("router-0")
        time.sleep(0.5)
    status = case.fleet.status()
    assert status is not None
    return told


def outputs_grow_old(case: Case) -> str:
    """Those that pass the correlators by, too: otherwise, the fleet would stop one day, when their stream is full."""
    case.config.write_text('{"mode":"enrich"}')
    case.up("--output-seconds", 20)
    for _ in case.parts(2):
        pass
    told = case.check()
    time.sleep(25)
    for _ in range(2):
        left = {}
        for stream in ("EVENTS", "OUT"):
            info = json.loads(case.servers.request(f"$JS.API.STREAM.INFO.CATENA_{stream}", b'{"subjects_filter":"catena.>"}'))
            left.update(info["state"].get("subjects") or {})
    outputs = [subject for subject in left if re.match(r"catena\.(rest|out|findings|pieces)", subject)]
    assert not outputs, f"still there: {outputs}"
    pointers = [subject for subject in left if re.match(r"catena\.(routed|correlated)", subject)]
    assert len(pointers) > 1, f"pointers are gone: {left}"
    # It goes on from there.
    whole, first = desk.sample(case.folder / "more.ndjson", RECORDS, CHAINS, seed=8), len(case.files)
    case.files.append(whole)
    case.fleet.ingest("case", *case.files)
    desk.wait_until_done(case.fleet)
    findings = case.fleet.call("read", "findings").splitlines()
    assert findings, "nothing is found any more"
    return f"{told}; {len(findings)} findings after the {first} first files had grown old"


def listeners_keep_what_they_acknowledge(case: Case) -> str:
    """Killed again and again while clients post, who post again what was not acknowledged."""
    case.up()
    whole = desk.sample(case.folder / "whole.ndjson", RECORDS, CHAINS)
    case.files.append(whole)
    lines = whole.read_bytes().splitlines(keepends=True)
    (port,) = desk.free_ports(1)

    def start() -> None:
        case.fleet.start("listener", "ingest", "--source", "case", "--listen", f"http://127.0.0.1:{port}")

    start()
    killed, again = time.monotonic(), 0
    for at in range(0, len(lines), 25):
        while True:
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{port}/", b"".join(lines[at : at + 25]))
                with urllib.request.urlopen(request, timeout=20):
                    break
            except OSError:
                again += 1
                time.sleep(0.1)
        if time.monotonic() - killed > 1.5:
            case.fleet.end("listener")
            start()
            killed = time.monotonic()
    assert again > 0, "it was never away"
    desk.wait_until_done(case.fleet)
    # What was stored, and not acknowledged before the kill, is there twice.
    return f"{desk.compare(case.fleet, case.config, case.files, twice=True)}; {again} requests were made again"


def strangers_are_kept_out(case: Case) -> str:
    """TLS on both sides, credentials, and accounts: another account sees nothing of the fleet."""
    secure.certificates(case.folder)
    case.servers = desk.Servers(case.folder, settings=secure.Accounts(case.folder).settings)
    case.fleet = desk.Fleet(case.servers, case.folder)
    case.fleet.urls = case.fleet.urls.replace("nats://", "tls://")
    tls = ["--ca", case.folder / "ca.pem", "--cert", case.folder / "client.pem", "--key", case.folder / "client.key"]
    case.fleet.options = [*tls, "--creds", case.folder / "fleet.creds"]
    case.up()
    for _ in case.parts(3):
        pass
    told = case.check()
    ours = case.fleet.options
    refused = {}
    for who, options in {
        "no certificate": [*tls[:2], *ours[-2:]],
        "no credentials": tls,
        "another account": [*tls, "--creds", case.folder / "other.creds"],
    }.items():
        case.fleet.options = options
        asked = subprocess.run(case.fleet.command("status"), capture_output=True, text=True, timeout=60)
        assert asked.returncode != 0 and asked.stderr.strip(), f"{who} got in: {asked.stdout}"
        refused[who] = asked.stderr.strip().splitlines()[-1]
    return f"{told}; {refused}"


def every_process_tells_about_itself(case: Case) -> str:
    """Each metric that the dashboard and the alerts name is served, and Prometheus can read them."""
    case.up(routers=0, workers=0)
    ports = dict(zip(["router-0", "worker-0", "listener", "sender"], desk.free_ports(4)))
    (listening,) = desk.free_ports(1)
    case.fleet.start_router("router-0", "--metrics", ports["router-0"])
    case.fleet.start_worker("worker-0", "--checkpoint-after", "1s", "--metrics", ports["worker-0"])
    case.fleet.start("listener", "ingest", "--source", "posted", "--listen", f"http://127.0.0.1:{listening}", "--metrics", ports["listener"])
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    options = ["--send", f"http://127.0.0.1:{receiver.server_port}/", "--spool", case.folder / "spool"]
    case.fleet.start("sender", "send", *options, "--metrics", ports["sender"])
    case.wait_for("listener", "listening on")
    whole = desk.sample(case.folder / "whole.ndjson", 2_000, 20)
    case.files.append(whole)
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{listening}/", whole.read_bytes()), timeout=20):
        pass
    told = case.check()
    time.sleep(6)
    texts = {name: desk.metrics(port) for name, port in ports.items()}
    served = "\n".join(texts.values())
    named = set(re.findall(r"catena_[a-z_]+", (desk.ROOT / "docs/cluster-dashboard.json").read_text() + (desk.ROOT / "docs/cluster-alerts.yml").read_text()))
    assert named and not (missing := [name for name in named if name not in served]), f"not served: {missing}"
    assert desk.value(texts["worker-0"], "catena_cluster_owned_partitions") == 8, texts["worker-0"]
    assert desk.value(texts["listener"], "catena_listen_received_bytes_total") == whole.stat().st_size, texts["listener"]
    if promtool := shutil.which("promtool"):
        for name, text in texts.items():
            checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
            assert checked.returncode == 0, f"{name}: {checked.stderr}"
    for port in ports.values():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            assert answer.read() == b"ok\n"
    for number in range(3):
        case.servers.kill(number)
    until = time.monotonic() + 60
    while healthy := [name for name, port in ports.items() if is_healthy(port)]:
        assert time.monotonic() < until, f"healthy without servers: {healthy}"
        time.sleep(1)
    return f"{told}; {len(named)} metrics in dashboard and alerts"


def is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except urllib.error.HTTPError:
        return False


CASES: dict[str, Callable[[Case], str]] = {
    one.__name__.replace("_", "-"): one
    for one in [
        leaders_are_killed,
        all_servers_are_killed,
        a_zombie_worker_is_refused,
        answers_to_commits_are_lost,
        workers_are_killed_at_any_time,
        a_zombie_router_is_refused,
        a_long_backlog_is_worked_off,
        writers_wait_while_there_is_no_quorum,
        a_full_stream_makes_producers_wait,
        large_batches_of_many_partitions_are_stored,
        rules_change_under_load,
        another_version_takes_over,
        garbage_stops_nobody,
        partitions_move_between_workers,
        a_damaged_checkpoint_is_passed_over,
        servers_that_write_late_are_warned_about,
        replicas_are_not_asked,
        routers_share_the_work,
        a_file_of_one_long_line_passes,
        records_of_several_identities_are_joined,
        an_envelope_of_hundreds_of_callers_passes,
        each_file_is_read_once,
        a_stream_that_was_made_anew_is_told,
        outputs_grow_old,
        listeners_keep_what_they_acknowledge,
        strangers_are_kept_out,
        every_process_tells_about_itself,
        every_finding_is_sent,
        fail_over,
    ]
}


@contextmanager
def fleet_for(case: str) -> Iterator[Case]:
    folder = Path(tempfile.mkdtemp(prefix=f"catena-{case}-"))
    made = Case(folder, "2m" if case == "servers-that-write-late-are-warned-about" else "always")
    try:
        yield made
    finally:
        for process in [*made.fleet.running.values(), *made.servers.running.values()]:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        # Not before the servers are gone, which write there.
        if not made.has_failed:
            shutil.rmtree(folder)


def main() -> int:
    chosen = sys.argv[1:] or list(CASES)
    if unknown := [name for name in chosen if name not in CASES]:
        print(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}", file=sys.stderr)
        return 2
    failed = 0
    for name in chosen:
        began = time.monotonic()
        with fleet_for(name) as case:
            try:
                print(f"ok     {name}: {CASES[name](case)} ({time.monotonic() - began:.0f} s)", flush=True)
            except (AssertionError, RuntimeError, subprocess.TimeoutExpired) as problem:
                failed += 1
                case.has_failed = True
                print(f"FAILED {name}: {problem}; logs are in {case.folder}", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
