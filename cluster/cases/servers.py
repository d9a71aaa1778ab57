"""What happens to servers."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time

import desk
import secure
from cases.case import CHAINS, Case


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
