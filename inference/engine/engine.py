"""The loop: requests in, one decode call at a time, text and completions out."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from inference.engine.black_box import BlackBox
from inference.engine.busy_times import BusyTimes
from inference.engine.config import EngineConfig
from inference.engine.kv_cache import KvCache
from inference.engine.reply import Reply, ReplyBuilder
from inference.engine.runner import Outcome, Runner
from inference.engine.scheduler import Chunk, Scheduler, Step, count_tokens
from inference.engine.sequence import Sequence, SequenceState
from inference.engine.speculation import (
    Draft,
    Drafter,
    PromptLookup,
    Unwritten,
)
from inference.engine.state_cache import StateCache
from inference.engine.step_costs import StepCosts
from inference.engine.step_times import StepTimes
from inference.engine.wire import Event, Finished, Refused, Text
from inference.engine_stats import EngineStats
from inference.errors import BackendError, PromptTooLong, RequestRejected
from inference.types import (
    Completion,
    CompletionRequest,
    EngineTimings,
    FinishReason,
    Usage,
)

# Cells that may keep what nobody uses, on a CPU: see kv_cache.py.
IDLE_CELLS = 512

# By so many the cost of a prompt's token is measured.
PROMPT_TOKENS = 32


@dataclass(slots=True)
class _Job:
    """A request on its way, and when things happened to it."""

    request: CompletionRequest
    sequence: Sequence
    reply: Reply
    arrived_s: float
    first_step_s: float | None = None
    token_times_s: list[float] = field(default_factory=list)
    lookup: PromptLookup = field(default_factory=PromptLookup)
    busy_ms: int = 0


@dataclass(slots=True)
class _Totals:
    """Counts since the start."""

    num_steps: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_completion_tokens: int = 0
    num_written_tokens: int = 0
    num_drafted_tokens: int = 0
    num_accepted_tokens: int = 0


class Engine:
    """Answers many requests with one model. One thread, but for `cancel_soon`.

    `black_box` is told before each piece of work whose it is.
    """

    def __init__(
        self,
        runner: Runner,
        config: EngineConfig,
        clock: Callable[[], float] = time.perf_counter,
        black_box: BlackBox | None = None,
    ) -> None:
        self._runner = runner
        self._config = config
        self._clock = clock
        self._black_box = black_box
        self._cache = _build_cache(runner, config)
        self._costs = _measure_costs(runner, config)
        self._scheduler = Scheduler(
            self._cache,
            config.max_batch_tokens,
            config.max_sequences,
            self._fit_prompt,
            runner.depth_cost,
        )
        self._replies = ReplyBuilder(runner, config)
        self._drafter = _build_drafter(runner, config, self._costs)
        self._jobs: dict[str, _Job] = {}
        self._cancelled: set[str] = set()
        self._step_keys: frozenset[str] = frozenset()
        self._step_started_s: float | None = None
        self._step_times = StepTimes()
        self._busy_times = BusyTimes()
        self._totals = _Totals()

    @property
    def has_work(self) -> bool:
        """Return whether `step` would do something."""
        return bool(self._jobs)

    def submit(self, key: str, request: CompletionRequest) -> list[Event]:
        """Queue a request; return its refusal, if it can never be answered."""
        self._step_started_s = self._clock()
        self._note(reading=[key])
        try:
            prompt, reply = self._replies.build(request)
        except RequestRejected as error:
            return [Refused(key, error)]
        finally:
            self._step_started_s = None
            self._note()
        if not prompt:
            reply.close()
            return [Refused(key, RequestRejected("the prompt has no tokens"))]
        limit_tokens = self._runner.limit_tokens
        if len(prompt) + request.max_tokens > limit_tokens:
            reply.close()
            error_sizes = (len(prompt), request.max_tokens, limit_tokens)
            return [Refused(key, PromptTooLong(*error_sizes))]
        sequence = Sequence(key, prompt)
        self._jobs[key] = _Job(request, sequence, reply, self._clock())
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
        self._busy_times.begin(self._clock())
        drafts = self._draft()
        step = self._scheduler.next_step(
            {key: draft.tokens for key, draft in drafts.items()}
        )
        if self._compute(step):
            for number, chunk in enumerate(step.chunks):
                if chunk.is_last:
                    self._note(writing=[chunk.sequence.key])
                    events += self._take_tokens(chunk, number, drafts)
        self._note()
        self._busy_times.end(self._clock())
        self._step_started_s = None
        return events

    def read_stats(self) -> EngineStats:
        """Return how the engine is doing; any thread may call this."""
        started_s, totals = self._step_started_s, self._totals
        return EngineStats(
            num_running=len(self._scheduler.running),
            num_waiting=len(self._scheduler.waiting),
            num_cells=self._cache.num_cells,
            num_used_cells=self._cache.num_used,
            num_parked_tokens=self._cache.num_parked,
            num_steps=totals.num_steps,
            num_preemptions=self._scheduler.num_preemptions,
            num_prompt_tokens=totals.num_prompt_tokens,
            num_cached_tokens=totals.num_cached_tokens,
            num_completion_tokens=totals.num_completion_tokens,
            num_written_tokens=totals.num_written_tokens,
            num_drafted_tokens=totals.num_drafted_tokens,
            num_accepted_tokens=totals.num_accepted_tokens,
            step_s=0.0 if started_s is None else self._clock() - started_s,
            last_step_s=self._step_times.last_s,
            mean_step_s=self._step_times.mean.value,
            prompt_token_s=self._step_times.prompt_token_s,
            beside_token_s=self._step_times.beside_token_s,
            busy_s=self._busy_times.total_s,
        )

    def _note(self, reading: Iterable[str] = (), writing: Iterable[str] = ()) -> None:
        if self._black_box is not None:
            self._black_box.note(reading, writing)

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
        writing = [c.sequence.key for c in step.chunks if c.sequence.is_decoding]
        reading = [c for c in step.chunks if not c.sequence.is_decoding]
        self._note([chunk.sequence.key for chunk in reading], writing)
        self._step_keys = frozenset(chunk.sequence.key for chunk in step.chunks)
        outcome = self._runner.compute(step)
        self._busy_times.divide(self._clock(), _count_tokens(step))
        self._step_keys = frozenset()
        if outcome is Outcome.COMPUTED:
            self._scheduler.complete(step)
            self._totals.num_steps += 1
            took_s = self._clock() - now_s
            self._step_times.add(took_s, count_tokens(reading), len(writing))
            return True
        self._scheduler.abandon(step, is_intact=outcome is Outcome.NO_ROOM)
        if outcome is Outcome.NO_ROOM:
            self._make_room()
        return False

    def _make_room(self) -> None:
        """Drop or preempt, though our own count of the cells said that there is room.

        llama.cpp knows more: shared cells of a sliding window are not used again.
        """
        if self._scheduler.drop_retained():
            return
        if len(self._scheduler.running) < 2:
            raise RuntimeError("a single sequence does not fit the cache")
        self._scheduler.preempt_youngest()

    def _fit_prompt(self, num_writing: int) -> int:
        """Return how many tokens of prompts are read beside tokens of replies."""
        fixed = self._config.max_prefill_tokens
        return self._costs.fit_prompt(num_writing) if fixed is None else fixed

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
                    job.reply.expected,
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
        reply = job.reply
        logits = self._runner.logits_of(chunk_number, place)
        try:
            token = reply.choose(logits, sequence.tokens)
        except BackendError as error:
            self._drop(job)
            return [Refused(sequence.key, error)]
        if self._runner.is_end(token):
            return self._build_events(job, reply.finish(), FinishReason.STOP)
        sequence.append(token)
        job.token_times_s.append(self._clock())
        self._totals.num_written_tokens += 1
        text = reply.take(token, self._runner.piece_of(token))
        if reply.is_complete:
            return self._build_events(job, text + reply.finish(), FinishReason.STOP)
        if sequence.num_generated >= job.request.max_tokens:
            return self._build_events(job, text + reply.finish(), FinishReason.LENGTH)
        return self._build_events(job, text, None)

    def _build_events(
        self, job: _Job, text: str, reason: FinishReason | None
    ) -> list[Event]:
        events: list[Event] = [Text(job.sequence.key, text)] if text else []
        if reason is not None:
            events.append(self._finish(job, reason))
        return events

    def _finish(self, job: _Job, reason: FinishReason) -> Finished:
        self._drop(job)
        sequence = job.sequence
        usage = Usage(
            prompt_tokens=0
            if sequence.num_cached is None
            else sequence.num_prompt_tokens,
            completion_tokens=sequence.num_generated,
            cached_tokens=sequence.num_cached or 0,
            reasoning_tokens=job.reply.reasoning.num_tokens,
        )
        self._totals.num_prompt_tokens += usage.prompt_tokens
        self._totals.num_cached_tokens += usage.cached_tokens
        self._totals.num_completion_tokens += usage.completion_tokens
        completion = Completion(
            reason, usage, self._runner.model, self._build_timings(job)
        )
        return Finished(sequence.key, completion)

    def _drop(self, job: _Job) -> None:
        """Forget a request that is over, and free what it held."""
        del self._jobs[job.sequence.key]
        job.busy_ms = self._busy_times.close(job.sequence.key)
        self._scheduler.finish(job.sequence)
        job.reply.close()

    def _build_timings(self, job: _Job) -> EngineTimings:
        started_s = self._clock() if job.first_step_s is None else job.first_step_s
        times = job.token_times_s
        gaps = [late - early for early, late in pairwise(times)]
        return EngineTimings(
            waiting_ms=round((started_s - job.arrived_s) * 1000),
            itl_ms=round(statistics.median(gaps) * 1000) if gaps else None,
            busy_ms=job.busy_ms,
        )


def _count_tokens(step: Step) -> Mapping[str, int]:
    """Return how many tokens a step computes for each request."""
    tokens: Counter[str] = Counter()
    for chunk in step.chunks:
        tokens[chunk.sequence.key] += len(chunk.tokens)
    return tokens


def _build_cache(runner: Runner, config: EngineConfig) -> KvCache | StateCache:
    if not runner.can_cut:
        return StateCache(runner.num_cells, config.num_slots, config.reuse_prefixes)
    max_parked = config.max_parked_bytes // runner.cell_bytes if runner.can_park else 0
    max_idle = config.max_idle_cells
    if max_idle is None and not config.num_gpu_layers:
        max_idle = IDLE_CELLS
    return KvCache(
        runner.num_cells,
        config.max_sequences,
        config.num_shared_slots - config.max_sequences,
        config.reuse_prefixes,
        max_idle,
        max_parked,
    )


def _measure_costs(runner: Runner, config: EngineConfig) -> StepCosts:
    """Return what steps cost; takes seconds with a large model."""
    largest = min(
        config.max_batch_tokens, config.max_sequences + config.max_drafted_tokens
    )
    sizes = [size for size in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48) if size <= largest]
    points = runner.measure_steps(sizes)
    num_prompt = min(config.max_batch_tokens, PROMPT_TOKENS)
    took_s = runner.measure_steps([num_prompt], has_logits=False)[num_prompt]
    return StepCosts(points, took_s / num_prompt)


def _build_drafter(
    runner: Runner, config: EngineConfig, costs: StepCosts
) -> Drafter | None:
    """Return what guesses, None where it is off or a wrong guess would stay."""
    if not config.max_drafted_tokens or not runner.can_cut:
        return None
    return Drafter(costs, config.max_drafted_tokens, runner.depth_cost)
