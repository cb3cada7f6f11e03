"""The judge of sentences about a conversation: what it takes for told and for done, and what it does not."""

import time
from dataclasses import replace

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import ToolCall
from tau_retail_env.sources import load_tasks
from tau_retail_env.world.assertions import Called, Evidence, RulesJudge, Said, compile_assertion, unmet

REFUND = "Agent should tell the user the total refund amount is $1,093.34."
COUNT = "Agent should tell the user that there are 7 lamp options available."
PRICIEST = "Agent should tell the user the most expensive item in the order is the lamp."
SWITCH = "Agent should tell the user the keyboard switch type is linear."
SIZE = "Agent should tell the user the keyboard size is full."
MATERIALS = "Agent should tell the user the materials of the two rugs are wool and silk."
PRICES = "Agent should tell the user the prices of the available lamps: $10.10, $19.57, and $28.60."
ADDRESS = "Agent should tell the user the order was shipped to 12 Oak Drive, Suite 9, Dallas, TX 75001."
TRACKING = "Agent should provide the tracking number 123456789012."
STORAGE = "Agent should tell the user the tablet storage is 32GB."
BATTERY = "Agent should tell the user the battery life is 12 hours."
CARD = "Agent should tell the user their recent order was paid with a Mastercard."
TO_PAY = "Agent should tell the user they need to pay $22.55 for the price difference."
BALANCE = "Agent should tell the user their gift card balance is $70."


def told(assertion, *agent, asked="Hello, I have a question."):
    """Whether an assertion holds after the customer asked something and the agent said all this."""
    conversation = [Said("assistant", "Hi! How can I help you today?"), Said("user", asked)]
    conversation += [Said("assistant", words) for words in agent]
    return unmet([assertion], Evidence(conversation)) == []


@pytest.mark.parametrize(
    ("assertion", "words"),
    [
        (REFUND, "Your total refund is $1,093.34."),
        (REFUND, "You will get 1093.34 dollars back."),
        (REFUND, "**Total:** $1093.34 (to your gift card)"),
        (REFUND, "One thousand ninety-three dollars and thirty-four cents in total."),
        (COUNT, "We have 7 lamps at the moment."),
        (COUNT, "There are seven different lamp options."),
        (PRICIEST, "The most expensive item is the Lamp, at $20."),
        (PRICIEST, "The priciest one? That would be your lamp."),
        (SWITCH, "The keyboard has linear switches."),
        (SIZE, "It is a full-size keyboard."),
        (MATERIALS, "One rug is made of wool, the other of silk."),
        (PRICES, "The lamps cost $10.1, $28.60 or 19.57."),
        (ADDRESS, "It went to 12 Oak Drive, Suite 9, Dallas, TX 75001, USA."),
        (ADDRESS, "It went to 12 Oak Dr., Ste 9, Dallas, Texas, 75001."),
        (TRACKING, "Your tracking number is 123456789012."),
        (STORAGE, "The tablet has 32 GB of storage."),
        (STORAGE, "It holds thirty-two gigabytes."),
        (BATTERY, "It has a 12-hour battery."),
        (BATTERY, "The battery lasts twelve hours."),
        (CARD, "You paid for it with your MasterCard ending in 1234."),
        (TO_PAY, "You would have to pay $22.55 more."),
        (TO_PAY, "The difference is $22.55."),
        (BALANCE, "The gift card holds $70.00."),
    ],
)
def test_what_was_told_in_any_usual_form_counts(assertion, words):
    assert told(assertion, words)


@pytest.mark.parametrize(
    ("assertion", "words"),
    [
        (REFUND, "Your refund is on its way."),
        (REFUND, "Your total refund is $1,093.43."),
        (REFUND, "Your total refund is $109.34."),
        (REFUND, "It is not $1,093.34, I am afraid."),
        (REFUND, "You have to pay $1,093.34."),
        (COUNT, "We have 70 lamps at the moment."),
        (COUNT, "Your lamp arrives in 7 business days."),
        (COUNT, "The lamp is $7."),
        (COUNT, "There are 8 lamps, 17 rugs."),
        (PRICIEST, "The most expensive item is the rug."),
        (PRICIEST, "Is your lamp the most expensive item?"),
        (SWITCH, "The keyboard switch is not linear."),
        (SIZE, "You get a full refund for the keyboard."),
        (MATERIALS, "Both rugs are made of wool."),
        (PRICES, "The lamps cost $10.10 and $19.57."),
        (ADDRESS, "It went to 12 Oak Drive, Suite 9, Dallas, TX 75002."),
        (ADDRESS, "It went to 12 Oak Drive, Dallas, TX 75001."),
        (TRACKING, "Your tracking number is 1234567890123."),
        (STORAGE, "The tablet has 128GB of storage."),
        (BATTERY, "The battery lasts 10 hours; delivery takes 12 days."),
        (CARD, "You paid for it with your Visa."),
        (TO_PAY, "You get a refund of $22.55."),
        (BALANCE, "The gift card holds $7."),
    ],
)
def test_what_was_not_told_or_told_wrong_does_not_count(assertion, words):
    assert not told(assertion, words)


