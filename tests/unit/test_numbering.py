"""How telephone numbers are written, and which two spellings may be one number."""

from __future__ import annotations

import pytest

from runner.groups.identity import NumberFault, phone_id, read_person, read_phone
from runner.numbering import is_country_code, may_be_same, read_number

SAME = {
    "Brazil, ninth digit": ("5511987654321", "551187654321"),
    "Brazil, 0 before the area code": ("55011987654321", "551187654321"),
    "Mexico, 1 of mobiles": ("525512345678", "5215512345678"),
    "Mexico, 044": ("520445512345678", "5215512345678"),
    "Argentina, 9 of mobiles": ("5491123456789", "541123456789"),
    "Argentina, 15 behind the area code": ("54111523456789", "5491123456789"),
    "Argentina, 15 behind a long area code": ("54029661542 1234".replace(" ", ""), "5492966421234"),
    "Chile, 9 of mobiles": ("56912345678", "5612345678"),
    "Colombia, new area code": ("576011234567", "5711234567"),
    "Ivory Coast, ten digits": ("22507123456", "2250707123456"),
    "Benin, ten digits": ("22997123456", "2290197123456"),
    "Gabon, new first digit": ("24106123456", "24166123456"),
    "Vietnam, ten digits": ("841201234567", "84701234567"),
    "a 0 behind the country code": ("4901511234567", "491511234567"),
    "a 0 in brackets": (read_number("+44 (0)7700 900103"), "447700900103"),
    "00": ("00491511234567", "491511234567"),
    "Russia, 8 for 7": ("89161234567", "79161234567"),
    "Hungary, 06": ("3606301234567", "36301234567"),
    "Belarus, 80": ("37580291234567", "375291234567"),
    "no country code": ("9876543210", "919876543210"),
    "no country code, a 0": ("01511234567", "491511234567"),
    "no 1 of North America": ("2125550123", "12125550123"),
    "no country code, ninth digit": ("11987654321", "551187654321"),
    "Italy without its code": ("0612345678", "390612345678"),
}
TWO = {
    "Italy keeps its 0": ("390612345678", "39612345678"),
    "Congo keeps its 0": ("242061234567", "24261234567"),
    "another country": ("19161234567", "79161234567"),
    "the last digit": ("447700900103", "447700900104"),
    "the area": ("5511987654321", "5521987654321"),
    "the first digit": ("5511987654321", "5511887654321"),
    "a digit missing": ("447700900103", "44770090010"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_two_spellings_may_be_one_number(one: str, other: str) -> None:
    assert may_be_same(one, other)
    assert may_be_same(other, one)


@pytest.mark.parametrize(("one", "other"), TWO.values(), ids=TWO)
def test_two_numbers_are_two(one: str, other: str) -> None:
    assert not may_be_same(one, other)
    assert not may_be_same(other, one)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("+55 11 98765-4321", "5511987654321"),
        ("0049 151 30000002", "4915130000002"),
        ("(+49) 151/30000002", "4915130000002"),
        ("\u202a+44\u00a07700\u202f900103\u202c", "447700900103"),
        ("+44\u20117700\u2013900103", "447700900103"),
        ("".join(chr(0xFF10 + int(one)) for one in "447700900103"), "447700900103"),
        ("+٤٤٧٧٠٠٩٠٠١٠٣", "447700900103"),
        ("'+447700900103", "447700900103"),
        ("+39 06 1234 5678", "390612345678"),
    ],
)
def test_a_number_as_people_write_it(text: str, digits: str) -> None:
    assert read_number(text) == digits
    assert phone_id(text) == f"{digits}@s.whatsapp.net"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0151 30000002", "begins with 0"),
        ("+0151 30000002", "begins with 0"),
        ("000151 30000002", "begins with 0"),
        ("4.47E+11", "a spreadsheet has shortened"),
        ("4,47E+11", "a spreadsheet has shortened"),
        ("447700900103.0", "made a decimal"),
        ("+44 7700 900103 ext. 5", "more than digits"),
        ("+44 7700 900103#5", "more than digits"),
        ("447700900103²", "is not a phone number"),
        ("+44 7700 +900103", "is not a phone number"),
        ("123456", "it has 6 digits"),
        ("1234567890123456", "has 16 digits"),
        ("100000000000001", "those of the country code 1 have 11"),
        ("", "is not a phone number"),
        ("+", "is not a phone number"),
    ],
)
def test_what_could_be_somebody_elses_number_is_refused(text: str, why: str) -> None:
    with pytest.raises(NumberFault, match=why):
        read_number(text)
    assert phone_id(text) is None


@pytest.mark.parametrize(
    ("text", "country", "digits"),
    [
        ("0151 30000002", "49", "4915130000002"),
        ("06 1234 5678", "39", "390612345678"),
        ("(212) 555-0123", "1", "12125550123"),
        ("8 916 123-45-67", "7", "79161234567"),
        ("+44 7700 900103", "49", "447700900103"),
        ("0044 7700 900103", "49", "447700900103"),
        ("447700900103", "49", "447700900103"),
    ],
)
def test_a_number_of_within_a_country(text: str, country: str, digits: str) -> None:
    assert read_number(text, country) == digits


def test_what_is_a_country_code() -> None:
    assert all(map(is_country_code, ("1", "7", "49", "44", "351", "225")))
    assert not any(map(is_country_code, ("", "0", "049", "+49", "DE", "495", "5511")))


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("5511987654321:12@c.us", "5511987654321@s.whatsapp.net"),
        ("00491511234567@s.whatsapp.net", "491511234567@s.whatsapp.net"),
        ("012345678901234@lid", "012345678901234@lid"),
    ],
)
def test_an_id_that_somebody_gave(text: str, known: str) -> None:
    assert read_person(text) == known


@pytest.mark.parametrize("text", ["01511234567@s.whatsapp.net", "12@c.us", "Ana", "5511987654321"])
def test_an_id_that_can_be_nobodys(text: str) -> None:
    with pytest.raises(NumberFault):
        read_person(text)


def test_a_lid_is_no_phone_number() -> None:
    with pytest.raises(NumberFault, match="is a lid"):
        read_phone("100000000000001@lid")
