import type { JobSpecInput } from "@airlock/api";
import { Stack, Text } from "@mantine/core";
import { CommandBlock } from "../../ui/command-block.tsx";
import { commandLine } from "./command-line.ts";
import { jobFile } from "./job-file.ts";

/** Shows the form's job as a command line and as a job file. */
export function Preview({ spec }: { readonly spec: JobSpecInput }) {
  const command = commandLine(spec);
  return (
    <Stack gap="sm" component="section" aria-label="Submit this job another way">
      <div>
        <Text fw={600} size="sm" mb={4}>
          On the command line
        </Text>
        <CommandBlock label="Command" text={command.text} />
        {command.usesFile && (
          <Text size="xs" c="dimmed" mt={4}>
            With the file below saved as job.yaml.
          </Text>
        )}
      </div>
      <div>
        <Text fw={600} size="sm" mb={4}>
          As job.yaml
        </Text>
        <CommandBlock label="Job file" text={jobFile(spec)} />
      </div>
    </Stack>
  );
}
