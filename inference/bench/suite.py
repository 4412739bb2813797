"""The measurements: each workload, by each contestant in turn, as often as asked.

Contestants take turns within every repetition, so that what else the machine does
falls on all of them; figures of a repetition are compared with each other only.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from inference.backends.base import BackendSettings
from inference.backends.llama_cpp import LlamaCppBackend
from inference.backends.openai_compatible import OpenAICompatibleBackend
from inference.bench.contestants import (
    PATIENT_HOST,
    BackendContestant,
    BareContestant,
    Contestant,
    LockContestant,
    RawConfig,
)
from inference.bench.interruption import measure_interruption
from inference.bench.measures import Run, find_percentile, read_cpu_s
from inference.bench.workloads import (
    Workload,
    build_churn,
    build_copy,
    build_support,
    build_turns,
)
from inference.engine.config import EngineConfig

ENGINE, LOCK, AGAINST = "engine", "lock", "against"
# The bare loop as it was measured first, and with the engine's cache and chunks.
BARE, BARE_SAME = "bare", "bare, our settings"
ON, OFF = "speculation on", "speculation off"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is asked; the fields' values are those of the task's table."""

    support_conversations: int = 16
    churn_conversations: int = 64
    churn_turns: int = 4
    turns_conversations: int = 3
    num_turns: int = 10
    copy_streams: int = 16
    copy_tokens: int = 96
    running_streams: int = 8
    quiet_pieces: int = 48


SMALL = Sizes(4, 6, 2, 1, 3, 2, 24, 2, 8)


@dataclass(frozen=True, slots=True)
class Setting:
    """What all measurements share."""

    engine: EngineConfig
    num_threads: int
    against: BackendSettings | None = None
    against_pid: int | None = None
    speculation_off: Mapping[str, object] = field(default_factory=dict)
    sizes: Sizes = Sizes()
    num_repeats: int = 1
    only: Sequence[str] = ()

    def wants(self, name: str) -> bool:
        """Return whether a contestant is to be measured."""
        return not self.only or name in self.only


@dataclass(frozen=True, slots=True)
class Record:
    """The figures of one contestant in one repetition of a workload."""

    workload: str
    contestant: str
    repeat: int
    figures: Mapping[str, float]


Say = Callable[[str], None]

_C = TypeVar("_C", bound=Contestant)


def measure_traffic(
    setting: Setting, names: Sequence[str], say: Say
) -> Iterator[Record]:
    """Yield the records of "support" and "churn", with all contestants loaded."""
    with _contestants(setting) as contestants:
        for contestant in contestants:
            say(f"warming up: {contestant.name}")
            contestant.play(build_support(0, 0, 2, 1))
        for repeat in range(1, setting.num_repeats + 1):
            for contestant in _rotate(contestants, repeat):
                for name, workload in _build_traffic(setting.sizes, names, repeat):
                    say(f"{name}, repetition {repeat}: {contestant.name}")
                    figures = play_and_describe(contestant, workload)
                    yield Record(name, contestant.name, repeat, figures)


def measure_copying(setting: Setting, say: Say) -> Iterator[Record]:
    """Yield the records of "copy": the engine with speculation and without."""
    sizes = setting.sizes
    off = replace(setting.engine, **setting.speculation_off)  # type: ignore[arg-type]
    with _engine(setting.engine, ON) as on_one, _engine(off, OFF) as off_one:
        for repeat in range(1, setting.num_repeats + 1):
            for name, num_streams, copies in (
                ("copy, 1 stream", 1, True),
                (f"copy, {sizes.copy_streams} streams", sizes.copy_streams, True),
                ("copy nothing, 1 stream", 1, False),
            ):
                workload = build_copy(repeat, num_streams, sizes.copy_tokens, copies)
                for contestant in _rotate([on_one, off_one], repeat):
                    say(f"{name}, repetition {repeat}: {contestant.name}")
                    contestant.play(replace(workload, answer_tokens=1))
                    run = contestant.play(workload)
                    figures = {"tokens_per_s": run.writing_tokens_per_s}
                    yield Record(name, contestant.name, repeat, figures)


def measure_turns(setting: Setting, say: Say) -> Iterator[Record]:
    """Yield the records of "turns": the engine alone, one question at a time."""
    sizes = setting.sizes
    with _engine(setting.engine, ENGINE) as contestant:
        contestant.play(build_support(0, 0, 1, 1))
        for repeat in range(1, setting.num_repeats + 1):
            say(f"turns, repetition {repeat}")
            run = contestant.play(
                build_turns(repeat, sizes.turns_conversations, sizes.num_turns)
            )
            figures = {
                f"ttft_{turn}_s": run.median_ttft_s(turn)
                for turn in range(1, sizes.num_turns + 1)
            }
            figures["last_to_second"] = (
                figures[f"ttft_{sizes.num_turns}_s"] / figures["ttft_2_s"]
            )
            yield Record("turns", ENGINE, repeat, figures)


