"""What happens in a group, as Evolution sends it by webhook, or does not: by version, as it was seen to do."""

from __future__ import annotations

from typing import Any

from tests.gateways.fake.world import Json

GROUP = "120363000000000001@g.us"


class Happenings:
    """One instance of one version. Each method returns the bodies that are sent for it, which may be none.

    ``people`` are ids as the group lists them; times are seconds.
    """

    def __init__(self, version: str = "2.3.6", *, instance: str = "p2", group: str = GROUP) -> None:
        self._version = tuple(int(part) for part in version.split("."))
        self._instance, self._group = instance, group
        self._seen: set[str] = set()
        self._is_deaf = self._is_out = False

    def message(self, who: str, key: str, at: int, **more: Any) -> list[Json]:
        """Somebody writes. One whose id was there before is dropped up to 2.3.6, also where that was a stub."""
        if self._is_deaf or self._is_out or (self._drops_doubles and key in self._seen):
            return []
        self._seen.add(key)
        said = {"key": self._key(who, key), "pushName": "Ana", "status": "DELIVERY_ACK", "messageTimestamp": at}
        content = {"message": {"conversation": "hello"}, "messageType": "conversation", "source": "android"}
        return [self._sent("messages.upsert", said | content | more)]

    def poll(self, who: str, key: str, at: int, kind: str = "pollCreationMessageV3") -> list[Json]:
        """``kind``: which form of a poll the sender's phone has."""
        content = {kind: {"name": "When?", "options": [{"optionName": "Monday"}], "selectableOptionsCount": 1}}
        return self.message(who, key, at, message=content, messageType=kind)

    def vote(self, voter: str, key: str, at: int, poll: str = "POLL") -> list[Json]:
        """No webhook comes of it up to 2.3.6."""
        if self._version < (2, 3, 7):
            return []
        content = {"pollCreationMessageKey": {"remoteJid": self._group, "id": poll}, "vote": {"selectedOptions": []}}
        return self.message(voter, key, at, message={"pollUpdateMessage": content}, messageType="pollUpdateMessage")

    def undecipherable(self, _who: str, key: str, _at: int) -> list[Json]:
        """Its placeholder comes first, and no version sends it; what is deciphered later has the same id."""
        self._seen.add(key)
        return []

    def edit(self, key: str, at: int) -> list[Json]:
        """Nobody is named as whoever edited it."""
        said = {"key": {"remoteJid": self._group, "fromMe": False, "id": key}, "editedMessage": {"conversation": "no"}}
        return [] if self._is_out else [self._sent("messages.edited", said | {"timestampMs": at * 1000})]

    def change(self, action: str, *people: Json, author: str | None = None) -> list[Json]:
        """Somebody came, went, or has another role; a number change (``modify``) is lost below Evolution."""
        if action == "modify" or self._is_out:
            return []
        data: Json = {"id": self._group, "author": author, "action": action, "participants": list(people)}
        if self._version < (2, 3, 6):
            data["participants"] = [one["id"] for one in people]
            data["participantsData"] = [{"jid": one["id"], "phoneNumber": one.get("phoneNumber")} for one in people]
        elif self._version >= (2, 3, 7):
            nothing = {"jid": "[object Object]", "phoneNumber": "[object Object]", "name": None, "imgUrl": None}
            data["participantsData"] = [nothing for _ in people]
        return [self._sent("group-participants.update", data)]

    def socket_down(self) -> list[Json]:
        """It is being connected again at once: ``close`` is never said."""
        return [self._state("connecting", 0)]

    def socket_up(self) -> list[Json]:
        return [self._state("open", 200)]

    def log_out(self) -> list[Json]:
        """The device is logged out; nothing of groups comes until it is connected again; see ``connect``."""
        self._is_out = True
        return [self._sent("logout.instance", None), self._sent("remove.instance", None)]

    def connect(self) -> list[Json]:
        """After a log-out 2.3.6 says that it is open, and sends no message until its process is restarted."""
        self._is_deaf = self._is_out and self._version < (2, 3, 7)
        self._is_out = False
        return [self._state("connecting", 200), self._state("open", 200)]

    def restart(self) -> list[Json]:
        """Of its process."""
        self._is_deaf = False
        self._seen.clear()
        return [self._state("connecting", 200), self._state("open", 200)]

    @property
    def _drops_doubles(self) -> bool:
        return self._version < (2, 3, 7)

    def _key(self, who: str, key: str) -> Json:
        return {"remoteJid": self._group, "fromMe": False, "id": key, "participant": who, "addressingMode": "lid"}

    def _state(self, state: str, reason: int) -> Json:
        return self._sent("connection.update", {"instance": self._instance, "state": state, "statusReason": reason})

    def _sent(self, event: str, data: Any) -> Json:
        envelope = {"destination": "http://bot.example/webhook", "date_time": "2026-01-01T10:00:00.000Z"}
        of_us = {"server_url": "http://gw.example", "apikey": "a-secret-of-the-instance"}
        return {"event": event, "instance": self._instance, "data": data} | envelope | of_us
