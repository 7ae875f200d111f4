"""Whether a text that is kept, such as the reason for seeing an account number, tells one."""

import re
import string
import unicodedata

from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

#: So many characters of a number in a row are no coincidence.
TELLING = 8
LENGTHS = range(15, 35)
LETTERS = frozenset(string.ascii_uppercase)
DIGITS = frozenset(range(10))
NO_DIGIT = re.compile(r"[^0-9]")
#: Where an IBAN may begin. ISO 13616.
COUNTRY_AND_CHECK = re.compile(r"(?=[A-Z]{2}[0-9]{2})")


def tells(text: str, number: str) -> bool:
    """Whether ``text`` has any ``TELLING`` characters of ``number``, an IBAN, in a row.

    However it is grouped, in whatever digits, forwards or backwards, and with words between its digits. The
    bank and check digits are easily found, so not the whole number is looked for.
    """
    said = _letters_and_digits(text)
    return _has_part(said, number) or _has_part(NO_DIGIT.sub("", said), NO_DIGIT.sub("", number))


def has_iban(text: str) -> bool:
    """Whether ``text`` has what is an IBAN by its length and check digits, however it is grouped."""
    said = _letters_and_digits(text)
    return any(
        _is_iban(said[found.start() : found.start() + length])
        for found in COUNTRY_AND_CHECK.finditer(said)
        for length in LENGTHS
    )


def _letters_and_digits(text: str) -> str:
    """Those of ASCII, in capitals, that ``text`` has or means."""
    letters = unicodedata.normalize("NFKC", text).upper()
    values = ((character, unicodedata.numeric(character, None)) for character in letters)
    return "".join(
        str(int(value)) if value in DIGITS else character
        for character, value in values
        if value in DIGITS or character in LETTERS
    )


def _has_part(said: str, number: str) -> bool:
    parts = [number[start : start + TELLING] for start in range(len(number) - TELLING + 1)]
    return any(part in said or part in said[::-1] for part in parts)


def _is_iban(candidate: str) -> bool:
    try:
        IBAN(candidate)
    except SchwiftyException:
        return False
    return True
