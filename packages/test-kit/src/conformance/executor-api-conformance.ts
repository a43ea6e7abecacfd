import { afterAll, beforeAll, describe } from "vitest";
import { describeAccess } from "./executor-api-access.ts";
import { describeJobs } from "./executor-api-jobs.ts";
import { describeQueues } from "./executor-api-queues.ts";
import { createExecutorPeer, type ExecutorApiTarget } from "./executor-peer.ts";

/**
 * Tests what an instance must do for executors of every generation of the protocol: 2022 (shared secret everywhere,
 * bare arrays), 4.x (`V2` heartbeats, `canceledJobs`) and 5.x (job tokens, several queues). Simulates those executors
 * over HTTP and knows nothing about the implementation.
 */
export function describeExecutorApi(createTarget: () => Promise<ExecutorApiTarget>): void {
  describe("executor API", () => {
    let target: ExecutorApiTarget;
    beforeAll(async () => {
      target = await createTarget();
    });
    afterAll(async () => {
      await target?.[Symbol.asyncDispose]();
    });

    const peer = createExecutorPeer(() => target);
    describeAccess(peer);
    describeQueues(peer);
    describeJobs(peer);
  });
}
