import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { errorCode } from "../host/error-code.ts";

const Pulled = z.object({
  images: z.record(z.string(), z.object({ id: z.string(), references: z.array(z.string()), usedAt: z.number() })),
});

export interface PulledImage {
  /** The reference by which jobs name it, in canonical form. */
  readonly canonical: string;
  readonly id: string;
  /** Every reference the engine knows it by: its own, and possibly a mirror's. */
  readonly references: readonly string[];
  readonly usedAt: number;
}

/** Minimum interval between two writes of an image's time of last use. */
const usedMs = 60_000;

/**
 * The images that this executor pulled, recorded in a file. The engine keeps no such record, and it also has images of
 * other users.
 */
export class PulledImages {
  readonly #file: string;
  #images: Promise<Map<string, PulledImage>> | undefined;
  #written: Promise<void> = Promise.resolve();

  constructor(file: string) {
    this.#file = file;
  }

  async add(image: Omit<PulledImage, "usedAt">): Promise<void> {
    const images = await this.#read();
    const before = images.get(image.canonical);
    // The tag moved to another image. The old one has no name any more but still occupies the disk.
    if (before && before.id !== image.id) {
      const canonical = `${before.canonical} until ${Date.now()}`;
      images.set(canonical, { ...before, canonical, references: [] });
    }
    images.set(image.canonical, { ...image, usedAt: Date.now() });
    await this.#write(images);
  }

  /** Does nothing for an image that this executor did not pull. */
  async markUsed(canonical: string): Promise<void> {
    const images = await this.#read();
    const known = images.get(canonical);
    if (!known || Date.now() - known.usedAt < usedMs) return;
    images.set(canonical, { ...known, usedAt: Date.now() });
    await this.#write(images);
  }

  async remove(canonical: string): Promise<void> {
    const images = await this.#read();
    if (images.delete(canonical)) await this.#write(images);
  }

  /** Lists the images, least recently used first. */
  async list(): Promise<readonly PulledImage[]> {
    return [...(await this.#read()).values()].sort((a, b) => a.usedAt - b.usedAt);
  }

  #read(): Promise<Map<string, PulledImage>> {
    this.#images ??= readPulled(this.#file);
    this.#images.catch(() => {
      this.#images = undefined;
    });
    return this.#images;
  }

  #write(images: ReadonlyMap<string, PulledImage>): Promise<void> {
    const before = this.#written.catch(() => {});
    this.#written = before.then(async () => {
      const entries = [...images.values()].map(({ canonical, ...image }) => [canonical, image]);
      const temporary = `${this.#file}.${randomUUID()}`;
      await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 });
      await writeFile(temporary, JSON.stringify({ images: Object.fromEntries(entries) }), { mode: 0o600 });
      await rename(temporary, this.#file);
    });
    return this.#written;
  }
}

async function readPulled(file: string): Promise<Map<string, PulledImage>> {
  try {
    const { images } = Pulled.parse(JSON.parse(await readFile(file, "utf8")));
    return new Map(Object.entries(images).map(([canonical, image]) => [canonical, { canonical, ...image }]));
  } catch (error) {
    if (errorCode(error) === "ENOENT") return new Map();
    throw error;
  }
}