def measure_long_prompt(setting: Setting, say: Say) -> Iterator[Record]:
    """Yield the records of "long prompt", of those that are asked from outside."""
    sizes = setting.sizes
    with ExitStack() as stack:
        contestants = [stack.enter_context(_engine(setting.engine, ENGINE))]
        if setting.against is not None:
            contestants.append(stack.enter_context(_against(setting)))
        for contestant in contestants:
            contestant.play(build_support(0, 0, 2, 1))
        for repeat in range(1, setting.num_repeats + 1):
            for contestant in _rotate(contestants, repeat):
                say(f"long prompt, repetition {repeat}: {contestant.name}")
                figures = measure_interruption(
                    contestant.ask, repeat, sizes.running_streams, sizes.quiet_pieces
                )
                if figures is None:
                    say("the running answers ended too soon; nothing was measured")
                else:
                    yield Record("long prompt", contestant.name, repeat, figures)


def play_and_describe(contestant: Contestant, workload: Workload) -> dict[str, float]:
    """Return the figures of a run, with those of processor time if it is ours.

    With one thread, tokens a second of processor time hardly depend on what else the
    machine does.
    """
    pid = contestant.pid
    before_s = read_cpu_s(pid) if pid is not None else 0.0
    run = contestant.play(workload)
    figures = describe_traffic(run)
    if pid is not None:
        figures["tokens_per_cpu_s"] = run.num_tokens / (read_cpu_s(pid) - before_s)
    return figures


def describe_traffic(run: Run) -> dict[str, float]:
    """Return the figures of a run of "support" or "churn"."""
    later = [answer.ttft_s for answer in run.answers if answer.turn > 1]
    every = [answer.ttft_s for answer in run.answers]
    gaps = [late - early for one in run.answers for early, late in one.gaps]
    figures = {
        "tokens_per_s": run.tokens_per_s,
        "ttft_1_s": run.median_ttft_s(1),
        "ttft_p95_s": find_percentile(every, 0.95),
        "gap_p95_s": find_percentile(gaps, 0.95),
        "tokens": run.num_tokens,
    }
    if later:
        figures["ttft_later_s"] = statistics.median(later)
    if run.cached_share is not None:
        figures["prompt_tokens"] = run.num_prompt_tokens
        figures["cached"] = run.cached_share
    return figures


def build_raw_config(setting: Setting, same: bool) -> RawConfig:
    """Return the bare loop's set-up; with `same` that of the engine.

    The loop keeps every conversation, so it gets cells for all of them.
    """
    engine, sizes = setting.engine, setting.sizes
    num_conversations = max(sizes.support_conversations, sizes.churn_conversations)
    config = RawConfig(
        engine.model_path, setting.num_threads, engine.num_cells, num_conversations
    )
    if not same:
        return config
    return replace(
        config,
        batch_tokens=engine.max_batch_tokens,
        prefill_tokens=engine.max_prefill_tokens or 64,
        kv_type="q8_0" if engine.num_gpu_layers == 0 else "f16",
    )


@contextmanager
def _contestants(setting: Setting) -> Iterator[list[Contestant]]:
    with ExitStack() as stack:
        found: list[Contestant] = []
        if setting.wants(ENGINE):
            found.append(stack.enter_context(_engine(setting.engine, ENGINE)))
        if setting.against is not None and setting.wants(AGAINST):
            found.append(stack.enter_context(_against(setting)))
        for name, same in ((BARE, False), (BARE_SAME, True)):
            if setting.wants(name):
                bare = BareContestant(build_raw_config(setting, same), name)
                stack.callback(bare.close)
                found.append(bare)
        if setting.wants(LOCK):
            config = replace(build_raw_config(setting, same=False), num_cells=4096)
            lock = LockContestant(config, LOCK)
            stack.callback(lock.close)
            found.append(lock)
        yield found


@contextmanager
def _engine(config: EngineConfig, name: str) -> Iterator[BackendContestant]:
    contestant = BackendContestant(name, LlamaCppBackend(name, config, PATIENT_HOST))
    try:
        yield contestant
    finally:
        contestant.close()


@contextmanager
def _against(setting: Setting) -> Iterator[BackendContestant]:
    assert setting.against is not None
    backend = OpenAICompatibleBackend(setting.against)
    contestant = BackendContestant(AGAINST, backend, setting.against_pid)
    try:
        yield contestant
    finally:
        contestant.close()


def _build_traffic(
    sizes: Sizes, names: Sequence[str], repeat: int
) -> Iterator[tuple[str, Workload]]:
    """Yield the workloads of a repetition, whose texts no other repetition has.

    The steady one has the system prompt of the cold one before it.
    """
    number = sizes.support_conversations
    if "support" in names:
        yield "support cold", build_support(2 * repeat, repeat, number)
        yield "support steady", build_support(2 * repeat + 1, repeat, number)
    if "churn" in names:
        num_parallel = min(16, sizes.churn_conversations)
        yield (
            "churn",
            build_churn(
                repeat, sizes.churn_conversations, sizes.churn_turns, num_parallel
            ),
        )


def _rotate(contestants: Sequence[_C], repeat: int) -> Sequence[_C]:
    """Return the contestants with another one first in each repetition."""
    first = (repeat - 1) % len(contestants)
    return [*contestants[first:], *contestants[:first]]
