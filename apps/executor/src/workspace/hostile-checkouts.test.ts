import { execFile, execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { unmountBelow } from "@airlock/runtime/host-disk";
import { makeRepository, runGit, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { gitToken, WorkspaceBench } from "../testing/workspace-bench.ts";
import { checkoutRequest } from "./checkout/checkout-request.ts";

const run = promisify(execFile);
const marker = "/tmp/airlock-owned";

let stack: AsyncDisposableStack;
let dir: string;
let instance: ScriptedInstance;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  stack.defer(async () => {
    await unmountBelow(dir, AbortSignal.timeout(20_000));
  });
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
});

afterEach(() => stack.disposeAsync());

const bench = (more = {}) => WorkspaceBench.create({ dir: join(dir, "executor"), instance, overlays: false, ...more });

/** Commits a tree with raw entries that no git command would write. */
async function commitRawTree(entries: readonly (readonly [mode: string, name: string, object: string])[]) {
  const path = join(dir, "served/app");
  const raw = Buffer.concat(
    entries.flatMap(([mode, name, object]) => [Buffer.from(`${mode} ${name}\0`), Buffer.from(object, "hex")]),
  );
  const tree = await runGit(path, ["hash-object", "-t", "tree", "-w", "--stdin", "--literally"], raw);
  return await runGit(path, ["commit-tree", "-m", "raw", tree]);
}

async function processesWith(file: "cmdline" | "environ", text: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const content = await readFile(`/proc/${pid}/${file}`, "latin1").catch(() => "");
    if (content.includes(text)) found.push(`${pid}: ${content.slice(0, 200)}`);
  }
  return found;
}

