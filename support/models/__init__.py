"""What the database keeps: one noun a file."""

from support.models.article import Article, Passage
from support.models.attempt import Attempt, AttemptOutcome
from support.models.conversation import Conversation, ConversationStatus
from support.models.engine_report import EngineReport
from support.models.message import Message, Notice, Rating, Role
from support.models.prompt import SystemPrompt, activate_prompt, store_prompt
from support.models.queue_pulse import QueuePulse
from support.models.replay import OPEN_REPLAYS, Replay, ReplayedCall, ReplayState
from support.models.site import Site
from support.models.turn import OPEN_STATES, Turn, TurnState
from support.models.used_passage import UsedPassage
from support.models.visitor import Visitor

__all__ = [
    "OPEN_REPLAYS",
    "OPEN_STATES",
    "Article",
    "Attempt",
    "AttemptOutcome",
    "Conversation",
    "ConversationStatus",
    "EngineReport",
    "Message",
    "Notice",
    "Passage",
    "QueuePulse",
    "Rating",
    "Replay",
    "ReplayState",
    "ReplayedCall",
    "Role",
    "Site",
    "SystemPrompt",
    "Turn",
    "TurnState",
    "UsedPassage",
    "Visitor",
    "activate_prompt",
    "store_prompt",
]
