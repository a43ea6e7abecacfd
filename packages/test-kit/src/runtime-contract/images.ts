import { fileURLToPath } from "node:url";
import type { AirlockError } from "@airlock/job";
import type { Sandbox } from "@airlock/runtime";
import { describe, expect, it } from "vitest";
import { type ContractTests, openSubject } from "./contract-tests.ts";

/** A file of this host that no sandbox may see. */
const witness = fileURLToPath(import.meta.url);
const never = new AbortController().signal;

/** Tests the contract about which images a job may name. Part of `describeRuntime`. */
export function describeImages(tests: ContractTests): void {
  const { open, sharesKernel, isCluster } = tests;
  describe("images", () => {
    const prepare = (sandbox: Sandbox, image: string) =>
      sandbox.prepareImage(image, { signal: never, progress: () => {} });

    it("that are unknown, malformed or without /bin/sh are the job's fault", async () => {
      await using place = await open();

      for (const image of [
        tests.subject.images.unknown,
        tests.subject.images.noShell,
        "no such IMAGE",
        "",
        "x@sha256:12",
      ]) {
        const failure = await prepare(place.sandbox, image).then(
          () => `${image} was accepted`,
          (error: AirlockError) => error.reason,
        );
        expect(failure, image).toBe("image-invalid");
      }
    });

    // With gVisor the host's tools may use calls that its kernel does not have.
    if (sharesKernel && !isCluster) {
      it("host: shows the host's tools and nothing else of the host", async () => {
        await using place = await open();
        await place.put("note", "x");
        await prepare(place.sandbox, "host");

        const tools = await place.run("git --version && sh -c 'echo shell'", { image: "host" });
        const hidden = await place.run(
          `ls -A /home /root /tmp; for path in /etc/shadow /var/log /var/lib/dpkg '${witness}'; do
             [ -e "$path" ] && echo "$path"
           done; touch /usr/x 2>/dev/null && echo written; ls /data`,
          { image: "host" },
        );

        expect(tools.status).toEqual({ kind: "exited", exitCode: 0 });
        expect(tools.stdout).toMatch(/^git version .*\nshell\n$/);
        expect(hidden.stdout.replace(/^\/(?:home|root|tmp):\n|^\n/gm, "")).toBe("note\n");
      });
    }

    it("host: is refused unless the administrator allows it", async () => {
      const strict = await tests.create({ allowHostImage: false });
      try {
        await using place = await openSubject(strict);

        await expect(prepare(place.sandbox, "host")).rejects.toMatchObject({ reason: "policy" });
        await expect(place.start("true", { image: "host" })).rejects.toMatchObject({ reason: "policy" });
      } finally {
        await strict.dispose();
      }
    });
  });
}
