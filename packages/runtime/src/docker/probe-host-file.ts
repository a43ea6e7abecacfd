import { randomUUID } from "node:crypto";
import { basename, dirname } from "node:path";
import { pack } from "tar-stream";
import type { Abortable } from "../contract/index.ts";
import { type EngineClient, EngineError } from "./engine-client.ts";
import { CreatedReply } from "./engine-replies.ts";
import { inspectImage, progressMessages } from "./pull-image.ts";

export const probeImage = "airlock-probe:1";
/** Where the probe's image has a directory to mount on. */
const mountPoint = "/probe";

/**
 * Whether containers of this engine find a file of the host where this process sees it. They don't when it is below a
 * mount that this process made and the engine is on another machine, in another container, or in a mount namespace that
 * new mounts do not reach. Asked of a container that is made and never started; the file is read, so let it be small.
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
    // The engine refuses a mount whose source it does not see.
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

/** An image with nothing in it, for containers that are made and never started. */
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
