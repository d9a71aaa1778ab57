"""``python -m catena``: filters standard input, as the program ``catena`` does for files, folders and live streams."""

from __future__ import annotations

import argparse
import sys

from . import CatenaError, Supervisor, correlate


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="catena-py",
        description="Correlates cloud audit records (one JSON record a line) from standard input. The stream goes to standard "
        "output, findings and rejections to standard error.",
    )
    parser.add_argument("--mode", choices=["enrich", "filter", "findings"], default="enrich", help="what passes")
    arguments = parser.parse_args()
    line = 1
    try:
        with Supervisor({"mode": arguments.mode}) as supervisor:
            for outcome in correlate(sys.stdin.buffer, supervisor):
                for finding in outcome.findings:
                    print(finding.body, file=sys.stderr)
                for one in outcome.rejections:
                    at = line + outcome.batch.count(b"\n", 0, one.start)
                    print(f"line {at}: {one.detail} ({one.code})", file=sys.stderr)
                line += outcome.batch.count(b"\n")
                for piece in outcome.pieces():
                    sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
    except BrokenPipeError:
        return 0
    except CatenaError as error:
        print(f"catena-py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
