"""What the shared KV cache holds: which prompt has which cells, and who may use them.

llama.cpp keeps one array of cells for all sequences (a unified cache), and a cell may
belong to several of them. So tokens that several prompts begin with cost their cells
and their computing once. They are the pieces of a radix tree (`prefix_tree.py`). Each
running sequence has a slot with the pieces it begins with and, behind them, cells of
its own. When it ends its own tokens become a piece, for the next turn and for whoever
begins alike. A piece is kept in the cells by a slot that nobody computes in.

Cells of others slow a step down though nobody reads them: 16 streams of a model of
0.5 B parameters took 7 ms more a step (of 190) for every thousand. So pieces that
nobody uses are parked: moved to ordinary memory, from where 200 tokens come back in
half a millisecond instead of being computed for a second. What is used least recently
goes first, and never a piece before what follows on it.

Memories that cannot be cut are kept by `state_cache.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from inference.engine.operations import Claim, CopyRange, Operation, Truncate
from inference.engine.piece_store import PieceStore
from inference.engine.prefix_tree import Piece, count_shared


@dataclass(slots=True)
class _Running:
    """A slot in use: computed tokens, of which those up to `piece` are in the tree."""

    slot: int
    piece: Piece
    tokens: list[int] = field(default_factory=list)
    num_reserved: int = 0

    @property
    def num_own(self) -> int:
        """Return how many computed tokens are in no piece."""
        return len(self.tokens) - self.piece.stop


class KvCache:
    """The bookkeeping of `num_cells` cells.

    There are `num_sequences` slots to compute in, and `num_keepers` that keep pieces:
    as many as sequences, which come back with one each, and some that are shared.
    Pieces without a user may hold `max_idle_cells` before they are parked, None for
    all; `max_parked` tokens of them are kept then, and with 0 they stay in the cells
    until their cells are needed.
    """

    can_cut = True

    def __init__(
        self,
        num_cells: int,
        num_sequences: int,
        num_keepers: int,
        reuse_prefixes: bool = True,
        max_idle_cells: int | None = None,
        max_parked: int = 0,
    ) -> None:
        self.num_cells = num_cells
        self.reuses_prefixes = reuse_prefixes
        self._max_idle_cells = num_cells if max_idle_cells is None else max_idle_cells
        self._parks = max_parked > 0
        keepers = range(num_sequences + num_keepers - 1, num_sequences - 1, -1)
        self._store = PieceStore(num_cells, keepers, max_parked)
        self._running: dict[int, _Running] = {}
        self._idle = list(range(num_sequences - 1, -1, -1))

    @property
    def num_used(self) -> int:
        """Return how many cells hold something or are reserved."""
        return self._store.num_used

    @property
    def num_parked(self) -> int:
        """Return how many tokens are kept in ordinary memory."""
        return self._store.num_parked

    @property
    def num_available(self) -> int:
        """Return how many cells running sequences could still get."""
        return self._store.num_available

    @property
    def num_pieces(self) -> int:
        """Return how many pieces are known, in the cells or parked."""
        return sum(1 for _ in self._store.tree)

    def tokens_of(self, slot: int) -> Sequence[int]:
        """Return the computed tokens of a slot in use, not to be changed."""
        return self._running[slot].tokens

    def take_operations(self) -> tuple[Operation, ...]:
        """Return what has to be done since the last call, in order."""
        operations, self._store.operations = tuple(self._store.operations), []
        return operations

    def count_cells_needed(self, tokens: Sequence[int]) -> int:
        """Return by how much a claim of `tokens`, all computed, lowers `num_available`.

        Cells that a running sequence uses already cost nothing. It may become more
        where slots for pieces run short.
        """
        if not self.reuses_prefixes:
            return len(tokens)
        wanted = tokens[:-1]
        path = self._store.tree.match(wanted)
        num_free = sum(length for piece, length in path if piece.num_users)
        source, shared = self._find_source(wanted, sum(length for _, length in path))
        if source is not None:
            num_free += shared - source.piece.stop
        return len(tokens) - num_free

    def count_known(self, tokens: Sequence[int]) -> int:
        """Return how many of `tokens` are computed already, in the cells or parked."""
        if not self.reuses_prefixes:
            return 0
        return sum(length for _, length in self._store.tree.match(tokens[:-1]))

    def claim(self, tokens: Sequence[int]) -> Claim | None:
        """Return a slot for `tokens`, with the longest known beginning in it.

        At least the last token is left to compute. None if every slot is in use.
        """
        if not self._idle:
            return None
        running = _Running(self._idle.pop(), self._store.tree.root)
        self._running[running.slot] = running
        if self.reuses_prefixes:
            self._publish(tokens[:-1])
            for piece in self._store.open(tokens[:-1]):
                assert piece.keeper is not None
                self._store.operations.append(
                    CopyRange(piece.keeper, running.slot, piece.start, piece.stop)
                )
                running.tokens += piece.tokens
                running.piece = piece
        return Claim(running.slot, len(running.tokens))

    def reserve(self, slot: int, num_tokens: int) -> bool:
        """Give a slot cells for its next tokens, at the cost of pieces without a user.

        Returns False, and changes nothing, if there are not enough.
        """
        if num_tokens > self.num_available:
            return False
        self._store.free_cells(num_tokens)
        self._running[slot].num_reserved += num_tokens
        self._store.num_used += num_tokens
        self._store.num_pinned += num_tokens
        return True

    def commit(self, slot: int, tokens: Sequence[int]) -> None:
        """Note that `tokens` were computed in the cells reserved for them."""
        running = self._running[slot]
        if len(tokens) > running.num_reserved:
            raise ValueError(f"slot {slot} has no cells reserved for these tokens")
        running.num_reserved -= len(tokens)
        running.tokens.extend(tokens)

    def cancel_reservation(self, slot: int) -> None:
        """Give back the cells that were reserved and not computed."""
        running = self._running[slot]
        if running.num_reserved:
            self._store.operations.append(Truncate(slot, len(running.tokens)))
            self._give_back(running.num_reserved)
            running.num_reserved = 0

    def cut(self, slot: int, length: int) -> None:
        """Drop the computed tokens of a slot from `length` on, which nobody shares."""
        running = self._running[slot]
        self.cancel_reservation(slot)
        num_dropped = len(running.tokens) - length
        if num_dropped > running.num_own:
            raise ValueError(
                f"slot {slot} shares its first {running.piece.stop} tokens"
            )
        if num_dropped > 0:
            self._store.operations.append(Truncate(slot, length))
            self._give_back(num_dropped)
            del running.tokens[length:]

    def release(self, slot: int, retain: bool) -> None:
        """End the use of a slot; its own tokens become a piece if `retain`."""
        self.cancel_reservation(slot)
        running = self._running[slot]
        if retain and self.reuses_prefixes:
            self._keep(running)
        self._give_back(running.num_own)
        if running.tokens:
            self._store.operations.append(Truncate(slot, 0))
        self._store.touch(running.piece.path())
        for piece in running.piece.path():
            self._store.unpin(piece)
        del self._running[slot]
        self._idle.append(slot)
        if self._parks:
            self._store.evict_down_to(self._max_idle_cells)

    def drop_retained(self) -> bool:
        """Clear the cells of pieces without a user; return whether there were any."""
        had_any = self.num_used > self._store.num_pinned
        self._store.evict_down_to(0)
        return had_any

    def _find_source(
        self, wanted: Sequence[int], num_known: int
    ) -> tuple[_Running | None, int]:
        """Return the running sequence that shares more than the tree knows; how much.

        Not one that computed twice what is in the tree: that ends with itself.
        """
        best: tuple[_Running | None, int] = (None, num_known)
        for running in self._running.values():
            if running.num_own and running.piece.stop == num_known:
                shared = count_shared(running.tokens, wanted)
                if shared > best[1]:
                    best = (running, shared)
        return best

    def _publish(self, wanted: Sequence[int]) -> None:
        """Make a piece of what a running sequence computed and `wanted` begins with."""
        num_known = sum(length for _, length in self._store.tree.match(wanted))
        source, shared = self._find_source(wanted, num_known)
        if source is not None:
            self._add(source, source.tokens[source.piece.stop : shared])

    def _add(self, running: _Running, tokens: Sequence[int]) -> bool:
        """Make a piece of the next own tokens of a sequence; False without a slot."""
        piece = self._store.add(running.piece, tokens, running.slot)
        running.piece = piece or running.piece
        return piece is not None

    def _keep(self, running: _Running) -> None:
        """Move the own tokens of a sequence that ends into the tree.

        Tokens that are there already, from somebody who said the same, are not kept
        twice. What finds no slot is not kept.
        """
        num_twice = 0
        while own := running.tokens[running.piece.stop :]:
            child = running.piece.children.get(own[0])
            if child is None:
                if self._add(running, own):
                    running.piece = self._store.merge(running.piece)
                break
            opened = self._store.open_piece(child, count_shared(child.tokens, own))
            if opened is None:
                break
            num_twice += opened.size
            running.piece = opened
        self._give_back(num_twice)  # its own cells for tokens that are in the tree

    def _give_back(self, number: int) -> None:
        """Note that a running sequence holds so many cells less."""
        self._store.num_used -= number
        self._store.num_pinned -= number
