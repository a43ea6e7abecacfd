import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { ContractTests } from "./contract-tests.ts";
import { hostProcesses, uniqueSeconds, until } from "./host-processes.ts";

/** A file of this host that no sandbox may see. */
const witness = fileURLToPath(import.meta.url);

/** Tests the contract about what a step sees around it. Part of `describeRuntime`. */
export function describeSurroundings(tests: ContractTests): void {
  const { open, sharesKernel } = tests;
  describe("a step's surroundings", () => {
    it("have the environment of the image and of the step, whose variables take precedence", async () => {
      await using place = await open();

      const { stdout } = await place.run('echo "$FROM_IMAGE $FROM_STEP"', { env: { FROM_STEP: "a b\n$c" } });
      const { stdout: won } = await place.run('echo "$FROM_IMAGE"', { env: { FROM_IMAGE: "step" } });

      expect(stdout).toBe("yes a b\n$c\n");
      expect(won).toBe("step\n");
    });

    // With gVisor the host does not see the steps' processes.
    if (sharesKernel) {
      it("never show the environment on a command line of the host", async () => {
        await using place = await open();
        const secret = `secret-${randomUUID()}`;
        const token = uniqueSeconds();

        const stop = new AbortController();

        const running = place.start(`sleep ${token}`, { env: { SECRET: secret }, signal: stop.signal });
        running.catch(() => {});
        await until(async () => (await hostProcesses(token)).length > 0);
        const seen = await hostProcesses(secret);

        expect(seen).toEqual([]);
        stop.abort(new Error("seen"));
        await expect(running).rejects.toThrow("seen");
      });
    }

    it("include the working directory, made if it is missing", async () => {
      await using place = await open();

      const { stdout, status } = await place.run("pwd; touch here", { workingDirectory: "/data/not/yet" });

      expect(status).toEqual({ kind: "exited", exitCode: 0 });
      expect(stdout).toBe("/data/not/yet\n");
      expect(await place.list("not/yet")).toEqual(["here"]);
    });

    it("share the workspace among the steps and with the caller", async () => {
      await using place = await open();
      await place.put("from-host", "host\n");

      await place.run("cat from-host > copy");

      expect((await place.run("cat copy")).stdout).toBe("host\n");
      expect(await place.read("copy")).toBe("host\n");
    });

    it("protect the scripts against changes", async () => {
      await using place = await open();
      const files = [{ path: "other.sh", content: "echo original\n", executable: true }];

      const { stdout } = await place.run(
        `for path in other.sh new deep/x; do (echo evil > /airlock/$path) 2>/dev/null && echo written; done
         mv /airlock/other.sh /airlock/moved 2>/dev/null && echo moved
         rm -f /airlock/other.sh 2>/dev/null && echo removed
         chmod 777 /airlock/other.sh 2>/dev/null && echo changed
         /airlock/other.sh; ls /airlock`,
        { key: "first", files },
      );

      expect(stdout).toBe("original\nfirst.sh\nother.sh\n");
    });

    it("resolve their own host name without a network, in each image and step", async () => {
      await using place = await open();
      // Reads /etc/hosts with awk, because busybox has no `getent`.
      const named = "awk -v name=\"$(hostname)\" '{ for (i = 2; i <= NF; i++) if ($i == name) print $1 }' /etc/hosts";

      for (const image of [tests.subject.images.shell, tests.subject.images.unprivileged]) {
        const { stdout } = await place.run(named, { image });
        expect(stdout, image).toMatch(/^(127\.\d+\.\d+\.\d+|::1)$/m);
      }
    });

    it("show no files of the host", async () => {
      await using place = await open();

      const { stdout } = await place.run(
        `for path in '${witness}' /var/run/docker.sock /run/docker.sock; do
           [ -e "$path" ] && echo "$path"
         done; true`,
      );

      expect(stdout).toBe("");
    });

    // With gVisor the host does not see the steps' processes.
    if (sharesKernel) {
      it("show no process of the host or of another sandbox", async () => {
        await using place = await open();
        await using other = await open();
        const token = uniqueSeconds();
        const stop = new AbortController();
        const running = other.start(`sleep ${token}`, { signal: stop.signal });
        running.catch(() => {});
        await until(async () => (await hostProcesses(token)).length > 0);

        await place.run("echo mine > mine");
        const { stdout } = await place.run("ls /data; cat /proc/[0-9]*/cmdline | tr '\\0' ' '");

        expect(stdout).toContain("mine");
        expect(stdout).not.toContain(token);
        expect(stdout).not.toContain("vitest");
        expect(await place.list()).toEqual(["mine"]);
        stop.abort(new Error("enough"));
        await expect(running).rejects.toThrow("enough");
      });
    }
  });
}
