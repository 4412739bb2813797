"""The wire protocol's JSON Schema, for validating frames in tests."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator, FormatChecker

_SCHEMA = json.loads(
    (Path(__file__).resolve().parents[1] / "docs/protocol.schema.json").read_text()
)


def _validator(name: str) -> Draft202012Validator:
    schema = {"$ref": f"#/$defs/{name}", "$defs": _SCHEMA["$defs"]}
    return Draft202012Validator(schema, format_checker=FormatChecker())


_CLIENT, _SERVER = _validator("client_frame"), _validator("server_frame")


def client_frame_errors(frame: object) -> list[str]:
    return [error.message for error in _CLIENT.iter_errors(frame)]


def server_frame_errors(frame: object) -> list[str]:
    """Return what is wrong; a schema cannot say that two fields are equal."""
    errors = [error.message for error in _SERVER.iter_errors(frame)]
    if not errors and isinstance(frame, dict) and frame["type"] == "done":
        states = frame["state"], frame["message"]["state"]
        errors += [f"two states: {states}"] * (states[0] != states[1])
    return errors
