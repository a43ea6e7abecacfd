import { runtimeFailed } from "../contract/index.ts";
import { EngineError } from "./engine-client.ts";

/** Runs `work`; what the engine refused without a reason of its own in the contract is a failure of the runtime. */
export async function asRuntimeFailure<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof EngineError) throw runtimeFailed("the Docker engine refused", error);
    throw error;
  }
}
