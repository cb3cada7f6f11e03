"""prompt_style "compressed": nothing of the domain policies and the tools is lost, and it is short."""

import json
import re

import pytest

from tau_retail_env import TauRetailEnv
from tau_retail_env.chat.parsing import parse_message
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.prompts import system_prompt

TOKENIZERS = ("qwen2_5", "qwen3")
SOURCES = ("tau2", "tau_bench")

RULES = {
    "its manner": ["retail support agent", "Be helpful"],
    "what the agent may do": [
        "cancel or modify an order while it is pending",
        "return or exchange items of a delivered one",
        "change the user's default address",
        "profile, their orders and related products",
    ],
    "authenticate first, by email or name and zip": ["First authenticate", "by email, or by name and zip"],
    "authenticate even a user who gives an id": ["even if the user states an id"],
    "information only after that": ["Only after that give any information", "finding an order id"],
    "one user, many requests": ["One user per conversation", "any number of requests"],
    "nothing for other users": ["Refuse whatever concerns another user"],
    "details and an explicit yes before every write": [
        "Before every change of the database (cancel, modify, return, exchange, address)",
        "list its details",
        "explicit yes",
    ],
    "nothing made up, no opinions": [
        "Never make up facts or procedures: use only what the user and the tools give",
        "No subjective advice or comments",
    ],
    "one tool call or text": ["either one tool call or text for the user, never both, never two calls"],
    "transfer if and only if": ["Transfer to a human if and only if", "beyond what your actions can do"],
    "times": ["EST", "24-hour"],
    "the user's profile": ["user id, email, default address and payment methods"],
    "payment methods": ["gift card, paypal account or credit card"],
    "products": ["50 types of products", "variant items"],
    "two kinds of ids": ["Every product and every item has its own id", "unrelated; never mix them up"],
    "status": ["pending, processed, delivered or cancelled", "only pending and delivered orders can be acted on"],
    "check the status": ["Check an order's status before any action"],
    "exchange and modify tools once": [
        "# Modifying and exchanging items",
        "Exchange and modify tools work only once",
        "Put all items into one call",
    ],
    "cancel: pending": ["# Cancel a pending order"],
    "cancel: confirm id and reason": ["confirms the order id and the reason"],
    "cancel: reasons": ["'no longer needed' or 'ordered by mistake'"],
    "cancel: outcome": [
        "becomes 'cancelled'",
        "total goes back to the original payment method: to a gift card's balance at once, otherwise in 5 to 7",
    ],
    "modify: pending": ["# Modify a pending order"],
    "modify: what": ["Shipping address, payment method or item options; nothing else"],
    "payment: one other method": ["- Payment: one single method other than the original"],
    "payment: balance": ["a gift card must cover the total"],
    "payment: outcome": [
        "stays 'pending'",
        "the original method is refunded: a gift card at once, otherwise in 5 to 7",
    ],
    "items: last action": ["- Items: the order becomes 'pending (item modified)'", "neither modified nor cancelled"],
    "items: caution": ["make sure first that every detail is right"],
    "items: remind": ["remind the user to confirm that no item is missing"],
    "items: same product": ["available item of the same product with other options", "never another type of product"],
    "items: price difference": ["a payment method to pay or receive the price difference; a gift card must cover it"],
    "return: delivered": ["# Return from a delivered order"],
    "return: confirm": ["confirms the order id, the items and where the refund goes"],
    "return: refund": ["the original payment method or a gift card they already have"],
    "return: outcome": ["becomes 'return requested'; an email tells the user how and where to send items back"],
    "exchange: delivered": ["# Exchange in a delivered order"],
    "exchange: outcome": [
        "becomes 'exchange requested'; an email tells the user how to send items back",
        "No new order is needed",
    ],
    "return or exchange once": ["Return or exchange: once in all for a delivered order"],
}
"""Every rule of both domain policies, and those that only the tools' descriptions hold: words that must be there."""
RULES_OF_TAU2 = {
    "deny": ["Deny requests that break these rules"],
    "transfer message": [
        "First call transfer_to_human_agents",
        "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON.",
    ],
    "reasons": ["'ordered by mistake'; no other"],
    "once": ["work only once per order"],
    "a product": ["product id, a name and variant items"],
    "an item": ["item id, options, availability and a price"],
    "an order": [
        "order id, user id, address, items, status, fulfillments (tracking id, item ids) and payment history",
        "cancel reason, exchanged items, a price difference",
    ],
}
HINTS = {
    "order_id": ["order_id begins with '#'", "#W0000000"],
    "user_id": ["'sara_doe_496' (user)"],
    "item and product ids": ["'6086499569' (product, item)"],
    "payment_method_id": ["'gift_card_0000000' or 'credit_card_0000000'", "see user or order details"],
    "item_ids": ["Lists of items may name one twice"],
    "new_item_ids": ["new_item_ids match item_ids by position"],
    "an address": ["'123 Main St', 'Apt 1' or '', 'San Francisco', 'CA', 'USA', '12345'"],
    "calculate": ["numbers, + - * / ( ) and spaces"],
    "cancel_pending_order": ["not if processed or delivered"],
    "find_user_id_by_name_zip": ["only if the email is not found or forgotten"],
    "get_product_details": ["a product id, not an item id"],
    "get_user_details": ["their orders"],
    "list_all_product_types": ["names and product ids"],
    "transfer_to_human_agents": ["only if the user explicitly wants a human or you cannot solve it"],
    "a call": ["# Tools", "as valid JSON"],
    "errors": ["What is not found gives an error"],
}
"""What the tools' descriptions say beyond the rules."""


