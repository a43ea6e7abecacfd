import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

/** Text of a pointer file as Git LFS writes it. */
export function lfsPointer(content: Buffer | string): string {
  const oid = createHash("sha256").update(content).digest("hex");
  return `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${Buffer.byteLength(content)}\n`;
}

interface LfsRequest {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

/** The download part of a Git LFS server over real HTTP. Its settings simulate faulty servers. */
export class LfsObjects {
  readonly requests: LfsRequest[] = [];
  readonly #contents = new Map<string, Buffer>();
  /** Base URL for objects; default: the URL that the list was requested from. */
  objectsAt: string | undefined;
  /** Status of all answers; 200: answer normally. */
  status = 200;
  /** Delay before each answer. */
  delayMs = 0;
  /** Headers that are listed with the URLs of objects. */
  header: Readonly<Record<string, string>> = {};

  add(content: Buffer | string, given: Buffer | string = content): void {
    this.#contents.set(createHash("sha256").update(content).digest("hex"), Buffer.from(given));
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "";
    this.requests.push({ path, headers: request.headers });
    if (this.delayMs > 0) await sleep(this.delayMs, undefined, { ref: false });
    if (this.status !== 200) return void response.writeHead(this.status, { location: "http://[::1]:1/" }).end();
    if (request.method === "GET") {
      const content = this.#contents.get(path.split("/").at(-1) ?? "");
      return void response.writeHead(content ? 200 : 404).end(content);
    }
    const { objects } = JSON.parse((await buffer(request)).toString()) as { objects: { oid: string; size: number }[] };
    const base = this.objectsAt ?? `http://${request.headers.host}${path.replace(/\/batch$/, "")}`;
    const answers = objects.map((object) =>
      this.#contents.has(object.oid)
        ? { ...object, actions: { download: { href: `${base}/${object.oid}`, header: this.header } } }
        : { ...object, error: { code: 404, message: "Object does not exist" } },
    );
    response.writeHead(200, { "content-type": "application/vnd.git-lfs+json" });
    response.end(JSON.stringify({ transfer: "basic", objects: answers }));
  }
}
