"""The list of long passwords that everybody thinks of; ``python -m accounts.common_passwords`` makes it.

Lists of leaked passwords hold almost none that the policy's length admits: of Django's 19,640 entries 194
have 12 characters, and fewer 15. What people do with such a rule is known: they write a common word twice,
put a year and an exclamation mark behind it, walk over the keyboard, or quote. This module writes those down,
always the same, into ``common_passwords.txt.gz``; a test compares. Entries are in lower case and without
separators, and so is what they are compared with.
"""

import gzip
from collections.abc import Iterator
from itertools import product
from pathlib import Path

FILE = Path(__file__).with_suffix(".txt.gz")
#: The policy's 15, less what separators add.
MIN_LENGTH = 12


def words(text: str) -> list[str]:
    return text.split()


WORDS = words("""
password passwort motdepasse contrasena wachtwoord parola haslo passphrase passcode secret secrets secure
security welcome willkommen bienvenue letmein login signin access accessgranted admin administrator root
superuser system server service support default changeme changeit changethis temporary temp test testing
tester demo example sample user username guest public private company corporate office business finance
accounting accounts payable invoice treasury manager director employee computer laptop internet network
windows microsoft google facebook amazon apple iphone samsung android linux ubuntu oracle database postgres
mysql github docker iloveyou loveyou mylove forever princess sunshine rainbow butterfly chocolate cookie
flower shadow dragon monkey tiger eagle falcon phoenix wolf ninja samurai warrior master champion legend
superman batman spiderman starwars pokemon minecraft fortnite football soccer baseball basketball hockey
tennis golf liverpool arsenal chelsea manchester barcelona realmadrid juventus bayern dortmund yankees
lakers cowboys steelers patriots michael jennifer jessica daniel anthony matthew joshua andrew charlie
thomas robert william alexander benjamin ashley amanda nicole hannah sophie emma olivia maria anna sarah
laura january february march april june july august september october november december monday tuesday
wednesday thursday friday saturday sunday spring summer autumn winter london paris berlin newyork california
texas america england germany france spain italy canada australia hello helloworld whatever nothing
something anything everything freedom peace happy lucky money million dollar trustno1 qwerty qwertz azerty
abc abcd abcdef asdf asdfgh zxcvbn abc123 qwerty123 pass pass123 password1
""")

SUFFIXES = (
    *words("1 12 123 1234 12345 123456 1234567 12345678 123456789 1234567890 0 00 000 007 01 11 111 1111 69"),
    *words("99 321"),
    *words("! !! !!! !1 1! 12! 123! 1234! 12345! 123456! 123!@# !@# !@#$ !@#$% @123 @1234 #1 #123 $123 ? ."),
    *words("1. 123."),
    *(f"{year}{mark}" for year, mark in product(range(2015, 2031), ("", "!", "@", "!!", "?", "."))),
    *words("abc abcd xyz qwerty asdf me you now please again forever love"),
)

PHRASES = """
correct horse battery staple|the quick brown fox|the quick brown fox jumps over the lazy dog|let me in please
let me in now|let me in today|open sesame please|i love you forever|i love you so much|i love you more
i love my family|i love my wife|i love my husband|i love my kids|i love my dog|i love my cat|i love my mom
i love jesus|jesus is lord|god is good|god is love|in god we trust|god bless america|thank you jesus
to be or not to be|that is the question|may the force be with you|i am your father|use the force luke
live long and prosper|beam me up scotty|winter is coming|valar morghulis|you know nothing jon snow
one ring to rule them all|you shall not pass|my precious ring|hakuna matata|supercalifragilistic
elementary my dear watson|houston we have a problem|i will be back|hasta la vista baby|hasta la vista
life is beautiful|life is good|life is short|carpe diem|cogito ergo sum|veni vidi vici|alea iacta est
never give up|never gonna give you up|keep calm and carry on|do not panic|dont worry be happy|just do it
no pain no gain|time is money|money makes money|knowledge is power|practice makes perfect|home sweet home
merry christmas|happy new year|happy birthday|happy birthday to you|good morning|good morning sunshine
good night|hello my friend|hello kitty|hello world|welcome home|welcome to the jungle|welcome back
my password is password|this is my password|this is a password|this is a secret|my secret password
password is password|not a password|no password here|my new password|new password|old password|i forgot
i forgot my password|i hate passwords|forgot password|what is my password|change my password|change me please
change me now|temporary password|default password|admin password|root password|super secret|top secret
super secret password|very secret password|very secure password|secure password|strong password
my strong password|long password|a very long password|twelve characters|at least twelve|all your base
rock and roll|sex drugs and rock and roll|stairway to heaven|hotel california|bohemian rhapsody
smells like teen spirit|let it be|hey jude|imagine all the people|we are the champions|we will rock you
game of thrones|lord of the rings|harry potter|star trek|breaking bad|big bang theory|how i met your mother
world of warcraft|league of legends|call of duty|grand theft auto|counter strike|final fantasy|zelda forever
manchester united|manchester city|real madrid|green bay packers|new york yankees|chicago bulls|red sox nation
los angeles|san francisco|new york city|las vegas|united states|united kingdom|south africa|north america
once upon a time|happily ever after|twinkle twinkle little star|humpty dumpty|mary had a little lamb
row row row your boat|the cat in the hat|green eggs and ham|alice in wonderland|peter pan|mickey mouse
donald duck|bugs bunny|winnie the pooh|scooby doo|sponge bob|bob the builder|hello there general kenobi
blue sky|black cat|white rabbit|red dragon|silver surfer|golden gate|purple rain|yellow submarine|pink floyd
four score and seven years ago|we the people|ask not what your country|i have a dream|yes we can
make america great again|god save the queen|god save the king|vive la france|liberte egalite fraternite
ich liebe dich|mein passwort|mein geheimes passwort|das ist geheim|je t aime|mon mot de passe|te quiero
te quiero mucho|mi contrasena|te amo mucho|ti amo tanto|la mia password|amor de mi vida|minha senha
""".replace("\n", "|")

