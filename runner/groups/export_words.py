"""The words beside a time in a chat export: which half of the day they name, which say nothing, which nobody knows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from runner.groups.export_source import AS_TEXT, ExportError

_AM: Final = (
    "am vm pd ጥዋት ص صباحًا صباحا 上午 午前 凌晨 清晨 早上 오전 dop dopoledne dopoludnia ap πμ sf safiya de rn тң таңкы "
    "ກ່ອນທ່ຽງ priekšp priekšpusdienā priekšpusdiena priešpiet претпл претпладне pg قظ قبلازظهر manhã damanhã පෙව "
    "dopoldne fm ก่อนเที่ยง öö дп to sa পূৰ্বাহ্ন পূর্বাহ্ণ पूर्वाह्न မနက် နံနက် үө prijepodne пријеподне преподне мп मपू ਪੂਦੁ முற்பகல் "
    "ಪೂರ್ವಾಹ್ನ проб vorm vormittags"
)
_PM: Final = (
    "pm nm md ከሰዓት م مساءً مساء 下午 午後 中午 晚上 오후 odp odpoledne popoludní μμ ym yamma du in тк түштөнкийинки "
    "ຫຼັງທ່ຽງ pēcp pēcpusdienā pēcpusdiena popiet попл попладне ptg بظ بعدازظهر tarde datarde පව pop popoldne em หลังเที่ยง "
    "ös пп tk ch অপৰাহ্ন অপরাহ্ণ अपराह्न ညနေ үх popodne поподне मउ ਬਾਦੁ பிற்பகல் ಅಪರಾಹ್ನ слоб nachm nachmittags"  # noqa: RUF001
)
_SILENT: Final = (
    # After the time: o'clock, and the units of hours, minutes and seconds.
    "h uhr ч час часа น hodź óra s sec sek min мин с 時 时 分 秒 시 분 초 "  # noqa: RUF001
    # Between date and time: "at", and what marks a year.
    "klo kl klock à às um u om ob o в о г р at alle kell pukul jam saat alas"  # noqa: RUF001
)

_MOST: Final = 50
NEVER_PAST: Final = 12
"""Where no hour beside a word is later, the word may name a half of the day."""


def fold(word: str) -> str:
    """A word as the tables have it: without blanks, points, commas and brackets, in small letters."""
    return re.sub(r"[ .,،、，()/\u200c]", "", word).casefold()  # noqa: RUF001


_HALVES: Final[dict[str, int]] = {
    **{fold(word): 0 for word in _AM.split()},
    **{fold(word): 12 for word in _PM.split()},
}
_KNOWN: Final = frozenset(_HALVES) | {fold(word) for word in _SILENT.split()}


def half_of(word: str) -> int | None:
    """0 for a word of the morning, 12 for one of the afternoon; None for all others. `word` is folded."""
    return _HALVES.get(word)


def is_known(word: str) -> bool:
    """Whether it is in any table. `word` is folded."""
    return word in _KNOWN


def may_say_nothing(raw: str, word: str) -> bool:
    """A short unknown word of an alphabet between date and time may be an "at", as `klo` is in `12.3.2022 klo 14.08`.

    It is one only where it also stands beside an hour past twelve; see ``Fillers``.
    """
    return 0 < len(word) <= 4 and raw.endswith(" ") and not is_known(word) and all(char < "\u1100" for char in word)


@dataclass(slots=True)
class Fillers:
    """Words that may mean no more than "at", with the latest hour beside each, and where it stood first."""

    latest: dict[str, int] = field(default_factory=dict)
    first: dict[str, tuple[int, str]] = field(default_factory=dict)

    def note(self, word: str, hour: int, number: int, stamp: str) -> None:
        """Raises ExportError for more words than any language has."""
        self.latest[word] = max(hour, self.latest.get(word, 0))
        self.first.setdefault(word, (number, stamp))
        if len(self.first) > _MOST:
            raise unknown_word(word, number, stamp)

    def close(self) -> None:
        """Raises ExportError where a word stands beside no hour past twelve: it may as well mean the afternoon."""
        for word, hour in self.latest.items():
            if hour <= NEVER_PAST:
                raise unknown_word(word, *self.first[word])


def unknown_word(word: str, number: int, stamp: str) -> ExportError:
    return ExportError(
        f'Line {number}, "{stamp}", has the unknown word "{word}" beside the time: it may mean the morning or the '
        f"afternoon. Set the phone to 24 hours and export again. {AS_TEXT}"
    )
