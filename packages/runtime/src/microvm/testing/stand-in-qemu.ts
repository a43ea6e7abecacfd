import { fileURLToPath } from "node:url";
import { outputOf } from "@airlock/process";
import { findOnSystemPath } from "../../host/find-program.ts";

/** Builds the stand-in for QEMU, which prints what it sees of the host. */
export async function buildStandInQemu(path: string): Promise<void> {
  const compiler = await findOnSystemPath(["musl-gcc", "gcc"]);
  const source = fileURLToPath(new URL("stand-in-qemu.c", import.meta.url));
  await outputOf([compiler ?? "musl-gcc", "-D_GNU_SOURCE", "-O1", "-static", "-o", path, source]);
}
