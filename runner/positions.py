"""Where the loops of a job stand: a place for each, kept in the one value that a commit writes.

A job with one loop without a name keeps what its source goes on from, and nothing else, as all jobs once did. Any
other keeps ``{"format": 2, "loops": {name: place}}``. A place: ``at``, what the source goes on from; ``again``,
numbers of items that were put back; ``lost``, how many were put back and cannot be found again; ``over``; and
``within``, the places of loops that run inside the batch that comes next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runner.errors import LoopMisused
from runner.job import JsonDict

FORMAT = 2
UNNAMED = ""


@dataclass
class Place:
    """Where one loop stands."""

    at: Any = None
    again: list[int] = field(default_factory=list)
    lost: int = 0
    over: bool = False
    within: dict[str, Place] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        return not (self.again or self.lost or self.within)

    def as_json(self) -> JsonDict:
        kept: JsonDict = {name: value for name in ("again", "lost", "over") if (value := getattr(self, name))}
        within = {"within": _written(self.within)} if self.within else {}
        return {"at": self.at} | kept | within

    @classmethod
    def from_json(cls, data: JsonDict) -> Place:
        return cls(
            data.get("at"),
            list(data.get("again", ())),
            data.get("lost", 0),
            data.get("over", False),
            _read(data.get("within", {})),
        )


Places = dict[str, Place]


def written(places: Places) -> Any:
    """What is kept of them; None while there is nothing to keep."""
    if not places:
        return None
    if places.keys() == {UNNAMED} and places[UNNAMED].is_plain:
        return places[UNNAMED].at
    return versioned(places)


def versioned(places: Places) -> JsonDict:
    return {"format": FORMAT, "loops": _written(places)}


def read(position: Any) -> Places:
    """The places that a commit has kept, of this version or an earlier one."""
    if position is None:
        return {}
    if not (isinstance(position, dict) and {"format", "loops"} <= position.keys()):
        return {UNNAMED: Place(position)}
    if position["format"] != FORMAT:
        raise LoopMisused(
            f"the job's place was written by a newer version (format {position['format']}); run that version"
        )
    return _read(position["loops"])


def shown(position: Any) -> Any:
    """For the workflow: of one loop without a name what its source goes on from, else that of each by its name."""
    places = read(position)
    if places.keys() <= {UNNAMED}:
        return places[UNNAMED].at if places else None
    return {name: place.at for name, place in places.items()}


def find(places: Places, path: list[str]) -> Place | None:
    """The place of the loop that ``path`` leads to, from the outermost one on."""
    place: Place | None = None
    for name in path:
        place = places.get(name)
        if place is None:
            return None
        places = place.within
    return place


def _written(places: Places) -> JsonDict:
    return {name: place.as_json() for name, place in places.items()}


def _read(data: JsonDict) -> Places:
    return {name: Place.from_json(place) for name, place in data.items()}
