import { createServer, type Server } from "node:net";
import type { RuntimeDescription } from "@airlock/runtime";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeWithEngines, type EngineName } from "../engines/engines.ts";
import { describeAbortion } from "./abortion.ts";
import { describeCollection } from "./collection.ts";
import { type ContractTests, type CreateRuntime, openSubject, type RuntimeUnderTest } from "./contract-tests.ts";
import { describeEndings } from "./endings.ts";
import { describeEnvironment } from "./environment.ts";
import { itTakesImages } from "./image-contents.ts";
import { describeImageUsers } from "./image-users.ts";
import { describeImages } from "./images.ts";
import { describeLimits } from "./limits.ts";
import { describeResults } from "./results.ts";
import { describeRights } from "./rights.ts";
import { describeServices } from "./services.ts";
import { describeSurroundings } from "./surroundings.ts";
import { describeWorkspace } from "./workspace.ts";

const never = new AbortController().signal;
const overlappingMs = 240_000;

interface ContractOptions {
  readonly sharesKernel?: boolean;
  readonly emptyNetwork?: boolean;
  readonly isCluster?: boolean;
  readonly measuresUsage?: boolean;
  readonly concurrent?: boolean;
}

/**
 * Tests the contract that every runtime has to fulfill. Each runtime's test file calls this once.
 * @param options.sharesKernel `false` if a kernel in user space runs the steps. Then the host does not see their
 * processes, and limits apply to that kernel as a whole. Default: `true`.
 * @param options.emptyNetwork `false` if a sandbox without a network has interfaces whose packets are dropped. Default: `true`.
 * @param options.isCluster `true` if another machine runs the steps. Then there is no image `host`, and what an image
 * declares is known only to that machine. Default: `false`.
 * @param options.measuresUsage Whether the runtime tells what a step uses. Default: `true`, except in a cluster.
 * @param options.concurrent Whether tests overlap, which saves time if each one waits for most of it. Default: `false`.
 */
export function describeRuntime(
  name: string,
  engineNames: readonly EngineName[],
  create: CreateRuntime,
  options: ContractOptions = {},
): void {
  const { sharesKernel = true, emptyNetwork = true, isCluster = false, concurrent = false } = options;
  const { measuresUsage = !isCluster } = options;
  const body = () => {
    let subject: RuntimeUnderTest;
    let host: Server;
    let hostPort: number;
    let enforces: RuntimeDescription["enforces"];
    let servicesProblem: string | null;
    beforeAll(async () => {
      subject = await create({ allowHostImage: true });
      const description = await subject.runtime.describe({ signal: never });
      enforces = description.enforces;
      servicesProblem = description.servicesProblem ?? null;
      host = createServer((socket) => socket.end("HTTP/1.0 200 OK\r\n\r\nreached the host"));
      await new Promise<void>((resolve) => host.listen(0, "0.0.0.0", resolve));
      const address = host.address();
      hostPort = typeof address === "object" && address ? address.port : 0;
    });
    afterAll(async () => {
      await new Promise((resolve) => host?.close(resolve));
      await subject?.dispose();
    });
    const open: ContractTests["open"] = (options) => openSubject(subject, options);
    const tests: ContractTests = {
      get subject() {
        return subject;
      },
      get enforces() {
        return enforces;
      },
      get servicesProblem() {
        return servicesProblem;
      },
      get hostPort() {
        return hostPort;
      },
      ...{ sharesKernel, emptyNetwork, isCluster, measuresUsage, create, open },
    };

    it("describes what it is and what it enforces", async () => {
      const description = await subject.runtime.describe({ signal: never });

      expect(description.version).toMatch(/\d/);
      expect(description.enforces.egressNone).toBe(true);
      for (const note of description.notes) expect(note).toMatch(/^[A-Z].*\.$/s);
    });

    describe("a Docker daemon", () => {
      it("is refused where the runtime does not offer one, with the reason and the job's field", async ({ skip }) => {
        const { dockerProblem } = await subject.runtime.describe({ signal: never });
        skip(dockerProblem === null, "this runtime offers one");
        const message = "this executor can't offer `services: docker`";
        await expect(open({ docker: true })).rejects.toMatchObject({ reason: "policy", message, hint: dockerProblem });
      });
    });
    describeResults(tests);
    describeSurroundings(tests);
    describeServices(tests);
    describeRights(tests);
    describeLimits(tests);
    describeImageUsers(tests);
    describe("what an image contains and declares", () => {
      itTakesImages(() => ({ provide: (image, name) => subject.provide(image, name), open }), {
        sharesKernel,
        isCluster,
      });
    });
    describeAbortion(tests);
    describeImages(tests);
    describeEnvironment(open);
    describeWorkspace(open, { keepsPipes: sharesKernel });
    describeEndings(open);
    // With gVisor the host does not see the steps' processes.
    if (sharesKernel) describeCollection(tests);
  };
  // Tests that overlap wait for each other, too.
  const overlapping = concurrent ? { concurrent, timeout: overlappingMs } : {};
  describeWithEngines(engineNames, `${name} runtime`, body, overlapping);
}
