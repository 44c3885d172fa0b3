"""Telephone numbers: reading one as people write it, and which two ways of writing may be the same number.

Countries have changed their numbers, and messengers have not always followed: a Brazilian mobile number has a ninth
digit, or is listed without it. ``may_be_same`` knows such pairs. It says *may*: whoever it speaks for is protected by
it, and nobody is ever taken for somebody by it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

LAST_DIGITS = 6
"""So many last digits have any two in common that may be the same number."""

_FEWEST, _MOST = 7, 15  # digits with the country code, by E.164
_ONE_DIGIT_CODES = frozenset("17")
_SECOND_DIGITS = {
    "2": "07",
    "3": "0123469",
    "4": "013456789",
    "5": "12345678",
    "6": "0123456",
    "8": "1246",
    "9": "0123458",
}
"""Of the country codes of two digits, by their first; all others have three."""

_ZERO_BELONGS = frozenset({"39", "378", "379", "225", "242"})
"""Where numbers may begin with a 0 also behind the country code: Italy, San Marino, Vatican, Ivory Coast, Congo."""

_VIETNAM = {
    **{"120": "70", "121": "79", "122": "77", "126": "76", "128": "78", "123": "83", "124": "84", "125": "85"},
    **{"127": "81", "129": "82", "186": "56", "188": "58", "199": "59"},
    **{f"16{last}": f"3{last}" for last in "23456789"},
}
_SHORTENED = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE]\+?[0-9]{1,3}")
_DECIMAL = re.compile(r"\+?[0-9]{7,}[.,][0-9]{1,2}")
_WRITTEN = re.compile(r"\(?\+?[0-9 ()./-]*[0-9][0-9 ()./-]*")


class NumberFault(ValueError):
    """A text that is no telephone number; the message goes on behind it: ``begins with 0 …``."""


class WithoutCountry(NumberFault):
    """It begins with 0, as it is dialled within one country; which, it does not say."""

    def __init__(self) -> None:
        super().__init__("begins with 0: write it with its country code, such as +49 …")


def read_number(text: str, country: str | None = None) -> str:
    """The digits, country code first, of a number as people write it: ``+55 11 98765-4321``. ``00`` is ``+``.

    ``country``: the code of the country where a number that begins with a single 0 is one. Digits of any script are
    read. Raises NumberFault for anything that could be taken for somebody else's number.
    """
    plain = plain_text(text)
    _check_form(plain)
    digits = "".join(filter(str.isdigit, plain))
    if "+" not in plain and digits.startswith("00"):
        digits = digits.removeprefix("00")
    elif "+" not in plain and country is not None:
        digits = _from_within(digits, country)
    if digits.startswith("0"):
        raise WithoutCountry
    if not _FEWEST <= len(digits) <= _MOST:
        raise NumberFault(
            f"is not a phone number with its country code: it has {len(digits)} digits, not {_FEWEST} to {_MOST}"
        )
    if digits.startswith("1") and len(digits) > 11:
        raise NumberFault(f"is not a phone number: it has {len(digits)} digits; those of the country code 1 have 11")
    return digits


def plain_text(text: str) -> str:
    """Digits of any script as 0 to 9, any dash as ``-``, any blank as one; without marks nobody sees, and without the
    apostrophe by which spreadsheets keep a cell from being reckoned.
    """
    wide = "".join(map(_wide, text))
    return "".join(map(_plain, wide)).strip().removeprefix("'").strip()


def is_country_code(text: str) -> bool:
    return re.fullmatch("[1-9][0-9]{0,2}", text) is not None and country_code(text + "0000000") == text


def may_be_same(one: str, other: str) -> bool:
    """Whether two numbers, as digits, may be the same one in two spellings.

    The ninth digit of Brazil, 52 and 521, 54 and 549 and the 15 behind the area code, new first digits (Ivory Coast,
    Benin, Gabon, Vietnam), a 0 behind the country code, 00 before it, 8 for 7, no country code at all.
    """
    if one[-LAST_DIGITS:] != other[-LAST_DIGITS:]:
        return False
    if one == other or not _forms(one).isdisjoint(_forms(other)):
        return True
    return _is_without_country(one, other) or _is_without_country(other, one)


def country_code(digits: str) -> str:
    if digits[:1] in _ONE_DIGIT_CODES:
        return digits[:1]
    return digits[:2] if digits[1:2] in _SECOND_DIGITS.get(digits[:1], "") else digits[:3]


def _check_form(plain: str) -> None:
    if _SHORTENED.fullmatch(plain):
        raise NumberFault(
            "is not a phone number: a spreadsheet has shortened it. Format the column as text, and fill it in"
        )
    if _DECIMAL.fullmatch(plain):
        raise NumberFault("is not a phone number: a spreadsheet has made a decimal of it. Format the column as text")
    if any(one.isalpha() or one in "#;*," for one in plain):
        raise NumberFault("is not a phone number: it has more than digits in it. Leave out an extension, or a word")
    if not _WRITTEN.fullmatch(plain):
        raise NumberFault("is not a phone number with its country code, such as +55 11 98765-4321")


def _from_within(digits: str, country: str) -> str:
    """As it is dialled in a country: with a 0 before it, or by ten digits alone, as in North America."""
    if country == "1":
        return f"1{digits}" if len(digits) == 10 else digits
    if country == "7":
        return f"7{digits[1:]}" if len(digits) == 11 and digits.startswith("8") else digits
    if not digits.startswith("0"):
        return digits
    return country + (digits if country in _ZERO_BELONGS else digits[1:])


def _wide(one: str) -> str:
    """A superscript or a fraction is no digit of a number."""
    return one if unicodedata.category(one) == "No" else unicodedata.normalize("NFKC", one)


def _plain(one: str) -> str:
    kind = unicodedata.category(one)
    if kind == "Nd":
        return str(unicodedata.decimal(one))
    if kind in ("Cf", "Mn"):
        return ""
    return "-" if kind == "Pd" or one == "\u2212" else " " if kind in ("Zs", "Cc") else one


def _forms(digits: str) -> set[str]:
    """The shortest ways to write it; two numbers with one in common may be the same."""
    known = digits.lstrip("0") if digits.startswith("00") else digits
    if known.startswith("0"):
        return {known}
    forms = _within(country_code(known), known)
    if len(known) == 11 and known[0] == "8" and known[1] in "3456789":
        forms |= _within("7", f"7{known[1:]}")
    return forms


def _is_without_country(short: str, whole: str) -> bool:
    """Whether ``short`` may be what people of the country of ``whole`` write among themselves."""
    if short.startswith("00"):
        return False
    code = country_code(whole)
    rest = short if code in _ZERO_BELONGS else short.lstrip("0")
    return len(rest) < len(whole) and not _within(code, code + rest).isdisjoint(_forms(whole))


def _within(code: str, digits: str) -> set[str]:
    rest = _without_trunk(code, digits.removeprefix(code))
    if code == "54":
        return {code + one for one in _argentine(rest)}
    shorter = _SHORTER.get(code)
    return {code + (shorter(rest) if shorter else rest)}


def _without_trunk(code: str, rest: str) -> str:
    """What is dialled before a number in its own country only."""
    dialled, length = _TRUNK.get(code, ("", 0))
    if dialled and rest.startswith(dialled) and len(rest) >= length:
        return rest.removeprefix(dialled)
    return rest if code in _ZERO_BELONGS else rest.lstrip("0")


_TRUNK = {"1": ("1", 11), "7": ("8", 11), "36": ("06", 10), "370": ("8", 9), "375": ("80", 11), "993": ("8", 9)}


def _brazilian(rest: str) -> str:
    return rest[:2] + rest[3:] if len(rest) == 11 and rest[2] == "9" else rest


def _mexican(rest: str) -> str:
    if len(rest) == 12 and rest.startswith(("44", "45")):
        return rest[2:]
    return rest[1:] if len(rest) == 11 and rest.startswith("1") else rest


def _argentine(rest: str) -> set[str]:
    """The 15 stands behind an area code of two to four digits, and nothing tells of how many."""
    local = rest[1:] if len(rest) in (11, 13) and rest.startswith("9") else rest
    found = {local}
    if len(local) == 12:
        found |= {local[:area] + local[area + 2 :] for area in (2, 3, 4) if local[area : area + 2] == "15"}
    return found


def _colombian(rest: str) -> str:
    return rest[2:] if len(rest) == 10 and rest.startswith("60") else rest


def _vietnamese(rest: str) -> str:
    return _VIETNAM.get(rest[:3], rest[:3]) + rest[3:] if len(rest) == 10 else rest


def _chilean(rest: str) -> str:
    return rest[1:] if len(rest) == 9 and rest.startswith("9") else rest


def _new_first_digits(kept: int, lengths: tuple[int, ...]) -> Callable[[str], str]:
    """Of a country that has put new digits before all its numbers of ``kept``."""
    return lambda rest: rest[-kept:] if len(rest) in lengths else rest


_SHORTER: dict[str, Callable[[str], str]] = {
    "52": _mexican,
    "55": _brazilian,
    "56": _chilean,
    "57": _colombian,
    "84": _vietnamese,
    "225": _new_first_digits(8, (10,)),
    "229": _new_first_digits(8, (9, 10)),
    "241": _new_first_digits(7, (8,)),
}
