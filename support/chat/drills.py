"""The turn of a fire drill: what fails in it, and what is written down of it.

The turn of a drill is a turn like any other, in a conversation where nobody is.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from inference.backends.faulty import MEANINGS, Fault, Rehearsal
from inference.models import Drill
from support.models import OPEN_STATES, Attempt, AttemptOutcome, Turn, TurnState

_SHOWN_CHARACTERS = 400


def find_rehearsal(turn: Turn) -> Rehearsal | None:
    """Return what is to fail in a turn, None if nothing is.

    One query for a synthetic conversation, none for others.
    """
    if not turn.conversation.is_synthetic:
        return None
    drill = Drill.objects.filter(
        conversation=turn.conversation_id, is_proven=None
    ).first()
    return Rehearsal(drill.backend, Fault(drill.fault)) if drill else None


def record(turn: Turn) -> None:
    """Write down how a drill's turn ended; a turn that goes on is left alone.

    Of several workers one writes. No query for other conversations, else four.
    """
    if not turn.conversation.is_synthetic:
        return
    ended = Turn.objects.select_related("reply").exclude(state__in=OPEN_STATES)
    found = ended.filter(pk=turn.pk).first()
    drill = Drill.objects.filter(
        conversation=turn.conversation_id, is_proven=None
    ).first()
    if found is None or drill is None:
        return
    calls = list(found.attempts.order_by("number"))
    last = calls[-1] if calls else None
    is_answered = found.state == TurnState.ANSWERED and last is not None
    struck = [call for call in calls if call.backend == drill.backend and call.error]
    answered_by = last.backend if last is not None and is_answered else ""
    is_proven = bool(struck) and answered_by not in ("", drill.backend)
    began_at = found.started_at or found.created_at
    Drill.objects.filter(pk=drill.pk, is_proven=None).update(
        is_proven=is_proven,
        answered_by=answered_by,
        fallback_ms=_first_word_ms(began_at, last) if is_proven else None,
        took_ms=_ms_between(began_at, found.finished_at),
        cost_usd=_add_up(calls, drill.backend),
        shown=describe_shown(began_at, calls, found),
        report=describe_decisions(drill, calls, found),
    )


def give_up(conversation: UUID, why: str) -> None:
    """End a drill that nobody carried out."""
    Drill.objects.filter(conversation=conversation, is_proven=None).update(
        is_proven=False, report=why
    )


def describe_shown(began_at: datetime, calls: Sequence[Attempt], turn: Turn) -> str:
    """Return what a customer would have seen, a line for each thing that changed."""
    lines = ["At once: three dots, as for every question."]
    for call in calls:
        at_ms = _first_word_ms(began_at, call)
        if at_ms is None:
            continue
        at = f"After {at_ms / 1000:.1f} s"
        if call.outcome == AttemptOutcome.COMPLETED:
            lines.append(f"{at}: the words of a reply begin to come.")
            continue
        gone_ms = _ms_between(began_at, call.finished_at) or at_ms
        lines.append(f"{at}: the first words of a reply.")
        lines.append(f"After {gone_ms / 1000:.1f} s: they vanish, the dots are back.")
    took_ms = _ms_between(began_at, turn.finished_at) or 0
    text = turn.reply.content if turn.reply else ""
    lines.append(
        f"After {took_ms / 1000:.1f} s, in the end: {text[:_SHOWN_CHARACTERS]}"
    )
    return "\n".join(lines)


def describe_decisions(drill: Drill, calls: Sequence[Attempt], turn: Turn) -> str:
    """Return why whom was asked, in sentences: routing's own, then the calls."""
    meaning = MEANINGS[Fault(drill.fault)]
    lines = [f"Rehearsed at {drill.backend}: {meaning}."]
    lines += [str(sentence) for sentence in turn.trace]
    lines += [_describe_call(call) for call in calls]
    if turn.failure:
        lines.append(f"The turn failed: {turn.failure}.")
    return "\n".join(lines)


def _describe_call(call: Attempt) -> str:
    seconds = (call.duration_ms or 0) / 1000
    what = f"{call.number}. {call.backend} {call.get_outcome_display()}"
    why = f": {call.error}, {call.error_detail}" if call.error else ""
    return f"{what} after {seconds:.1f} s{why}."


def _add_up(calls: Iterable[Attempt], drilled: str) -> Decimal | None:
    """Return what the real calls cost; None if one of them has no known cost."""
    costs = [call.cost_usd for call in calls if call.backend != drilled]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def _first_word_ms(began_at: datetime, call: Attempt | None) -> int | None:
    if call is None or call.ttft_ms is None:
        return None
    return (_ms_between(began_at, call.started_at) or 0) + call.ttft_ms


def _ms_between(start: datetime, end: datetime | None) -> int | None:
    if end is None:
        return None
    return max(round((end - start).total_seconds() * 1000), 0)
