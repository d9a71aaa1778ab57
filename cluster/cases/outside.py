"""What goes out."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request

import desk
from cases.case import CHAINS, RECORDS, Case


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
