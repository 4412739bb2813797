"""Pieces of prompts that are kept: in the cells, or parked in ordinary memory.

The bookkeeping behind `kv_cache.py`, which says why.
"""

from collections.abc import Iterable, Iterator, Sequence

from inference.engine.operations import (
    CopyRange,
    Forget,
    Operation,
    Park,
    Restore,
    Truncate,
)
from inference.engine.prefix_tree import Piece, PrefixTree


class PieceStore:
    """The tree, where its pieces are, and how many cells are in use.

    `num_used` counts all cells that hold something or are reserved, `num_pinned` those
    of running sequences and of the pieces they use. `keepers` are the slots for pieces
    in the cells; `max_parked` tokens of others are kept. What is to be done in
    llama.cpp is added to `operations`. Invariant: a piece in the cells stands behind
    none that is parked.
    """

    def __init__(self, num_cells: int, keepers: Iterable[int], max_parked: int) -> None:
        self.tree = PrefixTree()
        self.operations: list[Operation] = []
        self.num_cells = num_cells
        self.num_used = 0
        self.num_pinned = 0
        self.num_parked = 0
        self._keepers = list(keepers)
        self._max_parked = max_parked
        self._clock = 0
        self._num_parkings = 0
        self._in_cells: set[Piece] = set()
        # In the order they were parked: what follows on a piece comes before it.
        self._parked: dict[int, Piece] = {}

    @property
    def num_available(self) -> int:
        """Return how many cells running sequences could still get."""
        return self.num_cells - self.num_pinned

    def open(self, wanted: Sequence[int]) -> Iterator[Piece]:
        """Yield pieces that `wanted` begins with, in the cells and in use.

        The last one is split where they part. Ends early where cells or slots for
        what is parked are short.
        """
        path = self.tree.match(wanted)
        self.touch(piece for piece, _ in path)
        for piece, length in path:
            opened = self.open_piece(piece, length)
            if opened is None:
                return
            yield opened

    def open_piece(self, piece: Piece, length: int) -> Piece | None:
        """Return the first `length` tokens of a piece as one that is in use."""
        if piece.parent is None or not self._bring_in(piece):
            return None
        self._pin(piece)
        if length == piece.size:
            return piece
        head = self._split(piece, length)
        self.unpin(piece)
        return head

    def _bring_in(self, piece: Piece) -> bool:
        """Move a piece into the cells if it is not there; False if there is no room."""
        if piece.is_in_cells:
            return True
        if piece.size > self.num_available:
            return False
        keeper = self._take_keeper()
        if keeper is None:
            return False
        self.free_cells(piece.size)
        if piece.parked is None:  # dropped to make room
            self._keepers.append(keeper)
            return False
        self.operations.append(Restore(piece.parked, keeper))
        del self._parked[piece.parked]
        piece.parked = None
        self.num_parked -= piece.size
        self.num_used += piece.size
        self._set_keeper(piece, keeper)
        return True

    def _split(self, piece: Piece, length: int) -> Piece | None:
        """Cut a piece that is in use; return its head, None if no slot keeps it."""
        keeper = self._take_keeper()
        if keeper is None:
            return None
        assert piece.keeper is not None
        head = self.tree.split(piece, length)
        self.operations += [
            CopyRange(piece.keeper, keeper, piece.start, piece.stop),
            Truncate(piece.keeper, head.stop),
        ]
        self._set_keeper(head, piece.keeper)
        self._set_keeper(piece, keeper)
        return head

    def merge(self, piece: Piece) -> Piece:
        """Return a piece with those before it that have the same user, as one.

        It must be the caller's alone: others would go on with what is no piece any
        more. A conversation of many turns is one piece then, behind what it shares.
        """
        assert piece.num_users == 1
        head = piece.parent
        while (
            head is not None
            and head.keeper is not None
            and len(head.children) == 1
            and head.num_users == piece.num_users
        ):
            keeper = self._take_away_keeper(piece)
            self.num_used += piece.size
            self.operations += [
                CopyRange(keeper, head.keeper, piece.start, piece.stop),
                Truncate(keeper, 0),
            ]
            self.tree.join(head)
            piece, head = head, head.parent
        return piece

    def free_cells(self, number: int) -> None:
        """Evict until there are so many; the caller knows that it can be done."""
        while self.num_cells - self.num_used < number:
            if not self._evict():
                raise RuntimeError("there is no piece without a user")

    def evict_down_to(self, number: int) -> None:
        """Evict until pieces without a user hold no more cells than that."""
        while self.num_used - self.num_pinned > number and self._evict():
            pass

    def _take_keeper(self) -> int | None:
        """Return a slot that can keep a piece, at the cost of another if it must."""
        if not self._keepers and not self._evict():
            return None
        return self._keepers.pop()

    def _evict(self) -> bool:
        """Park or drop the piece that was used least recently; False if all are used.

        Of those in the cells that nothing in the cells follows on.
        """
        victims = [
            piece
            for piece in self._in_cells
            if not piece.num_users and not piece.has_children_in_cells
        ]
        if not victims:
            return False
        victim = min(victims, key=lambda piece: piece.last_used)
        keeper = self._take_away_keeper(victim)
        if victim.size <= self._max_parked:
            self._park(victim, keeper)
        else:
            self.operations.append(Truncate(keeper, 0))
            self._drop(victim)
        return True

    def _park(self, piece: Piece, keeper: int) -> None:
        self._num_parkings += 1
        self.operations.append(Park(keeper, self._num_parkings))
        piece.parked = self._num_parkings
        self._parked[piece.parked] = piece
        self.num_parked += piece.size
        while self.num_parked > self._max_parked:
            self._drop(next(iter(self._parked.values())))

    def _drop(self, piece: Piece) -> None:
        """Forget a piece that is in no cells, and all that follows on it."""
        doomed = [piece]
        for each in doomed:
            doomed += each.children.values()
        for each in reversed(doomed):
            if each.parked is not None:
                self.operations.append(Forget(each.parked))
                del self._parked[each.parked]
                self.num_parked -= each.size
                each.parked = None
            self.tree.remove(each)

    def _set_keeper(self, piece: Piece, keeper: int) -> None:
        piece.keeper = keeper
        self._in_cells.add(piece)

    def _take_away_keeper(self, piece: Piece) -> int:
        """Return the slot that kept a piece, free for another one."""
        keeper, piece.keeper = piece.keeper, None
        assert keeper is not None
        self._keepers.append(keeper)
        self._in_cells.remove(piece)
        self.num_used -= piece.size
        return keeper

    def _pin(self, piece: Piece) -> None:
        self.num_pinned += 0 if piece.num_users else piece.size
        piece.num_users += 1

    def unpin(self, piece: Piece) -> None:
        """Note that a sequence does not use a piece any more."""
        piece.num_users -= 1
        self.num_pinned -= 0 if piece.num_users else piece.size

    def touch(self, pieces: Iterable[Piece]) -> None:
        """Note that pieces are used now."""
        self._clock += 1
        for piece in pieces:
            piece.last_used = self._clock

    def add(self, parent: Piece, tokens: Sequence[int], source: int) -> Piece | None:
        """Return a new piece, of cells that the slot `source` goes on using.

        None if there is no slot to keep it.
        """
        keeper = self._take_keeper()
        if keeper is None:
            return None
        piece = self.tree.add(parent, tokens)
        piece.num_users, piece.last_used = 1, self._clock
        self._set_keeper(piece, keeper)
        self.operations.append(CopyRange(source, keeper, piece.start, piece.stop))
        return piece
