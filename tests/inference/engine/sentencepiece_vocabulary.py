"""A GGUF file that holds nothing but a small vocabulary of the SentencePiece kind."""

import struct

WORDS = [*"abcdefghijklmnopqrstuvwxyzTHY[]/INS.?", "He", "Hel", "lo", "Hello"]
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def write_vocabulary(path, words=WORDS):
    tokens = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    tokens += [("<|user|>", CONTROL)]
    tokens += [(f"<0x{value:02X}>", BYTE) for value in range(256)]
    tokens += [("\u2581", NORMAL)]
    tokens += [(mark + word, NORMAL) for word in words for mark in ("", "\u2581")]
    tokens += [("\u2581Hel", NORMAL), ("\u2581He", NORMAL)]
    kinds = dict(tokens)
    texts = list(kinds)
    fields = [
        _text("general.architecture", "llama"),
        _text("tokenizer.ggml.model", "llama"),
        _array("tokenizer.ggml.tokens", 8, [_string(text) for text in texts]),
        _array("tokenizer.ggml.scores", 6, [struct.pack("<f", len(t)) for t in texts]),
        _array(
            "tokenizer.ggml.token_type",
            5,
            [struct.pack("<i", kinds[text]) for text in texts],
        ),
    ]
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, len(fields))
    path.write_bytes(header + b"".join(fields))


def _string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _text(key, value):
    return _string(key) + struct.pack("<I", 8) + _string(value)


def _array(key, kind, items):
    head = struct.pack("<IIQ", 9, kind, len(items))
    return _string(key) + head + b"".join(items)
