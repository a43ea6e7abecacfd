import { runtimeFailed } from "../contract/index.ts";
import { EngineError } from "./engine-client.ts";

/**
 * Runs `work` and converts an {@link EngineError} that was not mapped to a more specific reason into a runtime failure.
 */
export async function asRuntimeFailure<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof EngineError) throw runtimeFailed("the Docker engine refused", error);
    throw error;
  }
}
