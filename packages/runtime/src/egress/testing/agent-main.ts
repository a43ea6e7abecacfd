// A process in a network namespace. It acts as client, servers and name server for the tests, controlled over IPC.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, type DecodedPacket, decode, encode, type RecordType, streamEncode } from "dns-packet";
import type { AgentAnswer, AgentCall, AgentRequest, Zones } from "./agent-messages.ts";

/** Long enough for a machine that is busy with other tests. */
const patienceMs = 4000;
const arrivals: string[] = [];
const questions: string[] = [];
const held = new Map<string, Socket>();
let flooding: NodeJS.Timeout | undefined;

process.on("disconnect", () => process.exit(0));
process.on("message", async ({ id, request }: AgentCall) => {
  const result = await perform(request).catch((error: unknown) => [`failed ${String(error)}`]);
  process.send?.({ id, result } satisfies AgentAnswer);
});
process.send?.({ id: 0, result: [] } satisfies AgentAnswer);

async function perform(request: AgentRequest): Promise<readonly string[]> {
  switch (request.op) {
    case "tcp":
      return [await connectTcp(request)];
    case "udp":
      return [await askUdp(request)];
    case "hold":
      return [await hold(request)];
    case "echo":
      return [await echo(request.name)];
    case "flood":
      flood(request);
      return [];
    case "end-flood":
      clearInterval(flooding);
      return [];
    case "spread":
      await spread(request);
      return [];
    case "churn":
      return [String(await churn(request))];
    case "dns":
      return askName(request);
    case "look-ups":
      return lookUps(request);
    case "raw-dns":
      return [await exchange(request.server, Buffer.from(request.hex, "hex"))];
    case "serve":
      await serve(request);
      return [];
    case "arrivals":
      return arrivals.splice(0);
    case "name-server":
      await serveNames(request);
      return [];
    case "questions":
      return questions.splice(0);
  }
}

async function connectTcp({ host, port, localAddress }: Extract<AgentRequest, { op: "tcp" }>): Promise<string> {
  const socket = createConnection({ host, port, ...(localAddress ? { localAddress } : {}) });
  const outcome = Promise.race([
    once(socket, "data").then(([data]) => `open ${String(data)}`),
    sleep(patienceMs, "timeout", { ref: false }),
  ]);
  const result = await outcome.catch(codeOf);
  socket.on("error", () => {});
  socket.destroy();
  return result;
}

async function askUdp({ host, port, localAddress }: Extract<AgentRequest, { op: "udp" }>): Promise<string> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  try {
    if (localAddress) {
      socket.bind({ address: localAddress });
      await once(socket, "listening");
    }
    socket.connect(port, host);
    await once(socket, "connect");
    const answer = once(socket, "message").then(([message]) => `open ${String(message)}`);
    const failed = once(socket, "error").then(([error]) => codeOf(error));
    socket.send("hello");
    return await Promise.race([answer, failed, sleep(patienceMs, "timeout", { ref: false })]).catch(codeOf);
  } catch (error) {
    return codeOf(error);
  } finally {
    socket.on("error", () => {});
    socket.close();
  }
}

async function hold({ name, host, port }: Extract<AgentRequest, { op: "hold" }>): Promise<string> {
  const socket = createConnection({ host, port });
  try {
    await Promise.race([
      once(socket, "data"),
      sleep(patienceMs, undefined, { ref: false }).then(() => fail("timeout")),
    ]);
  } catch (error) {
    socket.destroy();
    return codeOf(error);
  }
  socket.on("error", () => {});
  held.set(name, socket);
  return "open";
}

async function echo(name: string): Promise<string> {
  const socket = held.get(name);
  if (!socket || socket.destroyed) return "closed";
  const answer = Promise.race([
    once(socket, "data").then(([data]) => `open ${String(data)}`),
    once(socket, "close").then(() => "closed"),
    sleep(patienceMs, "timeout", { ref: false }),
  ]).catch(codeOf);
  socket.write("again");
  return answer;
}

function flood({ hosts, port, atOnce = 1, name, size = 5 }: Extract<AgentRequest, { op: "flood" }>): void {
  const socket = createSocket("udp4");
  socket.on("error", () => {});
  const datagram =
    name === undefined
      ? Buffer.alloc(size, "hello")
      : encode({ type: "query", id: 1, flags: 0x100, questions: [{ name, type: "A" }] });
  flooding = setInterval(() => {
    for (const host of hosts) for (let sent = 0; sent < atOnce; sent += 1) socket.send(datagram, port, host, () => {});
  }, 1);
}

async function spread({ hosts, ports }: Extract<AgentRequest, { op: "spread" }>): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("error", () => {});
  for (let port = 1; port <= ports; port += 1) {
    await Promise.all(
      hosts.map((host) => new Promise<void>((resolve) => socket.send("hello", port, host, () => resolve()))),
    );
  }
  socket.close();
}

async function churn({ hosts, port, connections }: Extract<AgentRequest, { op: "churn" }>): Promise<number> {
  let [begun, opened] = [0, 0];
  const worker = async (): Promise<void> => {
    while (begun < connections) {
      const host = hosts[begun % hosts.length] ?? "";
      begun += 1;
      if (await openAndClose(host, port)) opened += 1;
    }
  };
  await Promise.all(Array.from({ length: 256 }, worker));
  return opened;
}

