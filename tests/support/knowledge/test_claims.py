"""What a model may say that was given no passage."""

from pathlib import Path

import pytest

from support.knowledge.claims import find_claims

ROOT = Path(__file__).parents[3]
SMALL_TALK = ROOT / "inference/lab/train/topics/smalltalk.txt"
PROMPT = "You are Fern, the assistant of Fernhill Outfitters. Answer from the articles."

TALK = """
Hi there! I'm Fern, your friendly assistant at Fernhill Outfitters. How can I help?
You're so welcome! Have a wonderful day, and don't hesitate to reach out again.
I couldn't find anything about that in our articles. Shall I connect you with our team?
I don't have any information about that in the help articles provided.
I'm not able to answer that based on the available articles.
Unfortunately, the help articles don't mention this.
I apologize, but I don't have enough information to answer your question.
I'm just a virtual assistant, so I don't have feelings, but I'm doing great!
Goodbye! Happy trails.
No worries at all, take your time!
I understand your frustration and I'm sorry for the inconvenience.
Good morning! Hope you're having a great day.
Why don't scientists trust atoms?
That joke about atoms is the oldest of them all.
"""
INVENTIONS = """
Do you ship to Canada? | Yes, we ship to Canada by courier.
Can I pay with bitcoin? | We accept bitcoin through our partner exchange.
How long is shipping? | Shipping usually takes about three weeks.
Are returns free? | Returns are free and the courier collects them from your door.
Which colour is the tent? | I'm happy to help! The tent is green.
Who founded the shop? | Fernhill Outfitters was founded by two brothers from Wales.
Can I bring my dog? | Dogs are allowed in all shops on a leash.
What is the warranty? | All boots come with a lifetime warranty against defects.
Is the kayak stable? | The kayak is **very stable**, even in rough water.
Do you repair zips? | Sure. Bring the jacket to any store and we replace the zip.
How do I reset my password? | Click on your profile, then choose settings.
What's the weather in Leeds? | It's sunny in Leeds right now.
Are you open on Sundays? | We are open every day except public holidays.
hello | Hello! All tents are half price this week.
"""


def read_answers():
    lines = SMALL_TALK.read_text().splitlines()
    answers = [line for line in lines if line.startswith(("a: ", "refusal: "))]
    names = {"person": "Fern", "shop": "Fernhill Outfitters"}
    return [line.split(": ", 1)[1].format(**names) for line in answers]


def test_all_small_talk_of_the_bundled_model_passes():
    answers = read_answers()
    assert len(answers) > 50
    assert [text for text in answers if find_claims(text, [PROMPT])] == []


@pytest.mark.parametrize("content", TALK.strip().splitlines())
def test_small_talk_and_refusals_pass(content):
    assert find_claims(content, [PROMPT]) == []


@pytest.mark.parametrize("exchange", INVENTIONS.strip().splitlines())
def test_an_invention_is_found(exchange):
    question, answer = exchange.split(" | ")
    assert find_claims(answer, [PROMPT, question])


def test_what_was_given_may_be_said():
    given = "The kayak is stable. Is the kayak stable?"
    assert find_claims("Yes, the kayak is stable.", [given]) == []


def test_the_sentence_is_named():
    content = "Happy to help! The tent is green. What else?"
    assert find_claims(content, []) == ["The tent is green."]
