"""A server on the Python SDK: tools that answer, report progress and fail.

    server.py PORT
"""

import sys

import anyio
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("python-tools")


@server.tool()
def echo(message: str) -> str:
    return f"Echo: {message}"


@server.tool()
async def work(steps: int, ctx: Context) -> str:
    for step in range(1, steps + 1):
        await ctx.report_progress(step, steps)
        await anyio.sleep(0.1)
    return f"{steps} steps done"


@server.tool()
def broken() -> str:
    raise ValueError("this tool is broken")


server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
