"""What comes in."""

from __future__ import annotations

import gzip
import json
import random
import re
import subprocess
import time
import urllib.request
from collections import Counter
from pathlib import Path

import desk
from cases.case import CHAINS, RECORDS, Case


def a_long_backlog_is_worked_off(case: Case) -> str:
    """Blocks that fill messages, while nobody reads."""
    case.up(workers=0, routers=0)
    for _ in case.parts(2, records=150_000):
        pass
    case.fleet.start_router("router-0")
    time.sleep(10)
    case.worker("worker-0")
    return case.check()


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
    wrapped = in_envelopes(desk.sample(case.folder / "whole.ndjson", RECORDS, CHAINS))
    for number in range(8):
        case.put(f"part-{number}.ndjson", wrapped[number::8])
        time.sleep(2)
        name = f"worker-{number % 2}"
        case.fleet.end(name)
        case.servers.request("$JS.API.STREAM.PURGE.CATENA_LEASES", b"{}")
        case.worker(name)
    told = case.check()
    joined = json.loads(case.servers.request("$JS.API.STREAM.INFO.CATENA_OUT", b'{"subjects_filter":"catena.out.joined"}'))
    assert joined["state"].get("subjects"), "nothing was joined"
    return told


def in_envelopes(path: Path) -> list[str]:
    """All records of a file, in envelopes of one to five."""
    lines = path.read_text().splitlines()
    wrapped: list[str] = []
    at = 0
    while at < len(lines):
        some = lines[at : at + len(wrapped) % 5 + 1]
        wrapped.append(json.dumps({"Messages": [{"Body": one} for one in some]}))
        at += len(some)
    return wrapped


def shared_records_wait_for_their_partitions(case: Case) -> str:
    """While nobody correlates, routers tidy; servers took a bound of 0 for none, and removed what all partitions still needed."""
    case.up(workers=0)
    wrapped = in_envelopes(desk.sample(case.folder / "whole.ndjson", RECORDS, CHAINS))
    for number in range(20):
        case.put(f"part-{number:03}.ndjson", wrapped[number::20])
        time.sleep(2)
    asked = json.dumps({"seq": 1, "next_by_subj": "catena.common.*.*"}).encode()
    first = json.loads(case.servers.request("$JS.API.STREAM.MSG.GET.CATENA_EVENTS", asked))
    assert first["message"]["seq"] < 20, f"shared records were removed before {first['message']['seq']}"
    case.worker("worker-0")
    return case.check()


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
