// A client of a TypeScript SDK that takes one command a line and answers each with
// one line; see package thirdparty for the words.
//
//	node client.mjs NODE_MODULES sdk|client
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, which] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(modules, "@modelcontextprotocol", path)).href);

let Client, Transport, Changed;
if (which === "sdk") {
  ({ Client } = await load("sdk/dist/esm/client/index.js"));
  ({ StreamableHTTPClientTransport: Transport } = await load("sdk/dist/esm/client/streamableHttp.js"));
  ({ ToolListChangedNotificationSchema: Changed } = await load("sdk/dist/esm/types.js"));
} else {
  ({ Client, StreamableHTTPClientTransport: Transport } = await load("client/dist/index.mjs"));
  Changed = "notifications/tools/list_changed";
}

let client, transport, crew, changes = 0;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const text = (result) => (result.content ?? []).filter((c) => c.type === "text").map((c) => c.text).join("\n");

async function open({ url, era, listen }) {
  const options = which === "client" && era === "modern" ? { versionNegotiation: { mode: "auto" } } : {};
  const client = new Client({ name: `typescript-${which}`, version: "1" }, options);
  const transport = new Transport(new URL(url));
  if (listen) client.setNotificationHandler(Changed, () => void changes++);
  await client.connect(transport, { timeout: 60000 });
  if (listen && era === "modern") await client.listen({ toolsListChanged: true }, { timeout: 60000 });
  return { client, transport };
}

async function call(client, { tool, arguments: args, progress }) {
  let seen = 0;
  const options = { timeout: 60000, ...(progress ? { onprogress: () => seen++ } : {}) };
  const params = { name: tool, arguments: args ?? {} };
  const result = which === "sdk" ? await client.callTool(params, undefined, options) : await client.callTool(params, options);
  return { isError: result.isError === true, text: text(result), progress: seen };
}

// Crew is many connections that call the same tool; see the Go client's for what they do.
class Crew {
  tally = { calls: 0, good: 0, opened: 0, refused: 0, dead: 0, errors: {} };
  over = false;

  constructor(command) {
    this.command = command;
    this.stopped = new Promise((stop) => (this.stop = stop));
    this.members = Array.from({ length: command.size }, (_, i) => this.work(i));
  }

  async dismiss() {
    this.over = true;
    this.stop();
    await Promise.all(this.members);
    return this.tally;
  }

  wait(ms) {
    return Promise.race([sleep(ms), this.stopped]);
  }

  async work(i) {
    const { pauseMs, size, reopen = 0 } = this.command;
    await this.wait((pauseMs * i) / size);
    let client;
    for (let calls = 0; !this.over; calls++) {
      if (client && i < reopen && calls % 10 === 0) {
        await client.close().catch(() => {});
        client = undefined;
      }
      client ??= await this.open();
      if (client) await this.call(client);
      await this.wait(client ? pauseMs : 200);
    }
    client ??= await this.open();
    const deadline = Date.now() + 60000;
    while (!client || !(await this.call(client))) {
      if (!client || Date.now() > deadline) {
        this.tally.dead++;
        break;
      }
      await sleep(200);
    }
    await client?.close().catch(() => {});
  }

  async open() {
    try {
      const { client } = await open(this.command);
      this.tally.opened++;
      return client;
    } catch (error) {
      this.tally.refused++;
      this.note(error);
    }
  }

  async call(client) {
    this.tally.calls++;
    try {
      const result = await call(client, this.command);
      if (result.isError) throw new Error(result.text);
      this.tally.good++;
      return true;
    } catch (error) {
      this.note(error);
      return false;
    }
  }

  note(error) {
    const text = String(error?.message ?? error);
    const { errors } = this.tally;
    if (text in errors || Object.keys(errors).length < 20) errors[text] = (errors[text] ?? 0) + 1;
  }
}

const commands = {
  async connect(command) {
    ({ client, transport } = await open(command));
    const version = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
    return { version };
  },
  async list() {
    return { tools: (await client.listTools(undefined, { timeout: 60000 })).tools.map((t) => t.name) };
  },
  async call(command) {
    return call(client, command);
  },
  async heard() {
    return { changes };
  },
  async crew(command) {
    crew = new Crew(command);
    return {};
  },
  async dismiss() {
    return { tally: await crew.dismiss() };
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
