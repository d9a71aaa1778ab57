"""Files, pipes, lines and asynchronous streams."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys

import pytest
from conftest import NOW, chain, lines

import catena

BATCH = lines(*chain())


def found(outcomes) -> list[str]:
    return [finding.rule for outcome in outcomes for finding in outcome.findings]


EXPECTED = ["aws-instance-created", "aws-snapshot-staging"]


@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 20])
def test_a_file_is_cut_at_line_ends(component, chunk):
    with catena.Correlator(component=component) as correlator:
        outcomes = list(catena.correlate(io.BytesIO(BATCH.rstrip()), correlator, NOW, chunk))
    assert found(outcomes) == EXPECTED
    assert b"".join(outcome.batch for outcome in outcomes) == BATCH.rstrip()


def test_lines_of_text_or_bytes_are_a_stream(component):
    for source in (BATCH.decode().splitlines(), BATCH.splitlines(keepends=True)):
        with catena.Correlator(component=component) as correlator:
            assert found(catena.correlate(source, correlator, NOW)) == EXPECTED


def test_a_pipe_is_not_waited_for(component):
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, open(writing, "wb", buffering=0) as writer:
        with catena.Correlator(component=component) as correlator:
            outcomes = catena.correlate(reader, correlator, NOW)
            for record in chain():
                writer.write(lines(record))
                assert next(outcomes).records == 1


def test_an_asynchronous_stream(component):
    async def run() -> list[str]:
        reader = asyncio.StreamReader()
        reader.feed_data(BATCH[:100])
        reader.feed_data(BATCH[100:])
        reader.feed_eof()
        with catena.Correlator(component=component) as correlator:
            return found([outcome async for outcome in catena.acorrelate(reader, correlator, NOW)])

    assert asyncio.run(run()) == EXPECTED


def test_a_file_in_text_mode_is_refused(component):
    with catena.Correlator(component=component) as correlator, pytest.raises(TypeError, match="binary"):
        list(catena.correlate(io.StringIO("{}\n"), correlator))


def test_the_command_filters_standard_input():
    command = [sys.executable, "-m", "catena", "--mode", "filter"]
    ended = subprocess.run(command, input=BATCH + b"nonsense\n", capture_output=True, check=True)
    assert ended.stdout.count(b"\n") == 3
    assert b'"aws-snapshot-staging"' in ended.stderr
    assert b"line 4: expected a JSON object (not-an-object)" in ended.stderr