describe("a hostile repository", () => {
  it("is at fault itself if git cannot check it out because of its attributes", async () => {
    const { head: commit } = await makeRepository(join(dir, "served/app"), [
      { message: "1", files: [{ path: ".gitattributes", content: "* working-tree-encoding\n" }] },
    ]);
    const executor = await bench();
    await expect(executor.prepare({ repository: "app", commit })).rejects.toMatchObject({ code: "checkout-invalid" });
  });

  it.each(["none", "recursive"] as const)(
    "can't run a hook through a submodule whose path ends in CR next to a link without the CR, submodules: %s",
    async (fetch) => {
      const hook = { path: "post-checkout", content: `#!/bin/sh\ntouch ${marker}\n`, kind: "executable" as const };
      const payload = await makeRepository(join(dir, "served/payload"), [{ message: "hooks", files: [hook] }]);
      const { head } = await makeRepository(join(dir, "served/app"), [
        {
          message: "CR",
          files: [
            { path: ".gitmodules", content: '[submodule "sub"]\n\tpath = "sub\r"\n\turl = ../payload\n' },
            { path: "sub\r", content: payload.head, kind: "submodule" },
            { path: "sub", content: ".git/modules/sub/hooks", kind: "symlink" },
          ],
        },
      ]);
      const executor = await bench({ submodules: { fetch, allowedHosts: [] } });
      const attempt = executor.prepare({ repository: "app", commit: head });

      if (fetch === "recursive") {
        await expect(attempt).rejects.toMatchObject({ reason: "checkout-invalid" });
      } else {
        await using workspace = await attempt;
        expect(await readdir(join(workspace.dir, "sub\r"))).toEqual([]);
      }
      expect(existsSync(marker)).toBe(false);
    },
  );

  it.each([".git", ".GIT", "git~1", ".g\u200cit"])("cannot create a directory %j in a checkout", async (name) => {
    const { path } = await makeRepository(join(dir, "served/app"), [
      { message: "one", files: [{ path: "config", content: `[core]\n\tfsmonitor = touch ${marker}\n` }] },
    ]);
    const tree = await runGit(path, ["rev-parse", "HEAD^{tree}"]);
    const commit = await commitRawTree([["40000", name, tree]]);
    const executor = await bench();

    await expect(executor.prepare({ repository: "app", commit })).rejects.toMatchObject({ reason: "checkout-invalid" });

    expect(existsSync(marker)).toBe(false);
  });

  it("cannot write through a link with the same name as a directory, nor outside the checkout by file names", async () => {
    const outside = join(dir, "outside");
    execFileSync("mkdir", [outside]);
    const { path } = await makeRepository(join(dir, "served/app"), [
      { message: "one", files: [{ path: "x", content: "evil" }] },
    ]);
    const tree = await runGit(path, ["rev-parse", "HEAD^{tree}"]);
    const blob = await runGit(path, ["rev-parse", "HEAD:x"]);
    const link = await runGit(path, ["hash-object", "-w", "--stdin"], outside);
    const hostile = [
      [
        ["120000", "dir", link],
        ["40000", "dir", tree],
      ],
      [["40000", "..", tree]],
      [["100644", "../x", blob]],
      [["100644", "/tmp/airlock-owned", blob]],
      [["40000", ".", tree]],
      [["100644", "", blob]],
    ] as const;
    const executor = await bench();
    for (const entries of hostile) {
      const commit = await commitRawTree(entries);

      await expect(executor.prepare({ repository: "app", commit }), entries[0][1]).rejects.toMatchObject({
        reason: "checkout-invalid",
      });
    }
    expect(await readdir(outside)).toEqual([]);
    expect(existsSync(marker)).toBe(false);
  });

  it("cannot keep a host processor busy with attributes that git matches for hours", async () => {
    const { head } = await makeRepository(join(dir, "served/app"), [
      {
        message: "one",
        files: [
          { path: ".gitattributes", content: `${"*a".repeat(40)}b text\n` },
          { path: `${"a".repeat(240)}1`, content: "" },
        ],
      },
    ]);
    const executor = await bench({ maximumMs: 2000 });
    const begun = performance.now();
    await expect(executor.prepare({ repository: "app", commit: head })).rejects.toMatchObject({
      code: "checkout-limit",
      reason: "checkout-invalid",
      message: "git checkout took longer than 2.0s",
    });
    expect(performance.now() - begun).toBeLessThan(20_000);
    expect(await processesWith("cmdline", dir)).toEqual([]);
  });

  it("cannot use more host memory than git is allowed", async () => {
    const { head } = await makeRepository(join(dir, "served/app"), [
      { message: "one", files: [{ path: "large", content: Buffer.alloc(64 * 2 ** 20) }] },
    ]);
    const executor = await bench({ maximumMemoryBytes: 48 * 2 ** 20 });
    await expect(executor.prepare({ repository: "app", commit: head })).rejects.toMatchObject({
      code: "checkout-limit",
      reason: "checkout-invalid",
      message: expect.stringMatching(/git needs more than 48 MiB of memory/),
    });
  });

  it("cannot fill the disk with a blob that unpacks to a hundred times its size, or with endless paths", async () => {
    const bomb = await makeRepository(join(dir, "served/bomb"), [
      { message: "zeros", files: [{ path: "zeros", content: Buffer.alloc(100 * 2 ** 20) }] },
    ]);
    const deep = await makeRepository(join(dir, "served/deep"), [
      { message: "deep", files: [{ path: `${"d/".repeat(2100)}x`, content: "" }] },
    ]);
    const executor = await bench({ maximumBytes: 10 * 2 ** 20 });

    for (const [repository, commit] of [
      ["bomb", bomb.head],
      ["deep", deep.head],
    ] as const) {
      await expect(executor.prepare({ repository, commit })).rejects.toMatchObject({ reason: "checkout-invalid" });
    }
    await executor.settled();

    const { stdout } = await run("du", ["-sk", join(dir, "executor")]);
    expect(Number.parseInt(stdout, 10)).toBeLessThan(4096);
  });

  it.each(["http://169.254.169.254", "file:///etc", "ext::sh -c touch% /tmp/airlock-owned"])(
    "cannot redirect git to %s",
    async (target) => {
      const { head } = await makeRepository(join(dir, "served/app"), [
        { message: "one", files: [{ path: "a", content: "a" }] },
      ]);
      instance.redirectGitTo = target;
      const executor = await bench();

      await expect(executor.prepare({ repository: "app", commit: head })).rejects.toMatchObject({
        reason: "checkout-unavailable",
        message: expect.stringContaining("does not follow"),
      });
      expect(existsSync(marker)).toBe(false);
    },
  );

  it.each(["--upload-pack=touch /tmp/airlock-owned", "-h", "HEAD", "main", "refs/heads/main", "0".repeat(39), ""])(
    "is never asked for a commit named %j",
    (commit) => {
      const input = { repository: "app", commit, directory: "", depth: 1, tags: "none", sparse: [] } as const;

      expect(() => checkoutRequest(input)).toThrow(expect.objectContaining({ reason: "checkout-invalid" }));
    },
  );
});

