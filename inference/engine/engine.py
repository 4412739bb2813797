"""The loop: requests in, one decode call at a time, text and completions out."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from inference.engine.chat_template import Segment
from inference.engine.config import EngineConfig
from inference.engine.detokenizer import Detokenizer
from inference.engine.kv_cache import KvCache
from inference.engine.marks import AFTER_MARK, mark_messages
from inference.engine.quoter import QuotePolicy, Quoter, Source
from inference.engine.runner import Outcome, Runner
from inference.engine.sampler import Sampler, SamplingParams
from inference.engine.scheduler import Chunk, Scheduler, Step
from inference.engine.sequence import Sequence, SequenceState
from inference.engine.speculation import (
    Draft,
    Drafter,
    PromptLookup,
    StepCosts,
    Unwritten,
)
from inference.engine.wire import EngineStats, Event, Finished, Refused, Text
from inference.errors import PromptTooLong, RequestRejected
from inference.types import (
    ChatMessage,
    Completion,
    CompletionRequest,
    EngineTimings,
    FinishReason,
    Quotable,
    Usage,
)


@dataclass(slots=True)
class _Job:
    """A request on its way, and when things happened to it."""

    request: CompletionRequest
    sequence: Sequence
    sampler: Sampler
    detokenizer: Detokenizer
    quoter: Quoter | None
    arrived_s: float
    first_step_s: float | None = None
    token_times_s: list[float] = field(default_factory=list)
    lookup: PromptLookup = field(default_factory=PromptLookup)


@dataclass(slots=True)
class _Totals:
    """Counts since the start."""

    num_steps: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_completion_tokens: int = 0
    num_drafted_tokens: int = 0
    num_accepted_tokens: int = 0


class Engine:
    """Answers many requests with one model. One thread, but for `cancel_soon`."""

    def __init__(
        self,
        runner: Runner,
        config: EngineConfig,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._runner = runner
        self._config = config
        self._clock = clock
        self._cache = KvCache(runner.num_cells, config.num_slots, config.reuse_prefixes)
        self._scheduler = Scheduler(
            self._cache,
            config.max_batch_tokens,
            config.max_sequences,
            config.max_prefill_tokens,
        )
        self._drafter = _build_drafter(runner, config)
        self._num_opening = len(runner.tokenize([]))
        self._jobs: dict[str, _Job] = {}
        self._cancelled: set[str] = set()
        self._step_keys: frozenset[str] = frozenset()
        self._step_started_s: float | None = None
        self._totals = _Totals()

    @property
    def has_work(self) -> bool:
        """Return whether `step` would do something."""
        return bool(self._jobs)

    def submit(self, key: str, request: CompletionRequest) -> list[Event]:
        """Queue a request; return its refusal, if it can never be answered."""
        messages, marked = self._mark(request)
        try:
            prompt = self._runner.tokenize(self._runner.template.render(messages))
            quoter = self._build_quoter(marked)
        except UnicodeEncodeError as error:
            return [Refused(key, RequestRejected(f"not valid text: {error.reason}"))]
        limit_tokens = self._runner.limit_tokens
        if len(prompt) + request.max_tokens > limit_tokens:
            error_sizes = (len(prompt), request.max_tokens, limit_tokens)
            return [Refused(key, PromptTooLong(*error_sizes))]
        sequence = Sequence(key, prompt)
        params = SamplingParams(request.temperature, request.top_p, request.seed)
        stop = (*request.stop, *self._runner.template.markers)
        self._jobs[key] = _Job(
            request,
            sequence,
            Sampler(params),
            Detokenizer(stop),
            quoter,
            self._clock(),
        )
        self._scheduler.add(sequence)
        return []

    def cancel_soon(self, key: str) -> None:
        """Stop a request before the next step; any thread may call this.

        A step that computes for cancelled requests alone is aborted in the middle.
        """
        self._cancelled.add(key)
        if self._step_keys and self._step_keys <= self._cancelled:
            self._runner.abort()

    def step(self) -> list[Event]:
        """Run one decode call; return the text that came of it, and what ended."""
        events = self._end_cancelled()
        drafts = self._draft()
        step = self._scheduler.next_step(
            {key: draft.tokens for key, draft in drafts.items()}
        )
        if self._compute(step):
            for number, chunk in enumerate(step.chunks):
                if chunk.is_last:
                    events += self._take_tokens(chunk, number, drafts)
        return events

    def read_stats(self) -> EngineStats:
        """Return how the engine is doing; any thread may call this."""
        started_s, totals = self._step_started_s, self._totals
        return EngineStats(
            num_running=len(self._scheduler.running),
            num_waiting=len(self._scheduler.waiting),
            num_cells=self._cache.num_cells,
            num_used_cells=self._cache.num_used,
            num_steps=totals.num_steps,
            num_preemptions=self._scheduler.num_preemptions,
            num_prompt_tokens=totals.num_prompt_tokens,
            num_cached_tokens=totals.num_cached_tokens,
            num_completion_tokens=totals.num_completion_tokens,
            num_drafted_tokens=totals.num_drafted_tokens,
            num_accepted_tokens=totals.num_accepted_tokens,
            step_s=0.0 if started_s is None else self._clock() - started_s,
        )

    def _end_cancelled(self) -> list[Event]:
        events: list[Event] = []
        while self._cancelled:
            job = self._jobs.get(self._cancelled.pop())
            if job is not None:
                events.append(self._finish(job, FinishReason.CANCELLED))
        return events

    def _compute(self, step: Step) -> bool:
        """Compute a step and note the result; return whether there are logits."""
        now_s = self._step_started_s = self._clock()
        for chunk in step.chunks:
            job = self._jobs[chunk.sequence.key]
            if job.first_step_s is None:
                job.first_step_s = now_s
        self._step_keys = frozenset(chunk.sequence.key for chunk in step.chunks)
        outcome = self._runner.compute(step)
        self._step_keys = frozenset()
        self._step_started_s = None
        if outcome is Outcome.COMPUTED:
            self._scheduler.complete(step)
            self._totals.num_steps += 1
            return True
        self._scheduler.abandon(step)
        if outcome is Outcome.NO_ROOM:
            self._make_room()
        return False

    def _make_room(self) -> None:
        """Preempt, though our own count of the cells said that there is room."""
        if len(self._scheduler.running) < 2:
            raise RuntimeError("a single sequence does not fit the cache")
        self._scheduler.preempt_youngest()

    def _draft(self) -> dict[str, Draft]:
        """Return guesses at what the replies go on with."""
        if self._drafter is None:
            return {}
        decoding, num_others = self._scheduler.read_decoding()
        jobs = [self._jobs[sequence.key] for sequence in decoding]
        return self._drafter.draft(
            [
                Unwritten(
                    job.sequence.key,
                    job.sequence.tokens,
                    job.request.max_tokens - job.sequence.num_generated - 1,
                    job.lookup,
                    () if job.quoter is None else job.quoter.expected(),
                )
                for job in jobs
            ],
            num_others,
        )

    def _take_tokens(
        self, chunk: Chunk, chunk_number: int, drafts: Mapping[str, Draft]
    ) -> list[Event]:
        """Sample behind a sequence, and on while the guesses are right."""
        sequence, events, num_taken = chunk.sequence, [], 0
        for place in range(chunk.num_drafted + 1):
            events += self._take_token(sequence, chunk_number, place)
            if sequence.state is SequenceState.FINISHED or place == chunk.num_drafted:
                break
            if sequence.tokens[-1] != chunk.drafted[place]:
                break
            sequence.advance(1)
            num_taken += 1
        if chunk.num_drafted and self._drafter is not None:
            self._totals.num_drafted_tokens += chunk.num_drafted
            self._totals.num_accepted_tokens += num_taken
            self._drafter.note(drafts[sequence.key], chunk.num_drafted, num_taken)
        if sequence.state is not SequenceState.FINISHED:
            self._scheduler.drop_refused(sequence)
        return events

    def _take_token(
        self, sequence: Sequence, chunk_number: int, place: int
    ) -> list[Event]:
        """Sample behind a token; return the new text and the reply's end, if any."""
        job = self._jobs[sequence.key]
        logits = self._runner.logits_of(chunk_number, place)
        if job.quoter is not None:
            logits = job.quoter.restrict(logits)
        token = job.sampler.sample(logits)
        if self._runner.is_end(token):
            text = job.detokenizer.finish()
            return self._build_events(job, text, FinishReason.STOP)
        sequence.append(token)
        job.token_times_s.append(self._clock())
        piece = self._runner.piece_of(token)
        if job.quoter is not None:
            piece = job.quoter.take(token, piece)
        text = job.detokenizer.push(piece)
        if job.quoter is not None and job.quoter.is_done:
            text += job.detokenizer.finish()
            return self._build_events(job, text, FinishReason.STOP)
        if job.detokenizer.is_stopped:
            return self._build_events(job, text, FinishReason.STOP)
        if sequence.num_generated >= job.request.max_tokens:
            text += job.detokenizer.finish()
            return self._build_events(job, text, FinishReason.LENGTH)
        return self._build_events(job, text, None)

    def _mark(
        self, request: CompletionRequest
    ) -> tuple[tuple[ChatMessage, ...], dict[str, Quotable]]:
        """Return the messages as the model reads them, and what the marks mean."""
        if not self._config.quotes or not request.quotable:
            return request.messages, {}
        return mark_messages(request.messages, request.quotable)

    def _build_quoter(self, marked: Mapping[str, Quotable]) -> Quoter | None:
        """Return what keeps a reply to its sources, None where there are none."""
        if not marked:
            return None
        sources = []
        for mark, item in marked.items():
            label = f"{mark}{AFTER_MARK}"
            num_silent = len(self._tokenize_text(label))
            tokens = self._tokenize_text(f"{label} {item.text}")
            sources.append(Source(tuple(tokens), num_silent, item.weight))
        policy = QuotePolicy(
            self._config.quote_lean,
            self._config.quote_doubt,
            self._config.quote_also_from,
        )
        return Quoter(sources, self._tokenize_text("\n")[-1], policy)

    def _tokenize_text(self, text: str) -> list[int]:
        """Return tokens of text inside a prompt, without those that begin one."""
        tokens = self._runner.tokenize([Segment(text, is_markup=False)])
        return tokens[self._num_opening :]

    def _build_events(
        self, job: _Job, text: str, reason: FinishReason | None
    ) -> list[Event]:
        events: list[Event] = [Text(job.sequence.key, text)] if text else []
        if reason is not None:
            events.append(self._finish(job, reason))
        return events

    def _finish(self, job: _Job, reason: FinishReason) -> Finished:
        sequence = job.sequence
        del self._jobs[sequence.key]
        self._scheduler.finish(sequence)
        usage = Usage(
            prompt_tokens=0
            if sequence.num_cached is None
            else sequence.num_prompt_tokens,
            completion_tokens=sequence.num_generated,
            cached_tokens=sequence.num_cached or 0,
        )
        self._totals.num_prompt_tokens += usage.prompt_tokens
        self._totals.num_cached_tokens += usage.cached_tokens
        self._totals.num_completion_tokens += usage.completion_tokens
        completion = Completion(
            reason, usage, self._runner.model, self._build_timings(job)
        )
        return Finished(sequence.key, completion)

    def _build_timings(self, job: _Job) -> EngineTimings:
        started_s = self._clock() if job.first_step_s is None else job.first_step_s
        times = job.token_times_s
        gaps = [late - early for early, late in pairwise(times)]
        return EngineTimings(
            waiting_ms=round((started_s - job.arrived_s) * 1000),
            itl_ms=round(statistics.median(gaps) * 1000) if gaps else None,
        )


def _build_drafter(runner: Runner, config: EngineConfig) -> Drafter | None:
    """Return what guesses, None where it is switched off."""
    if not config.max_drafted_tokens:
        return None
    largest = min(
        config.max_batch_tokens, config.max_sequences + config.max_drafted_tokens
    )
    sizes = [size for size in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48) if size <= largest]
    costs = StepCosts(runner.measure_steps(sizes))
    return Drafter(costs, config.max_drafted_tokens)
