// A server on the TypeScript SDK 1.x whose event streams can be taken up where they
// broke, wired as in the SDK's examples: it refuses sessions that it does not know by 400.
//
//	node resumable.mjs NODE_MODULES NAME PORT
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, name, port] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(modules, "@modelcontextprotocol/sdk/dist/esm", path)).href);
const { McpServer } = await load("server/mcp.js");
const { StreamableHTTPServerTransport } = await load("server/streamableHttp.js");
const { isInitializeRequest } = await load("types.js");

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const text = { content: [{ type: "text", text: name }] };

// Store is that of the npm everything-server: what was never given is the beginning of nothing.
class Store {
  events = new Map();

  async storeEvent(streamId, message) {
    const id = randomUUID();
    this.events.set(id, { streamId, message });
    return id;
  }

  async replayEventsAfter(lastEventId, { send }) {
    const all = [...this.events.entries()];
    const at = all.findIndex(([id]) => id === lastEventId);
    if (at < 0) return lastEventId;
    const { streamId } = all[at][1];
    for (const [id, event] of all.slice(at + 1)) {
      if (event.streamId === streamId && event.message) await send(id, event.message);
    }
    return streamId;
  }
}

function open() {
  const server = new McpServer({ name, version: "1" }, { capabilities: { tools: { listChanged: true } } });
  server.registerTool("where", {}, async () => text);
  server.registerTool("announce", {}, async () => {
    server.sendToolListChanged();
    return text;
  });
  server.registerTool("work", {}, async ({ _meta, sendNotification }) => {
    for (let progress = 1; progress <= 600; progress++) {
      await sendNotification({ method: "notifications/progress", params: { progressToken: _meta?.progressToken ?? 0, progress } });
      await sleep(100);
    }
    return text;
  });
  return server;
}

const transports = new Map();

createServer(async (request, response) => {
  if (request.url !== "/mcp") return response.writeHead(200).end();
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : undefined;
  let transport = transports.get(request.headers["mcp-session-id"]);
  if (!transport && body && isInitializeRequest(body)) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(), eventStore: new Store(),
      onsessioninitialized: (id) => void transports.set(id, transport),
    });
    await open().connect(transport);
  }
  if (!transport) {
    const error = { jsonrpc: "2.0", error: { code: -32000, message: "Bad Request: No valid session ID provided" }, id: null };
    return response.writeHead(400, { "Content-Type": "application/json" }).end(JSON.stringify(error));
  }
  await transport.handleRequest(request, response, body);
}).listen(Number(port), "127.0.0.1");
