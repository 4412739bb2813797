import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.prefix_tree import PrefixTree, count_shared

TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=8)


def insert(tree, tokens):
    """Add tokens, splitting where they part from others."""
    path = tree.match(tokens)
    piece, place = tree.root, 0
    for found, length in path:
        piece = found if length == found.size else tree.split(found, length)
        place += length
    return tree.add(piece, tokens[place:]) if place < len(tokens) else piece


def read(piece):
    """Return all tokens up to the end of a piece."""
    return [token for part in reversed([*piece.path()]) for token in part.tokens]


@given(st.lists(TOKENS, max_size=12), TOKENS)
def test_finds_the_longest_beginning_that_was_ever_inserted(known, wanted):
    tree = PrefixTree()
    for tokens in known:
        insert(tree, tokens)
    expected = max((count_shared(tokens, wanted) for tokens in known), default=0)
    assert sum(length for _, length in tree.match(wanted)) == expected


@given(st.lists(TOKENS, max_size=12))
def test_keeps_what_begins_alike_once(known):
    tree = PrefixTree()
    for tokens in known:
        insert(tree, tokens)
    prefixes = {tuple(t[: n + 1]) for t in known for n in range(len(t))}
    assert sum(piece.size for piece in tree) == len(prefixes)
    assert {tuple(read(piece)) for piece in tree} <= prefixes


@given(st.lists(TOKENS, min_size=1, max_size=12), st.data())
def test_a_removed_leaf_is_gone_and_nothing_else(known, data):
    tree = PrefixTree()
    for tokens in known:
        insert(tree, tokens)
    leaves = [piece for piece in tree if not piece.children]
    leaf = data.draw(st.sampled_from(leaves))
    tokens, num_before = read(leaf), leaf.start
    others = {tuple(read(piece)) for piece in tree if piece is not leaf}
    tree.remove(leaf)
    assert sum(length for _, length in tree.match(tokens)) == num_before
    assert {tuple(read(piece)) for piece in tree} == others


def test_a_split_piece_has_the_same_users_in_both_parts():
    tree = PrefixTree()
    piece = tree.add(tree.root, [1, 2, 3])
    piece.num_users, piece.last_used = 2, 7
    head = tree.split(piece, 1)
    assert (head.num_users, head.last_used, piece.num_users) == (2, 7, 2)
    assert (head.start, head.stop, piece.start, piece.stop) == (0, 1, 1, 3)
    assert piece.parent is head


def test_what_was_split_can_be_joined_again():
    tree = PrefixTree()
    piece = tree.add(tree.root, [1, 2, 3])
    tree.add(piece, [7])
    head = tree.split(piece, 1)
    tree.join(head)
    assert (head.tokens, head.start, list(head.children)) == ([1, 2, 3], 0, [7])
    assert [p.size for p in tree] == [3, 1]


def test_refuses_to_join_what_is_used_apart():
    tree = PrefixTree()
    head = tree.add(tree.root, [1])
    head.num_users = 1
    tree.add(head, [2])
    with pytest.raises(ValueError, match="used apart"):
        tree.join(head)


@pytest.mark.parametrize("length", [0, 3, 4])
def test_refuses_to_split_where_there_is_no_inside(length):
    tree = PrefixTree()
    piece = tree.add(tree.root, [1, 2, 3])
    with pytest.raises(ValueError, match="cannot be split"):
        tree.split(piece, length)


def test_refuses_two_pieces_that_begin_alike():
    tree = PrefixTree()
    tree.add(tree.root, [1, 2])
    with pytest.raises(ValueError, match="not where these tokens part"):
        tree.add(tree.root, [1, 3])


def test_refuses_to_remove_what_others_follow_on():
    tree = PrefixTree()
    piece = tree.add(tree.root, [1, 2])
    tree.add(piece, [3])
    with pytest.raises(ValueError, match="not a leaf"):
        tree.remove(piece)


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_counts_the_common_beginning(left, right):
    shared = count_shared(left, right)
    assert left[:shared] == right[:shared]
    assert left[shared : shared + 1] != right[shared : shared + 1] or shared == min(
        len(left), len(right)
    )