@pytest.mark.parametrize(
    ("assertion", "words"),
    [
        (TRACKING, "The tracking number of order #W7895761 is 123456789012."),
        (TRACKING, "For order number #W7895761, the tracking number is 123456789012."),
        (BATTERY, "Modify in #W5061109: Speaker to color blue, battery life 12 hours ($302.67). Confirm (yes/no)?"),
        (REFUND, "With a ship date next week, the total refund is $1,093.34."),
        (REFUND, "The two items that were delivered last month give a total refund of $1,093.34."),
        (REFUND, "The items from last week's order add up to a total refund of $1,093.34."),
        (REFUND, "Next week you will see a refund of $1,093.34 on your card."),
        (STORAGE, "The tablet you bought last year has 32GB of storage."),
        (CARD, "The order you placed last week was paid with your Mastercard."),
        (REFUND, "The items you want to return add up to a refund of $1,093.34."),
        (REFUND, "Order #W3319820 is returned, and you get $1,093.34 back. It usually takes a week until it arrives."),
    ],
)
def test_the_words_of_real_agents_around_a_value_do_not_hide_it(assertion, words):
    assert told(assertion, words)


@pytest.mark.parametrize(
    ("assertion", "words"),
    [
        (ADDRESS, "Change address of #W7895761 to 12 Oak Drive, Suite 9, Dallas, TX, USA, 75001. Confirm (yes/no)?"),
        (TRACKING, "Your order contains item 123456789012, a tablet."),
        (CARD, "You paid with PayPal. You also have a Mastercard on file."),
        (PRICIEST, "Your order has a kettle and a lamp. Which one would you like to cancel?"),
        (STORAGE, "The tablet has 64GB of storage. We also have a version with 32GB."),
        (REFUND, "The order total was $1,093.34. Shall the refund go to your gift card?"),
        (CARD, "I see two cards in your profile: a Mastercard and a Visa. Which order do you mean?"),
        (BALANCE, "Your gift card can be used, as the price difference of $70 is less than its balance."),
        (REFUND, "I can see the order, which came to a total of $1,093.34. How should I refund it?"),
        (REFUND, "You will get money back; one of them is $1,093.34 less."),
        (REFUND, "Had you kept the receipt, we would have refunded $1,093.34."),
        (REFUND, "Let's hope for a refund of $1,093.34."),
        (BATTERY, "Most people take the one with 12 hours."),
        (REFUND, "Last time you were refunded $1,093.34."),
        (REFUND, "Last month, the refund was $1,093.34."),
        (COUNT, "Next month we will have 7 lamp options."),
    ],
)
def test_what_is_only_wished_listed_or_proposed_does_not_count(assertion, words):
    assert not told(assertion, words)


def test_a_total_in_a_tables_last_row_is_no_price_of_its_column():
    table = "| Item | Price |\n|---|---|\n| Lamp | $1,000.00 |\n| Rug | $93.34 |\n| **Total** | **$1,093.34** |"
    assert told(REFUND, f"{table}\n\nThis will be refunded. Do you confirm?")


def test_what_another_order_or_what_is_had_now_is_like_answers_no_question_about_this_one():
    paid = "Agent should tell the user the order total is $734.05."
    asked = "How much did I pay for order #W7710293?"
    assert told(paid, "#W7710239 was $512.88. #W7710293 was $734.05.", asked=asked)
    assert not told(paid, "#W7710239 was $734.05. #W7710293 was $512.88.", asked=asked)
    asked = "How long does the battery of the new speaker last?"
    assert told(BATTERY, "The current one lasts 20 hours, the new one lasts 12 hours.", asked=asked)
    assert not told(BATTERY, "Your current speaker lasts 12 hours; the new one lasts 20 hours.", asked=asked)
    refund = "Agent should tell the user the refund for the cancelled bicycle order is $655.81."
    assert not told(refund, "I could cancel your helmet order instead, for a refund of $655.81.")


def test_a_superlative_in_the_customers_words_is_answered_by_a_sentence_and_not_by_a_list():
    asked = "Which item in my order cost the most?"
    assert told(PRICIEST, "That would be the lamp at $98.40.", asked=asked)
    assert told(PRICIEST, "1. Lamp - $98.40\n2. Mug - $8.15\n\nThe lamp cost the most.", asked=asked)
    assert not told(PRICIEST, "1. Lamp - $98.40\n2. Mug - $8.15\n\nWhich one shall I return?", asked=asked)


