import { randomUUID } from "node:crypto";
import { readdir, readFile, rename, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errorCode } from "../../host/error-code.ts";
import { sha256 } from "../manifest/chain-id.ts";
import { Descriptor } from "../manifest/image-manifest.ts";
import type { StoredImage } from "../pulls/pull-image.ts";
import type { ImageReference } from "../reference/image-reference.ts";

const ImageRecord = z.object({
  reference: z.string(),
  config: Descriptor,
  layers: z.array(Descriptor),
  isPrivate: z.boolean().default(false),
  digest: z.string().nullable().default(null),
});
export type ImageRecord = z.infer<typeof ImageRecord>;

/** Minimum interval between two updates of an image's time of last use. */
const usedMs = 60_000;
const maximumKnown = 10_000;

/** One file per reference that records what it stands for. The file's modification time is the time of last use. */
export class ImageRecords {
  readonly directory: string;
  readonly #temporaryDirectory: string;
  readonly #usedAt = new Map<string, number>();

  constructor(directory: string, temporaryDirectory: string) {
    this.directory = directory;
    this.#temporaryDirectory = temporaryDirectory;
  }

  async find(reference: ImageReference): Promise<ImageRecord | undefined> {
    try {
      return parseRecord(await readFile(this.#path(reference), "utf8"));
    } catch (error) {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** All records, in no particular order. */
  async all(): Promise<ImageRecord[]> {
    const records: ImageRecord[] = [];
    for (const name of await readdir(this.directory)) {
      try {
        records.push(parseRecord(await readFile(join(this.directory, name), "utf8")));
      } catch (error) {
        if (errorCode(error) !== "ENOENT") throw error;
      }
    }
    return records;
  }

  async remember(reference: ImageReference, { manifest, isPrivate, digest }: StoredImage): Promise<void> {
    const { config, layers } = manifest;
    const record: ImageRecord = { reference: reference.canonical, config, layers, isPrivate, digest };
    const temporary = join(this.#temporaryDirectory, `${process.pid}-${randomUUID()}`);
    await writeFile(temporary, JSON.stringify(record), { mode: 0o600 });
    await rename(temporary, this.#path(reference));
  }

  async markUsed(reference: ImageReference): Promise<void> {
    const now = Date.now();
    if (now - (this.#usedAt.get(reference.canonical) ?? 0) < usedMs) return;
    if (this.#usedAt.size >= maximumKnown) this.#usedAt.clear();
    this.#usedAt.set(reference.canonical, now);
    await utimes(this.#path(reference), now / 1000, now / 1000).catch((error: unknown) => {
      // It was removed meanwhile; the next use will notice.
      if (errorCode(error) !== "ENOENT") throw error;
    });
  }

  #path(reference: ImageReference): string {
    return join(this.directory, `${sha256(reference.canonical).slice("sha256:".length)}.json`);
  }
}

export function parseRecord(text: string): ImageRecord {
  return ImageRecord.parse(JSON.parse(text));
}
