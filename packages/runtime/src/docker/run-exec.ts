import { setTimeout as sleep } from "node:timers/promises";
import type { EngineClient } from "./engine-client.ts";
import { CreatedReply, ExecReply } from "./engine-replies.ts";
import { StreamFrames } from "./stream-frames.ts";

/** Longest output that is kept. */
const mostOutputLength = 4096;
const pollMs = 10;

/**
 * Runs one of our own commands in a container while no step runs in it. `exitCode` is `null` if the command did not end
 * by itself.
 */
export async function runExec(
  engine: EngineClient,
  container: string,
  {
    command,
    user,
    signal,
  }: { readonly command: readonly string[]; readonly user: string; readonly signal: AbortSignal },
): Promise<{ readonly exitCode: number | null; readonly output: string }> {
  const { Id } = await engine.json(CreatedReply, {
    method: "POST",
    path: `/containers/${container}/exec`,
    body: { Cmd: command, User: user, WorkingDir: "/", AttachStdout: true, AttachStderr: true },
    signal,
  });
  const body = await engine.stream({ method: "POST", path: `/exec/${Id}/start`, body: { Detach: false }, signal });
  const frames = new StreamFrames();
  let output = "";
  for await (const chunk of body) {
    for (const { bytes } of frames.push(chunk as Buffer)) {
      output = (output + bytes.toString()).slice(0, mostOutputLength);
    }
  }
  for (;;) {
    const state = await engine.json(ExecReply, { path: `/exec/${Id}/json`, signal });
    if (!state.Running) return { exitCode: state.ExitCode, output };
    await sleep(pollMs, undefined, { signal });
  }
}
