"""Which slot holds which tokens, where a memory can be continued and never be cut.

A recurrent state is that of its last token, and a sliding window has lost what lies
before it. So a prompt continues a slot only if it begins with all of it, and what is
to be shared is kept as a snapshot: a copy of a slot at the place where prompts part,
made while a prompt is read (scheduler.py). A slot whose sequence has finished is
retained for the next turn, until somebody needs the slot or its cells: then the least
recently used one goes.

Memories that can be cut are kept by `kv_cache.py`.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from inference.engine.operations import Claim, CopyRange, Operation, Truncate
from inference.engine.prefix_tree import count_shared


@dataclass(slots=True)
class _Slot:
    """Tokens that are computed, and cells; cells beyond the tokens are reserved."""

    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    is_active: bool = False
    is_snapshot: bool = False


class StateCache:
    """The bookkeeping of `num_cells` cells and `num_slots` slots.

    Invariant: a cell is free exactly if no slot holds it, and pinned exactly if an
    active slot does. Slots are only continued, copied whole, or dropped.
    """

    can_cut = False
    num_parked = 0

    def __init__(
        self, num_cells: int, num_slots: int, reuse_prefixes: bool = True
    ) -> None:
        self.num_cells = num_cells
        self.reuses_prefixes = reuse_prefixes
        self._slots = [_Slot() for _ in range(num_slots)]
        self._idle = list(range(num_slots - 1, -1, -1))
        self._retained: OrderedDict[int, None] = OrderedDict()
        self._free = list(range(num_cells - 1, -1, -1))
        self._holders = [0] * num_cells
        self._pins = [0] * num_cells
        self._num_pinned = 0
        self._operations: list[Operation] = []

    @property
    def num_available(self) -> int:
        """Return how many cells active slots could still get."""
        return self.num_cells - self._num_pinned

    @property
    def num_used(self) -> int:
        """Return how many cells hold something, retained slots included."""
        return self.num_cells - len(self._free)

    @property
    def num_retained(self) -> int:
        """Return how many slots are kept for prompts to come."""
        return len(self._retained)

    def tokens_of(self, slot: int) -> Sequence[int]:
        """Return the computed tokens of a slot, not to be changed."""
        return self._slots[slot].tokens

    def take_operations(self) -> tuple[Operation, ...]:
        """Return what has to be done since the last call, in order."""
        operations, self._operations = tuple(self._operations), []
        return operations

    def count_cells_needed(self, tokens: Sequence[int]) -> int:
        """Return by how much a claim of `tokens`, all computed, lowers `num_available`.

        Exact for this moment; cells that an active slot pins already cost nothing.
        """
        source, length = self._find_prefix(tokens)
        if source is None:
            return len(tokens)
        shared = self._slots[source].cells[:length]
        return len(tokens) - sum(1 for cell in shared if self._pins[cell])

    def claim(self, tokens: Sequence[int]) -> Claim | None:
        """Return an active slot for `tokens`, sharing the longest known prefix.

        At least the last token is left to compute. None if every slot is active.
        """
        source, length = self._find_prefix(tokens)
        if source is not None and self._can_take_over(source, length):
            self._activate(source)
            return Claim(source, length)
        slot = self._vacate_slot(keep=source)
        if slot is None:
            return None
        if source is not None and slot != source:
            self._share(source, slot, length)
        self._activate(slot)
        return Claim(slot, length)

    def reserve(self, slot: int, num_tokens: int) -> bool:
        """Give an active slot cells for its next tokens, evicting retained slots.

        Returns False, and changes nothing, if there are not enough.
        """
        if num_tokens > self.num_available:
            return False
        while len(self._free) < num_tokens:
            self._evict(next(iter(self._retained)))
        for _ in range(num_tokens):
            cell = self._free.pop()
            self._holders[cell] = self._pins[cell] = 1
            self._slots[slot].cells.append(cell)
        self._num_pinned += num_tokens
        return True

    def commit(self, slot: int, tokens: Sequence[int]) -> None:
        """Note that `tokens` were computed in the cells reserved for them."""
        held = self._slots[slot]
        if len(held.tokens) + len(tokens) > len(held.cells):
            raise ValueError(f"slot {slot} has no cells reserved for these tokens")
        held.tokens.extend(tokens)

    def keep_snapshot(self, slot: int) -> bool:
        """Retain a copy of an active slot as it is now; False if there is no slot.

        It costs no cells. It stays when prompts continue it, until it is evicted.
        """
        copy = self._vacate_slot(keep=None)
        if copy is None:
            return False
        self._share(slot, copy, len(self._slots[slot].tokens))
        self._slots[copy].is_snapshot = True
        self._retained[copy] = None
        return True

    def drop_retained(self) -> bool:
        """Evict all retained slots; return whether there were any."""
        had_any = bool(self._retained)
        while self._retained:
            self._evict(next(iter(self._retained)))
        return had_any

    def count_known(self, tokens: Sequence[int]) -> int:
        """Return how much of `tokens` some slot holds, and perhaps cannot share."""
        return max(count_shared(held.tokens, tokens) for held in self._slots)

    def cancel_reservation(self, slot: int) -> None:
        """Give back the cells that were reserved and not computed."""
        self._truncate(slot, len(self._slots[slot].tokens))

    def cut(self, slot: int, length: int) -> None:
        """Drop the computed tokens of an active slot from `length` on."""
        self._truncate(slot, length)

    def release(self, slot: int, retain: bool) -> None:
        """End the use of an active slot; keep its content for later if `retain`."""
        held = self._slots[slot]
        if not held.is_active:
            raise ValueError(f"slot {slot} is not active")
        self.cancel_reservation(slot)
        for cell in held.cells:
            self._unpin(cell)
        held.is_active = False
        if retain and self.reuses_prefixes and held.tokens:
            self._retained[slot] = None
        else:
            self._empty(slot)

    def _find_prefix(self, tokens: Sequence[int]) -> tuple[int | None, int]:
        """Return the longest slot that `tokens` but the last begin with; its length."""
        best: tuple[int | None, int] = (None, 0)
        if not self.reuses_prefixes:
            return best
        wanted = list(tokens[:-1])
        for number, held in enumerate(self._slots):
            length = count_shared(held.tokens, wanted) if held.tokens else 0
            if length == len(held.tokens) and length > best[1]:
                best = (number, length)
        return best

    def _can_take_over(self, source: int, length: int) -> bool:
        """Return whether nothing but the prefix is in `source`, and nobody uses it."""
        held = self._slots[source]
        is_free = not held.is_active and not held.is_snapshot
        return is_free and len(held.tokens) == length

    def _activate(self, slot: int) -> None:
        self._retained.pop(slot, None)
        held = self._slots[slot]
        held.is_active, held.is_snapshot = True, False
        for cell in held.cells:
            self._num_pinned += self._pins[cell] == 0
            self._pins[cell] += 1

    def _vacate_slot(self, keep: int | None) -> int | None:
        """Return an idle slot, or the least recently used retained one, emptied.

        `keep` is spared, and only returned, with its content, if it is the last.
        """
        if keep is not None and keep in self._retained:
            self._retained.move_to_end(keep)
        if not self._idle and self._retained:
            oldest = next(iter(self._retained))
            if oldest == keep:
                return keep
            self._evict(oldest)
        return self._idle.pop() if self._idle else None

    def _share(self, source: int, target: int, length: int) -> None:
        held, cells = self._slots[target], self._slots[source].cells[:length]
        held.tokens = self._slots[source].tokens[:length]
        held.cells = cells
        for cell in cells:
            self._holders[cell] += 1
        self._operations.append(CopyRange(source, target, 0, length))

    def _evict(self, slot: int) -> None:
        del self._retained[slot]
        self._empty(slot)

    def _empty(self, slot: int) -> None:
        self._truncate(slot, 0)
        self._slots[slot].is_snapshot = False
        self._idle.append(slot)

    def _truncate(self, slot: int, length: int) -> None:
        held = self._slots[slot]
        if len(held.cells) <= length:
            return
        if 0 < length < len(held.tokens):
            raise RuntimeError(f"slot {slot} cannot be cut back to {length} tokens")
        for cell in held.cells[length:]:
            if held.is_active:
                self._unpin(cell)
            self._holders[cell] -= 1
            if not self._holders[cell]:
                self._free.append(cell)
        del held.cells[length:]
        del held.tokens[length:]
        # What cannot be cut ends at its last token: only reserved cells were dropped.
        if length == 0:
            self._operations.append(Truncate(slot, length))

    def _unpin(self, cell: int) -> None:
        self._pins[cell] -= 1
        self._num_pinned -= self._pins[cell] == 0
