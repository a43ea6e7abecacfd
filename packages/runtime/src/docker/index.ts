export { createDockerRuntime, type DockerRuntimeOptions, defaultDockerHost } from "./docker-runtime.ts";
