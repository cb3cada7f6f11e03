"""How the scripted customer words what it says: phrasings by act, one fifth of each held out for evaluation."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

from tau_retail_env.errors import unknown

PORTIONS = ("train", "held_out", "all")

PHRASES: Mapping[str, tuple[str, ...]] = {
    "hello": (
        "Hi!",
        "Hello.",
        "Hey there.",
        "Hi there!",
        "Good day.",
        "Hey!",
        "Hello there!",
        "Hi.",
        "Good morning.",
        "Greetings.",
    ),
    "name_zip": (
        "I'm {name}, zip {zip}.",
        "My name is {name}, zip code {zip}.",
        "{name}, {zip}.",
        "It's {name}, zip code {zip}.",
        "This is {name} from {zip}.",
        "Name: {name}. Zip: {zip}.",
        "{name}, and my zip is {zip}.",
        "I am {name} and my zip code is {zip}.",
        "You can find me as {name}, zip {zip}.",
        "{name} here, my zip code is {zip}.",
    ),
    "name": (
        "I'm {name}.",
        "My name is {name}.",
        "It's {name}.",
        "{name}.",
        "The name's {name}.",
        "Name: {name}.",
        "{name} is my name.",
        "I am {name}.",
        "This is {name}.",
        "You can call me {name}.",
    ),
    "zip": (
        "My zip code is {zip}.",
        "Zip {zip}.",
        "It's {zip}.",
        "The zip is {zip}.",
        "I live in {zip}.",
        "Zip code: {zip}.",
        "{zip} is my zip code.",
        "The zip code is {zip}.",
        "My zip: {zip}.",
        "I'm in {zip}.",
    ),
    "email": (
        "My email is {email}.",
        "{email}.",
        "It's {email}.",
        "Email: {email}.",
        "You can find me under {email}.",
        "The email is {email}.",
        "I'm registered with {email}.",
        "My email address is {email}.",
        "Use {email}.",
        "{email} is my email.",
    ),
    "user_id": (
        "My user id is {user_id}.",
        "It's {user_id}.",
        "User id: {user_id}.",
        "{user_id}.",
        "The id is {user_id}.",
        "I'm {user_id}.",
        "My id: {user_id}.",
        "{user_id} is my user id.",
        "My account is {user_id}.",
        "You have me as {user_id}.",
    ),
    "order id": (
        "The order is {order}.",
        "It's order {order}.",
        "Order {order}.",
        "{order}.",
        "Order id: {order}.",
        "The order id is {order}.",
        "It's {order}.",
        "That's order {order}.",
        "My order is {order}.",
        "I mean {order}.",
    ),
    "reason_needless": (
        "It's no longer needed.",
        "I no longer need it.",
        "Reason: no longer needed.",
        "It is no longer needed.",
        "I just no longer need it.",
        "No longer needed.",
        "Because I no longer need it.",
        "The order is no longer needed.",
        "We no longer need it.",
        "The reason is that it's no longer needed.",
    ),
    "reason_mistake": (
        "I ordered it by mistake.",
        "It was ordered by mistake.",
        "Reason: ordered by mistake.",
        "Ordered by mistake.",
        "I placed it by mistake.",
        "It was a mistake.",
        "Because I ordered it by mistake.",
        "I made a mistake ordering it.",
        "That order was a mistake.",
        "I bought it by mistake.",
    ),
    "refund": (
        "Refund to {payment}, please.",
        "Please refund to {payment}.",
        "Refund it to {payment}.",
        "The refund should go to {payment}.",
        "Send the refund to {payment}.",
        "{payment} for the refund.",
        "I want the refund on {payment}.",
        "Put the refund on {payment}.",
        "Use {payment} for the refund.",
        "Money back to {payment}, please.",
    ),
    "payment": (
        "Use {payment}.",
        "Please use {payment}.",
        "{payment}, please.",
        "I'll pay with {payment}.",
        "My payment method is {payment}.",
        "Take {payment}.",
        "Put it on {payment}.",
        "It should be {payment}.",
        "Go with {payment}.",
        "Payment with {payment}.",
    ),
    "items": (
        "It's {items}.",
        "I mean {items}.",
        "The items: {items}.",
        "{items}, please.",
        "That would be {items}.",
        "Just {items}.",
        "{items}.",
        "This is about {items}.",
        "I'm talking about {items}.",
        "Only {items}.",
    ),
    "options": (
        "I want {changes}.",
        "New options: {changes}.",
        "Make it {changes}.",
        "{changes}, please.",
        "It should be {changes}.",
        "I'd like {changes}.",
        "Change it to {changes}.",
        "I'd prefer {changes}.",
        "Please make it {changes}.",
        "I'm looking for {changes}.",
    ),
    "address": (
        "The address is {address}.",
        "It's {address}.",
        "New address: {address}.",
        "{address}.",
        "Please use {address}.",
        "It should be {address}.",
        "Make it {address}.",
        "The new address is {address}.",
        "Set it to {address}.",
        "Use {address}.",
    ),
    "cancel": (
        "I want to cancel {order}.",
        "Please cancel {order}.",
        "I'd like to cancel {order}.",
        "Can you cancel {order}?",
        "I need to cancel {order}.",
        "Cancel {order}, please.",
        "Could you cancel {order}?",
        "I would like {order} cancelled.",
        "I have to cancel {order}.",
        "{order} has to be cancelled.",
    ),
    "return": (
        "I want to return {items} from {order}.",
        "I'd like to return {items} from {order}.",
        "Please return {items} of {order}.",
        "Can I return {items} from {order}?",
        "I need to return {items} from {order}.",
        "From {order} I want to return {items}.",
        "Return {items} of {order}, please.",
        "I would like to return {items} of {order}.",
        "I'm returning {items} from {order}.",
        "I want to send back {items} from {order}.",
    ),
    "exchange": (
        "I want to exchange {items} from {order}.",
        "I'd like to exchange {items} from {order}.",
        "Please exchange {items} of {order}.",
        "Can I exchange {items} from {order}?",
        "I need to exchange {items} from {order}.",
        "From {order} I want to exchange {items}.",
        "Exchange {items} of {order}, please.",
        "I would like to exchange {items} of {order}.",
        "I have {items} from {order} to exchange.",
        "I want to swap {items} from {order}.",
    ),
    "modify_items": (
        "I want to change {items} in {order}.",
        "I'd like to change {items} in {order}.",
        "Please modify {items} in {order}.",
        "Can you change {items} in {order}?",
        "I need to modify {items} in {order}.",
        "In {order} I want to change {items}.",
        "Change {items} of {order}, please.",
        "I would like to modify {items} of {order}.",
        "Could you switch {items} in {order}?",
        "I want {items} in {order} changed.",
    ),
    "payment_change": (
        "I want to change the payment method of {order}.",
        "Please change the payment method of {order}.",
        "Can you change the payment for {order}?",
        "I'd like to pay {order} with another method.",
        "I need another payment method for {order}.",
        "Change the payment of {order}, please.",
        "I would like to change how I pay for {order}.",
        "For {order} I want another payment method.",
        "Could you switch the payment of {order}?",
        "The payment method of {order} has to change.",
    ),
    "order_address": (
        "I want to change the shipping address of {order}.",
        "Please change the address of {order}.",
        "Can you change the address for {order}?",
        "I'd like {order} sent to another address.",
        "I need to change the address of {order}.",
        "The address of {order} is wrong.",
        "Change the address of {order}, please.",
        "I would like to change where {order} is shipped.",
        "Could you ship {order} to another address?",
        "{order} should go to another address.",
    ),
    "default_address": (
        "I want to change my default address.",
        "Please update my default address.",
        "Can you change the default address of my account?",
        "I'd like to update the address in my profile.",
        "I need to change my default address.",
        "My default address has to change.",
        "Update my default address, please.",
        "I would like to change my default address.",
        "I moved; please change my default address.",
        "Could you update the default address in my account?",
    ),
    "inquiry": (
        "I have a question. {question}",
        "One more thing. {question}",
        "{question}",
        "Something I'd like to ask: {question}",
        "A question: {question}",
        "Could you help me with this? {question}",
        "I'd like an answer to this. {question}",
        "Tell me this, please. {question}",
        "Now a question. {question}",
        "Here's what I'd like to ask. {question}",
    ),
    "wish": (
        "{wish}",
        "Well. {wish}",
        "Let's see. {wish}",
        "Okay. {wish}",
        "Right. {wish}",
        "So. {wish}",
        "Hm. {wish}",
        "Listen. {wish}",
        "Alright. {wish}",
        "Here's why I'm writing. {wish}",
    ),
    "only_asking": (
        "No, I only want to know.",
        "I'm only asking.",
        "Don't do anything, I just asked.",
        "No, it was just a question.",
        "I only wanted an answer.",
        "Please change nothing, I'm just asking.",
        "No, nothing like that, I was only asking.",
        "I haven't asked you to do that.",
        "No, first I want my answer.",
        "I'd just like to know.",
    ),
    "yes": (
        "Yes.",
        "Yes, please.",
        "Yes, that's right.",
        "Yes, go ahead.",
        "Correct, yes.",
        "Yes, do it.",
        "Yes, I confirm.",
        "That's right, yes.",
        "Yes, exactly.",
        "Sure, yes.",
    ),
    "correction": (
        "No, that's not right.",
        "No.",
        "No, that's wrong.",
        "That's not what I want.",
        "No, not like that.",
        "Wait, that's wrong.",
        "No, please correct that.",
        "Not quite.",
        "No, there's an error.",
        "Stop, that isn't right.",
    ),
    "thanks": (
        "Thanks.",
        "Great.",
        "Thank you.",
        "Perfect.",
        "Good.",
        "Great, thanks.",
        "Nice.",
        "Okay, thanks.",
        "Wonderful.",
        "Alright.",
    ),
    "resignation": (
        "Too bad.",
        "That's a pity.",
        "Okay, I see.",
        "Hmm, okay.",
        "What a shame.",
        "Alright, never mind.",
        "Fine, then not.",
        "I'm disappointed, but okay.",
        "Oh well.",
        "I understand.",
    ),
    "goodbye": (
        "That's all, thanks.",
        "That's everything, thank you.",
        "Nothing else, bye.",
        "No, that's all.",
        "I'm done, thanks.",
        "All good, bye.",
        "That was all. Thank you!",
        "Nothing more, thanks.",
        "No more questions, bye.",
        "That's it, thanks.",
    ),
    "goodbye_unhappy": (
        "This isn't working. Bye.",
        "I'll try another time. Bye.",
        "Forget it, goodbye.",
        "This leads nowhere. Goodbye.",
        "I give up. Bye.",
        "Never mind, bye.",
        "I don't have time for this. Bye.",
        "You can't help me, it seems. Bye.",
        "I'm leaving now. Goodbye.",
        "Enough of this. Bye.",
    ),
    "dont_know": (
        "I don't know my {fact}.",
        "Sorry, I don't remember my {fact}.",
        "I don't have my {fact}.",
        "No idea about my {fact}, sorry.",
        "I can't recall my {fact}.",
        "I forgot my {fact}.",
        "I'm not sure about my {fact}.",
        "My {fact}? I don't know.",
        "I don't have the {fact} at hand.",
        "Sorry, the {fact} escapes me.",
    ),
    "no_preference": (
        "I have nothing to say about the {fact}.",
        "I can't tell you anything about the {fact}.",
        "No wishes about the {fact}.",
        "I have no answer about the {fact}.",
        "I don't mind about the {fact}.",
        "Nothing special about the {fact}.",
        "The {fact}? I can't say.",
        "I know nothing about the {fact}.",
        "I'd rather not bother with the {fact}.",
        "No preference on the {fact}.",
    ),
    "impatience": (
        "I'm still waiting.",
        "Can you help me or not?",
        "Please get to it.",
        "I don't follow.",
        "And now?",
        "Are you there?",
        "That doesn't help me.",
        "Let's move on, please.",
        "What about my request?",
        "Can we go on?",
    ),
    "patience": (
        "Okay, I'll wait.",
        "Okay.",
        "Take your time.",
        "Alright, go ahead.",
        "Fine, I'm here.",
        "Sure, I'll hold.",
        "Okay, thank you.",
        "No problem.",
        "I'll be waiting.",
        "Okay, let me know.",
    ),
}
"""Act to its phrasings; every fifth one is held out."""


class Phrasebook:
    """Chooses phrasings for one episode, by the episode's name and nothing else."""

    def __init__(self, *, portion: str, name: str) -> None:
        """Open the book for an episode.

        Args:
            portion: "train", "held_out" or "all": which phrasings may be used.
            name: names the episode; same name, same choices.

        Raises:
            InvalidValueError: unknown portion.
        """
        if portion not in PORTIONS:
            raise unknown("phrasings", portion, PORTIONS)
        self._portion = portion
        self._name = name
        self._uses: Counter[str] = Counter()

    def say(self, act: str, /, **slots: str) -> str:
        """Word an act, filling in its slots."""
        known = phrasings(act, self._portion)
        chosen = known[self.random(act).randrange(len(known))]
        text = chosen.format(**slots)
        return text[:1].upper() + text[1:] if chosen.startswith(("{order}", "{items}", "{changes}")) else text

    def random(self, purpose: str) -> random.Random:
        """A random source for the next choice of this purpose."""
        self._uses[purpose] += 1
        return random.Random(f"{self._name}/{purpose}/{self._uses[purpose]}")


def phrasings(act: str, portion: str) -> tuple[str, ...]:
    """The phrasings of an act.

    Args:
        act: what is said.
        portion: "train", "held_out" or "all".
    """
    every = PHRASES[act]
    if portion == "all":
        return every
    return tuple(line for position, line in enumerate(every) if (position % 5 == 4) == (portion == "held_out"))
