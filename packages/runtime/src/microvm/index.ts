export { findStaticBusybox, isStatic } from "./disks/guest-system.ts";
export { copyDockerDisk, type DockerDisk, hasDockerDisk } from "./docker/docker-disk.ts";
export { makeDockerDisk } from "./docker/make-docker-disk.ts";
export {
  type BuildGuestOptions,
  type BuiltGuest,
  buildGuestFiles,
  copyGuestFiles,
  findGuestFiles,
} from "./guest/build/build-guest-files.ts";
export { type CpioEntry, cpioArchive } from "./guest/build/cpio-archive.ts";
export { removeGuestScratch } from "./guest/build/guest-scratch.ts";
export { GuestHold } from "./guest/guest-hold.ts";
export { hostSecurityFindings } from "./host-security/host-security.ts";
export type { MicrovmRuntime } from "./microvm-runtime-options.ts";
export type { MonitorSettings } from "./monitor/choice/monitor-settings.ts";
export { type OpenMicrovmOptions, openMicrovmRuntime } from "./open-microvm-runtime.ts";
export { type HeldOwner, takeProbeOwner } from "./probe-owner.ts";
