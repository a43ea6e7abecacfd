import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import type { ContractTests } from "./contract-tests.ts";

/** Tests the contract about images that name a user. Part of `describeRuntime`. */
export function describeImageUsers(tests: ContractTests): void {
  const { open } = tests;
  describe("an image with its own user", () => {
    it("can write everywhere in the workspace, and so can root afterwards", async () => {
      await using place = await open();
      await place.put("from-host", "host\n");
      const image = tests.subject.images.unprivileged;
      await place.run("mkdir -p a/b; echo root > a/b/from-root; chmod 700 a");

      const own = await place.run(
        "id -u; echo own > own; echo more >> from-host; echo more >> a/b/from-root; mkdir c; rm a/b/from-root; echo $?",
        { image },
      );
      const second = await place.run("cat ../own; echo again > d", { image, workingDirectory: "/data/e" });
      const root = await place.run("id -u; echo more >> own; cat own e/d; stat -c %u .");

      expect(own.stdout + own.stderr).toBe("1000\n0\n");
      expect(second.stdout + second.stderr).toBe("own\n");
      expect(root.stdout).toBe("0\nown\nmore\nagain\n0\n");
    });

    it("gets access to the workspace, and to nothing that links in it lead to", async () => {
      await using place = await open();
      await using outsideDirectory = await temporaryDirectory();
      const outside = outsideDirectory.path;
      const victim = join(outside, "victim");
      await writeFile(victim, "host\n");
      const before = await stat(victim);
      await place.run(`ln -s '${victim}' file; ln -s '${outside}' directory; ln -s ../victim relative`);

      const { stdout } = await place.run("echo own > own && cat own", { image: tests.subject.images.unprivileged });

      const after = await stat(victim);
      expect(stdout).toBe("own\n");
      expect([after.uid, after.gid, after.mode]).toEqual([before.uid, before.gid, before.mode]);
    });
  });
}
