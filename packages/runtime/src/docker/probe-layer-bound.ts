import { randomUUID } from "node:crypto";
import type { Abortable } from "../contract/index.ts";
import { type EngineClient, EngineError } from "./engine-client.ts";
import { CreatedReply } from "./engine-replies.ts";
import { ensureProbeImage, probeImage } from "./probe-host-file.ts";

/**
 * Whether the engine can limit the size of a container's layer: with XFS project quotas, Btrfs and ZFS. The API does
 * not tell, so we create a container with a limit and never start it.
 */
export async function boundsLayers(engine: EngineClient, { signal }: Abortable): Promise<boolean> {
  await ensureProbeImage(engine, signal);
  const body = {
    Image: probeImage,
    Cmd: ["/never-started"],
    HostConfig: { NetworkMode: "none", StorageOpt: { size: "1G" } },
  };
  const query = { name: `airlock-probe-${randomUUID()}` };
  let id: string;
  try {
    ({ Id: id } = await engine.json(CreatedReply, { method: "POST", path: "/containers/create", query, body, signal }));
  } catch (error) {
    if (error instanceof EngineError && error.status >= 400) return false;
    throw error;
  }
  await engine.send({ method: "DELETE", path: `/containers/${id}`, query: { force: true, v: true } });
  return true;
}
