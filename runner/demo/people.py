"""Who is in the demo's group. Nobody is real: the numbers are of the range that is kept free for films and books."""

from __future__ import annotations

from dataclasses import dataclass

GROUP = "120363403645737238@g.us"
NAME = "Neighbours"
BEGAN_DAYS_AGO = 46
"""The chat is kept since then, so that a window of 30 days, and a slack of a day, is watched whole."""


@dataclass(frozen=True)
class DemoPerson:
    """One of the group. All days are days ago, counted from the day the demo began.

    ``joined`` None: the list does not say. ``spoke``: on which days; ``still_speaks``: also each day since then.
    ``saved``: in the address book of the phone that made the export, which shows all others by their number.
    """

    name: str
    phone: str
    joined: int | None
    spoke: tuple[int, ...] = ()
    role: str = "member"
    whitelisted: bool = False
    still_speaks: bool = False
    saved: bool = True

    @property
    def author(self) -> str:
        """How the export names them."""
        return self.name if self.saved else f"\u202a{self.phone}\u202c"

    @property
    def whatsapp_id(self) -> str:
        return "".join(filter(str.isdigit, self.phone)) + "@s.whatsapp.net"


PEOPLE = (
    DemoPerson("Ana Prieto", "+44 7700 900101", 400, (46, 41, 25, 9), role="superadmin", still_speaks=True),
    DemoPerson("Boris Lang", "+44 7700 900102", 390, (44,), role="admin"),
    DemoPerson("Clara Nowak", "+44 7700 900103", 300, (40,), whitelisted=True),
    DemoPerson("David Osei", "+44 7700 900104", 380, (45, 31, 18, 6), still_speaks=True),
    DemoPerson("Esra Demir", "+44 7700 900105", 6),
    DemoPerson("Finn Berg", "+44 7700 900106", None),
    DemoPerson("Grace Mbeki", "+44 7700 900107", 350, (44, 43)),
    DemoPerson("Hugo Martin", "+44 7700 900108", 340, (43,)),
    DemoPerson("Ines Costa", "+44 7700 900109", 210),
    DemoPerson("Jonas Weber", "+44 7700 900110", 320, (42, 36), saved=False),
    DemoPerson("Kirsi Aalto", "+44 7700 900111", 310, (41,)),
    DemoPerson("Luca Greco", "+44 7700 900112", None, (39, 38)),
    DemoPerson("Mei Tanaka", "+44 7700 900113", 260, (35,)),
    DemoPerson("Noor Haddad", "+44 7700 900114", 250, (34, 33), saved=False),
)
