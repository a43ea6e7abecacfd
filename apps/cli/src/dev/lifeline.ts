/**
 * Ends a child when its parent is gone, however that came about. The child is started with this module preloaded and an
 * IPC channel that carries nothing: the channel closes with the parent, also when the parent is killed by SIGKILL. Written
 * as source text, so that the programs need not know of it and a bundle needs no further file.
 */
const source = `
if (process.channel) {
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
  process.channel.unref();
}
`;

/** For Node's command line, before the program; the child's stdio must have an "ipc" member. */
export const lifelineArguments = ["--import", `data:text/javascript,${encodeURIComponent(source)}`] as const;
