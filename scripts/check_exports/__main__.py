"""Compare chat exports with their truth: .venv/bin/python scripts/check_exports FOLDER

Prints one row for every .txt and .zip in FOLDER, compared with FOLDER/expected.json (file name without suffix
-> authors, first, last, messages, system), and exits 1 on any difference. Where the date order has to be
asked, exactly one of the offered orders must give the truth.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from runner.groups.export import DateOrderOpen, ExportError, ExportReading, read_export


def facts(reading: ExportReading) -> dict[str, Any]:
    """A reading in the shape of one entry of expected.json."""
    return {
        "authors": {author.name: author.messages for author in reading.authors},
        "first": reading.first_message.isoformat() if reading.first_message else None,
        "last": {author.name: author.last.isoformat() for author in reading.authors},
        "messages": reading.messages,
        "system": reading.system,
    }


def differences(reading: ExportReading, truth: dict[str, Any]) -> list[str]:
    """Names of the facts that differ."""
    found = facts(reading)
    return [f"{key}: {found[key]} instead of {truth[key]}" for key in truth if found.get(key) != truth[key]]


def verdict(path: Path, truth: dict[str, Any] | None) -> tuple[bool, str]:
    """(right, what was seen) for one file."""
    if truth is None:
        return False, "no truth in expected.json"
    try:
        reading = read_export(path)
    except DateOrderOpen as question:
        right = [o for o in question.orders if not differences(read_export(path, date_order=o), truth)]
        return len(right) == 1, f"asked {'/'.join(question.orders)}; equal as {'/'.join(right) or 'none'}"
    except ExportError as error:
        return False, str(error)
    wrong = differences(reading, truth)
    return not wrong, "; ".join(wrong) or f"equal as {reading.date_order}"


def main(folder: Path) -> int:
    """Print the table; 0 if every row is right and there is one at least."""
    truths = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    files = sorted(path for path in folder.iterdir() if path.suffix in (".txt", ".zip"))
    rows = [(path.name, *verdict(path, truths.get(path.stem))) for path in files]
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, right, seen in rows:
        print(f"{'ok  ' if right else 'DIFF'}  {name:<{width}}  {seen}")
    print(f"{sum(right for _, right, _ in rows)} of {len(rows)} right")
    return 0 if rows and all(right for _, right, _ in rows) else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
