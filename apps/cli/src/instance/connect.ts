import type { CommandContext } from "../context/command-context.ts";
import { findConnection } from "./connection.ts";
import { InstanceClient } from "./instance-client.ts";

/** Connects to the instance that the environment or a connection file names. */
export async function connect(context: CommandContext): Promise<InstanceClient> {
  return new InstanceClient(await findConnection(context.env, context.cwd));
}
