#!/usr/bin/env python3
"""The failure cases of a fleet, each on three real servers with real kills: failures.py [CASE…]

Almost every case ends with the same comparison: findings and output are those of one process. Needs what scripts/cluster needs.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cases import outside, records, servers, stages
from cases.case import Case

CASES: dict[str, Callable[[Case], str]] = {
    one.__name__.replace("_", "-"): one
    for one in [
        servers.leaders_are_killed,
        servers.all_servers_are_killed,
        stages.a_zombie_worker_is_refused,
        servers.answers_to_commits_are_lost,
        stages.workers_are_killed_at_any_time,
        stages.a_zombie_router_is_refused,
        records.a_long_backlog_is_worked_off,
        servers.writers_wait_while_there_is_no_quorum,
        servers.a_full_stream_makes_producers_wait,
        stages.large_batches_of_many_partitions_are_stored,
        stages.rules_change_under_load,
        stages.another_version_takes_over,
        records.garbage_stops_nobody,
        stages.partitions_move_between_workers,
        stages.a_damaged_checkpoint_is_passed_over,
        servers.servers_that_write_late_are_warned_about,
        servers.replicas_are_not_asked,
        stages.routers_share_the_work,
        records.a_file_of_one_long_line_passes,
        records.records_of_several_identities_are_joined,
        records.shared_records_wait_for_their_partitions,
        records.an_envelope_of_hundreds_of_callers_passes,
        records.each_file_is_read_once,
        servers.a_stream_that_was_made_anew_is_told,
        outside.outputs_grow_old,
        records.listeners_keep_what_they_acknowledge,
        servers.strangers_are_kept_out,
        outside.every_process_tells_about_itself,
        outside.every_finding_is_sent,
        stages.fail_over,
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
