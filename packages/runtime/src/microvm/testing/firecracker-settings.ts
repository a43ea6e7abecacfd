import { engines, standInFirecracker } from "@airlock/test-kit";
import type { MonitorSettings } from "../monitor/choice/monitor-settings.ts";

const { AIRLOCK_TEST_FIRECRACKER: program = "", AIRLOCK_TEST_JAILER: jailer = "" } = process.env;

/** Whether the environment names a real Firecracker. See docs/microvm-firecracker.md. */
export const hasFirecracker = program !== "" && jailer !== "";

/** A real Firecracker where there is one, or else the stand-in, whose guests QEMU emulates. */
export async function firecrackerSettings(directory: string): Promise<MonitorSettings> {
  if (hasFirecracker) {
    return { monitor: "firecracker", accelerator: "kvm", firecrackerPath: program, jailerPath: jailer };
  }
  const standIns = await standInFirecracker(directory, engines().microvm?.qemuPath);
  return {
    monitor: "firecracker",
    accelerator: "auto",
    firecrackerPath: standIns.firecracker,
    jailerPath: standIns.jailer,
  };
}
