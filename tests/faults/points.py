"""Where a worker can be told to die, in the order in which a reply passes by."""

CLAIMED = "claimed, nothing shown"
STREAMING = "in mid-reply"
WRITTEN = "all text there, not stored"
STORED = "stored, not committed"
COMMITTED = "committed, not announced"
ANNOUNCED = "announced, the next not queued"
POINTS = (CLAIMED, STREAMING, WRITTEN, STORED, COMMITTED, ANNOUNCED)

# followed by a word: dies with every question that has it
POISON = "poison"

# followed by a place: the thread stays there for ever
HANG = "hang"
