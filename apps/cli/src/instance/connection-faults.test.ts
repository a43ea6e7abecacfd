import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import path from "node:path";
import { createServer as createTlsServer } from "node:tls";
import {
  createDatabase,
  describeWithEngines,
  engines,
  InstanceProcess,
  makeCertificates,
  temporaryDirectory,
} from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { runCommandLine } from "../run-command-line.ts";
import { commandTable } from "../testing/command-table.ts";
import { rawWords } from "../testing/raw-words.ts";
import { stubInstance } from "../testing/stub-instance.ts";
import { testContext } from "../testing/test-context.ts";

/** Runs every command that sends requests, and checks that each fails with this message and exit code 1. */
async function everyCommandSays(message: RegExp, options: Parameters<typeof testContext>[0]): Promise<void> {
  for (const [command, { valid }] of Object.entries(commandTable)) {
    const context = testContext({ stdin: "x", ...options });
    await runCommandLine([...command.split(" "), ...valid], context);
    const { stdout, stderr } = context.printed;
    expect([context.exitCode, stdout], `${command}\n${stderr}`).toEqual([1, ""]);
    expect(stderr, command).toMatch(message);
    // Every error ends with a hint. `repo add` shows its progress first.
    expect(stderr, command).toMatch(/error: [^\n]+\n {2}[A-Z][^\n]+\.\n$/);
    expect(stderr, command).not.toMatch(rawWords);
  }
}

interface Listening extends AsyncDisposable {
  readonly port: number;
}

async function listen(server: Server): Promise<Listening> {
  // A client that gives up resets its connection.
  server.on("connection", (socket) => socket.on("error", () => undefined));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}

const at = (url: string) => ({ env: { AIRLOCK_URL: url, AIRLOCK_TOKEN: "secret" } });

describe("every command, when the instance can't be reached,", () => {
  it("says that nothing listens at the address", async () => {
    let port: number;
    {
      await using closed = await listen(createServer());
      port = closed.port;
    }
    await everyCommandSays(/nothing listens at this address/, at(`http://127.0.0.1:${port}`));
  });

  it("says that no host has the name", async () => {
    await everyCommandSays(
      /no host has this name|name of the host could not be looked up/,
      at("http://no-host.invalid"),
    );
  });

  it("says that HTTP clients refuse the port", async () => {
    await everyCommandSays(/refuse this port/, at("http://127.0.0.1:22"));
  });

  it("says that the server closes connections without an answer", async () => {
    await using server = await listen(createServer((socket) => socket.once("data", () => socket.destroy())));
    await everyCommandSays(/closed the connection without an answer/, at(`http://127.0.0.1:${server.port}`));
  });

  it("says that the server speaks no HTTP", async () => {
    await using server = await listen(createServer((socket) => socket.resume().end("220 mail.example.com ESMTP\r\n")));
    await everyCommandSays(/does not answer with HTTP/, at(`http://127.0.0.1:${server.port}`));
  });

  it("says that the certificate's authority is not trusted", async () => {
    await using directory = await temporaryDirectory();
    const { cert, key } = await makeCertificates(directory.path, "IP:127.0.0.1");
    await using server = await listen(createTlsServer({ cert, key }));
    await everyCommandSays(/authority that this machine does not trust/, at(`https://127.0.0.1:${server.port}`));
  });

  it("says that a certificate is self-signed", async () => {
    await using directory = await temporaryDirectory();
    await makeCertificates(directory.path, "IP:127.0.0.1");
    const [cert, key] = await Promise.all(
      ["ca.pem", "ca.key"].map((name) => readFile(path.join(directory.path, name), "utf8")),
    );
    await using server = await listen(createTlsServer({ cert, key }));
    await everyCommandSays(
      /certificate is self-signed\n {2}.*NODE_EXTRA_CA_CERTS/,
      at(`https://127.0.0.1:${server.port}`),
    );
  });

  it("says that a server without TLS was addressed with https", async () => {
    await using instance = await stubInstance({});
    await everyCommandSays(/does not speak TLS.*\n.*http:\/\//, at(instance.url.replace("http:", "https:")));
  });

  it("says that a server with TLS was addressed with http", async () => {
    await using directory = await temporaryDirectory();
    const { cert, key } = await makeCertificates(directory.path, "IP:127.0.0.1");
    await using server = await listen(createTlsServer({ cert, key }));
    await everyCommandSays(
      /does not answer with HTTP.*\n.*https:\/\/|closed the connection without an answer/,
      at(`http://127.0.0.1:${server.port}`),
    );
  });

  it.each(["ftp://127.0.0.1", "127.0.0.1:7080", "http://", "http://127.0.0.1:99999", "http://[::1", "/instance"])(
    "says that AIRLOCK_URL=%s is not an address",
    async (url) => {
      await everyCommandSays(/AIRLOCK_URL: ".*" is not an http or https URL/, at(url));
    },
  );

  it.each(["two\nlines", "with space", "sn\u2603wman"])("says that the token %j can't be one", async (token) => {
    await using instance = await stubInstance({});
    await everyCommandSays(/AIRLOCK_TOKEN: the token may contain only/, {
      env: { AIRLOCK_URL: instance.url, AIRLOCK_TOKEN: token },
    });
    expect(instance.requests).toEqual([]);
  });

  it("says what is wrong with the connection file", async () => {
    await using directory = await temporaryDirectory();
    const env = { AIRLOCK_DATA_DIR: directory.path };
    const file = path.join(directory.path, "connection.json");
    await mkdir(file);
    await everyCommandSays(/cannot read .*connection\.json: it is a directory/, { env });
    await using other = await temporaryDirectory();
    await writeFile(path.join(other.path, "connection.json"), "{}", { mode: 0o600 });
    await everyCommandSays(/is not a connection file/, { env: { AIRLOCK_DATA_DIR: other.path } });
  });

  it("says that no instance is configured", async () => {
    await using directory = await temporaryDirectory();
    await everyCommandSays(/no instance configured/, { cwd: directory.path });
  });
});

describeWithEngines(["postgres"], "every command with a wrong token for a real instance", () => {
  it("says where the token was read, and where the right one is", async () => {
    await using directory = await temporaryDirectory();
    await using database = await createDatabase(engines().postgres?.url ?? "");
    await using instance = await InstanceProcess.start({ dataDirectory: directory.path, databaseUrl: database.url });
    await everyCommandSays(/error: .*\n {2}The token was read from AIRLOCK_TOKEN\. .*`token`/, at(instance.url));
  });
});
