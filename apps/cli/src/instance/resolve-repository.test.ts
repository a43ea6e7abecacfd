import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { RepositoryView } from "@airlock/api";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { answerJson, type StubInstance, stubInstance } from "../testing/stub-instance.ts";
import { resolveRepository } from "./resolve-repository.ts";

function view(name: string, url: string, overrides: Partial<RepositoryView> = {}): RepositoryView {
  return { name, url, state: "ready", error: null, head: null, fetchedAt: null, sizeBytes: null, ...overrides };
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

describe("what stands for a repository", () => {
  it("is a known name, even where a directory is called the same", async () => {
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
    "is a new URL, which is added and waited for: %s",
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

  it("is added with the password of its URL, which is shown nowhere", async () => {
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

  it("is a known URL, which is not added again", async () => {
    await using instance = await instanceWith([view("app", "https://x.example/app.git")]);
    const name = await resolveRepository(instance.client, "https://x.example/app.git", {
      directory: "/",
      progress: () => {},
    });
    expect(name).toBe("app");
    expect(added(instance)).toEqual([]);
  });

  it("is a path in a checkout, which stands for the checkout's root", async () => {
    await using instance = await instanceWith([]);
    await using directory = await temporaryDirectory();
    await mkdir(path.join(directory.path, ".git"));
    await mkdir(path.join(directory.path, "src/deep"), { recursive: true });
    await resolveRepository(instance.client, "src/deep", { directory: directory.path, progress: () => {} });
    expect(added(instance)).toEqual([{ url: directory.path }]);
  });

  it("is the path of a bare repository", async () => {
    await using instance = await instanceWith([]);
    await using directory = await temporaryDirectory();
    const bare = path.join(directory.path, "app.git");
    for (const part of ["HEAD", "objects"]) await mkdir(path.join(bare, part), { recursive: true });
    await resolveRepository(instance.client, "app.git", { directory: directory.path, progress: () => {} });
    expect(added(instance)).toEqual([{ url: bare }]);
  });

  it("is nothing else: the error names what is known", async () => {
    await using instance = await instanceWith([view("team/app", "https://x/app.git")]);
    await using directory = await temporaryDirectory();
    const resolved = resolveRepository(instance.client, "team/ap", { directory: directory.path, progress: () => {} });
    await expect(resolved).rejects.toMatchObject({
      code: "unknown-repository",
      hint: expect.stringContaining("team/app"),
    });
  });

  it("is not the checkout around a path that does not exist", async () => {
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

  it("that the instance cannot fetch is an error with its reason", async () => {
    const failed = view("app", "https://x/app.git", { state: "failed", error: "host not found" });
    await using instance = await instanceWith([failed]);
    const resolved = resolveRepository(instance.client, "app", { directory: "/", progress: () => {} });
    await expect(resolved).rejects.toMatchObject({ message: "the repository app cannot be used: host not found" });
  });
});
