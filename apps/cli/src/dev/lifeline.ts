/**
 * Ends a child when its parent is gone, however that came about. The child is started with this module preloaded and an
 * IPC channel that carries nearly nothing: the channel closes with the parent, also when the parent is killed by SIGKILL.
 * A child that was told to outlive another one waits for its end, so that an executor can still hand its jobs back to the
 * instance. Written as source text, so that the programs need not know of it and a bundle needs no further file.
 */
const source = `
if (process.channel) {
  let first;
  process.on("message", (message) => { first = message.outlive; });
  process.once("disconnect", () => {
    const deadline = Date.now() + 10_000;
    const timer = setInterval(() => {
      try {
        if (first !== undefined && Date.now() < deadline) return process.kill(first, 0);
      } catch {}
      clearInterval(timer);
      process.kill(process.pid, "SIGTERM");
    }, 50);
  });
  process.channel.unref();
}
`;

/** For Node's command line, before the program; the child's stdio must have an "ipc" member. */
export const lifelineArguments = ["--import", `data:text/javascript,${encodeURIComponent(source)}`] as const;

/** What a child is told over the channel: the process whose end it waits for when its parent is gone. */
export interface LifelineMessage {
  readonly outlive: number;
}
