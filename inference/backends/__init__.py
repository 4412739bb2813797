"""One file per API; `base.py` is the contract they all keep."""
