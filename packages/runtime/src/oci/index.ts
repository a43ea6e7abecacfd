export type { ImageLimits } from "./images/image-limits.ts";
export type { RegistryOptions } from "./images/registry-client.ts";
export { createOciRuntime, type OciRuntime, type OciRuntimeOptions } from "./oci-runtime.ts";
