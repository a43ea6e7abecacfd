import { randomUUID } from "node:crypto";
import { basename, dirname } from "node:path";
import { pack } from "tar-stream";
import type { Abortable } from "../contract/index.ts";
import { type EngineClient, EngineError } from "./engine-client.ts";
import { CreatedReply } from "./engine-replies.ts";
import { inspectImage, progressMessages } from "./pull-image.ts";

export const probeImage = "airlock-probe:1";
/** Mount point in the probe image. */
const mountPoint = "/probe";

/**
 * Whether containers of this engine see a host file at the path where this process sees it.
 * They don't if the engine is on another machine or in another container. The same goes for a file below a mount of
 * this process if the engine's mount namespace does not receive new mounts.
 * Probes with a container that is created but never started. The engine reads the whole file, so it should be small.
 */
export async function findsHostFile(engine: EngineClient, file: string, { signal }: Abortable): Promise<boolean> {
  if (!engine.isLocal) return false;
  await ensureProbeImage(engine, signal);
  const body = {
    Image: probeImage,
    Cmd: ["/never-started"],
    HostConfig: {
      NetworkMode: "none",
      Mounts: [{ Type: "bind", Source: dirname(file), Target: mountPoint, ReadOnly: true }],
    },
  };
  const query = { name: `airlock-probe-${randomUUID()}` };
  let id: string;
  try {
    ({ Id: id } = await engine.json(CreatedReply, { method: "POST", path: "/containers/create", query, body, signal }));
  } catch (error) {
    // The engine rejects a mount whose source it does not see.
    if (error instanceof EngineError && error.status === 400) return false;
    throw error;
  }
  try {
    await engine.send({
      path: `/containers/${id}/archive`,
      query: { path: `${mountPoint}/${basename(file)}` },
      signal,
    });
    return true;
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return false;
    throw error;
  } finally {
    await engine.send({ method: "DELETE", path: `/containers/${id}`, query: { force: true, v: true } });
  }
}

/** Imports an empty image for containers that are created but never started. */
export async function ensureProbeImage(engine: EngineClient, signal: AbortSignal): Promise<void> {
  if (await inspectImage(engine, probeImage)) return;
  const archive = pack();
  archive.entry({ name: mountPoint.slice(1), type: "directory", mode: 0o755 });
  archive.finalize();
  const [repo = "", tag = ""] = probeImage.split(":");
  const query = { fromSrc: "-", repo, tag, changes: ["LABEL airlock.image=probe"] };
  for await (const _ of progressMessages(engine, {
    method: "POST",
    path: "/images/create",
    query,
    body: archive,
    signal,
  }));
}
