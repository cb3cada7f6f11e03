"""prompt_style "compressed": every rule of the retail policies in our own words, every tool as one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from types import MappingProxyType
from typing import Any

_PROMPT = Template("""\
You are a retail support agent. Be helpful and keep every rule below.

# Rules
- You may cancel or modify an order while it is pending, return or exchange items of a delivered one, change the \
user's default address, and tell users about their own profile, their orders and related products.
- First authenticate: look up the user id by email, or by name and zip, even if the user states an id. Only after that \
give any information or help, such as finding an order id.
- One user per conversation, with any number of requests. Refuse whatever concerns another user.$refuse
- Before every change of the database (cancel, modify, return, exchange, address) list its details and get an \
explicit yes.
- Never make up facts or procedures: use only what the user and the tools give. No subjective advice or comments.
- A message is either one tool call or text for the user, never both, never two calls.
- Transfer to a human if and only if the request is beyond what your actions can do.$transfer

# Shop
- Times are EST, 24-hour clock.
- A user has a user id, email, default address and payment methods: gift card, paypal account or credit card.
$glossary
- Every product and every item has its own id. The two kinds are unrelated; never mix them up.
- Order status: pending, processed, delivered or cancelled. As a rule only pending and delivered orders can be acted on.
- Check an order's status before any action on it.

# Cancel a pending order
- The user confirms the order id and the reason: 'no longer needed' or 'ordered by mistake'$reasons.
- The order becomes 'cancelled'; its total goes back to the original payment method: to a gift card's balance at once, \
otherwise in 5 to 7 business days.

# Modify a pending order
- Shipping address, payment method or item options; nothing else.
- Payment: one single method other than the original one; a gift card must cover the total. The order stays \
'pending'; the original method is refunded: a gift card at once, otherwise in 5 to 7 business days.
- Items: the order becomes 'pending (item modified)' and can then be neither modified nor cancelled, so make sure \
first that every detail is right.

# Return from a delivered order
- The user confirms the order id, the items and where the refund goes: the original payment method or a gift card they \
already have.
- The order becomes 'return requested'; an email tells the user how and where to send items back.

# Exchange in a delivered order
- The order becomes 'exchange requested'; an email tells the user how to send items back. No new order is needed.

# Modifying and exchanging items
- Exchange and modify tools work only once$once! Put all items into one call; before it, remind the user to confirm \
that no item is missing.
- Each item becomes an available item of the same product with other options, never another type of product.
- The user names a payment method to pay or receive the price difference; a gift card must cover it.
- Return or exchange: once in all for a delivered order.

# Tools
Call one by writing
<tool_call>
{"name": "get_order_details", "arguments": {"order_id": "#W0000000"}}
</tool_call>
as valid JSON. Arguments are strings unless a type follows, and required unless marked ?. What is not found gives an \
error. order_id begins with '#'. Ids look like 'sara_doe_496' (user), '6086499569' (product, item), \
'gift_card_0000000' or 'credit_card_0000000' (payment method; see user or order details). Lists of items may name one \
twice; new_item_ids match item_ids by position. Address: '123 Main St', 'Apt 1' or '', 'San Francisco', 'CA', 'USA', \
'12345'.

$tools""")

_NOTES: Mapping[str, str] = {
    "calculate": "numbers, + - * / ( ) and spaces, such as 2 + 2",
    "cancel_pending_order": "not if processed or delivered; answers with the order",
    "exchange_delivered_order_items": "",
    "find_user_id_by_email": "",
    "find_user_id_by_name_zip": "only if the email is not found or forgotten",
    "get_order_details": "",
    "get_product_details": "its items; wants a product id, not an item id",
    "get_user_details": "including the ids of their orders",
    "list_all_product_types": "their names and product ids",
    "modify_pending_order_address": "",
    "modify_pending_order_items": "",
    "modify_pending_order_payment": "",
    "modify_user_address": "the default address",
    "return_delivered_order_items": "",
    "think": "logs a thought, for complex reasoning or as memory; finds and changes nothing",
    "transfer_to_human_agents": "sums up the issue; only if the user explicitly wants a human or you cannot solve it",
}
"""What neither the signature nor the rules say about a tool; one that is not here keeps upstream's description."""


def retail_prompt(differences: Mapping[str, str], tools: Sequence[Mapping[str, Any]]) -> str:
    """The system text of a retail shop: rules, facts about the shop, how to call a tool, and a line for each tool.

    Args:
        differences: what fills the gaps of the text, where the sources' domain policies differ: "refuse", "transfer",
            "glossary", "reasons" and "once".
        tools: OpenAI schemas of its tools, from which the signatures are taken.
    """
    return _PROMPT.substitute(differences, tools=listed_tools(tools, _NOTES))


def listed_tools(tools: Sequence[Mapping[str, Any]], notes: Mapping[str, str] = MappingProxyType({})) -> str:
    """A line for each tool: its signature, and what it is for.

    Args:
        tools: OpenAI schemas.
        notes: what it is for, by name; a tool that is not here keeps the description of its schema.
    """
    return "\n".join(_tool_line(tool["function"], notes) for tool in tools)


def _tool_line(function: Mapping[str, Any], notes: Mapping[str, str]) -> str:
    """`name(text, list: [string], choice: 'a'|'b', optional?): note`."""
    parameters = function["parameters"]
    required = parameters.get("required", ())
    arguments = [
        f"{name}{'' if name in required else '?'}{_type(schema)}" for name, schema in parameters["properties"].items()
    ]
    note = notes.get(function["name"], function["description"])
    return f"{function['name']}({', '.join(arguments)})" + (f": {note}" if note else "")


def _type(schema: Mapping[str, Any]) -> str:
    """How a signature shows an argument's type; nothing for a string."""
    if "enum" in schema:
        return ": " + "|".join(repr(value) for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f": [{schema['items'].get('type', 'any')}]"
    return "" if kind == "string" else f": {kind}"
