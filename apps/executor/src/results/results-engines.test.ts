import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import type { Runtime } from "@airlock/runtime";
import { createDockerRuntime } from "@airlock/runtime/docker";
import { createOciRuntime } from "@airlock/runtime/oci";
import {
  describeWithEngines,
  engines,
  type FixtureRepository,
  makeRepository,
  type RepositoryFile,
  runGit,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { airlockJob, startExecutor } from "../testing/start-executor.ts";

const run = promisify(execFile);

let instance: ScriptedInstance;
let dir: string;
let stack: AsyncDisposableStack;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
});

afterEach(() => stack.disposeAsync());

type Extension = NonNullable<Parameters<typeof airlockJob>[2]>["airlock"];

/** @param options.limitsFiles Whether to test the limit for files, which takes long and is the same for all runtimes. */
function itKeepsResults(
  createRuntime: (stateDir: string) => Promise<Runtime>,
  { limitsFiles }: { readonly limitsFiles: boolean },
): void {
  async function runSteps(
    commands: readonly string[],
    wanted: Partial<NonNullable<Extension>>,
    repository?: FixtureRepository,
  ) {
    const runtime = await createRuntime(join(dir, "runtime"));
    const env = { EXECUTOR_RUNTIME: runtime.name, ...(runtime.name === "docker" ? { DOCKER_HOST: dockerHost() } : {}) };
    stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor"), runtime, env }));
    const dockerSteps = [{ key: "main", image: "host", commands: [...commands], dir: "", env: [] }];
    const source = repository ? { repositoryName: "app", commit: repository.head, shallowClone: true } : {};
    instance.enqueue(airlockJob(1, [], { ...source, dockerSteps, airlock: wanted as NonNullable<Extension> }));
    await instance.until(() => instance.requests.some(({ path }) => path.includes("/mark")));
    const end = instance.requests.find(({ path }) => path.includes("/mark"));
    return { route: end?.path.split("/").at(-1), body: end?.body };
  }

  const repository = (files: readonly RepositoryFile[]) =>
    makeRepository(join(dir, "served", "app"), [{ message: "one", files }]);

  async function unpack(): Promise<string> {
    const target = join(dir, "unpacked");
    await mkdir(target, { recursive: true });
    await writeFile(join(dir, "outputs.tar"), gunzipSync(instance.artifacts.get("outputs.tar.gz") ?? Buffer.alloc(0)));
    await run("tar", ["-xf", join(dir, "outputs.tar"), "-C", target]);
    return target;
  }

  it("include the files that outputs name, also when a step fails, and nothing outside the workspace", async () => {
    await writeFile(join(dir, "secret"), "of the host\n", { mode: 0o644 });
    const end = await runSteps(
      [
        "mkdir -p out/sub other",
        "echo report > out/report.xml; echo '#!/bin/sh' > out/tool; chmod 4755 out/tool",
        `ln -s ${join(dir, "secret")} out/link; ln -s /etc out/etc; ln -s ../other linked; echo x > other/file`,
        "ln out/report.xml out/hard",
        "mkfifo out/pipe",
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out/socket\")' || true",
        "mknod out/device c 1 3 2>/dev/null || true",
        "printf x > \"$(printf 'out/sub/new\\nline')\"; printf x > \"$(printf 'out/sub/\\033[31mred')\"",
        "printf x > \"$(printf 'out/sub/b\\377\\376')\"; printf x > \"$(printf 'out/sub/\\342\\200\\256gnp')\"",
        "printf x > out/sub/$(printf '%0255d' 0)",
        "truncate -s 100G out/sparse",
        "exit 3",
      ],
      { outputs: ["out/**", "linked/**", "nowhere/*"] },
    );

    expect(end.route).toBe("markFailed");
    expect(end.body).toMatchObject({ exitCode: 3, steps: [{ key: "main", state: "failed", exitCode: 3 }] });
    const target = await unpack();
    const { stdout } = await run("find", [target, "-type", "f", "-printf", "%P %m\\0"], { encoding: "latin1" });
    const utf8 = (text: string) => Buffer.from(text).toString("latin1");
    expect(stdout.split("\0").filter(Boolean).sort()).toEqual(
      [
        "out/hard 644",
        "out/report.xml 644",
        "out/sub/\u001b[31mred 644",
        `out/sub/${"0".repeat(255)} 644`,
        "out/sub/b\u00ff\u00fe 644",
        "out/sub/new\nline 644",
        utf8("out/sub/\u202egnp 644"),
        "out/tool 755",
      ].sort(),
    );
    const log = instance.output(1, "teardown.outputs");
    expect(log).toContain('"linked" not kept: a symbolic link');
    expect(log).toContain('no file matches "nowhere/*"');
    expect(log).toContain('"out/link" not kept: a symbolic link');
    expect(log).toContain('"out/pipe" not kept: not a regular file');
    expect(log).toContain('"out/sparse" not kept: with this file of 100 GiB, the outputs would be larger than');
    expect(log).not.toContain("\u001b");
  });

  if (limitsFiles) {
    it("include 100,000 files, and no more than allowed", async () => {
      await runSteps(["mkdir out; cd out; seq 1 100005 | xargs touch"], { outputs: ["out"] });

      const tar = gunzipSync(instance.artifacts.get("outputs.tar.gz") ?? Buffer.alloc(0));
      expect(tar.length).toBe(100_000 * 512 + 1024);
      expect(instance.output(1, "teardown.outputs")).toContain("not kept: more than 100000 files");
      // Takes a minute and more when other suites use the processors.
    }, 300_000);
  }

  it("are reported if they are larger than the instance accepts, and the job completes", async () => {
    const end = await runSteps(["head -c 3000000 /dev/urandom > big"], {
      outputs: ["big"],
      maxArtifactBytes: 1_000_000,
    });

    expect(end.route).toBe("markComplete");
    expect(instance.artifacts.size).toBe(0);
    expect(instance.output(1, "teardown.outputs")).toContain("not kept: outputs.tar.gz is larger than 976.6 KiB");
  });

  it("are sent again if the answer to an artifact is lost", async () => {
    let lost = 0;
    instance.intervene = ({ path }) => (path.endsWith("/artifacts") && lost++ < 2 ? "drop" : undefined);
    const end = await runSteps(["echo x > a"], { outputs: ["a"] });

    expect(end.route).toBe("markComplete");
    expect(lost).toBe(3);
    expect(await readFile(join(await unpack(), "a"), "utf8")).toBe("x\n");
  });

  it.each([undefined, "64Mi"])("include a diff that git applies to a clean checkout, disk %s", async (disk) => {
    const source = await repository([
      { path: "text.txt", content: "one\ntwo\nthree\n" },
      { path: "gone.txt", content: "gone\n" },
      { path: "mode.sh", content: "#!/bin/sh\n" },
      { path: "binary", content: Buffer.from([0, 1, 2, 255, 0]) },
      { path: "windows.bat", content: "a\nb\n" },
      { path: ".gitattributes", content: "*.bat text eol=crlf\n* ident\n" },
      { path: ".gitignore", content: "ignored/\n*.o\n" },
      { path: "was-dir/file", content: "x\n" },
      { path: "was-link", content: "text.txt", kind: "symlink" },
    ]);
    await runSteps(
      [
        "sed -i s/two/2/ text.txt; rm gone.txt; chmod +x mode.sh; printf '\\000\\377new' > binary",
        "mkdir ignored new; echo x > ignored/x; echo x > a.o; echo n > 'new/file with spaces'",
        "rm -r was-dir; ln -s text.txt was-dir; rm was-link; mkdir was-link; echo in > was-link/in",
        "ln -s /etc/passwd leaving; printf 'c\\r\\n' >> windows.bat; head -c 100000 /dev/urandom > new/random",
        "printf x > \"$(printf 'new/b\\377\\nx')\"",
        "git add -A 2>/dev/null; git -c user.name=x -c user.email=x@x commit -qm later; sha256sum new/random > /data/sum",
      ],
      { diff: true, ...(disk ? { resources: { disk } } : {}) },
      source,
    );

    const patch = instance.artifacts.get("workspace.diff") ?? expect.fail(instance.output(1, "teardown.diff"));
    const clone = join(dir, "clone");
    await runGit(dir, ["clone", "-q", source.path, clone]);
    await writeFile(join(dir, "patch"), patch);
    await runGit(clone, ["apply", "--index", join(dir, "patch")]);
    const status = await runGit(clone, ["-c", "core.quotePath=true", "status", "--porcelain", "--no-renames"]);
    expect(
      status
        .split("\n")
        .map((line) => line.trim())
        .sort(),
    ).toEqual(
      [
        'A  "new/b\\377\\nx"',
        'A  "new/file with spaces"',
        "A  leaving",
        "A  new/random",
        "A  sum",
        "A  was-dir",
        "A  was-link/in",
        "D  gone.txt",
        "D  was-dir/file",
        "D  was-link",
        "M  binary",
        "M  mode.sh",
        "M  text.txt",
        "M  windows.bat",
      ].sort(),
    );
    expect(patch.toString("latin1")).not.toContain("-a\r");
    await run("sha256sum", ["-c", "sum"], { cwd: clone });
    expect(instance.entries(1).find(({ key }) => key === "teardown.diff")?.exitCode).toBe(0);
  });

  it("are collected without running anything that a step put into the repository, nor looking into nested repositories", async () => {
    const source = await repository([
      { path: "a.txt", content: "a\n" },
      { path: "lib", content: "1234567890123456789012345678901234567890", kind: "submodule" },
    ]);
    const evil = join(dir, "owned");
    const trap = `#!/bin/sh\\ntouch ${evil}\\n`;
    const end = await runSteps(
      [
        `for hook in pre-commit post-index-change post-checkout reference-transaction; do printf '${trap}' > .git/hooks/$hook 2>/dev/null || { mkdir -p .git/hooks; printf '${trap}' > .git/hooks/$hook; }; chmod +x .git/hooks/$hook; done`,
        `printf '[core]\\nfsmonitor = touch ${evil}\\npager = touch ${evil}\\n[diff]\\nexternal = touch ${evil}\\n[filter "evil"]\\nclean = touch ${evil}\\nprocess = touch ${evil}\\n[diff "evil"]\\ntextconv = touch ${evil}\\ncommand = touch ${evil}\\n' > .git/config`,
        "printf '* filter=evil diff=evil merge=evil ident\\n' > .gitattributes; echo b >> a.txt",
        `mkdir nested; cp -r .git nested/.git; echo n > nested/file; mkdir -p lib; cp -r .git lib/.git; echo l > lib/file`,
        `printf '[submodule "lib"]\\npath = lib\\nurl = ext::touch ${evil}\\nignore = none\\n' > .gitmodules`,
        "mkdir escaping; printf 'gitdir: /etc\\n' > escaping/.git; echo e > escaping/file",
        "rm -rf .git/objects; ln -s / .git/objects",
      ],
      { diff: true },
      source,
    );

    const patch =
      instance.artifacts.get("workspace.diff")?.toString() ?? expect.fail(instance.output(1, "teardown.diff"));
    expect(end.route).toBe("markComplete");
    expect(existsSync(evil)).toBe(false);
    const changed = [...patch.matchAll(/^diff --git a\/(\S+)/gm)].map((match) => match[1]);
    expect(changed).toEqual([".gitattributes", ".gitmodules", "a.txt", "escaping/file", "nested/file"]);
  });

  it("let the job complete at the first attempt if git cannot convert a step's files", async () => {
    const source = await repository([
      { path: "a.txt", content: "a\n" },
      { path: ".gitattributes", content: "*.u16 working-tree-encoding=UTF-16\n" },
    ]);
    const end = await runSteps(["echo odd > new.u16; echo b > a.txt"], { diff: true }, source);
    expect(end.route).toBe("markComplete");
    expect(instance.output(1, "teardown.diff")).toContain('"new.u16": cannot be converted from "UTF-16"');
    expect(instance.artifacts.get("workspace.diff")?.toString()).toContain("+b\n");
  });

  it("say if there is no difference, and if it is too large", async () => {
    const source = await repository([{ path: "a.txt", content: "a\n" }]);
    await runSteps(["touch a.txt"], { diff: true }, source);
    expect(instance.artifacts.size).toBe(0);
    expect(instance.output(1, "teardown.diff")).toContain("no diff: the workspace does not differ from the commit");
    instance.requests.length = 0;
    const dockerSteps = [{ key: "m", image: "host", commands: ["truncate -s 100G huge"], dir: "", env: [] }];
    const job = { repositoryName: "app", commit: source.head, shallowClone: true, dockerSteps };
    instance.enqueue(airlockJob(2, [], { ...job, airlock: { diff: true } as NonNullable<Extension> }));
    await instance.until(() => instance.requests.some(({ path }) => path.includes("/mark")));
    expect(instance.output(2, "teardown.diff")).toContain("changed and new files are larger than");
    expect(instance.bodies("markComplete")).toHaveLength(1);
  });
}

function dockerHost(): string {
  return `unix://${engines().docker?.socketPath}`;
}

describeWithEngines(["oci"], "results of jobs on the oci runtime", () => {
  itKeepsResults(
    (stateDir) => createOciRuntime({ stateDir, allowHostImage: true, runtimePath: engines().oci?.runtimePath ?? "" }),
    { limitsFiles: true },
  );
});

describeWithEngines(["docker"], "results of jobs on the docker runtime", () => {
  itKeepsResults(
    async (stateDir) =>
      createDockerRuntime({
        host: dockerHost(),
        allowHostImage: true,
        workspaces: { dir: join(stateDir, "workspaces") },
      }),
    // Sandboxes of both runtimes list their files in the same way, and the executor counts them.
    { limitsFiles: false },
  );
});
