"""Gemini's generateContent API as Gemini CLI speaks it, streamed; must never answer more than was asked for."""

import json
from typing import Any

from tests.ide.standin import Asked, Call, Say, events

JSON = "application/json"
USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}


class Gemini:
    """POST …:streamGenerateContent with tools is the agent; routing, counting and summing up come beside it."""

    def read(self, path: str, body: Any) -> Asked | None:
        """A turn of the agent is one that offers tools."""
        declared = [one for tool in (body or {}).get("tools", []) for one in tool.get("functionDeclarations", [])]
        if "enerateContent" not in path or not declared:
            return None
        parts = [part for content in body["contents"] for part in content.get("parts", [])]
        results = tuple(_result(part) for part in parts if "functionResponse" in part)
        spoken = "\n".join(part.get("text") or _result(part) for part in parts)
        schemas = {one["name"]: one.get("parametersJsonSchema") or one.get("parameters", {}) for one in declared}
        return Asked(path, body, spoken, tuple(schemas), results, schemas)

    def beside(self, path: str, body: Any) -> tuple[str, bytes]:
        """A number for what counts, an empty object as text for what asks."""
        if "countTokens" in path:
            return JSON, b'{"totalTokens": 10}'
        return self.write(Asked(path, body, ""), Say("{}"), 0)

    def write(self, asked: Asked, answer: Say | Call, number: int) -> tuple[str, bytes]:
        """One part."""
        if isinstance(answer, Say):
            part: dict[str, Any] = {"text": answer.text}
        else:
            part = {"functionCall": {"id": f"call_{number}", "name": answer.tool, "args": dict(answer.arguments)}}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        value = {"candidates": [candidate], "usageMetadata": USAGE, "modelVersion": "m"}
        if "streamGenerateContent" in asked.path:
            return "text/event-stream", events([("", value)])
        return JSON, json.dumps(value).encode()


def _result(part: dict[str, Any]) -> str:
    answer = part.get("functionResponse", {}).get("response")
    return "" if answer is None else str(answer.get("output", json.dumps(answer)))
