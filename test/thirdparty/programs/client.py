"""A client of the Python SDK that takes one command a line and answers each with one
line; see package thirdparty for the words."""

import json
import sys

import anyio
from mcp.client.client import Client


class Commands:
    def __init__(self):
        self.client = None

    async def connect(self, command):
        mode = "auto" if command.get("era") == "modern" else "legacy"
        client = Client(command["url"], mode=mode, read_timeout_seconds=20, cache=None)
        await client.__aenter__()
        self.client = client
        return {"version": str(client.protocol_version)}

    async def list(self, command):
        result = await self.client.list_tools()
        return {"tools": [tool.name for tool in result.tools]}

    async def call(self, command):
        seen = 0

        async def on_progress(*_):
            nonlocal seen
            seen += 1

        callback = on_progress if command.get("progress") else None
        result = await self.client.call_tool(command["tool"], command.get("arguments") or {}, progress_callback=callback)
        text = "\n".join(c.text for c in result.content if c.type == "text")
        return {"isError": bool(result.is_error), "text": text, "progress": seen}

    async def close(self, command):
        if self.client is not None:
            client, self.client = self.client, None
            await client.__aexit__(None, None, None)
        return {}


async def main():
    commands = Commands()
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        command = json.loads(line)
        try:
            answer = {"ok": True, **await getattr(commands, command["do"])(command)}
        except Exception as error:
            while getattr(error, "exceptions", None):
                error = error.exceptions[0]
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
            code = getattr(getattr(error, "error", None), "code", None)
            if isinstance(code, int):
                answer["code"] = code
        print(json.dumps(answer), flush=True)


anyio.run(main)
