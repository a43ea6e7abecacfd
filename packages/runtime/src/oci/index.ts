export type { ImageLimits } from "../images/manifest/image-limits.ts";
export type { RegistryOptions } from "../images/registry/registry-client.ts";
export { createOciRuntime, type OciRuntime, type OciRuntimeOptions } from "./oci-runtime.ts";
