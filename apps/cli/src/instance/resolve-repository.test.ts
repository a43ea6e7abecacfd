import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { RepositoryView } from "@airlock/api";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { answerJson, type StubInstance, stubInstance } from "../testing/stub-instance.ts";
import { resolveRepository } from "./resolve-repository.ts";

function view(name: string, url: string, overrides: Partial<RepositoryView> = {}): RepositoryView {
  const facts = {
    state: "ready",
    error: null,
    head: null,
    fetchedAt: null,
    sizeBytes: null,
    organizations: null,
  } as const;
  return { name, url, ...facts, ...overrides };
}

/** An instance that knows these repositories. A new one is ready from the fourth listing on. */
async function instanceWith(known: readonly RepositoryView[]): Promise<StubInstance> {
  const repositories = [...known];
  let looks = 0;
  return stubInstance({
    "GET repositories": (_, response) => {
      looks += 1;
      const ready = looks > 3;
      answerJson(response, {
        repositories: repositories.map((one) => (ready && one.state === "cloning" ? { ...one, state: "ready" } : one)),
      });
    },
    "POST repositories": ({ body }, response) => {
      const added = view("added", (body as { url: string }).url, { state: "cloning" });
      repositories.push(added);
      answerJson(response, added, 201);
    },
  });
}

const added = (instance: StubInstance) =>
  instance.requests.filter(({ method }) => method === "POST").map(({ body }) => body);

describe("the name of a repository", () => {
  it("can be a known name, even if a directory has the same name", async () => {
    await using instance = await instanceWith([view("team/app", "https://x/app.git")]);
    await using directory = await temporaryDirectory();
    await mkdir(path.join(directory.path, "team/app/.git"), { recursive: true });
    const name = await resolveRepository(instance.client, "team/app", {
      directory: directory.path,
      progress: () => {},
    });
    expect(name).toBe("team/app");
    expect(added(instance)).toEqual([]);
  });

  it.each(["https://x.example/new.git", "ssh://git@x.example/new", "git@x.example:new.git", "file:///srv/new.git"])(
    "can be a new URL, which is added and fetched first: %s",
    async (url) => {
      await using instance = await instanceWith([]);
      const said: string[] = [];
      const name = await resolveRepository(instance.client, url, {
        directory: "/",
        progress: (text) => said.push(text),
      });
      expect(name).toBe("added");
      expect(added(instance)).toEqual([{ url }]);
      expect(said).toContain("fetching added …");
    },
  );

  it("can be a URL with a password, which is sent to the instance but shown nowhere", async () => {
    await using instance = await instanceWith([]);
    const said: string[] = [];
    const url = "http://ci:s3cret@x.example/app.git";
    const options = { directory: "/", progress: (text: string) => said.push(text) };
    expect(await resolveRepository(instance.client, url, options)).toBe("added");
    expect(added(instance)).toEqual([{ url }]);
    expect(said[0]).toBe("adding the repository http://***@x.example/app.git …");
    await expect(resolveRepository(instance.client, "ci:s3cret@x.example/app.git", options)).rejects.toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("s3cret") }),
    );
    expect(said.join()).not.toContain("s3cret");
  });

  it("can be a known URL, which is not added again", async () => {
    await using instance = await instanceWith([view("app", "https://x.example/app.git")]);
    const name = await resolveRepository(instance.client, "https://x.example/app.git", {
      directory: "/",
      progress: () => {},
    });
    expect(name).toBe("app");
    expect(added(instance)).toEqual([]);
  });

  it("can be a path inside a checkout, which means the checkout's root", async () => {
    await using instance = await instanceWith([]);
    await using directory = await temporaryDirectory();
    await mkdir(path.join(directory.path, ".git"));
    await mkdir(path.join(directory.path, "src/deep"), { recursive: true });
    await resolveRepository(instance.client, "src/deep", { directory: directory.path, progress: () => {} });
    expect(added(instance)).toEqual([{ url: directory.path }]);
  });

  it("can be the path of a bare repository", async () => {
    await using instance = await instanceWith([]);
    await using directory = await temporaryDirectory();
    const bare = path.join(directory.path, "app.git");
    for (const part of ["HEAD", "objects"]) await mkdir(path.join(bare, part), { recursive: true });
    await resolveRepository(instance.client, "app.git", { directory: directory.path, progress: () => {} });
    expect(added(instance)).toEqual([{ url: bare }]);
  });

  it("can't be anything else, and the error lists known names", async () => {
    await using instance = await instanceWith([view("team/app", "https://x/app.git")]);
    await using directory = await temporaryDirectory();
    const resolved = resolveRepository(instance.client, "team/ap", { directory: directory.path, progress: () => {} });
    await expect(resolved).rejects.toMatchObject({
      code: "unknown-repository",
      hint: expect.stringContaining("team/app"),
    });
  });

  it("can't be a path that does not exist, even inside a checkout", async () => {
    await using instance = await instanceWith([]);
    await using directory = await temporaryDirectory();
    await mkdir(path.join(directory.path, ".git"));
    const resolving = resolveRepository(instance.client, "team/mistyped", {
      directory: directory.path,
      progress: () => {},
    });
    await expect(resolving).rejects.toThrow('"team/mistyped" is not a repository');
    expect(added(instance)).toEqual([]);
  });

  it("is refused with the reason if the instance could not fetch the repository", async () => {
    const failed = view("app", "https://x/app.git", { state: "failed", error: "host not found" });
    await using instance = await instanceWith([failed]);
    const resolved = resolveRepository(instance.client, "app", { directory: "/", progress: () => {} });
    await expect(resolved).rejects.toMatchObject({ message: "the repository app cannot be used: host not found" });
  });
});
