import { Text } from "@mantine/core";
import { CommandBlock } from "../../ui/command-block.tsx";
import { ShownOnce } from "../../ui/shown-once.tsx";

export interface NewToken {
  readonly name: string;
  readonly queue: string;
  readonly token: string;
  /** The token replaces another one, which becomes invalid then; `null`: it replaces none. */
  readonly replacedUntil: string | null;
}

interface CreatedTokenProps {
  readonly created: NewToken;
  readonly onClose: () => void;
}

export function CreatedToken({ created: { name, queue, token, replacedUntil }, onClose }: CreatedTokenProps) {
  return (
    <ShownOnce title={`Token “${name}” of queue ${queue}`} label="Token" secret={token} onClose={onClose}>
      <Text size="sm">
        {replacedUntil === null
          ? "Start an executor with it:"
          : "Give it to the executors as their new password, and restart them:"}
      </Text>
      <CommandBlock
        label="Command"
        wrap
        text={[
          `EXECUTOR_FRONTEND_URL=${window.location.origin} \\`,
          `EXECUTOR_FRONTEND_PASSWORD=${token} \\`,
          `EXECUTOR_QUEUE_NAMES=${queue} \\`,
          "executor run",
        ].join("\n")}
      />
      {replacedUntil !== null && (
        <Text size="sm" c="dimmed">
          {replacedUntil}
        </Text>
      )}
    </ShownOnce>
  );
}
