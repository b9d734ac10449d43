"""Where a text holds addresses of mail, numbers of phones, cards and bank accounts.

Cards and accounts are told by their checksums, phones by how they are written; what is a mere row of digits (an amount,
a date, the number of an invoice) stays.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from stdnum import iban, luhn

Spans = Callable[[str], Iterator[tuple[int, int]]]

_EMAIL = re.compile(
    r"(?<![\w.+%'-])[\w.+%'-]{1,128}@(?:[^\W_](?:[\w-]{0,62}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})(?![\w-])"
)

_DIGIT_GROUPS = re.compile(r"(?<![\w.,])\d{2,19}(?:[ \u00a0-]\d{2,19}){0,12}(?![\w])")
_GROUP = re.compile(r"\d+")
_CARD_PREFIX = re.compile(
    r"4|5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|3[47]|6011|64[4-9]|65|3[68]|30[0-5]|35[2-8]|62|50[1238]|5893|6304|67"
)
_CARD_SHAPES = {(4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (4, 4, 4, 3)}
_CARD_LENGTHS = (14, 15, 16, 18, 19)

_IBAN_HEAD = re.compile(r"(?<![^\W_])[A-Za-z]{2}[ \u00a0-]?\d{2}(?=[ \u00a0-]?[A-Za-z0-9])")
_IBAN_LENGTHS = range(15, 35)
_IBAN_SIGNS = re.compile(r"(?:[ \u00a0-]?[A-Za-z0-9]){11,30}")

_GAP = r"(?:[ \u00a0]|[ \u00a0]?[./-][ \u00a0]?\(?|[ \u00a0]?[()]{1,2}[ \u00a0-]?)?"
_PHONE = re.compile(rf"(?<![\w.,+/#-])\(?(?P<plus>\+[ ]?)?\(?\d(?:{_GAP}\d){{5,16}}(?![\w])(?![.,/:-]\d)")
_LABEL = re.compile(
    r"(?:tel|tele?phone|phone|phone number|call|ph|fax|telefax|mobile?|mob|cell|hp|h/p|handphone|whatsapp"
    r"|hotline|contact|telefon\w{0,6}|telefoon|t[ée]l[ée]phone|t[ée]l|tel[ée]fono|m[óo]vil|cellulare|handy|mobil\w{0,8}|rufnummer"
    r"|телефон|тел|факс|电话|電話|手机|传真|☎|☏|📞|📱|✆)"
    r"[ \t]{0,3}(?:no|nr|num|number|nummer|#)?[\s.:#)=\uff1a-]{0,8}$",
    re.IGNORECASE,
)
_BEFORE = 32  # characters in which a label may stand
_DATES = re.compile(
    r"\d{1,2}[ ./-]{1,3}\d{1,2}[ ./-]{1,3}(?:19|20)?\d\d|(?:19|20)\d\d[ ./-]{1,3}\d{1,2}[ ./-]{1,3}\d{1,2}"
)
_NORTH_AMERICA = re.compile(
    r"(?:\(?\+ ?1\)?[ .-]?\(?[2-9]\d\d\)?[ .-]?[2-9]\d\d[ .-]?|(?:1[ .-])?\([2-9]\d\d\)[ ]?[2-9]\d\d[ .-]"
    r"|(?:1[ .-])?[2-9]\d\d(?P<gap>[.-])[2-9]\d\d(?P=gap))\d{4}(?![\w-])"
)
_TRUNK = re.compile(r"\(?0\d{1,4}\)?[ ]?[/ -][ ]?\d{3,4}(?:[ -]?\d{2,4}){1,3}")
_ABROAD = re.compile(r"00[ ]?[1-9]\d{0,2}[ /-]\(?\d{1,4}\)?[ /-]?\d{2,9}(?:[ -]\d{2,6}){0,4}")
_FEWEST, _MOST = 7, 15  # digits of a phone number
_LONGEST_TRUNK = 12


def emails(text: str) -> Iterator[tuple[int, int]]:
    """Addresses of mail."""
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield match.span()


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Numbers of payment cards: their first digits, length, grouping and checksum are right."""
    for run in _DIGIT_GROUPS.finditer(text):
        if run.end() - run.start() < _CARD_LENGTHS[0]:
            continue
        groups = list(_GROUP.finditer(text, *run.span()))
        taken = 0
        for first in range(len(groups)):
            for last in range(min(first + 5, len(groups)), first, -1):
                chosen = groups[first:last]
                if first >= taken and _is_card([match[0] for match in chosen]):
                    yield chosen[0].start(), chosen[-1].end()
                    taken = last
                    break


def _is_card(groups: list[str]) -> bool:
    shape = tuple(map(len, groups))
    if shape not in _CARD_SHAPES and not (len(shape) == 1 and shape[0] in _CARD_LENGTHS):
        return False
    digits = _ascii("".join(groups))
    return bool(_CARD_PREFIX.match(digits)) and luhn.is_valid(digits)


def ibans(text: str) -> Iterator[tuple[int, int]]:
    """Numbers of bank accounts (IBAN) whose checksum, and whose form in their country, are right."""
    done = 0
    for head in _IBAN_HEAD.finditer(text):
        if head.start() < done:
            continue
        rest = _IBAN_SIGNS.match(text, head.end())
        if rest is None:
            continue
        signs = [at for at in range(head.start(), rest.end()) if text[at].isalnum()]
        for length in _IBAN_LENGTHS:
            if length > len(signs):
                break
            end = signs[length - 1] + 1
            if (end == len(text) or not text[end].isalnum()) and iban.is_valid(
                text[head.start() : end].replace("\u00a0", "")
            ):
                yield head.start(), end
                done = end
                break


def phones(text: str) -> Iterator[tuple[int, int]]:
    """Numbers of phones: international ones, those behind a word for phone, and forms that only phones have."""
    for match in _PHONE.finditer(text):
        number = match[0]
        if whole := _NORTH_AMERICA.match(number):  # what comes after is a number of its own
            yield match.start(), match.start() + whole.end()
            continue
        if number.rfind("(") > number.rfind(")"):
            number = number[: number.rfind("(")].rstrip(" \u00a0-./") or number
        if _is_phone(text, match, number):
            yield match.start(), match.start() + len(number)


def _is_phone(text: str, match: re.Match[str], number: str) -> bool:
    digits = sum(sign.isdigit() for sign in number)
    if digits > _MOST or _DATES.fullmatch(number):
        return False
    if digits >= _FEWEST - 1 and _LABEL.search(text[max(0, match.start() - _BEFORE) : match.start()]):
        return True
    if match["plus"]:
        return digits > _FEWEST
    if digits < _FEWEST or _DATES.search(number):
        return False
    return bool(_ABROAD.fullmatch(number)) or bool(_TRUNK.fullmatch(number) and _FEWEST < digits <= _LONGEST_TRUNK)


def _ascii(digits: str) -> str:
    return digits if digits.isascii() else "".join(str(unicodedata.digit(sign)) for sign in digits)


KINDS: dict[str, Spans] = {"email": emails, "iban": ibans, "card": cards, "phone": phones}
