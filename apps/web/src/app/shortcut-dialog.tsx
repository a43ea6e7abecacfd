import { Group, Kbd, Modal, Stack, Text } from "@mantine/core";
import { shortcutGroups } from "../ui/keyboard/shortcuts.ts";

interface ShortcutDialogProps {
  readonly opened: boolean;
  readonly onClose: () => void;
}

export function ShortcutDialog({ opened, onClose }: ShortcutDialogProps) {
  return (
    <Modal opened={opened} onClose={onClose} title="Keyboard shortcuts" size="lg">
      <Stack gap="lg">
        {shortcutGroups.map((group) => (
          <section key={group.title}>
            <Text fw={600} mb="xs">
              {group.title}
            </Text>
            <Stack gap={6}>
              {group.shortcuts.map(({ keys, does }) => (
                <Group key={keys} justify="space-between" wrap="nowrap">
                  <Text size="sm">{does}</Text>
                  <Group gap={4} wrap="nowrap">
                    {keys.split(" ").map((key) => (
                      <Kbd key={key}>{key}</Kbd>
                    ))}
                  </Group>
                </Group>
              ))}
            </Stack>
          </section>
        ))}
      </Stack>
    </Modal>
  );
}
