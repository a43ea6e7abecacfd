/**
 * Source text of a module that ends a child process when its parent ends, whatever the reason.
 * The child is started with this module preloaded and with an IPC channel. The channel closes when the parent ends,
 * even by SIGKILL. A child that was told to outlive another process waits for its end first. That way an executor can
 * hand its jobs back to a running instance.
 * It is source text so that the programs need no code for it and a bundle needs no extra file.
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

/** Arguments for Node before the program's file. The child's stdio must include "ipc". */
export const lifelineArguments = ["--import", `data:text/javascript,${encodeURIComponent(source)}`] as const;

/** Message to a child: the process id that it waits for after its parent has ended. */
export interface LifelineMessage {
  readonly outlive: number;
}
