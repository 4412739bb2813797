"""Which backend answers: order, deadlines, breaker, load."""
