import type { Runtime, SandboxPlan } from "../../contract/index.ts";

/** Another job's sandbox, whose script runs until this is disposed of. */
export interface Neighbour extends AsyncDisposable {
  /** The text that it printed after the word `READY`. */
  readonly said: string;
}

/**
 * Starts a sandbox whose script prints `READY text` and keeps running.
 * @throws when it ends before that.
 */
export async function startNeighbour(
  runtime: Runtime,
  {
    plan,
    script,
    image,
    signal,
  }: {
    readonly plan: SandboxPlan;
    readonly script: string;
    readonly image: string;
    readonly signal: AbortSignal;
  },
): Promise<Neighbour> {
  await using undo = new AsyncDisposableStack();
  const sandbox = undo.use(await runtime.createSandbox(plan, { signal }));
  await sandbox.prepareImage(image, { signal, progress: () => {} });
  const over = new AbortController();
  const ready = Promise.withResolvers<string>();
  let output = "";
  const ended = sandbox
    .runStep(
      {
        key: "neighbour",
        image,
        files: [{ path: "neighbour", content: script, executable: true }],
        script: "/airlock/neighbour",
        workingDirectory: "/data",
        env: {},
      },
      {
        signal: AbortSignal.any([signal, over.signal]),
        output: (_, bytes) => {
          output += bytes.toString("latin1");
          const said = /^READY (.+)$/m.exec(output)?.[1];
          if (said !== undefined) ready.resolve(said);
        },
      },
    )
    .then(
      () => ready.reject(new Error(`the neighbour ended by itself: ${output}`)),
      (error: unknown) => ready.reject(error),
    );
  undo.defer(async () => {
    over.abort(new Error("the attack is over"));
    await ended;
  });
  const said = await ready.promise;
  const owned = undo.move();
  return { said, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
