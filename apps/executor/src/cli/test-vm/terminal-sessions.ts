import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { onAbort } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import type { Sandbox, SandboxService } from "@airlock/runtime";
import { encodeExitCode, encodeInput } from "./telnet.ts";

/** The port on the sandbox's 127.0.0.1 over which a terminal's bytes pass. */
const terminalPort = 4471;

/** busybox provides the terminal. It works in every image, because it needs no libraries. */
const files = {
  session: `#!/bin/sh
exec 9>&1
exec /airlock/busybox nc 127.0.0.1 ${terminalPort} -e /airlock/busybox telnetd -i -f /dev/null -l /airlock/shell
`,
  shell: `#!/bin/sh
cd /data
/bin/sh -i 9>&-
echo "exit $?" >&9
`,
};

/** The terminals of one test machine, one at a time. */
export class TerminalSessions {
  /** Give this service to the machine's sandbox. */
  readonly service: SandboxService = { port: terminalPort, serve: (connection) => this.#serve(connection) };
  readonly #waiting: ((connection: Duplex) => void)[] = [];
  #busy = false;

  #serve(connection: Duplex): void {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(connection);
    else connection.destroy();
  }

  /**
   * Runs a shell as a step of the image, with a terminal that speaks telnet on `client`. Resolves when the shell or the
   * client has ended. Faults are told to the client.
   */
  async run(
    client: Duplex,
    { sandbox, image, busybox, signal }: SessionOptions & { readonly signal: AbortSignal },
  ): Promise<void> {
    if (this.#busy) return tell(client, "another terminal is attached to this machine");
    this.#busy = true;
    const gone = new AbortController();
    client.once("close", () => gone.abort(new Error("the terminal was closed")));
    client.on("error", () => {});
    const ended = AbortSignal.any([signal, gone.signal]);
    let printed = "";
    try {
      const connected = new Promise<Duplex>((resolve) => this.#waiting.push(resolve));
      const relayed = connected.then(async (connection) => {
        using _ = onAbort(ended, () => connection.destroy());
        // The guest may end the connection while the user types.
        connection.on("error", () => {});
        client.pipe(connection);
        // How the shell ended follows.
        await pipeline(connection, client, { end: false }).catch(() => {});
      });
      await sandbox.runStep(
        {
          key: "terminal",
          image,
          files: [
            { path: "busybox", content: busybox, executable: true },
            { path: "session", content: files.session, executable: true },
            { path: "shell", content: files.shell, executable: true },
          ],
          script: "/airlock/session",
          workingDirectory: "/data",
          env: { TERM: "xterm", PS1: "test-vm:\\w\\$ " },
        },
        {
          signal: ended,
          output: (_stream, bytes) => {
            printed = (printed + bytes.toString()).slice(-2000);
          },
        },
      );
      if (this.#waiting.length > 0) return tell(client, `the terminal could not start: ${printed.trim()}`);
      await relayed;
      const [, code] = /^exit (\d{1,3})$/m.exec(printed) ?? [];
      if (code !== undefined) client.write(encodeExitCode(Number(code)));
    } catch (error) {
      if (!ended.aborted) tell(client, errorMessage(error));
    } finally {
      this.#waiting.length = 0;
      this.#busy = false;
      client.end();
    }
  }
}

export interface SessionOptions {
  readonly sandbox: Sandbox;
  readonly image: string;
  readonly busybox: Buffer;
}

function tell(client: Duplex, text: string): void {
  client.end(encodeInput(Buffer.from(`${text}\r\n`)));
}
