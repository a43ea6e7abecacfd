import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { toleratedFsckClasses } from "./fsck-classes.ts";
import { gitEnvironment } from "./git-environment.ts";
import { defencesOf, GitPlace } from "./testing/git-place.ts";

const localFiles = { "protocol.file.allow": "always" };
const askForPassword = "protocol=https\nhost=example.com\n\n";

/** Attempts an attack. Resolves with whether it succeeded. */
type Attack = (place: GitPlace) => Promise<boolean>;

const configure = (place: GitPlace, key: string, value: string) => place.plain(["repository"], "config", key, value);

/** Writes an object that git would refuse to create. */
async function writeTree(place: GitPlace, repository: string, name: string): Promise<string> {
  const blob = await place.plain([repository], "rev-parse", "HEAD:file");
  const entry = Buffer.concat([Buffer.from(`100644 ${name}\0`), Buffer.from(blob, "hex")]);
  return await place.plainWith(repository, entry, "hash-object", "-t", "tree", "-w", "--stdin", "--literally");
}

/** Makes `super` with the submodule `sub`, and a clone with both. Then adds commits to both, which the clone lacks. */
async function withSubmodule(place: GitPlace): Promise<void> {
  await place.init("sub");
  await place.init("super");
  await place.plain(["super"], "submodule", "--quiet", "add", place.path("sub"), "sub");
  await place.commit("super", "two");
  await place.plain([], "clone", "--quiet", "--recurse-submodules", place.path("super"), place.path("clone"));
  await place.write("sub/file", "news\n");
  await place.commit("sub", "news");
  await place.plain(["super/sub"], "pull", "--quiet");
  await place.commit("super", "three");
}

