"""OpenAI's responses API as Codex speaks it, streamed; must never answer more than was asked for."""

import json
from collections.abc import Iterator
from typing import Any

from tests.ide.standin import Asked, Call, Say, events

JSON = "application/json"
USAGE = {
    "input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15,
}  # fmt: skip


class OpenAI:
    """POST …/responses with tools is the agent; the title of a session comes beside it."""

    def read(self, path: str, body: Any) -> Asked | None:
        """A turn of the agent is one that offers tools."""
        if not path.split("?")[0].endswith("/responses") or not (body or {}).get("tools"):
            return None
        results = tuple(_text(item.get("output", "")) for item in body["input"] if str(item.get("type")).endswith("_output"))
        spoken = "\n".join(_text(item.get("content") or item.get("output") or "") for item in body["input"])
        schemas = dict(_schemas(body["tools"]))
        return Asked(path, body, spoken, tuple(schemas), results, schemas)

    def beside(self, path: str, body: Any) -> tuple[str, bytes]:
        """A short text for what wants a response, no models, nothing else."""
        if path.split("?")[0].endswith("/responses"):
            return self.write(Asked(path, body, ""), Say("title"), 0)
        return JSON, b'{"object": "list", "data": [], "models": []}'

    def write(self, asked: Asked, answer: Say | Call, number: int) -> tuple[str, bytes]:
        """One output item."""
        response = {"id": f"resp_{number}", "object": "response", "status": "in_progress", "output": []}
        item = _item(asked, answer, number)
        return "text/event-stream", events([
            ("response.created", {"type": "response.created", "response": response}),
            ("response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}),
            ("response.completed", {"type": "response.completed",
                                    "response": {**response, "status": "completed", "output": [item], "usage": USAGE}}),
        ])  # fmt: skip


def _item(asked: Asked, answer: Say | Call, number: int) -> dict[str, Any]:
    if isinstance(answer, Say):
        content = [{"type": "output_text", "text": answer.text, "annotations": []}]
        return {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": content}
    space, _, name = answer.tool.rpartition(".")
    named = {"name": name, "namespace": space} if space else {"name": name}
    return {
        "type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "status": "completed",
        "arguments": json.dumps(dict(answer.arguments)), **named,
    }  # fmt: skip


def _schemas(tools: list[dict[str, Any]], space: str = "") -> Iterator[tuple[str, Any]]:
    for tool in tools:
        if tool.get("type") == "namespace":
            yield from _schemas(tool.get("tools", []), f"{tool['name']}.")
        else:
            yield f"{space}{tool.get('name', tool.get('type'))}", tool.get("parameters", {})


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
