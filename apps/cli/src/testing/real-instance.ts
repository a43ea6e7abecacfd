import { createDatabase, engines, InstanceProcess, temporaryDirectory } from "@airlock/test-kit";
import { runCommandLine } from "../run-command-line.ts";
import { type TestContext, testContext } from "./test-context.ts";

type RunOptions = Parameters<typeof testContext>[0];

export interface RealInstance extends AsyncDisposable {
  readonly url: string;
  readonly env: NodeJS.ProcessEnv;
  /** Runs `airlock ARGS` against the instance. */
  airlock(args: readonly string[], options?: RunOptions): Promise<{ code: number } & TestContext["printed"]>;
  /** Submits a job that no executor takes, and returns its number. */
  submit(...flags: readonly string[]): Promise<number>;
}

/** A real instance in its own process, with a database on the test engine and without executors. */
export async function startRealInstance(): Promise<RealInstance> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory());
  const database = stack.use(await createDatabase(engines().postgres?.url ?? ""));
  const instance = stack.use(
    await InstanceProcess.start({
      dataDirectory: directory.path,
      databaseUrl: database.url,
      env: { AIRLOCK_ALLOW_LOCAL_REPOSITORIES: "true" },
    }),
  );
  const env = { AIRLOCK_URL: instance.url, AIRLOCK_TOKEN: instance.administratorToken };
  const airlock: RealInstance["airlock"] = async (args, options) => {
    const context = testContext({ cwd: directory.path, ...options, env: { ...env, ...options?.env } });
    await runCommandLine(args, context);
    return { code: context.exitCode ?? 0, ...context.printed };
  };
  const resources = stack.move();
  return {
    url: instance.url,
    env,
    airlock,
    async submit(...flags) {
      const { stdout } = await airlock(["job", "submit", "--image", "x", "--json", ...flags, "--", "ls"]);
      return JSON.parse(stdout).id;
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
