"""The driver of this host for the conformance kit, see conformance/README.md."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catena


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] != "--component":
        print("usage: conformance.py --component FILE", file=sys.stderr)
        return 2
    component = catena.Component(Path(sys.argv[2]).read_bytes())
    correlators: dict[str, catena.Correlator] = {}
    for line in sys.stdin.buffer:
        question = json.loads(line)
        try:
            answer: dict[str, Any] = {"ok": answered(question, component, correlators)}
        except catena.Fault as fault:
            answer = {"fault": {"kind": fault.kind, "path": fault.path, "message": fault.message}}
        except catena.Trapped as trapped:
            answer = {"trap": str(trapped)}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()
    return 0


def answered(question: dict[str, Any], component: catena.Component, correlators: dict[str, catena.Correlator]) -> Any:
    ask = question["ask"]
    if ask == "describe":
        return component.describe()
    if ask == "open":
        correlators[question["as"]] = catena.Correlator(question["config"], component=component)
        return None
    if ask == "resume":
        text = question["checkpoint"]
        checkpoint = text if question["form"] == "base64" else base64.b64decode(text)
        correlators[question["as"]] = catena.Correlator(question["config"], checkpoint=checkpoint, component=component)
        return None
    if ask == "join_annotations":
        with catena.Correlator(component=component) as correlator:
            return correlator.join_annotations(question["texts"])
    correlator = correlators[question["on"]]
    if ask == "process":
        return outcome(correlator.process(batch(question), question["now_ms"]))
    if ask == "route":
        routes = correlator.route(batch(question), question["partitions"])
        return [[route.start, route.end, route.records, list(route.partitions)] for route in routes]
    if ask == "time":
        text = Path(question["file"]).read_bytes()
        cut = list(batches(text, question["batch_bytes"]))
        began = time.perf_counter()
        for _ in range(question["times"]):
            for one in cut:
                correlator.process(one, None).output
        return (time.perf_counter() - began) * 1000
    if ask == "checkpoint":
        return base64.b64encode(correlator.checkpoint()).decode()
    if ask == "metrics":
        return [[metric.name, metric.kind, metric.labels, metric.value] for metric in correlator.metrics()]
    if ask == "batch_limit":
        return correlator.batch_limit
    if ask == "close":
        return correlator.close()
    raise ValueError(f"the kit asks for {ask}")


def batches(text: bytes, size: int) -> Iterator[bytes]:
    """Whole lines, about as long."""
    at = 0
    while at < len(text):
        end = text.find(b"\n", min(at + size, len(text)) - 1) + 1 or len(text)
        yield text[at:end]
        at = end


def batch(question: dict[str, Any]) -> str | bytes:
    if "batch_base64" in question:
        data = base64.b64decode(question["batch_base64"])
        # Text that is no UTF-8 has no form in Python but this.
        return data.decode(errors="surrogateescape") if question["form"] == "text" else data
    text: str = question["batch"]
    return text if question["form"] == "text" else text.encode()


def outcome(outcome: catena.Outcome) -> dict[str, Any]:
    try:
        output: Any = outcome.output.decode()
    except UnicodeDecodeError:
        output = {"base64": base64.b64encode(outcome.output).decode()}
    return {
        "records": outcome.records,
        "matched": outcome.matched,
        "dropped": outcome.dropped,
        "edits": [[start, end, text.decode()] for start, end, text in outcome.edits],
        "output": output,
        "findings": [
            {name: getattr(finding, name) for name in finding.__dataclass_fields__} for finding in outcome.findings
        ],
        "rejections": [[one.start, one.end, one.code, one.detail] for one in outcome.rejections],
        "unrecognised": [[one.start, one.end, one.code] for one in outcome.unrecognised],
        "extra": outcome.extra,
    }


if __name__ == "__main__":
    sys.exit(main())
