// A stand-in for Firecracker: the same command line, API and failures, and a process in place of a virtual machine.
import { lstatSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type Route, type RouteName, routes } from "./api-description.ts";
import { problemOfBody } from "./check-body.ts";
import { FatalFault, Fault, StandInMachine } from "./stand-in-machine.ts";
import { standInVersion } from "./stand-in-version.ts";

const maxPayloadBytes = 51_200;
const badArguments = 153;

const options = parseArguments(process.argv.slice(2));
const print = (text: string) => process.stdout.write(text);
const machine = new StandInMachine(print, (code) => process.exit(code));

if (lstatSync(options.socket, { throwIfNoEntry: false })) {
  process.stderr.write(`Failed to open the API socket at: ${options.socket}. Check that it is not already used.\n`);
  process.exit(1);
}
const server = createServer((request, response) => {
  void answer(request, response);
});
// Firecracker never closes an idle connection.
server.keepAliveTimeout = 0;
server.listen(options.socket);

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const reply = (status: number, body?: object) => {
    response.writeHead(status, { "content-type": "application/json" }).end(body ? JSON.stringify(body) : undefined);
  };
  try {
    const result = await handle(request);
    reply(result ? 200 : 204, result);
  } catch (error) {
    const isFault = error instanceof Fault;
    const message = error instanceof Error ? error.message : String(error);
    // The answer goes out first.
    if (error instanceof FatalFault) response.once("finish", () => process.exit(1));
    reply(isFault && message.startsWith("Request payload") ? 413 : 400, { fault_message: message });
  }
}

async function handle(request: IncomingMessage): Promise<object | undefined> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes <= maxPayloadBytes) parts.push(part);
  }
  if (bytes > maxPayloadBytes) {
    throw new Fault(
      `Request payload with size ${bytes} is larger than the limit of ${maxPayloadBytes} allowed by server.`,
    );
  }
  const { method = "", url = "" } = request;
  const found = (Object.entries(routes) as [RouteName, Route][]).find(
    ([, route]) => route.method === method && route.path.test(url),
  );
  if (!found) throw new Fault(`Invalid request method and/or path: ${method} ${url}.`);
  const [name, route] = found;
  const body = route.body ? parseBody(Buffer.concat(parts).toString("utf8"), route, url) : {};
  const isStarted = machine.state !== "Not started";
  if (route.phase === "before" && isStarted) {
    throw new Fault("The requested operation is not supported after starting the microVM.");
  }
  if (route.phase === "after" && !isStarted) {
    throw new Fault("The requested operation is not supported before starting the microVM.");
  }
  return await perform(name, body);
}

function parseBody(text: string, route: Route, url: string): object {
  let value: object;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Fault(`An error occurred when deserializing the json body of a request: ${String(error)}.`);
  }
  const problem = problemOfBody(value, { type: "object", fields: route.body ?? {} });
  if (problem !== null) throw new Fault(`An error occurred when deserializing the json body of a request: ${problem}.`);
  const id = route.path.exec(url)?.[1];
  if (route.idField && (value as Record<string, unknown>)[route.idField] !== id) {
    throw new Fault(`The id from the path [${id}] does not match the id from the body!`);
  }
  return value;
}

/** The body was checked against the description of the route. */
async function perform(name: RouteName, body: object): Promise<object | undefined> {
  const checked = <T>() => body as T;
  switch (name) {
    case "describe":
      return { app_name: "Firecracker", id: options.id, state: machine.state, vmm_version: standInVersion };
    case "version":
      return { firecracker_version: standInVersion };
    case "machine":
      machine.setMachine(checked());
      return;
    case "boot":
      machine.setBoot(checked());
      return;
    case "drive":
      machine.setDrive(checked());
      return;
    case "newDrive":
      await machine.changeDrive(checked());
      return;
    case "network":
      machine.setNetwork(checked());
      return;
    case "vsock":
      machine.setVsock(checked());
      return;
    case "entropy":
    case "balloon":
      machine.setDevice();
      return;
    case "action": {
      const { action_type: action } = checked<{ action_type: string }>();
      if (action !== "InstanceStart") throw new Fault(`The stand-in has no action ${action}.`);
      await machine.start();
      return;
    }
    case "state":
      machine.setState(checked<{ state: "Paused" | "Resumed" }>().state);
      return;
    case "createSnapshot":
      await machine.createSnapshot(checked());
      return;
    case "loadSnapshot":
      await machine.loadSnapshot(checked());
      return;
  }
}

function parseArguments(args: readonly string[]): { readonly id: string; readonly socket: string } {
  const values = new Map<string, string>();
  const known = ["--id", "--api-sock", "--level", "--start-time-us", "--start-time-cpu-us", "--parent-cpu-time-us"];
  for (let at = 0; at < args.length; at += 1) {
    const [name = "", inline] = (args[at] ?? "").split("=", 2);
    if (name === "--version") {
      process.stdout.write(`Firecracker v${standInVersion}\n`);
      process.exit(0);
    }
    if (!known.includes(name)) refuseArguments(`Found argument '${name}' which wasn't expected, or isn't valid`);
    if (values.has(name)) refuseArguments(`The argument '${name}' was provided more than once.`);
    if (inline === undefined) at += 1;
    const value = inline ?? args[at];
    if (value === undefined) refuseArguments(`The argument '${name}' requires a value, but none was supplied.`);
    values.set(name, value);
  }
  return {
    id: values.get("--id") ?? "anonymous-instance",
    socket: values.get("--api-sock") ?? "/run/firecracker.socket",
  };
}

function refuseArguments(why: string): never {
  process.stderr.write(`Arguments parsing error: ${why}\n\nFor more information try --help.\n`);
  process.exit(badArguments);
}