describe("a job's credentials", () => {
  it("appear on no command line while git fetches, and in no process's environment afterwards", async () => {
    const { head } = await makeRepository(join(dir, "served/app"), [
      { message: "one", files: [{ path: "a", content: "a" }] },
    ]);
    const seen: string[] = [];
    let gits = 0;
    let requests = 0;
    instance.intervene = ({ path }) => {
      if (!path.includes("/git/")) return undefined;
      requests += 1;
      for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
        const line = readOrEmpty(`/proc/${pid}/cmdline`);
        if (line.includes(gitToken)) seen.push(line);
        // Proves that the search works: git's own environment must contain the token.
        if (readOrEmpty(`/proc/${pid}/environ`).includes(gitToken)) gits += 1;
      }
      return undefined;
    };
    const executor = await bench();

    await using workspace = await executor.prepare({ repository: "app", commit: head });

    expect(requests).toBeGreaterThan(0);
    expect(gits).toBeGreaterThan(0);
    expect(seen).toEqual([]);
    expect(await processesWith("environ", gitToken)).toEqual([]);
    expect(await processesWith("cmdline", gitToken)).toEqual([]);
    expect((await stat(workspace.dir)).isDirectory()).toBe(true);
  });

  const readOrEmpty = (file: string): string => {
    try {
      return readFileSync(file, "latin1");
    } catch {
      // The process has ended meanwhile.
      return "";
    }
  };
});

describe("a failed fetch", () => {
  const commit = "1234567890123456789012345678901234567890";
  const attempt = async (more = {}) => {
    const executor = await bench(more);
    return await executor.prepare({ repository: "app", commit }).then(
      () => new Error("it did not fail"),
      (error: unknown) => error,
    );
  };

  it("reports whether the instance, its credentials, the network or the repository is at fault", async () => {
    await makeRepository(join(dir, "served/app"), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
    const expectFailure = async (status: number, reason: string, words: string) => {
      instance.intervene = ({ path }) => (path.includes("/git/") ? { status } : undefined);
      expect(await attempt()).toMatchObject({ reason, message: expect.stringContaining(words) });
    };
    await expectFailure(503, "checkout-unavailable", "the server responded, but not with the repository");
    await expectFailure(401, "checkout-unavailable", "the server rejected the job's credentials");
    await expectFailure(404, "checkout-invalid", "not found");
    instance.intervene = () => undefined;
    expect(await attempt()).toMatchObject({
      reason: "checkout-invalid",
      message: expect.stringContaining("not our ref"),
    });
    expect(await attempt({ url: "http://127.0.0.1:1" })).toMatchObject({
      reason: "checkout-unavailable",
      message: expect.stringContaining("the server cannot be reached over the network"),
      hint: expect.stringContaining("firewalls"),
    });
  });

  it("over TLS reports an untrusted certificate, and succeeds once its authority is configured", async () => {
    const { head } = await makeRepository(join(dir, "served/app"), [
      { message: "one", files: [{ path: "a", content: "a" }] },
    ]);
    const { url, authority } = await startTls();
    const trusting = await bench({ url, certificateFile: authority });

    expect(await attempt({ url, dir: join(dir, "other") })).toMatchObject({
      reason: "checkout-unavailable",
      message: expect.stringContaining("certificate is not trusted"),
      hint: expect.stringContaining("NODE_EXTRA_CA_CERTS"),
    });
    expect(instance.gitRequests).toEqual([]);
    await using workspace = await trusting.prepare({ repository: "app", commit: head });
    expect(await readFile(join(workspace.dir, "a"), "utf8")).toBe("a");
  });

  /** Starts a TLS proxy in front of the instance, with a certificate of an authority that the test creates. */
  async function startTls(): Promise<{ readonly url: string; readonly authority: string }> {
    const at = (name: string) => join(dir, name);
    const openssl = (...args: string[]) => run("openssl", args);
    const newKey = (name: string) => [
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      at(name),
    ];
    await openssl(
      "req",
      "-x509",
      ...newKey("ca.key"),
      "-out",
      at("ca.pem"),
      "-days",
      "2",
      "-subj",
      "/CN=Test authority",
    );
    await openssl("req", ...newKey("server.key"), "-out", at("server.csr"), "-subj", "/CN=127.0.0.1");
    await writeFile(at("names"), "subjectAltName=IP:127.0.0.1\n");
    const signing = [
      "-CA",
      at("ca.pem"),
      "-CAkey",
      at("ca.key"),
      "-CAcreateserial",
      "-days",
      "2",
      "-extfile",
      at("names"),
    ];
    await openssl("x509", "-req", "-in", at("server.csr"), ...signing, "-out", at("server.pem"));
    const server = createServer(
      { key: await readFile(at("server.key")), cert: await readFile(at("server.pem")) },
      (request, response) => {
        const target = `${instance.url}${request.url}`;
        const onward = httpRequest(target, { method: request.method, headers: request.headers }, (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(response);
        });
        request.pipe(onward);
      },
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stack.defer(() => {
      server.closeAllConnections();
      server.close();
    });
    return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, authority: at("ca.pem") };
  }
});
