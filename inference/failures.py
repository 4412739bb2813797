"""Says in plain words why a call failed, and what an operator can do."""

# by the names of the classes in errors.py, which is what ledgers keep
_WORDS = {
    "Unavailable": "It could not be reached, or it is down. Is the endpoint right, and "
    "the server running?",
    "Overloaded": "It refuses more work for now. Try again later, or ask its provider "
    "for a higher limit.",
    "Timeout": "It did not answer in time. The seconds it may take are on this page.",
    "Interrupted": "Its answer broke off in the middle.",
    "InvalidResponse": "Its answer is not what this kind of API answers. Are the kind "
    "and the endpoint right?",
    "AuthenticationFailed": "It refuses the key, or the key may not use this model. "
    "Enter another key.",
    "AccountExhausted": "The account behind the key has no money or quota left. Pay in "
    "or raise the limit at its provider.",
    "Misconfigured": "There is no such model or address, or it may not be asked. Are "
    "the model's name and the endpoint right?",
    "OperatorNeeded": "It will fail until somebody changes something.",
    "ContentRefused": "Its filter holds this request back.",
    "RequestRejected": "It refuses this request. Are the model's name and the options "
    "right?",
    "PromptTooLong": "The model cannot read so much at once.",
    "Poisonous": "The engine died of this request and will not try it again.",
}


# the subclasses of OperatorNeeded
_HOPELESS = {
    "AccountExhausted",
    "AuthenticationFailed",
    "Misconfigured",
    "OperatorNeeded",
}


def needs_operator(error: str) -> bool:
    """Return whether every further call would fail until a person acts."""
    return error in _HOPELESS


def explain(error: str, detail: str = "") -> str:
    """Return a sentence for the operator, and what was said in its own words."""
    words = _WORDS.get(error, f"The call failed ({error})." if error else "")
    return f"{words} ({detail})" if detail else words