async function listening(server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** Whether git stays connected to a server that accepts connections and never responds. */
async function staysConnected(place: GitPlace): Promise<boolean> {
  const sockets = new Set<{ destroy(): void }>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  const port = await listening(server);
  const off = place.isOff("http.lowSpeedLimit") || place.isOff("http.lowSpeedTime");
  try {
    const { exitCode } = await place.hardened(["ls-remote", `http://127.0.0.1:${port}/x`], {
      settings: { "protocol.http.allow": "always", "http.lowSpeedTime": "1" },
      // With the defence, git ends by itself, even on a slow machine.
      timeoutMs: off ? 4000 : 50_000,
    });
    return exitCode === null;
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function readsPassword(place: GitPlace): Promise<boolean> {
  await configure(place, "core.askPass", await place.attacker("askpass"));
  await place.hardened(["credential", "fill"], { input: askForPassword });
  return place.hasMarker;
}

/** By setting or variable: the attack that it prevents, and another one that prevents the same attack. */
const attacks: Readonly<Record<string, { readonly does: string; readonly besides?: string; readonly attack: Attack }>> =
  {
    "core.askPass": { does: "runs a program to ask for a password", besides: "GIT_ASKPASS", attack: readsPassword },
    GIT_ASKPASS: { does: "runs a program to ask for a password", besides: "core.askPass", attack: readsPassword },
    "core.attributesFile": {
      does: "reads attributes from any file that the repository configures",
      attack: async (place) => {
        await configure(place, "core.attributesFile", await place.write("attributes", "* marked\n"));
        return (await place.hardened(["check-attr", "marked", "file"])).stdout.includes("marked: set");
      },
    },
    "core.excludesFile": {
      does: "reads ignore rules from any file that the repository configures",
      attack: async (place) => {
        await configure(place, "core.excludesFile", await place.write("excludes", "hidden\n"));
        return (await place.hardened(["check-ignore", "hidden"])).exitCode === 0;
      },
    },
    "core.fsmonitor": {
      does: "runs a program to find changed files",
      attack: async (place) => {
        await configure(place, "core.fsmonitor", await place.attacker("fsmonitor"));
        await place.hardened(["status"]);
        return place.hasMarker;
      },
    },
    "core.hooksPath": {
      does: "runs a hook",
      attack: async (place) => {
        await place.attacker("repository/.git/hooks/post-checkout");
        await place.hardened(["checkout", "--quiet", "main"]);
        return place.hasMarker;
      },
    },
    "core.logAllRefUpdates": {
      does: "writes reflogs",
      attack: async (place) => {
        await place.hardened(["update-ref", "refs/heads/other", "HEAD"]);
        return existsSync(place.path("repository/.git/logs/refs/heads/other"));
      },
    },
    "core.protectHFS": {
      does: "accepts a file name that means .git on HFS+",
      attack: async (place) => {
        const tree = await writeTree(place, "repository", ".g\u200cit");
        return (await place.hardened(["read-tree", tree])).exitCode === 0;
      },
    },
    "core.protectNTFS": {
      does: "accepts a file name that means .git on NTFS",
      attack: async (place) => {
        await configure(place, "core.protectNTFS", "false");
        const tree = await writeTree(place, "repository", "git~1");
        return (await place.hardened(["read-tree", tree])).exitCode === 0;
      },
    },
    "credential.helper": {
      does: "runs a credential helper",
      attack: async (place) => {
        await configure(place, "credential.helper", await place.attacker("helper"));
        await place.hardened(["credential", "fill"], { input: askForPassword });
        return place.hasMarker;
      },
    },
    "fetch.fsckObjects": {
      does: "accepts a fetched tree that contains .git",
      attack: async (place) => {
        await place.init("source");
        const tree = await writeTree(place, "source", ".git");
        const commit = await place.plain(["source"], "commit-tree", tree, "-m", "evil");
        await place.plain(["source"], "update-ref", "refs/heads/evil", commit);
        const fetch = ["fetch", "--quiet", place.path("source"), "evil"];
        return (await place.hardened(fetch, { settings: localFiles })).exitCode === 0;
      },
    },
    "fetch.recurseSubmodules": {
      does: "fetches submodules from addresses that the repository configures",
      besides: "submodule.recurse",
      attack: async (place) => {
        await withSubmodule(place);
        await place.plain(["clone"], "config", "fetch.recurseSubmodules", "true");
        const { stderr } = await place.hardened(["fetch"], { cwd: "clone", settings: localFiles });
        return stderr.includes("Fetching submodule");
      },
    },
    "fetch.unpackLimit": {
      does: "writes every fetched object into a separate file",
      besides: "fetch.fsckObjects",
      attack: async (place) => {
        await place.init("source");
        await place.hardened(["fetch", "--quiet", place.path("source"), "main"], { settings: localFiles });
        return readdirSync(place.path("repository/.git/objects/pack")).length === 0;
      },
    },
    "gc.auto": {
      does: "collects garbage at a threshold that the repository configures",
      attack: async (place) => {
        await configure(place, "gc.auto", "1");
        await configure(place, "gc.autoDetach", "false");
        // git estimates the number of objects from those whose ids start with 17.
        for (let index = 0, found = 0; found < 3; index += 1) {
          const text = `blob ${index}`;
          if (!createHash("sha1").update(`blob ${text.length}\0${text}`).digest("hex").startsWith("17")) continue;
          await place.plainWith("repository", text, "hash-object", "-w", "--stdin");
          found += 1;
        }
        await place.hardened(["gc", "--auto"]);
        return readdirSync(place.path("repository/.git/objects/pack")).length > 0;
      },
    },
    "http.followRedirects": {
      does: "follows a redirect to another server",
      attack: async (place) => {
        let asked = 0;
        const inside = createServer((_, response) => {
          asked += 1;
          response.writeHead(404).end();
        });
        const insidePort = await listening(inside);
        const outside = createServer(({ url }, response) => {
          response.writeHead(302, { location: `http://127.0.0.1:${insidePort}${url}` }).end();
        });
        const port = await listening(outside);
        await place.hardened(["ls-remote", `http://127.0.0.1:${port}/x`], {
          settings: { "protocol.http.allow": "always" },
        });
        for (const server of [inside, outside]) {
          server.closeAllConnections();
          await new Promise((resolve) => server.close(resolve));
        }
        return asked > 0;
      },
    },
    "http.lowSpeedLimit": { does: "waits for a server that never answers", attack: staysConnected },
    "http.lowSpeedTime": { does: "waits for a server that never answers", attack: staysConnected },
    "maintenance.auto": {
      does: "starts maintenance after a fetch",
      attack: async (place) => {
        await place.init("source");
        const fetch = ["fetch", "--quiet", place.path("source"), "main"];
        const { stderr } = await place.hardened(fetch, { settings: localFiles, env: { GIT_TRACE: "1" } });
        return stderr.includes("maintenance run --auto");
      },
    },
    "protocol.allow": {
      does: "uses a protocol that Airlock does not allow",
      attack: async (place) =>
        (await place.hardened(["ls-remote", `file://${place.path("repository")}`])).exitCode === 0,
    },
    "protocol.version": {
      does: "uses an old version of the protocol",
      attack: async (place) => {
        await configure(place, "protocol.version", "0");
        const { stderr } = await place.hardened(["ls-remote", `file://${place.path("repository")}`], {
          settings: localFiles,
          env: { GIT_TRACE_PACKET: "1" },
        });
        return !stderr.includes("version 2");
      },
    },
    "safe.bareRepository": {
      does: "treats a directory of the checkout as a bare repository",
      attack: async (place) => {
        await place.plain(["repository"], "init", "--quiet", "--bare", "inner");
        return (await place.hardened(["rev-parse", "--git-dir"], { cwd: "repository/inner" })).stdout === ".\n";
      },
    },
    "submodule.recurse": {
      does: "searches submodules",
      attack: async (place) => {
        await withSubmodule(place);
        await place.plain(["clone"], "config", "submodule.recurse", "true");
        return (await place.hardened(["grep", "--cached", "content"], { cwd: "clone" })).stdout.includes("sub/file");
      },
    },
    GIT_ATTR_NOSYSTEM: {
      does: "reads the machine's attributes",
      attack: async (place) => {
        // A separate /etc in a mount namespace that ends with the process.
        const script = 'mount -t tmpfs tmpfs /etc && echo "* marked" >/etc/gitattributes && exec "$@"';
        const inside = ["unshare", "--map-root-user", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
        const { stdout, stderr } = await place.hardened(["check-attr", "marked", "file"], { inside });
        if (!stdout.includes("marked:")) throw new Error(stderr);
        return stdout.includes("marked: set");
      },
    },
    GIT_CONFIG_GLOBAL: {
      does: "reads a user's settings",
      attack: async (place) => {
        await place.write("home/.gitconfig", "[marked]\n\tvalue = yes\n");
        return (await place.hardened(["config", "marked.value"])).exitCode === 0;
      },
    },
    GIT_CONFIG_NOSYSTEM: {
      does: "reads the machine's settings",
      attack: async (place) => {
        const GIT_CONFIG_SYSTEM = await place.write("system", "[marked]\n\tvalue = yes\n");
        return (await place.hardened(["config", "marked.value"], { env: { GIT_CONFIG_SYSTEM } })).exitCode === 0;
      },
    },
    GIT_NO_LAZY_FETCH: {
      does: "fetches missing objects from an address that the repository configures",
      attack: async (place) => {
        await configure(place, "uploadpack.allowFilter", "true");
        const source = `file://${place.path("repository")}`;
        await place.plain([], "clone", "--quiet", "--bare", "--filter=blob:none", source, place.path("partial"));
        const show = ["--git-dir=.", "cat-file", "-p", "HEAD:file"];
        return (await place.hardened(show, { cwd: "partial", settings: localFiles })).exitCode === 0;
      },
    },
    GIT_NO_REPLACE_OBJECTS: {
      does: "shows a replacement object instead of the requested one",
      attack: async (place) => {
        const blob = await place.plain(["repository"], "rev-parse", "HEAD:file");
        const other = await place.plainWith("repository", "other\n", "hash-object", "-w", "--stdin");
        await place.plain(["repository"], "replace", blob, other);
        return (await place.hardened(["cat-file", "-p", blob])).stdout === "other\n";
      },
    },
    GIT_TERMINAL_PROMPT: {
      does: "prompts for a password on a terminal",
      attack: async (place) => {
        const { stderr } = await place.hardened(["credential", "fill"], { input: askForPassword });
        return !stderr.includes("terminal prompts disabled");
      },
    },
    TZ: {
      does: "prints times in the machine's time zone",
      attack: async (place) => {
        const env: Record<string, string> = place.isOff("TZ") ? { TZ: "XXX-9" } : {};
        return (
          (await place.hardened(["log", "-1", "--date=format-local:%z", "--format=%ad"], { env })).stdout !== "+0000\n"
        );
      },
    },
  };

/** Variables without an attack: testing them needs another language, a newer git, or git-lfs. */
const unseen = { LC_ALL: "C", GIT_ADVICE: "0", GIT_LFS_SKIP_SMUDGE: "1" };

describe("git for hostile repositories", () => {
  const all = Object.entries(attacks).map(([name, entry]) => ({ name, ...entry }));
  it.each(all)("$does only without $name", async ({ name, besides, attack }) => {
    const others = besides ? [besides] : [];
    await using exposed = await temporaryDirectory();
    expect(await attack(await GitPlace.make(exposed.path, [name, ...others]))).toBe(true);

    await using directory = await temporaryDirectory();
    expect(await attack(await GitPlace.make(directory.path, others))).toBe(false);
  });

  it("has a test for every setting and variable", () => {
    const defences = defencesOf(gitEnvironment({ path: "/bin", home: "/nonexistent" }));
    const fsck = toleratedFsckClasses.map((name) => `fetch.fsck.${name}`);
    const expected = [...Object.keys(attacks), ...Object.keys(unseen), ...fsck, "PATH", "HOME"];
    expect([...defences.keys()].sort()).toEqual(expected.sort());
    for (const [name, value] of Object.entries(unseen)) expect(defences.get(name)).toBe(value);
  });
});
