import process from "node:process";
import { exitCodes } from "./context/exit-codes.ts";
import { runCommandLine } from "./run-command-line.ts";

for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // With `airlock job list | head` the reader stops before the end of the output.
    if (error.code === "EPIPE") process.exit(exitCodes.brokenPipe);
    throw error;
  });
}

await runCommandLine(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signals: process,
  setExitCode: (code) => {
    process.exitCode = code;
  },
  exit: (code) => process.exit(code),
});
