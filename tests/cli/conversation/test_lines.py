"""What a typed line means, and what the tab key makes of its beginning."""

from __future__ import annotations

import re

import pytest

from tau_retail_env.cli.conversation.lines import completions, read_call
from tau_retail_env.errors import InvalidValueError

COMMANDS = ("task", "quit")
SCHEMAS = {
    "look": {
        "properties": {
            "zip": {"type": "string"},
            "count": {"type": "integer"},
            "ids": {"type": "array", "items": {"type": "string"}},
        }
    },
    "list_all": {"properties": {}},
}


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("look zip=02139", {"zip": "02139"}),
        ("look  zip='1 2'   count=3", {"zip": "1 2", "count": 3}),
        ("look count=many", {"count": "many"}),
        ("look ids=12,34", {"ids": ["12", "34"]}),
        ('look ids=["12","34"]', {"ids": ["12", "34"]}),
        ("look ids=", {"ids": []}),
        ("look zip=#W1 other=a=b", {"zip": "#W1", "other": "a=b"}),
        ('look {"zip": 2139, "ids": []}', {"zip": 2139, "ids": []}),
        ('look{"zip": "1"}', {"zip": "1"}),
        ('look(zip="02139", ids=["12", "34"], count=3)', {"zip": "02139", "ids": ["12", "34"], "count": 3}),
        ("list_all", {}),
        ("list_all()", {}),
    ],
)
def test_a_typed_call_takes_the_types_of_the_tool(line, arguments):
    call = read_call(line, SCHEMAS)
    assert call.name == re.match(r"\w+", line)[0]
    assert call.arguments == arguments


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("lok zip=1", "Did you mean 'look'"),
        ("look zip", "key=value"),
        ("look zip='1", "quotes"),
        ("look {zip: 1}", "JSON"),
        ('look {"zip": 1} more', "JSON"),
        ("", "tool or command"),
        ('look("1")', r'expected \(key="value", …\)'),
        ('look(zip="1") more', "nothing behind it"),
        ("look(zip=open('x'))", "Cannot read"),
    ],
)
def test_what_cannot_be_read_is_explained(line, named):
    with pytest.raises(InvalidValueError, match=named):
        read_call(line, SCHEMAS)


COMPLETED = {
    "look": {
        "properties": {
            "order_id": {"type": "string"},
            "reason": {"enum": ["no longer needed", "by mistake"]},
            "item_ids": {"type": "array", "items": {"type": "string"}},
        }
    },
    "list_all": {"properties": {}},
}
SHOWN = "Order #W12 and #W345, #W12 again; items 1111111111 and 1122222222"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/l", ["/look ", "/list_all "]),
        ("/li", ["/list_all "]),
        ("/ta", ["/task "]),
        ("", []),
        ("look", []),
        ("/nothing ", []),
        ("/list_all ", []),
        ("/look ", ["/look order_id=", "/look reason=", "/look item_ids="]),
        ("/look r", ["/look reason="]),
        ("/look order_id=#W12 ", ["/look order_id=#W12 reason=", "/look order_id=#W12 item_ids="]),
        ("/look order_id=", ["/look order_id=#W12 ", "/look order_id=#W345 "]),
        ("/look order_id=#W3", ["/look order_id=#W345 "]),
        ("/look reason=", ["/look reason='no longer needed' ", "/look reason='by mistake' "]),
        ("/look reason='no lon", ["/look reason='no longer needed' "]),
        ("/look reason='no longer needed' o", ["/look reason='no longer needed' order_id="]),
        ("/look item_ids=11", ["/look item_ids=1111111111", "/look item_ids=1122222222"]),
        ("/look item_ids=1111111111,112", ["/look item_ids=1111111111,1122222222"]),
        ('/look {"order_id": ', []),
        ("Please look ", []),
    ],
)
def test_the_tab_key_completes_tools_arguments_and_values(line, expected):
    assert completions(line, COMPLETED, COMMANDS, SHOWN) == expected


def test_what_the_tab_key_completes_can_be_read():
    (line,) = completions("/look reason='no", COMPLETED)
    assert read_call(line.removeprefix("/"), COMPLETED).arguments == {"reason": "no longer needed"}
