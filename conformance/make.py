#!/usr/bin/env python3
"""Writes the cases of the conformance kit with the answers of a driver: make.py [--component FILE] -- DRIVER…

The answers are what is expected from then on: read the difference before it is committed.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import kit

NOW = 1_767_700_000_000
START = "2026-01-05T10:%02d:00Z"


def call(number: int, minute: int, action: str, who: str, request: Any = None, response: Any = None) -> dict[str, Any]:
    """A CloudTrail record."""
    return {
        "eventVersion": "1.09",
        "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::111122223333:user/{who}", "accountId": "111122223333"},
        "eventTime": START % minute,
        "eventSource": "ec2.amazonaws.com",
        "eventName": action,
        "awsRegion": "eu-central-1",
        "sourceIPAddress": "198.51.100.7",
        "userAgent": "aws-cli/2.15",
        "requestParameters": request,
        "responseElements": response,
        "eventID": f"00000000-0000-4000-8000-{number:012}",
        "recipientAccountId": "111122223333",
    }


def chain(who: str, number: int = 1, minute: int = 0) -> list[dict[str, Any]]:
    """A volume, a snapshot of it, and an instance from that."""
    device = {"blockDeviceMapping": {"items": [{"ebs": {"snapshotId": f"snap-{who}"}}]}}
    instances = {"instancesSet": {"items": [{"instanceId": f"i-{who}"}]}}
    return [
        call(number, minute, "CreateVolume", who, {"size": "8"}, {"volumeId": f"vol-{who}"}),
        call(number + 1, minute + 1, "CreateSnapshot", who, {"volumeId": f"vol-{who}"}, {"snapshotId": f"snap-{who}"}),
        call(number + 2, minute + 2, "RunInstances", who, device, instances),
    ]


def lines(records: list[Any]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


NOISE = json.dumps(call(900, 3, "DescribeInstances", "nobody")) + "\n"


def opened(config: str = "{}", name: str = "a") -> dict[str, Any]:
    return {"ask": "open", "as": name, "config": config}


def processed(batch: Any, name: str = "a", form: str = "text", now: int | None = NOW) -> dict[str, Any]:
    return {"ask": "process", "on": name, "batch": batch, "form": form, "now_ms": now}


def of_bytes(batch: bytes, form: str = "bytes") -> dict[str, Any]:
    return {"ask": "process", "on": "a", "batch_base64": base64.b64encode(batch).decode(), "form": form, "now_ms": NOW}


def asked(what: str, **more: Any) -> dict[str, Any]:
    return {"ask": what, "on": "a", **more}


CASES: dict[str, tuple[str, list[dict[str, Any]]]] = {}


def case(name: str, about: str, *questions: dict[str, Any]) -> None:
    CASES[name] = (about, list(questions))


case("describe", "A component says what it is without a correlator.", {"ask": "describe"})
for mode in ("enrich", "filter", "findings"):
    case(
        f"mode-{mode}",
        "A chain over two batches, as text and as bytes, between records of no interest.",
        opened(json.dumps({"mode": mode})),
        processed(NOISE + lines(chain("mallory")[:2]) + NOISE),
        processed(lines(chain("mallory")[2:]) + NOISE.rstrip("\n"), form="bytes"),
        asked("metrics"),
    )
for form in ("ecs", "sentinel"):
    case(f"format-{form}", "Findings and annotations in another format.", opened(json.dumps({"findings": form})), processed(lines(chain("mallory"))))
case(
    "disorder",
    "A chain in reverse order and with repeated records.",
    opened(),
    processed(lines(chain("mallory")[::-1])),
    processed(lines(chain("mallory"))),
)
case(
    "unreadable",
    "What cannot be read is rejected or said to be unknown; the records around it are processed.",
    opened(),
    processed("nonsense\n" + lines(chain("mallory")) + '{"eventName":"RunInstances","eventSource":\n{"a":1}\n{"Records":[{"a":2},{"b":\n'),
    opened('{"mode":"filter"}', "b"),
    processed("nonsense\n" + lines(chain("mallory")[:1]) + '{"a":1}\n[{"a":1},' + lines(chain("eve")[:1]).strip() + ',{"b":2}]\n', "b"),
)
case(
    "utf8",
    "Offsets count bytes of UTF-8, in both forms; bytes need not be UTF-8, text must be.",
    opened(),
    processed('{"note":"é𝄞漢"}\nnonsense 𝄞\n' + lines(chain("málløry𝄞"))),
    processed('{"note":"é𝄞漢"}\nnonsense 𝄞\n', form="bytes"),
    of_bytes(b'{"note":"\xff\xfe"}\n' + lines(chain("eve")[:1]).encode()),
    of_bytes(b'{"note":"\xff"}\n', form="text"),
    processed(lines(chain("eve")[1:])),
)
case(
    "times",
    "The time is in milliseconds, or absent. Seconds, microseconds and nanoseconds are refused, and change nothing.",
    opened(),
    *(processed("{}\n", now=now) for now in (0, 1_767_700_000, 1_767_700_000_000_000, 1_767_700_000_000_000_000)),
    processed("", now=NOW),
    processed(lines([{**chain("mallory")[0], "eventTime": "2031-01-01T00:00:00Z"}]), now=NOW),
    processed(lines([{**chain("mallory")[0], "eventID": "late", "eventTime": "2031-01-01T00:00:00Z"}]), now=None),
    asked("metrics"),
)
case(
    "faults",
    "A refused call names the place and changes nothing.",
    opened('{"mode":"both"}'),
    opened('{"limits":{"pending":-1}}'),
    opened('{"rules":[{"id":"X"}]}'),
    opened("nonsense"),
    opened('{"limits":{"batch_bytes":40}}'),
    asked("batch_limit"),
    processed('{"a":1}\n'),
    processed(NOISE),
    processed(NOISE, form="bytes"),
    asked("route", batch=NOISE, form="text", partitions=2),
    asked("route", batch="{}\n", form="text", partitions=0),
    {"ask": "join_annotations", "texts": ["nonsense"]},
    processed('{"a":2}\n'),
    asked("metrics"),
)
case(
    "closed",
    "Correlators share nothing.",
    opened(name="a"),
    opened(name="b"),
    processed(lines(chain("mallory")[:2]), "a"),
    processed(lines(chain("mallory")[2:]), "b"),
    processed(lines(chain("mallory")[2:]), "a"),
    asked("close"),
    processed(lines(chain("mallory")), "b"),
)

envelope = lambda records: {"recordId": "1", "approximateArrivalTimestamp": 1, "data": base64.b64encode(gzip.compress(lines(records).encode(), mtime=0)).decode()}
shared = lines([envelope([step for pair in zip(chain("ann", 10), chain("bob", 20), chain("cyd", 30)) for step in pair])]) + lines(chain("dan", 40)) + NOISE
case(
    "route",
    "A record with events of several people goes to each of their correlators; their outcomes together are those of one.",
    opened(name="one"),
    processed(shared, "one"),
    opened(name="a"),
    asked("route", batch=shared, form="bytes", partitions=4),
    asked("route", batch=shared, form="text", partitions=1),
    asked("metrics"),
    *(opened(json.dumps({"partition": {"index": index, "count": 4}}), f"p{index}") for index in range(4)),
    *(processed(shared, f"p{index}") for index in range(4)),
)
case(
    "long",
    "A batch of a megabyte with three chains in it.",
    opened('{"mode":"filter"}'),
    processed([{"repeat": NOISE, "times": 700}, {"repeat": lines(chain("ann", 10)), "times": 1}, {"repeat": NOISE, "times": 700}, {"repeat": lines(chain("bob", 20) + chain("cyd", 30)), "times": 1}]),
    processed([{"repeat": NOISE, "times": 700}, {"repeat": lines(chain("dan", 40)), "times": 1}], form="bytes"),
    asked("metrics"),
)


def with_checkpoints(driver: kit.Driver) -> None:
    """A checkpoint of this driver becomes part of the questions."""
    driver.ask(opened())
    driver.ask(processed(lines(chain("mallory")[:2])))
    saved = driver.ask(asked("checkpoint", form="bytes"))["ok"]
    resume = lambda form, name, text=saved: {"ask": "resume", "as": name, "config": "{}", "checkpoint": text, "form": form}
    case(
        "checkpoint",
        "Every host writes the same checkpoint, and continues from that of another one.",
        opened(),
        processed(lines(chain("mallory")[:2])),
        asked("checkpoint", form="bytes"),
        asked("checkpoint", form="base64"),
        resume("bytes", "b"),
        processed(lines(chain("mallory")[2:]), "b"),
        {"ask": "checkpoint", "on": "b", "form": "base64"},
        resume("base64", "c"),
        processed(lines(chain("mallory")[2:]), "c", "bytes"),
        resume("bytes", "d", saved[: len(saved) // 8 * 4]),
        resume("base64", "d", base64.b64encode(b"nonsense").decode()),
        resume("base64", "d", "not base64"),
        processed(lines(chain("mallory")[2:])),
    )


def joined(driver: kit.Driver) -> None:
    """What the correlators of the case `route` insert into the shared record becomes a question."""
    first = shared.splitlines(keepends=True)[0]
    texts = []
    for index in range(4):
        driver.ask(opened(json.dumps({"partition": {"index": index, "count": 4}}), f"p{index}"))
        outcome = driver.ask(processed(first, f"p{index}"))["ok"]
        texts += [text for start, end, text in outcome["edits"] if start == end]
    case("join", "The annotations of several correlators become the one of a single correlator.", {"ask": "join_annotations", "texts": texts}, opened(), processed(first))


TRAPS = [
    opened(),
    processed("{}\n{}\n"),
    asked("checkpoint", form="bytes"),
    processed("{}\n"),
    processed("{}\n!\n"),
    processed("{}\n"),
    asked("checkpoint", form="bytes"),
    asked("metrics"),
    {"ask": "resume", "as": "c", "config": "{}", "checkpoint": base64.b64encode((700_001).to_bytes(4, "little")).decode(), "form": "base64"},
    {"ask": "checkpoint", "on": "c", "form": "base64"},
    {"ask": "resume", "as": "b", "config": "{}", "checkpoint": base64.b64encode((2).to_bytes(4, "little")).decode(), "form": "bytes"},
    processed("{}\n{}\n{}\n", "b"),
    {"ask": "checkpoint", "on": "b", "form": "bytes"},
]


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the cases of the conformance kit.")
    parser.add_argument("--component", type=Path, default=kit.HERE.parent / "target" / "catena.wasm")
    own = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    arguments = parser.parse_args(own)
    command = sys.argv[len(own) + 2 :]
    if not command:
        parser.error("expected the command of a driver after --")
    component = arguments.component.resolve()
    for prepare in (with_checkpoints, joined):
        with kit.Driver(command, component) as driver:
            prepare(driver)
    for name, (about, questions) in CASES.items():
        write(name, {"about": about}, questions, command, component)
    if not (kit.HERE / "traps.wasm").exists():
        raise SystemExit("there is no traps.wasm: see host-example/tests/guest.rs")
    about = "After a trap the instance is discarded: every call is refused. Another resumes from a checkpoint."
    write("trap", {"about": about, "component": "traps.wasm"}, TRAPS, command, kit.HERE / "traps.wasm")
    return 0


def write(name: str, head: dict[str, Any], questions: list[dict[str, Any]], command: list[str], component: Path) -> None:
    with kit.Driver(command, component) as driver:
        steps = [{"question": question, "answer": kit.shortened(driver.ask(kit.expanded(question)))} for question in questions]
    for step in steps:
        # The words of a host are its own.
        if "trap" in step["answer"]:
            step["answer"]["trap"] = "*"
        if step["answer"].get("fault", {}).get("path") in ("batch",):
            step["answer"]["fault"]["message"] = "*"
        if isinstance(step["answer"].get("ok"), list) and step["question"]["ask"] == "metrics":
            for metric in step["answer"]["ok"]:
                metric[3] = "*" if metric[0] == "state-bytes" else metric[3]
    text = json.dumps({**head, "steps": steps}, indent=1, ensure_ascii=False)
    (kit.HERE / "cases" / f"{name}.json").write_text(text + "\n")
    print(f"{name}: {len(steps)} steps")


if __name__ == "__main__":
    sys.exit(main())
