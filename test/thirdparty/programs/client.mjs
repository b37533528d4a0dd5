// A client of a TypeScript SDK that takes one command a line and answers each with
// one line; see package thirdparty for the words.
//
//	node client.mjs NODE_MODULES sdk|client
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, which] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(modules, "@modelcontextprotocol", path)).href);

let Client, Transport;
if (which === "sdk") {
  ({ Client } = await load("sdk/dist/esm/client/index.js"));
  ({ StreamableHTTPClientTransport: Transport } = await load("sdk/dist/esm/client/streamableHttp.js"));
} else {
  ({ Client, StreamableHTTPClientTransport: Transport } = await load("client/dist/index.mjs"));
}

let client, transport;
const text = (result) => (result.content ?? []).filter((c) => c.type === "text").map((c) => c.text).join("\n");

const commands = {
  async connect({ url, era }) {
    const options = which === "client" && era === "modern" ? { versionNegotiation: { mode: "auto" } } : {};
    client = new Client({ name: `typescript-${which}`, version: "1" }, options);
    transport = new Transport(new URL(url));
    await client.connect(transport, { timeout: 20000 });
    const version = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
    return { version };
  },
  async list() {
    return { tools: (await client.listTools(undefined, { timeout: 20000 })).tools.map((t) => t.name) };
  },
  async call({ tool, arguments: args, progress }) {
    let seen = 0;
    const options = { timeout: 20000, ...(progress ? { onprogress: () => seen++ } : {}) };
    const params = { name: tool, arguments: args ?? {} };
    const result = which === "sdk" ? await client.callTool(params, undefined, options) : await client.callTool(params, options);
    return { isError: result.isError === true, text: text(result), progress: seen };
  },
  async close() {
    await client?.close();
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { ok: true, ...(await commands[command.do](command)) };
  } catch (error) {
    answer = { ok: false, error: String(error?.message ?? error), code: error?.code };
    if (typeof answer.code !== "number") delete answer.code;
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
process.exit(0);
