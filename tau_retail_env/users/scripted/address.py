"""Whether the address that a text states is the wanted one: street, suite, city, state, country and zip code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tau_retail_env.users.scripted.request import Address

STREET = re.compile(
    r"\b\d{1,5} (?:[A-Z][\w'.-]+ ){0,3}"
    r"(?:Street|St|Avenue|Ave|Drive|Dr|Lane|Ln|Road|Rd|Boulevard|Blvd|Highway|Broadway|Way|Court)\b",
    re.IGNORECASE,
)
SUITE = re.compile(r"\b(?:suite|apt|apartment|unit|ste)\.? #?(\w+)", re.IGNORECASE)
ZIP = re.compile(r"(?<![\w#])\d{5}(?!\w)")
STATES: Mapping[str, str] = dict(
    entry.split(" ", 1)
    for entry in (
        "AL alabama;AK alaska;AZ arizona;AR arkansas;CA california;CO colorado;CT connecticut;DE delaware;"
        "DC district of columbia;FL florida;GA georgia;HI hawaii;ID idaho;IL illinois;IN indiana;IA iowa;KS kansas;"
        "KY kentucky;LA louisiana;ME maine;MD maryland;MA massachusetts;MI michigan;MN minnesota;MS mississippi;"
        "MO missouri;MT montana;NE nebraska;NV nevada;NH new hampshire;NJ new jersey;NM new mexico;NY new york;"
        "NC north carolina;ND north dakota;OH ohio;OK oklahoma;OR oregon;PA pennsylvania;RI rhode island;"
        "SC south carolina;SD south dakota;TN tennessee;TX texas;UT utah;VT vermont;VA virginia;WA washington;"
        "WV west virginia;WI wisconsin;WY wyoming"
    ).split(";")
)
"""Names of the states of the USA, by their two letters."""
COUNTRIES: Mapping[str, str] = {"USA": "us usa u.s u.s.a the united states of america"}
"""Words that name a country, by how the shop writes it."""
LONGEST_REST = 200
"""Characters behind a street in which the rest of its address is looked for."""
MARKS = re.compile(r"[*_`\"“”]+")
SENTENCE_END = re.compile(r"(?<!\bSt)[.!?](?=\s|$)|->|→|#W|\(", re.IGNORECASE)
LINE_START = re.compile(r"^[\s|•-]+")
LABEL = re.compile(
    r"(?:city|town|state|province|country|zip(?: ?code)?|postal ?code|(?:address )?line ?\d|suite|apt|apartment|unit)"
    r"\b\s*(?:[:|]|$)\s*",
    re.IGNORECASE,
)
PART_END = re.compile(r"\s(?:and|as|for|on|to|from|instead|with|will|is|of order|[–—-])\s", re.IGNORECASE)
NUMBER = re.compile(r"#?\b[\w-]*\d[\w-]*\b")
NAME = re.compile(
    r"(?!(?:Confirm|Correct|Right|Okay|OK|Yes|Please|Thanks|Is|Shall|Do|Would)\b)"
    r"[A-Z][\w'.-]*(?: (?:[A-Z][\w'.-]*|of))*",
)


def right_address(text: str, wanted: Address) -> bool | None:
    """Whether a text states the wanted address; None where it states none.

    Args:
        text: what the agent says.
        wanted: the address that the customer wants. Another one, such as the old one, may be named beside it.
    """
    suites = {match.casefold() for match in SUITE.findall(text)}
    own_suite = {match.casefold() for match in SUITE.findall(wanted.address2)}
    zips = set(ZIP.findall(text))
    street = wanted.address1.casefold() in text.casefold()
    if not (street or suites or zips or STREET.search(text)):
        return None
    if (suites and not suites & own_suite) or (zips and wanted.zip not in zips):
        return False
    if street:
        return _right_places(text, wanted)
    return not STREET.search(text) and bool(suites & own_suite)


def _right_places(text: str, wanted: Address) -> bool:
    """Whether city, state and country behind the wanted street are the wanted ones, as far as they are stated."""
    allowed = _words(wanted)
    stated = [list(_places(rest)) for rest in re.split(re.escape(wanted.address1), text, flags=re.IGNORECASE)[1:]]
    verdicts = {all(set(place.casefold().split()) <= allowed for place in places) for places in stated if places}
    return True in verdicts or not verdicts


def _words(wanted: Address) -> set[str]:
    """Every word that may stand behind the street of an address."""
    known = (STATES.get(wanted.state, ""), COUNTRIES.get(wanted.country, ""))
    return set(" ".join((wanted.address2, wanted.city, wanted.state, wanted.country, *known)).casefold().split())


def _places(rest: str) -> Iterator[str]:
    """The names in the rest of an address, which may go on over lines such as "- City: Austin"."""
    rest = SUITE.sub("", MARKS.sub("", rest[:LONGEST_REST]))
    ended = False
    for number, line in enumerate(SENTENCE_END.split(rest)[0].split("\n")):
        line = LINE_START.sub("", line)
        continues = bool(LABEL.match(line)) or ("," in line and not ended)
        if line and number and not continues:
            return
        ended = ended or bool(ZIP.search(line))
        for part in re.split(r"[,;|]", line):
            name = _name(part)
            if name is None:
                return
            if name:
                yield name


def _name(part: str) -> str | None:
    """The name in a part of an address, empty where it holds numbers and labels alone; None where it ended before."""
    part = part.strip()
    labelled = LABEL.match(part)
    bare = NUMBER.sub("", PART_END.split(f"{LABEL.sub('', part, count=1)} ")[0])
    bare = re.sub(r"^(?:in|at)\b", "", bare.strip()).strip(" .:")
    if not bare or labelled or NAME.fullmatch(bare):
        return bare
    return None
