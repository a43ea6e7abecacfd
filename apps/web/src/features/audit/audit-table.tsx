import type { AuditEntryView } from "@airlock/api";
import { Anchor, Table, Text } from "@mantine/core";
import { memo } from "react";
import { Link } from "react-router";
import { CalendarTime } from "../../ui/calendar-time.tsx";
import classes from "../../ui/list.module.css";
import { visibleText } from "../../ui/visible-text.ts";
import { actionWords, credentialWords } from "./action-words.ts";

export function AuditTable({ entries }: { readonly entries: readonly AuditEntryView[] }) {
  return (
    <div className={classes.frame}>
      <Table verticalSpacing="xs" horizontalSpacing="md">
        <Table.Thead>
          <Table.Tr>
            <Table.Th visibleFrom="sm">When</Table.Th>
            <Table.Th>Who</Table.Th>
            <Table.Th>What</Table.Th>
            <Table.Th visibleFrom="md">From</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {entries.map((entry) => (
            <Entry key={entry.id} entry={entry} />
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

const breaks = { overflowWrap: "anywhere" } as const;

/** Not rendered again when further pages are loaded. */
const Entry = memo(function Entry({ entry }: { readonly entry: AuditEntryView }) {
  const { at, actor, action, via, address, target, job, namespace } = entry;
  const details = detailWords(entry);
  return (
    <Table.Tr style={{ verticalAlign: "top" }}>
      <Table.Td visibleFrom="sm">
        <Text size="sm" c="dimmed" component="div" style={{ whiteSpace: "nowrap" }}>
          <CalendarTime at={at} />
        </Text>
      </Table.Td>
      <Table.Td miw={{ base: 116, sm: 175 }}>
        <Text size="sm" fw={600} style={breaks}>
          {actor === "" ? "Unknown" : visibleText(actor)}
        </Text>
        <Text size="xs" c="dimmed">
          {credentialWords[via]}
        </Text>
      </Table.Td>
      <Table.Td>
        <Text size="sm" component="div" style={breaks}>
          {actionWords[action]}
          {target !== null && (
            <>
              {": "}
              <Text span size="sm" fw={600}>
                {/^\d+$/.test(target.name) ? `#${target.name}` : visibleText(target.name)}
              </Text>
            </>
          )}
          {job !== null && (
            <>
              {" "}
              <Anchor component={Link} to={`/jobs/${job}`} size="sm" underline="always">
                job {job}
              </Anchor>
            </>
          )}
        </Text>
        <Text size="xs" c="dimmed" style={breaks}>
          {[namespace === null ? "" : `in ${namespace}`, details].filter((part) => part !== "").join(" · ")}
        </Text>
        <Text size="xs" c="dimmed" component="div" hiddenFrom="sm">
          <CalendarTime at={at} />
          {address !== null && ` from ${address}`}
        </Text>
      </Table.Td>
      <Table.Td visibleFrom="md">
        <Text size="sm" c="dimmed" style={{ whiteSpace: "nowrap" }}>
          {address ?? "not shown"}
        </Text>
      </Table.Td>
    </Table.Tr>
  );
});

/** `role: owner · disabled: true`. Others may choose the values, so hidden characters are shown. */
function detailWords({ details }: AuditEntryView): string {
  return Object.entries(details)
    .map(([name, value]) => `${name}: ${visibleText(valueWords(value))}`)
    .join(" · ");
}

function valueWords(value: unknown): string {
  if (value === null) return "none";
  if (typeof value === "string") return value;
  return Array.isArray(value) ? value.map(valueWords).join(", ") : JSON.stringify(value);
}
