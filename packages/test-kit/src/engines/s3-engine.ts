import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startDaemon } from "../host/daemon.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";

export interface S3Engine extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, with buckets in the path. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Starts OpenStack Swift (Debian's `python3-swift`) with its S3 API and storage in a fresh directory. */
export async function startS3Engine(): Promise<S3Engine> {
  // Only Debian's own Python has the package.
  const command = "/usr/bin/python3";
  if (!existsSync(command) || !existsSync("/usr/lib/python3/dist-packages/swift")) {
    throw new Error("not installed: apt-get install -y python3-swift");
  }
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory("airlock-s3-")).path;
  const program = fileURLToPath(new URL("object-storage-server.py", import.meta.url));
  // Swift's own authentication uses `ACCOUNT:USER` as access keys.
  const accessKeyId = "test:airlock";
  const secretAccessKey = randomBytes(16).toString("hex");
  const daemon = cleanup.use(
    await startDaemon({
      command,
      args: [program, directory, accessKeyId, secretAccessKey],
      logPath: join(directory, "server.log"),
    }),
  );
  const port = await daemon.ready(async () => /listening on 127\.0\.0\.1:(\d+)/.exec(await daemon.log())?.[1]);
  const endpoint = `http://127.0.0.1:${port}`;
  await daemon.ready(() =>
    fetch(endpoint).then(
      async (response) => {
        await response.body?.cancel();
        return response.status < 500 ? true : undefined;
      },
      () => undefined,
    ),
  );

  const owned = cleanup.move();
  return {
    endpoint,
    region: "us-east-1",
    accessKeyId,
    secretAccessKey,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
