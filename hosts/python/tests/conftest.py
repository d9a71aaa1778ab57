"""Records and a component for all tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import catena

ROOT = Path(__file__).resolve().parents[3]
NOW = 1_767_700_000_000


def call(number: int, action: str, request: Any = None, response: Any = None) -> dict[str, Any]:
    return {
        "eventVersion": "1.09",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/mallory"},
        "eventTime": f"2026-01-05T10:{number:02}:00Z",
        "eventSource": "ec2.amazonaws.com",
        "eventName": action,
        "awsRegion": "eu-central-1",
        "sourceIPAddress": "198.51.100.7",
        "requestParameters": request,
        "responseElements": response,
        "eventID": f"event-{number}",
        "recipientAccountId": "111122223333",
    }


def chain() -> list[dict[str, Any]]:
    device = {"blockDeviceMapping": {"items": [{"ebs": {"snapshotId": "snap-1"}}]}}
    return [
        call(1, "CreateVolume", {"size": "8"}, {"volumeId": "vol-1"}),
        call(2, "CreateSnapshot", {"volumeId": "vol-1"}, {"snapshotId": "snap-1"}),
        call(3, "RunInstances", device, {"instancesSet": {"items": [{"instanceId": "i-1"}]}}),
    ]


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.fixture(scope="session")
def component() -> catena.Component:
    return catena.Component()


@pytest.fixture(scope="session")
def traps() -> catena.Component:
    """Traps on a `!`; its checkpoint is the number of lines so far."""
    return catena.Component((ROOT / "conformance" / "traps.wasm").read_bytes())
