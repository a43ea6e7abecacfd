import { ActionIcon, Menu, Tooltip } from "@mantine/core";
import { IconClock } from "@tabler/icons-react";
import { type TimeMode, timeModeOf } from "./log-times.ts";

const choices = [
  { mode: "off", label: "No times" },
  { mode: "relative", label: "Since the step's start" },
  { mode: "absolute", label: "Time of day" },
] as const satisfies readonly { mode: TimeMode; label: string }[];

interface TimeMenuProps {
  readonly mode: TimeMode;
  readonly onChange: (mode: TimeMode) => void;
}

/** The choice of the times that the log shows. */
export function TimeMenu({ mode, onChange }: TimeMenuProps) {
  const shown = mode !== "off";
  return (
    <Menu position="bottom-end" withArrow>
      <Menu.Target>
        <Tooltip label="Times (t)" withArrow>
          <ActionIcon variant={shown ? "light" : "subtle"} color={shown ? "airlock" : "gray"} aria-label="Times (t)">
            <IconClock size={17} />
          </ActionIcon>
        </Tooltip>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>When the instance received the line</Menu.Label>
        <Menu.RadioGroup value={mode} onChange={(value) => onChange(timeModeOf(value))}>
          {choices.map((choice) => (
            <Menu.RadioItem key={choice.mode} value={choice.mode} closeMenuOnClick>
              {choice.label}
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
      </Menu.Dropdown>
    </Menu>
  );
}