#: Rows and diagonals of keyboards, as hands go over them.
WALKS = (
    *words("1234567890 0987654321 qwertyuiop poiuytrewq asdfghjkl lkjhgfdsa zxcvbnm mnbvcxz qwertzuiop"),
    *words("azertyuiop"),
    *words("1qaz2wsx3edc4rfv5tgb6yhn7ujm 1q2w3e4r5t6y7u8i9o0p q1w2e3r4t5y6u7i8o9p0 qazwsxedcrfvtgbyhnujm"),
    *words("zaq12wsxcde34rfv zaq1xsw2cde3vfr4bgt5 qweasdzxc qweasdzxc123 123qweasdzxc 1qazxsw23edcvfr4"),
    *words("wasdwasdwasd"),
    *words("abcdefghijklmnopqrstuvwxyz zyxwvutsrqponmlkjihgfedcba qwertyasdfghzxcvbn"),
    *words("qwertyuiopasdfghjklzxcvbnm"),
    *words("01234567890123456789 98765432109876543210 147258369147258369 159357159357159357"),
    *words("112233445566778899"),
    *words("1029384756 a1b2c3d4e5f6g7h8 aa11bb22cc33dd44 q2w3e4r5t6y7u8i9 poiuytrewqlkjhgfdsa !@#$%^&*()_+"),
)


def normalise(password: str) -> str:
    """As the list has them: in lower case, without what people put between words."""
    return "".join(character for character in password.lower() if character not in " -_.,'")


def entries() -> list[str]:
    """Every entry, in order."""
    found = {normalise(entry) for entry in _entries()}
    return sorted(entry for entry in found if len(entry) >= MIN_LENGTH)


def _entries() -> Iterator[str]:
    for word in WORDS:
        yield from (word * times for times in (2, 3, 4))
        yield from (word + suffix for suffix in SUFFIXES)
        yield from (prefix + word for prefix in ("my", "the", "123", "1234", "123456"))
        yield from (f"{prefix}{word}{suffix}" for prefix, suffix in product(("my", "123"), ("1", "123", "!")))
    for phrase in PHRASES.split("|"):
        yield from (
            phrase + suffix for suffix in ("", "1", "12", "123", "!", "1!", "123!", "?", "2025", "2026")
        )
    for walk in WALKS:
        twice = walk * 4
        for length in range(MIN_LENGTH, 25):
            yield from (twice[start : start + length] for start in range(len(walk)))
    for character in "abcdefghijklmnopqrstuvwxyz0123456789!*.?#$":
        yield from (character * length for length in range(MIN_LENGTH, 25))
    for unit in ("12", "123", "1234", "12345", "abc", "ab", "xyz", "qwe", "asd", "aab", "1212", "1a", "a1"):
        yield from ((unit * 24)[:length] for length in range(MIN_LENGTH, 25))


def main() -> None:
    # Without a time in its header the file is the same whenever it is made.
    FILE.write_bytes(gzip.compress("\n".join(entries()).encode(), mtime=0))


if __name__ == "__main__":
    main()
