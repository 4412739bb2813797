"""A radix tree over the tokens of prompts: what begins alike is there once.

Pure bookkeeping, see `kv_cache.py` for what the pieces stand for.
"""

from collections.abc import Iterator, Sequence


class Piece:
    """A node: the tokens between two places where prompts part, or end.

    `num_users` are the running sequences that read it. Its keys and values are in the
    cells of the slot `keeper`, or parked under the key `parked`, never both; only the
    root, which has no tokens, has neither.
    """

    def __init__(self, parent: "Piece | None", start: int, tokens: list[int]) -> None:
        self.parent = parent
        self.start = start
        self.tokens = tokens
        self.children: dict[int, Piece] = {}
        self.keeper: int | None = None
        self.parked: int | None = None
        self.num_users = 0
        self.last_used = 0

    def __repr__(self) -> str:
        place = f"parked {self.parked}" if self.keeper is None else f"in {self.keeper}"
        return f"<Piece {self.start}-{self.stop} {place} users={self.num_users}>"

    @property
    def size(self) -> int:
        """Return how many tokens it has."""
        return len(self.tokens)

    @property
    def stop(self) -> int:
        """Return the position behind its last token."""
        return self.start + len(self.tokens)

    @property
    def is_in_cells(self) -> bool:
        """Return whether it can be shared as it is."""
        return self.keeper is not None

    @property
    def has_children_in_cells(self) -> bool:
        """Return whether a piece behind it can be shared as it is."""
        return any(child.is_in_cells for child in self.children.values())

    def path(self) -> Iterator["Piece"]:
        """Yield this piece and those before it, without the root."""
        piece = self
        while piece.parent is not None:
            yield piece
            piece = piece.parent


class PrefixTree:
    """The pieces. Invariant: of a piece's children no two begin with the same token."""

    def __init__(self) -> None:
        self.root = Piece(None, 0, [])

    def __iter__(self) -> Iterator[Piece]:
        """Yield all pieces but the root, parents first."""
        waiting = list(self.root.children.values())
        while waiting:
            piece = waiting.pop()
            yield piece
            waiting += piece.children.values()

    def match(self, tokens: Sequence[int]) -> list[tuple[Piece, int]]:
        """Return the pieces that `tokens` begin with, and how much of each.

        Only of the last one it may be less than all. Takes time by the length of
        `tokens`, however many pieces there are.
        """
        found = []
        piece, place = self.root, 0
        while place < len(tokens):
            child = piece.children.get(tokens[place])
            if child is None:
                break
            length = count_shared(child.tokens, tokens[place : place + child.size])
            found.append((child, length))
            if length < child.size:
                break
            piece, place = child, place + length
        return found

    def add(self, parent: Piece, tokens: Sequence[int]) -> Piece:
        """Return a new piece behind `parent`, where none begins with that token."""
        if not tokens or tokens[0] in parent.children:
            raise ValueError(f"{parent!r} is not where these tokens part")
        piece = Piece(parent, parent.stop, list(tokens))
        parent.children[tokens[0]] = piece
        return piece

    def split(self, piece: Piece, length: int) -> Piece:
        """Cut off the first `length` tokens; return them as a piece before `piece`.

        Whoever reads the piece reads both parts. The new one is nowhere yet.
        """
        if not 0 < length < piece.size or piece.parent is None:
            raise ValueError(f"{piece!r} cannot be split at {length}")
        head = Piece(piece.parent, piece.start, piece.tokens[:length])
        head.num_users, head.last_used = piece.num_users, piece.last_used
        piece.parent.children[head.tokens[0]] = head
        piece.parent, piece.start = head, head.stop
        del piece.tokens[:length]
        head.children[piece.tokens[0]] = piece
        return head

    def join(self, piece: Piece) -> None:
        """Take the only piece that follows on this one into it."""
        (child,) = piece.children.values()
        if piece.parent is None or child.num_users != piece.num_users:
            raise ValueError(f"{piece!r} and {child!r} are used apart")
        piece.tokens += child.tokens
        piece.children = child.children
        for grandchild in piece.children.values():
            grandchild.parent = piece
        child.parent = None

    def remove(self, piece: Piece) -> None:
        """Take a piece out that nothing follows."""
        if piece.children or piece.parent is None:
            raise ValueError(f"{piece!r} is not a leaf")
        del piece.parent.children[piece.tokens[0]]
        piece.parent = None


def count_shared(left: Sequence[int], right: Sequence[int]) -> int:
    """Return the length of the longest common prefix, by bisection over slices."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
