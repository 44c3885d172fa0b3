"""The README's first page against the fake gateway: its six steps as they are written, and what they really did."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.demo.people import GROUP, PEOPLE
from tests.gateways.fake import FakeServer, control
from tests.test_readme import README, Block, Reader, answers_in, sections
from tests.waiting import wait_for
from web.outcomes import number_of

SECTION = next(section for section in sections() if section.server.name == "evolution")
WINDOW_MS = 2_592_000_000
BOT = PEOPLE[1]
"""We are an admin of the group ourselves."""

A_BATCH_WAS_REMOVED = '[ -z "${REAL:-}" ] || until [ -s effects.jsonl ]; do sleep 0.1; done'
"""Between two blocks: whoever cancels a real run has let it do something first."""

Job = dict[str, Any]


def lid(number: int) -> str:
    return f"1000000000001{number:02d}@lid"


LIDS = {person.name: lid(number) for number, person in enumerate(PEOPLE)}
SILENT = {LIDS[one.name] for one in PEOPLE if one.spoke and min(one.spoke) > 30 and one.role == "member"}
NEVER_SPOKE = {LIDS[one.name] for one in PEOPLE if not one.spoke}


class Story:
    """A reader beside a gateway that has the demo's people in a group; the export names all by their number."""

    def __init__(self, folder: Path, fake: FakeServer) -> None:
        people = [
            {"lid": LIDS[person.name], "pn": person.whatsapp_id, "role": person.role, "name": person.name}
            for person in PEOPLE
        ]
        world = {"groups": {GROUP: {"subject": "Neighbours", "people": people}}, "evolution": {"version": "2.3.7"}}
        control(folder, me={"pn": BOT.whatsapp_id}, **world)
        named = {"API_URL": fake.url, "API_KEY": "key-of-evolution", "INSTANCE_NAME": "p2"}
        self.fake = fake
        self.reader = Reader(folder, {f"EVOLUTION_{name}": value for name, value in named.items()})
        chat = folder / "chat.txt"
        text = chat.read_text(encoding="utf-8")
        for person in PEOPLE:
            text = text.replace(f"] {person.name}:", f"] \u202a{person.phone}\u202c:")
        chat.write_text(text, encoding="utf-8")

    def ask(self, method: str, path: str, **how: Any) -> Any:
        answer = httpx.request(method, f"http://127.0.0.1:{self.reader.port}{path}", trust_env=False, timeout=60, **how)
        assert answer.is_success, answer.text
        return answer.json()

    def ended(self, job_id: str) -> Job:
        def look() -> Job | None:
            job: Job = self.ask("GET", f"/admin/jobs/{job_id}/status")
            over = job["status"] == "completed" or job.get("cancellation", {}).get("phase") == "stopped"
            return job if over else None

        return wait_for(look, f"{job_id} has ended")

    def dry_run(self) -> Job:
        config = {"groupWaId": GROUP, "batchSize": 5, "delayMs": 10_000, "inactivityWindowMs": WINDOW_MS}
        body = {"type": "removal_workflow", "dryRun": True} | config
        return self.ended(self.ask("POST", "/admin/jobs/start", json=body)["jobId"])


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with FakeServer(tmp_path) as fake:
        made = Story(tmp_path, fake)
        process: subprocess.Popen[bytes] = made.reader.start(SECTION.server)
        yield made
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(30) == 0, made.reader.log()
        finally:
            process.kill()
    assert fake.wrong() == []


def test_the_six_steps_as_they_are_written(story: Story) -> None:
    ingest, chat, dry, real, cancel = story.reader.paste(SECTION.blocks, A_BATCH_WAS_REMOVED)
    assert f"In Neighbours: {len(PEOPLE)} people\n" in ingest
    assert "could not be matched" not in chat
    said = dict(line.split(": ", 1) for line in dry.splitlines() if ": " in line)
    assert said["wouldRemove"] == f"would remove {len(SILENT)} people"
    assert read_people(dry) == {number_of(one.whatsapp_id) for one in PEOPLE if LIDS[one.name] in SILENT}
    assert said["watched"].startswith(f"activity known for 30 of 30 days, {len(NEVER_SPOKE)} people unknown, of whom")
    assert (real, answers_in(cancel)) == ("", [])
    assert cancel.startswith("Job cancelled successfully")
    removed = story.fake.effects()
    job = story.ended(story.ask("GET", "/admin/jobs")[0]["id"])
    assert (job["status"], job["result"]["removedWhatsappIds"]) == ("cancelled", removed)
    assert len(removed) == len(set(removed)) == 5
    assert set(removed) < SILENT
    left = {entry["user"]["whatsappId"] for entry in story.ask("GET", f"/admin/removalQueue?groupWaId={GROUP}")}
    assert left == SILENT - set(removed)


def read_people(printed: str) -> set[str]:
    """The number of everybody who has a line; the gateway lists lids, which nobody can read."""
    numbers = re.findall(r"^(\+\d+) .* \d{4}-\d\d-\d\d  *no activity for 30 days or longer", printed, re.MULTILINE)
    assert len(numbers) == len(set(numbers))
    return set(numbers)


def test_right_after_the_second_step_nobody_is_inactive(story: Story) -> None:
    ingest = story.reader.paste(SECTION.blocks[:1])[0]
    assert "Who has been silent is not on its list: import an export of the chat, or connect webhooks" in ingest
    result = story.dry_run()["result"]
    unknown = sum(person.role == "member" for person in PEOPLE)
    assert (result["wouldRemove"], result["sync"]["unknown"]) == ([], unknown)
    assert result["watched"] == f"activity known for 0 of 30 days, {unknown} people unknown"
    assert story.fake.calls("remove") == []


def test_the_line_that_lists_the_groups_has_the_id(story: Story) -> None:
    line = next(one for one in README.splitlines() if one.startswith("    curl") and "fetchAllGroups" in one)
    found = answers_in(story.reader.paste([Block("tested", "", "bash", line, 0)])[0])
    assert [one["id"] for one in found[0]] == [GROUP]
