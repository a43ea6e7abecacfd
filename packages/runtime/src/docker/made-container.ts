import { type EngineClient, EngineError } from "./engine-client.ts";
import { ContainerReply, type ContainerState } from "./engine-replies.ts";

const removeTimeoutMs = 30_000;

/** The state of a container, `undefined` if it no longer exists. */
export async function inspectContainer(engine: EngineClient, id: string): Promise<ContainerState | undefined> {
  try {
    return (await engine.json(ContainerReply, { path: `/containers/${id}/json` })).State;
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined;
    throw error;
  }
}

/** Removes a container with its anonymous volumes. Does nothing if it is gone already or being removed. */
export async function removeContainer(engine: EngineClient, id: string): Promise<void> {
  const signal = AbortSignal.timeout(removeTimeoutMs);
  try {
    await engine.send({ method: "DELETE", path: `/containers/${id}`, query: { force: true, v: true }, signal });
  } catch (error) {
    if (!(error instanceof EngineError && [404, 409].includes(error.status))) throw error;
  }
}
