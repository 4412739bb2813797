"""Where the providers answer that need no base URL of the operator.

Apart from their backends, so that nobody loads an SDK for the name of a host.
"""

OPENAI = "https://api.openai.com/v1"
ANTHROPIC = "https://api.anthropic.com"
GEMINI = "https://generativelanguage.googleapis.com"