/** Closes the connection normally, so that the kernels on the path keep it for a while. */
async function openAndClose(host: string, port: number): Promise<boolean> {
  const socket = createConnection({ host, port });
  socket.on("error", () => {});
  const giveUp = setTimeout(() => socket.destroy(), 300);
  let isOpen = false;
  socket.once("connect", () => {
    isOpen = true;
    socket.end();
    socket.resume();
  });
  await new Promise<void>((resolve) => socket.once("close", () => resolve()));
  clearTimeout(giveUp);
  return isOpen;
}

async function askName({ server, name, type, transport }: Extract<AgentRequest, { op: "dns" }>) {
  const query = {
    type: "query" as const,
    id: 4711,
    flags: 0x100,
    questions: [{ name, type: type as RecordType }],
  };
  const answer =
    transport === "tcp" ? await exchangeTcp(server, streamEncode(query)) : await exchange(server, encode(query));
  if (!/^[0-9a-f]+$/.test(answer)) return [answer];
  const packet = decode(Buffer.from(answer, "hex")) as DecodedPacket & { rcode: string };
  const records = (packet.answers ?? []).map((record) => `${record.type} ${dataOf(record)}`);
  return records.length > 0 ? records : [packet.rcode];
}

async function lookUps({ server, name, count }: Extract<AgentRequest, { op: "look-ups" }>): Promise<readonly string[]> {
  const counts = new Map<string, number>();
  for (let asked = 0; asked < count; asked += 1) {
    const [answer = ""] = await askName({ op: "dns", server, name, type: "A" });
    counts.set(answer, (counts.get(answer) ?? 0) + 1);
  }
  return [...counts].map(([answer, times]) => `${times} × ${answer}`);
}

function dataOf(record: Answer): string {
  const data: unknown = "data" in record ? record.data : "";
  return Array.isArray(data) ? data.join("") : typeof data === "string" ? data : JSON.stringify(data);
}

async function exchange(server: string, bytes: Buffer): Promise<string> {
  const socket = createSocket("udp4");
  try {
    socket.connect(53, server);
    await once(socket, "connect");
    const answer = once(socket, "message").then(([message]) => (message as Buffer).toString("hex"));
    const failed = once(socket, "error").then(([error]) => codeOf(error));
    socket.send(bytes);
    return await Promise.race([answer, failed, sleep(patienceMs, "timeout", { ref: false })]).catch(codeOf);
  } finally {
    socket.on("error", () => {});
    socket.close();
  }
}

async function exchangeTcp(server: string, bytes: Buffer): Promise<string> {
  const socket = createConnection({ host: server, port: 53 });
  try {
    socket.write(bytes);
    const [data] = await Promise.race([
      once(socket, "data"),
      sleep(patienceMs, undefined, { ref: false }).then(() => fail("timeout")),
    ]);
    return (data as Buffer).subarray(2).toString("hex");
  } catch (error) {
    return codeOf(error);
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
}

async function serve({ tcp, udp }: Extract<AgentRequest, { op: "serve" }>): Promise<void> {
  for (const port of tcp) {
    const server = createServer((socket) => {
      const text = `${plain(socket.localAddress)} <- ${plain(socket.remoteAddress)}`;
      arrivals.push(`tcp ${text}`);
      socket.on("error", () => {});
      socket.on("data", () => socket.write(text));
      socket.write(text);
    });
    server.listen(port, "::");
    await once(server, "listening");
  }
  for (const { address, port } of udp) {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    socket.on("message", (_, peer) => {
      const text = `${address} <- ${peer.address}`;
      arrivals.push(`udp ${text}`);
      socket.send(text, peer.port, peer.address, () => {});
    });
    socket.bind({ address, port });
    await once(socket, "listening");
  }
}

async function serveNames({ address, zones }: { readonly address: string; readonly zones: Zones }): Promise<void> {
  const asked = new Map<string, number>();
  const socket = createSocket("udp4");
  socket.on("message", (message, peer) => {
    const query = decode(message);
    const [question] = query.questions ?? [];
    if (!question) return;
    const key = `${question.name.toLowerCase()} ${question.type}`;
    questions.push(key);
    const turns = zones[key] ?? zones[`*.${question.name.split(".").slice(1).join(".")} ${question.type}`];
    const turn = asked.get(key) ?? 0;
    asked.set(key, turn + 1);
    const records = turns?.[Math.min(turn, turns.length - 1)];
    const answers = (records ?? []).map(
      ({ type, data, ttl, owner }) =>
        ({
          name: owner ?? question.name,
          type,
          ttl,
          data: type === "MX" ? { preference: 10, exchange: data } : data,
        }) as Answer,
    );
    const flags = 0x180 | (records === undefined ? 3 : 0);
    const response = { type: "response", id: query.id ?? 0, flags, questions: [question], answers } as const;
    socket.send(encode({ ...response, questions: [question] }), peer.port, peer.address, () => {});
  });
  socket.bind({ address, port: 53 });
  await once(socket, "listening");
}

function plain(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:/, "");
}

function fail(what: string): never {
  throw new Error(what);
}

function codeOf(error: unknown): string {
  if (error instanceof Error && "code" in error) return String(error.code);
  return error instanceof Error ? error.message : String(error);
}
