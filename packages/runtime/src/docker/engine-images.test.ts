import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  buildImage,
  busyboxLayer,
  describeWithEngines,
  engines,
  pushImage,
  temporaryDirectory,
} from "@airlock/test-kit";
import { expect, it } from "vitest";
import { defaultImageOptions } from "../images/policy/image-options.ts";
import type { PullPolicy } from "../images/policy/image-policy.ts";
import { EngineClient } from "./engine-client.ts";
import { EngineImages } from "./engine-images.ts";
import { inspectImage, tagImage } from "./pull-image.ts";
import { PulledImages } from "./pulled-images.ts";

const signal = new AbortController().signal;
const options = { signal, progress: () => {} };

describeWithEngines(["docker", "registry"], "the images of a Docker engine", () => {
  async function open(cacheBytes: number | null, pull: PullPolicy = "if-not-present") {
    const stack = new AsyncDisposableStack();
    const { path } = stack.use(await temporaryDirectory());
    const engine = new EngineClient({ host: `unix://${engines().docker?.socketPath}` });
    stack.defer(() => engine.close());
    const file = join(path, "docker", "pulled-images.json");
    const policy = { ...defaultImageOptions.policy, pull };
    const settings = { ...defaultImageOptions, cacheBytes, policy };
    const create = () => new EngineImages(engine, settings, new PulledImages(file));
    /** Makes all pulled images look as if they were last used an hour ago. */
    const age = async () => {
      const { images } = JSON.parse(await readFile(file, "utf8"));
      for (const each of Object.values<{ usedAt: number }>(images)) each.usedAt -= 3_600_000;
      await writeFile(file, JSON.stringify({ images }));
      return create();
    };
    return { engine, images: create(), age, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  }

  async function push(name: string, content = name): Promise<string> {
    const image = await buildImage([await busyboxLayer(), [{ name: "own", content }]]);
    return pushImage(image, { registry: engines().registry?.address ?? "", repository: `engine/${name}` });
  }

  it("are removed above the size limit if this executor pulled them, also after a restart; others stay", async () => {
    await using place = await open(1);
    const { engine } = place;
    const [ours, theirs, named] = [await push("ours"), await push("theirs"), await push("named")];
    await engine.send({ method: "POST", path: "/images/create", query: { fromImage: theirs } });
    for (const image of [ours, theirs, named]) await place.images.ensure(image, undefined, options);
    await tagImage(engine, named, "airlock-test-somebody", "kept");

    expect(await place.images.evict({ signal })).toEqual([]);
    const restarted = await place.age();
    expect(await restarted.evict({ signal })).toEqual([
      expect.stringMatching(/^removed the image .*engine\/ours:latest/),
    ]);

    expect(await inspectImage(engine, ours)).toBeUndefined();
    expect(await inspectImage(engine, theirs)).toBeDefined();
    expect(await inspectImage(engine, named)).toBeUndefined();
    expect(await inspectImage(engine, "airlock-test-somebody:kept")).toBeDefined();
    expect((await restarted.ensure(ours, undefined, options)).Id).toMatch(/^sha256:/);
  });

  it("stay while a container uses them", async () => {
    await using place = await open(1);
    const { engine } = place;
    const image = await push("in-use");
    const { Id } = await place.images.ensure(image, undefined, options);
    const path = "/containers/create";
    const query = { name: `airlock-test-in-use-${process.pid}` };
    await engine.send({ method: "POST", path, query, body: { Image: Id, Cmd: ["/bin/true"] } });
    const restarted = await place.age();

    expect(await restarted.evict({ signal })).toEqual([]);
    expect(await inspectImage(engine, image)).toBeDefined();
    await engine.send({ method: "DELETE", path: `/containers/${query.name}` });
    expect(await restarted.evict({ signal })).toHaveLength(1);
  });

  it("are also removed once their tag means another image", async () => {
    await using place = await open(1, "always");
    const { engine, images } = place;
    const image = await push("replaced", "first");
    const first = await images.ensure(image, undefined, options);
    await push("replaced", "second");
    const second = await images.ensure(image, undefined, options);

    expect(second.Id).not.toBe(first.Id);
    expect(await inspectImage(engine, first.Id)).toBeDefined();
    await (await place.age()).evict({ signal });
    expect(await inspectImage(engine, first.Id)).toBeUndefined();
    expect(await inspectImage(engine, second.Id)).toBeUndefined();
  });

  it("are pulled once for all jobs that want the same one at the same time, with progress in bytes", async () => {
    await using place = await open(null);
    const image = await push("once");
    const words: string[][] = [[], [], []];

    const all = await Promise.all(
      words.map((said) => place.images.ensure(image, undefined, { signal, progress: (text) => said.push(text) })),
    );

    expect(new Set(all.map(({ Id }) => Id)).size).toBe(1);
    expect(new Set(words.map((said) => said.join())).size).toBe(1);
    expect(words[0]?.at(-1)).toBe("pulled 2 layers");
  });
});