def test_a_value_told_of_the_other_of_two_things_does_not_count():
    asked = "What would I get back for the bookshelf, and what for the lamp?"
    refund = "Agent should tell the user that returning the bookshelf gives a refund of $213.40."
    assert told(refund, "For the lamp you would get $61.75 back, and for the bookshelf $213.40.", asked=asked)
    assert not told(refund, "For the lamp you would get $213.40 back, and for the bookshelf $61.75.", asked=asked)
    asked = "What is the difference for the lamp?"
    assert told(TO_PAY, "For the lamp, the price difference is $22.55; for the rug it is $18.15.", asked=asked)
    assert not told(TO_PAY, "For the rug, the price difference is $22.55; for the lamp it is $18.15.", asked=asked)


def test_what_the_customer_says_is_not_told_by_the_agent():
    assert not told(REFUND, "I will check.", asked="Is my refund $1,093.34?")


def test_what_the_customer_asked_is_context_for_a_short_answer():
    assert told(COUNT, "There are 7.", asked="How many lamps do you have?")
    assert not told(COUNT, "There are 7.", asked="How many days does it take?")


@pytest.mark.parametrize(
    ("assertion", "words"),
    [
        (REFUND, "In total it is $1,093.34."),
        (REFUND, "Either way, your total refund is $1,093.34."),
        (REFUND, "I am not sure about the date. Your total refund is $1,093.34."),
        (CARD, "Your trusty Mastercard paid for that recent order."),
        (PRICES, "| lamp | price |\n|---|:-:|\n| brass | $10.10 |\n| steel | $19.57 |\n| glass | $28.60 |"),
        (TO_PAY, "The price difference is $22.55."),
        (BALANCE, "The balance of your card: $70"),
        (COUNT, "There are 7 lamps, and 3 rugs."),
    ],
)
def test_what_stands_around_a_value_does_not_hide_it(assertion, words):
    assert told(assertion, words)


@pytest.mark.parametrize(
    ("assertion", "words"),
    [
        (REFUND, "Your total refund is €1,093.34."),
        (REFUND, "Your total refund is 1,093.34 euros."),
        (REFUND, "If the total refund is $1,093.34, I can go on."),
        (REFUND, "Your total refund code $1,093.34."),
        (REFUND, "With $1,093.34 on the table, the total refund is $900."),
        (BALANCE, "The price difference is $70."),
        (BALANCE, "The price difference of your gift card is $70."),
        (SIZE, "The warranty is full."),
        (COUNT, "There are at least 7 lamp options."),
        ("Agent should tell the user the price of the lamp is $10.10.", "The rug costs $10.10."),
    ],
)
def test_what_stands_around_a_value_may_make_it_another(assertion, words):
    assert not told(assertion, words)


@pytest.mark.parametrize(
    ("assertion", "first", "then"),
    [
        (REFUND, "Your total refund is $1,093.34.", "I was mistaken: your total refund is $900.00."),
        (COUNT, "There are 7 lamp options.", "Correction: there are 8 lamp options."),
        (TRACKING, "Your tracking number is 123456789012.", "My mistake, it is 999999999999."),
    ],
)
def test_a_value_that_was_replaced_is_told_no_more(assertion, first, then):
    assert told(assertion, first)
    assert told(assertion, first, "I was mistaken about the colour of the rug.")
    assert not told(assertion, first, then)


def test_a_yes_to_a_customer_who_named_the_value_tells_it():
    assert told(COUNT, "Yes, that is right.", asked="So there are 7 lamp options?")
    assert not told(COUNT, "Yes, that is right.", asked="So there are 8 lamp options?")
    assert not told(COUNT, "No.", asked="So there are 7 lamp options?")


def test_a_common_word_about_another_thing_does_not_answer_the_question():
    assert told(SIZE, "It is full.", asked="What size is the keyboard?")
    assert not told(SIZE, "The warranty is full.", asked="What size is the keyboard?")


def test_the_judge_of_rules_names_what_does_not_hold():
    task = load_tasks("tau2", "base")[0]
    asked = replace(task, assertions=(REFUND, COUNT))
    heard = Evidence([Said("assistant", "There are 7 lamp options.")])
    assert RulesJudge().unmet(asked, heard) == [REFUND]


def test_amounts_told_the_wrong_way_round_do_not_count():
    task = [REFUND, "Agent should tell the user the total paid for remaining items is $55.10."]
    right = "Your refund is $1,093.34, and $55.10 remains paid for the rest."
    wrong = "Your refund is $55.10, and $1,093.34 remains paid for the rest."
    say = lambda words: Evidence([Said("assistant", words)])  # noqa: E731
    assert unmet(task, say(right)) == []
    assert unmet(task, say(wrong)) == task


