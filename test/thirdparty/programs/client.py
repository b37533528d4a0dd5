"""A client of the Python SDK that takes one command a line and answers each with one
line; see package thirdparty for the words."""

import json
import sys
import time

import anyio
from mcp.client.client import Client
from mcp.client.subscriptions import SubscriptionLost


def connection(command, on_message=None):
    mode = "auto" if command.get("era") == "modern" else "legacy"
    return Client(command["url"], mode=mode, read_timeout_seconds=60, cache=None, message_handler=on_message)


def innermost(error):
    while getattr(error, "exceptions", None):
        error = error.exceptions[0]
    return error


class Crew:
    """Many connections that call the same tool; see the Go client's for what they do."""

    def __init__(self, command, tasks):
        self.command = command
        self.stop = anyio.Event()
        self.left = command["size"]
        self.done = anyio.Event()
        self.tally = {"calls": 0, "good": 0, "opened": 0, "refused": 0, "dead": 0, "errors": {}}
        for i in range(command["size"]):
            tasks.start_soon(self.work, i)

    async def dismiss(self):
        self.stop.set()
        await self.done.wait()
        return self.tally

    async def wait(self, seconds):
        with anyio.move_on_after(seconds):
            await self.stop.wait()

    async def work(self, i):
        await self.wait(self.command["pauseMs"] / 1000 * i / self.command["size"])
        try:
            again = True
            while again:
                again = await self.connected(10 if i < self.command.get("reopen", 0) else None)
        finally:
            self.left -= 1
            if self.left == 0:
                self.done.set()

    async def connected(self, calls):
        """One connection for a number of calls, or to the end; False: there is no more to do."""
        at_end, opened, over, good = self.stop.is_set(), False, False, False
        try:
            async with connection(self.command) as client:
                self.tally["opened"] += 1
                opened = True
                while not self.stop.is_set():
                    if over := calls == 0:
                        return True
                    await self.call(client)
                    calls = calls - 1 if calls else calls
                    await self.wait(self.command["pauseMs"] / 1000)
                deadline = time.monotonic() + 60
                while not (good := await self.call(client)) and time.monotonic() < deadline:
                    await anyio.sleep(0.2)
        except Exception as error:
            self.note(error)
            if not opened:
                self.tally["refused"] += 1
                await self.wait(0.2)
                if not at_end:
                    return True
        if not good and not over:
            self.tally["dead"] += 1
        return over

    async def call(self, client):
        self.tally["calls"] += 1
        try:
            result = await client.call_tool(self.command["tool"], self.command.get("arguments") or {})
            if result.is_error:
                raise ValueError("\n".join(c.text for c in result.content if c.type == "text"))
            self.tally["good"] += 1
            return True
        except Exception as error:
            self.note(error)
            return False

    def note(self, error):
        error = innermost(error)
        text, errors = f"{type(error).__name__}: {error}", self.tally["errors"]
        if text in errors or len(errors) < 20:
            errors[text] = errors.get(text, 0) + 1


class Commands:
    def __init__(self, tasks):
        self.client = None
        self.tasks = tasks
        self.changes = 0

    async def crew(self, command):
        self.members = Crew(command, self.tasks)
        return {}

    async def dismiss(self, command):
        return {"tally": await self.members.dismiss()}

    async def connect(self, command):
        client = connection(command, self.on_message if command.get("listen") else None)
        await client.__aenter__()
        self.client = client
        if command.get("listen") and command.get("era") == "modern":
            await self.tasks.start(self.listening, client)
        return {"version": str(client.protocol_version)}

    async def on_message(self, message):
        if getattr(getattr(message, "root", message), "method", "") == "notifications/tools/list_changed":
            self.changes += 1

    async def listening(self, client, *, task_status):
        try:
            async with client.listen(tools_list_changed=True) as changes:
                task_status.started()
                async for _ in changes:
                    self.changes += 1
        except SubscriptionLost:
            pass

    async def heard(self, command):
        return {"changes": self.changes}

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
    async with anyio.create_task_group() as tasks:
        await serve(Commands(tasks))


async def serve(commands):
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        command = json.loads(line)
        try:
            answer = {"ok": True, **await getattr(commands, command["do"])(command)}
        except Exception as error:
            error = innermost(error)
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
            code = getattr(getattr(error, "error", None), "code", None)
            if isinstance(code, int):
                answer["code"] = code
        print(json.dumps(answer), flush=True)


anyio.run(main)
