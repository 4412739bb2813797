"""Tells small talk and refusals from statements that nothing was given for.

Without a passage a model can only talk: greet, thank, ask back, say that it does not
know, offer a person. Anything else that it states, it made up.
"""

from collections.abc import Iterable

from support.knowledge.sentences import split_lines
from support.knowledge.stemmer import stem
from support.knowledge.words import STOP_STEMS, content_stems, read_stems

# A sentence with none of these states nothing: "Good evening", "As you like".
_STATING_WORDS = """
    a an the i we you he she it they there this that these those my our your its their
    is are was were be has have had can could may might must shall should will would
    do does did not no yes
    accept accepts arrive arrives close closes come comes cost costs deliver delivers
    go goes include includes last lasts need needs offer offers open opens pay receive
    refund sell sells send sends ship ships start starts take takes use work works
"""

# What our assistant, and others, greet, thank, apologise, refuse and offer a person
# with. Left out on purpose: "free", "delivery" and whatever else a customer may want to
# know about a business. Measured when it had no word of the texts measured: of 16
# inventions 16 were found, and 9 of 16 harmless texts in the manner of large models
# too, 6 of them refusals, which lose nothing by another one. Their words were added.
_SMALL_TALK_WORDS = """
    able absolutely access afraid agent ahead ai alright always amazing annoyed
    another answer answers anything anywhere apologise apologize apology appreciate
    around article articles ask asking assist assistance assistant available aware
    away awesome back base beautiful below best better between beyond bit blush bot
    bother box bring brings button bye called care certain chat chatting choose
    choosing chosen clarify clear click colleague computer concern concerns confused
    confusion connect contact contacts content context conversation could couldn
    cover covered curious currently customer day describe deserve detail details
    different difficult directly documentation down drink drop due elaborate end
    english enjoy enough evening every everyone everything example excellent
    experience explain fair fantastic feel feeling feelings find fine follow forward
    found friendly frustrating frustration full funny glad gladly good goodbye great
    greeting guess guide happy hear hearing hello help helpful hesitate hey hmm
    honest honestly hope human humour idea inconvenience individual information
    instead interested joke kind kindness knew knowledge language later leave line
    lines little lovely make matter may maybe meet member mention message might
    mistakes misunderstanding model moment more morning must name necessary need
    next nice night no none not nothing offer once open other otherwise outside
    particular pass patience people perfect perfectly person pleasure point poor
    portions possible prefer press problem program provided punchline purpose
    question questions rather reach read ready real reason recommend regarding
    related relevant reliable rephrase representative request resource resources
    respond rest riddle right rush sad sadly search searches sense sentence
    sentences session short similar simple sleep small somebody someone soon sorry
    sort source sources speak specifically staff stopping story suggest suggestion
    support take talk talking team thing though through time topic training trouble
    two type typing unable uncertain understand understood unfortunately unsure
    virtual wait waiting weather weekend welcome well whatever whenever why wish
    wonderful word words work working worries worry write wrong
"""
_STATING_STEMS = frozenset(stem(word) for word in _STATING_WORDS.split())
_SMALL_TALK_STEMS = frozenset(stem(word) for word in _SMALL_TALK_WORDS.split())
_JOKE_STEMS = frozenset(stem(word) for word in ("joke", "jokes", "pun", "riddle"))


def find_claims(content: str, given: Iterable[str]) -> list[str]:
    """Return the sentences of a reply that state something it was given no words for.

    A sentence counts if it is not a question, has a word that states something (an
    article, a pronoun, a common verb) and a content word that stands neither in
    `given`, all texts that the model saw, nor among the words of small talk. A
    sentence that calls itself a joke is one.

    Knows English only: elsewhere a sentence with no English stating word passes. "Yes"
    and an echo of the question pass too, for they have no word of their own.
    """
    known = _SMALL_TALK_STEMS | STOP_STEMS
    known = known.union(*(read_stems(text) for text in given))
    return [
        sentence
        for sentence in split_lines(content.replace("**", ""))
        if _states(sentence) and not known.issuperset(content_stems(sentence))
    ]


def _states(sentence: str) -> bool:
    stems = set(read_stems(sentence))
    is_question = sentence.rstrip("\"'\u201d)").endswith("?")
    return not is_question and bool(stems & _STATING_STEMS) and not stems & _JOKE_STEMS