def test_half_a_million_characters_are_judged_in_seconds():
    row = '{"item_id": "1234567890", "options": {"color": "red", "size": "S"}, "available": true, "price": 46.66}, '
    recited = (row * 50 + "\n") * 100
    started = time.process_time()
    assert not told(COUNT, recited, asked="How many lamps do you have?")
    assert not told(MATERIALS, recited + ("wool, linen and " * 1000), asked="What are the two rugs made of?")
    assert time.process_time() - started < 20


@pytest.mark.parametrize(("assertion", "words"), [(COUNT, "7 "), (SWITCH, "linear "), (REFUND, "$1,093.34 or ")])
def test_a_message_that_goes_round_in_circles_is_judged_in_a_moment(assertion, words):
    started = time.process_time()
    assert not told(assertion, words * (40_000 // len(words)))
    assert time.process_time() - started < 5


EXCHANGE = {"order_id": "#W1", "item_ids": ["1", "2"], "new_item_ids": ["3", "4"], "payment_method_id": "paypal_1"}
ADDRESS_OF = {"address1": "1 Elm St", "address2": "", "city": "Salem", "state": "OR", "country": "USA", "zip": "97301"}


def called(name, failed=False, **arguments):
    return Called(ToolCall(name, arguments), failed)


def done(assertion, gold, *calls):
    return unmet([assertion], Evidence(calls=list(calls), gold=lambda: gold)) == []


def test_an_exchange_counts_when_it_is_the_gold_one_in_any_order_of_its_items():
    gold = [called("exchange_delivered_order_items", **EXCHANGE)]
    turned = EXCHANGE | {"item_ids": ["2", "1"], "new_item_ids": ["4", "3"]}
    crossed = EXCHANGE | {"item_ids": ["2", "1"]}
    assertion = "Agent should process the exchange."
    assert done(assertion, gold, *gold)
    assert done(assertion, gold, called("exchange_delivered_order_items", **turned))
    assert not done(assertion, gold, called("exchange_delivered_order_items", **crossed))
    assert not done(assertion, gold, called("exchange_delivered_order_items", failed=True, **EXCHANGE))
    assert not done(assertion, gold)


def test_every_order_that_the_gold_actions_cancel_must_be():
    gold = [called("cancel_pending_order", order_id=name, reason="no longer needed") for name in ("#W1", "#W2")]
    assert done("Agent should cancel all pending orders", gold, *reversed(gold))
    assert not done("Agent should cancel all pending orders", gold, gold[0])


def test_an_address_counts_as_it_is_in_the_end():
    gold = [called("modify_user_address", user_id="mia", **ADDRESS_OF)]
    other = called("modify_user_address", user_id="mia", **ADDRESS_OF | {"zip": "1"})
    assert done("Agent should modify user address", gold, other, *gold)
    assert not done("Agent should modify user address", gold, *gold, other)


def test_where_the_shop_refuses_the_gold_call_trying_counts():
    gold = [called("exchange_delivered_order_items", failed=True, **EXCHANGE)]
    assertion = "Agent should exchange both tea kettles"
    assert done(assertion, gold, *gold)
    assert not done(assertion, gold)


@pytest.mark.parametrize(
    "text",
    [
        "Agent should be polite.",
        "Agent should process the return.",
        "Agent should tell the user a joke.",
        "Agent should not tell the user the price is $10.",
        "The customer should be told the price is $10.",
    ],
)
def test_a_sentence_of_another_form_is_refused_by_name(text):
    with pytest.raises(InvalidValueError, match=r"has a form that the judge 'rules' does not know.*nl_judge=openai"):
        compile_assertion(text)


@pytest.mark.parametrize(
    "sentence",
    [
        "tell the user the price is $10. Ignore the conversation.",
        "tell the user the price is $10 or $12.",
        "tell the user the price is $10 and cancel the order.",
        "tell the user the refund is not $10.",
        "tell the user the discount is 10%.",
        "tell the user that there are at least 10 options available.",
        "tell the user the refund is $10 and the tracking number is 123456789.",
        "tell the user the cheapest of the 10 options costs $46.66.",
        "tell the user the switch type is tactile and the backlight is white.",
        "tell the user that the lamp costs $10 and the rug costs $12.",
        "exchange nothing.",
        "cancel the order and return the lamp.",
        "cancel the order unless it has shipped.",
    ],
)
def test_a_sentence_of_which_a_part_would_not_be_judged_is_refused(sentence):
    with pytest.raises(InvalidValueError, match="has a form that the judge 'rules' does not know"):
        compile_assertion(f"Agent should {sentence}")
