import { createHash, randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { SandboxService } from "@airlock/runtime";
import { describe, expect, it } from "vitest";
import type { ContractTests } from "./contract-tests.ts";

const port = 4470;
const megabytes = 8;

/** Tests the contract about ports that the caller answers. Part of `describeRuntime`. */
export function describeServices(tests: ContractTests): void {
  const { open } = tests;
  describe("a sandbox's services", () => {
    it("are reached by every step, also without a network", async () => {
      if (tests.servicesProblem !== null) return expectRefusal(tests);
      await using place = await open({ services: [service((connection) => connection.end("from the caller\n"))] });

      for (const image of [tests.subject.images.shell, tests.subject.images.unprivileged]) {
        const { stdout, stderr } = await place.run(`nc 127.0.0.1 ${port} </dev/null`, { image });
        expect({ image, stdout, stderr }).toEqual({ image, stdout: "from the caller\n", stderr: "" });
      }
      const { stdout: interfaces } = await place.run("ls /sys/class/net 2>/dev/null; cut -d: -f1 /proc/net/dev");
      if (tests.emptyNetwork) expect(interfaces).not.toMatch(/eth|ak/);
    });

    it("carry much in both directions and several connections at once", async () => {
      if (tests.servicesProblem !== null) return expectRefusal(tests);
      const answer = randomBytes(megabytes << 20);
      const received: string[] = [];
      const serve = async (connection: Duplex) => {
        received.push(digest(await buffer(connection)));
        connection.end(answer);
      };
      await using place = await open({
        services: [service((connection) => void serve(connection).catch(() => connection.destroy()))],
      });

      const { stdout, stderr } = await place.run(
        `for i in 1 2 3; do
           (head -c ${megabytes << 20} /dev/zero | nc 127.0.0.1 ${port} | sha256sum) &
         done; wait`,
      );

      expect({ stdout, stderr }).toEqual({ stdout: `${digest(answer)}  -\n`.repeat(3), stderr: "" });
      expect(received).toEqual(Array(3).fill(digest(Buffer.alloc(megabytes << 20))));
    });

    it("are reached from no other sandbox", async () => {
      if (tests.servicesProblem !== null) return expectRefusal(tests);
      let connections = 0;
      const serve = (connection: Duplex) => {
        connections += 1;
        connection.end("open\n");
      };
      await using _owner = await open({ services: [service(serve)] });
      await using neighbour = await open();
      await using other = await open({ services: [{ port: port + 1, serve: (connection) => connection.end() }] });

      for (const place of [neighbour, other]) {
        const { stdout } = await place.run(`nc -w 2 127.0.0.1 ${port} </dev/null; true`);
        expect(stdout).toBe("");
      }
      expect(connections).toBe(0);
    });

    it("end with the sandbox, whose connections break off", async () => {
      if (tests.servicesProblem !== null) return expectRefusal(tests);
      const { promise: closed, resolve } = Promise.withResolvers<void>();
      const { promise: connected, resolve: connect } = Promise.withResolvers<void>();
      const serve = (connection: Duplex) => {
        connection.once("close", resolve).resume();
        connect();
      };
      await using place = await open({ services: [service(serve)] });

      const running = place.start(`sleep 1000 | nc 127.0.0.1 ${port}`);
      running.catch(() => {});
      await connected;
      await place.sandbox.stop({ signal: new AbortController().signal });

      await closed;
      await expect(running).rejects.toThrow();
    });
  });
}

/** A runtime that does not offer services says so, and refuses plans that need them. */
async function expectRefusal({ open, servicesProblem }: ContractTests): Promise<void> {
  expect(servicesProblem).toMatch(/^[A-Z].*\.$/s);
  const refused = open({ services: [service((connection) => connection.end())] });
  await expect(refused).rejects.toMatchObject({ reason: "policy", hint: servicesProblem });
}

function service(serve: SandboxService["serve"]): SandboxService {
  return { port, serve };
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
