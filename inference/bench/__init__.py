"""How fast the engine is, beside what people use instead: `python -m inference.bench`.

`docs/measurements.md` has the tables and the commands.
"""
