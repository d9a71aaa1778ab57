"""What happens to routers and workers."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import desk
from cases.case import Case


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
