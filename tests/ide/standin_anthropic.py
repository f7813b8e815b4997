"""Anthropic's messages API as Claude Code speaks it, streamed; must never answer more than was asked for."""

import json
from typing import Any

from tests.ide.standin import Asked, Call, Say, events

USAGE = {"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
JSON = "application/json"


class Anthropic:
    """POST /v1/messages with tools is the agent; titles, topics and counts come beside it."""

    def read(self, path: str, body: Any) -> Asked | None:
        """A turn of the agent is one that offers tools."""
        if not path.startswith("/v1/messages") or "count_tokens" in path or not (body or {}).get("tools"):
            return None
        blocks = [block for message in body["messages"] for block in _blocks(message["content"])]
        results = tuple(_text(block.get("content", "")) for block in blocks if block.get("type") == "tool_result")
        spoken = "\n".join(_text([block]) for block in blocks)
        schemas = {tool["name"]: tool.get("input_schema", {}) for tool in body["tools"]}
        return Asked(path, body, spoken, tuple(schemas), results, schemas)

    def beside(self, path: str, body: Any) -> tuple[str, bytes]:
        """A short text for what wants a message, a number for what counts, nothing for the rest."""
        if "count_tokens" in path:
            return JSON, b'{"input_tokens": 10}'
        if path.startswith("/v1/messages") and body:
            return self.write(Asked(path, body, ""), Say("{}"), 0)
        return JSON, b"{}"

    def write(self, asked: Asked, answer: Say | Call, number: int) -> tuple[str, bytes]:
        """One content block, streamed if the program wants a stream."""
        block, delta = _block(answer, number)
        reason = "tool_use" if isinstance(answer, Call) else "end_turn"
        message = {
            "id": f"msg_{number}", "type": "message", "role": "assistant", "model": asked.body.get("model", "m"),
            "content": [], "stop_reason": None, "stop_sequence": None, "usage": USAGE,
        }  # fmt: skip
        if not asked.body.get("stream"):
            whole = {**block, **({"text": answer.text} if isinstance(answer, Say) else {"input": dict(answer.arguments)})}
            return JSON, json.dumps({**message, "content": [whole], "stop_reason": reason}).encode()
        return "text/event-stream", events([
            ("message_start", {"type": "message_start", "message": message}),
            ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": block}),
            ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}),
            ("content_block_stop", {"type": "content_block_stop", "index": 0}),
            ("message_delta", {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": USAGE}),
            ("message_stop", {"type": "message_stop"}),
        ])  # fmt: skip


def _block(answer: Say | Call, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(answer, Say):
        return {"type": "text", "text": ""}, {"type": "text_delta", "text": answer.text}
    use = {"type": "tool_use", "id": f"toolu_{number}", "name": answer.tool, "input": {}}
    return use, {"type": "input_json_delta", "partial_json": json.dumps(dict(answer.arguments))}


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _text(content: Any) -> str:
    blocks = _blocks(content)
    return "\n".join(block.get("text") or (_text(block["content"]) if "content" in block else "") for block in blocks)
