"""The shapes of answers and chunks that clients of OpenAI's API rely on, as JSON Schemas (PROTOCOL §4)."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _closed(*, optional: Json | None = None, **required: Json) -> Json:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
NULLABLE: Json = {"type": ["string", "null"]}
FINISH = ["stop", "length", "tool_calls", "content_filter"]
USAGE = _closed(
    prompt_tokens=COUNT,
    completion_tokens=COUNT,
    total_tokens=COUNT,
    prompt_tokens_details=_closed(cached_tokens=COUNT),
    completion_tokens_details=_closed(reasoning_tokens=COUNT),
)
CALL = _closed(
    id={"type": "string", "pattern": "^call_"},
    type={"const": "function"},
    function=_closed(name={"type": "string", "minLength": 1}, arguments=TEXT),
)
CALL_PIECE = {
    "anyOf": [
        _closed(index=COUNT, id=TEXT, type={"const": "function"}, function=_closed(name=TEXT, arguments=TEXT)),
        _closed(index=COUNT, function=_closed(arguments=TEXT)),
    ]
}
CITATION = _closed(
    type={"const": "url_citation"},
    url_citation=_closed(url=TEXT, title=TEXT, start_index=COUNT, end_index=COUNT),
)
HEAD: Json = {
    "id": {"type": "string", "pattern": "^chatcmpl-"},
    "created": {"type": "integer", "minimum": 1},
    "model": {"type": "string", "minLength": 1},
    "service_tier": {"const": "default"},
}
EXTRA: Json = {"reasoning_content": TEXT, "groundingMetadata": {"type": "object"}}
ANSWER = _closed(
    **HEAD,
    object={"const": "chat.completion"},
    usage=USAGE,
    choices={
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": _closed(
            index={"const": 0},
            logprobs={"type": "null"},
            finish_reason={"enum": FINISH},
            message=_closed(
                role={"const": "assistant"},
                content=NULLABLE,
                refusal=NULLABLE,
                annotations={"type": "array", "items": CITATION},
                optional={"tool_calls": {"type": "array", "minItems": 1, "items": CALL}, **EXTRA},
            ),
        ),
    },
)
CHUNK = _closed(
    **HEAD,
    object={"const": "chat.completion.chunk"},
    usage={"anyOf": [{"type": "null"}, USAGE]},
    choices={
        "type": "array",
        "maxItems": 1,
        "items": _closed(
            index={"const": 0},
            logprobs={"type": "null"},
            finish_reason={"enum": [None, *FINISH]},
            delta=_closed(
                optional={
                    "role": {"const": "assistant"},
                    "content": TEXT,
                    "refusal": NULLABLE,
                    "annotations": {"type": "array", "items": CITATION},
                    "tool_calls": {"type": "array", "minItems": 1, "items": CALL_PIECE},
                    **EXTRA,
                }
            ),
        ),
    },
)
