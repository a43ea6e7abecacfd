import { Alert, Button, Group, Modal, Stack } from "@mantine/core";
import { IconEyeOff } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { CommandBlock } from "./command-block.tsx";

interface ShownOnceProps {
  readonly title: string;
  /** The kind of secret, such as `Token`. */
  readonly label: string;
  readonly secret: string;
  /** What to do with the secret. */
  readonly children: ReactNode;
  readonly onClose: () => void;
}

/** Shows a secret that the instance does not show again. Only its buttons close it, so a stray click loses nothing. */
export function ShownOnce({ title, label, secret, children, onClose }: ShownOnceProps) {
  return (
    <Modal opened onClose={onClose} title={title} size="lg" closeOnClickOutside={false} closeOnEscape={false}>
      <Stack gap="md">
        <Alert color="yellow" icon={<IconEyeOff />}>
          Copy it now: it is shown only this once.
        </Alert>
        <CommandBlock label={label} text={secret} wrap />
        {children}
        <Group justify="flex-end">
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