@pytest.fixture(params=SOURCES)
def source(request):
    if request.param == "tau_bench":
        request.getfixturevalue("tau_bench")
    return request.param


def compressed(source):
    shop = open_shop(source)
    return system_prompt("compressed", source, shop.domain_policy, shop.tools)


def signatures(text):
    """Tool name -> the text between its parentheses."""
    return dict(re.findall(r"^(\w+)\((.*?)\)(?:: .*)?$", text[text.index("# Tools") :], re.MULTILINE))


def lost(text, checklist):
    return [(rule, words) for rule, every in checklist.items() for words in every if words not in text]


def test_every_rule_survives(source):
    text = compressed(source)
    assert lost(text, RULES) == []
    assert lost(text, HINTS) == []


def test_what_tau2_adds_survives():
    assert lost(compressed("tau2"), RULES_OF_TAU2) == []


def test_what_tau2_adds_is_not_told_for_v1(tau_bench):
    assert len(lost(compressed("tau_bench"), RULES_OF_TAU2)) == sum(map(len, RULES_OF_TAU2.values()))


def test_the_environment_hands_it_out(source):
    env = TauRetailEnv(source=source, split="test", prompt_style="compressed")
    assert env.reset(seed=0)[1]["system_prompt"] == compressed(source)


def test_generated_tasks_have_the_rules_of_tau2():
    assert compressed("generated") == compressed("tau2")


def test_every_tool_and_argument_survives_in_upstreams_order(source):
    expected = {
        tool["function"]["name"]: list(tool["function"]["parameters"]["properties"]) for tool in open_shop(source).tools
    }
    found = {
        name: [argument.partition(":")[0] for argument in arguments.split(", ") if argument]
        for name, arguments in signatures(compressed(source)).items()
    }
    assert found == expected
    assert list(found) == list(expected)


def test_types_and_choices_survive(source):
    text = compressed(source)
    for tool in open_shop(source).tools:
        arguments = signatures(text)[tool["function"]["name"]].split(", ")
        for argument, (name, schema) in zip(
            arguments, tool["function"]["parameters"]["properties"].items(), strict=False
        ):
            if schema["type"] == "array":
                assert argument == f"{name}: [{schema['items']['type']}]"
            for choice in schema.get("enum", ()):
                assert repr(choice) in argument
    assert "Arguments are strings unless a type follows, and required unless marked ?." in text


def test_a_tool_of_another_shape_is_shown_too():
    tool = {
        "function": {
            "name": "find",
            "description": "Find.",
            "parameters": {
                "type": "object",
                "properties": {
                    "words": {"type": "array", "items": {"type": "integer"}},
                    "limit": {"type": "integer"},
                    "order": {"enum": ["up", "down"]},
                    "any": {"anyOf": []},
                },
                "required": ["words"],
            },
        }
    }
    text = system_prompt("compressed", "tau2", "", [tool])
    assert text.endswith("find(words: [integer], limit?: integer, order?: 'up'|'down', any?: any): Find.")


def test_v1_may_think(tau_bench):
    assert "think(thought): logs a thought" in compressed("tau_bench")


def test_the_example_call_is_one_that_is_understood():
    text = compressed("tau2")
    assert "Call one by writing\n<tool_call>" in text
    call = parse_message(text[text.index("<tool_call>") : text.index("</tool_call>") + len("</tool_call>")]).tool_calls[
        0
    ]
    assert (call.name, dict(call.arguments)) == ("get_order_details", {"order_id": "#W0000000"})


def test_the_words_are_not_upstreams(source):
    """No run of nine words of the domain policy or the tools' descriptions."""
    shop = open_shop(source)
    ours = words_of(compressed(source))
    theirs = words_of(shop.domain_policy + json.dumps(shop.tools))
    shared = {" ".join(run) for run in runs(ours) & runs(theirs)}
    fixed = " ".join(words_of("YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON."))
    assert {run for run in shared if run not in fixed} == set()


def words_of(text):
    return re.findall(r"\w+", text.casefold())


def runs(words, length=9):
    return {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_it_takes_at_most_a_third_of_full(source, name, shared_folder):
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(shared_folder / "tokenizers" / name)
    shop = open_shop(source)

    def tokens(text, tools):
        rendered = tokenizer.apply_chat_template(
            [{"role": "system", "content": text}], tools=tools, tokenize=False, add_generation_prompt=False
        )
        return len(tokenizer.encode(rendered, add_special_tokens=False))

    assert tokens(compressed(source), None) * 3 <= tokens(shop.domain_policy, list(shop.tools))
