"""A server on the Python SDK whose event streams can be taken up where they broke.

resumable.py NAME PORT
"""

import sys
import uuid

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http import EventMessage, EventStore

name, port = sys.argv[1], int(sys.argv[2])
server = MCPServer(name)


class Store(EventStore):
    """As in the SDK's examples: what was never given is the beginning of nothing."""

    def __init__(self):
        self.events = []

    async def store_event(self, stream_id, message):
        event_id = str(uuid.uuid4())
        self.events.append((event_id, stream_id, message))
        return event_id

    async def replay_events_after(self, last_event_id, send_callback):
        at = next((i for i, e in enumerate(self.events) if e[0] == last_event_id), None)
        if at is None:
            return None
        stream = self.events[at][1]
        for event_id, of, message in self.events[at + 1 :]:
            if of == stream and message is not None:
                await send_callback(EventMessage(message, event_id))
        return stream


@server.tool()
def where() -> str:
    return name


@server.tool()
async def announce(ctx: Context) -> str:
    await ctx.session.send_tool_list_changed()
    return name


@server.tool()
async def work(steps: int, ctx: Context) -> str:
    for step in range(1, steps + 1):
        await ctx.report_progress(step, steps)
        await anyio.sleep(0.1)
    return name


server.run("streamable-http", host="127.0.0.1", port=port, event_store=Store())
