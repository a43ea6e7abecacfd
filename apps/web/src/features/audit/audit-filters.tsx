import { auditActions } from "@airlock/api";
import { Button, Group, NativeSelect, Paper, TextInput } from "@mantine/core";
import { IconFilter, IconFilterX } from "@tabler/icons-react";
import { type FormEvent, useState } from "react";
import { actionWords } from "./action-words.ts";
import { type AuditField, type AuditFilter, auditSearch, isoTime, localTime } from "./audit-filter.ts";

interface AuditFiltersProps {
  readonly filter: AuditFilter;
  /** Problems that the instance found, by field. */
  readonly problems: ReadonlyMap<string, string>;
  readonly onChange: (filter: AuditFilter) => void;
}

const nothing: AuditFilter = { actor: "", action: "", namespace: "", since: "", until: "" };

/** `secret.used` and the others of its kind, which the API also filters by their first part. */
const kinds = [...Map.groupBy(auditActions, (action) => action.split(".")[0] ?? action)];

export function AuditFilters({ filter, problems, onChange }: AuditFiltersProps) {
  const [draft, setDraft] = useState(filter);
  const address = auditSearch(filter).toString();
  const [seen, setSeen] = useState(address);
  const [applied, setApplied] = useState(address);
  // The address also changes with the browser's history. A change that comes from these fields must not undo what was
  // typed since then.
  if (address !== seen) {
    setSeen(address);
    if (address !== applied) {
      setApplied(address);
      setDraft(filter);
    }
  }
  const set = (field: AuditField, value: string) => setDraft({ ...draft, [field]: value });
  const apply = (next: AuditFilter) => {
    setDraft(next);
    setApplied(auditSearch(next).toString());
    onChange(next);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    apply(draft);
  };
  const filtered = Object.values(draft).some((value) => value !== "");
  return (
    <Paper component="search" withBorder p="md" mb="md" bg="var(--airlock-surface)" aria-label="Filter the audit log">
      <form onSubmit={submit} autoComplete="off">
        <Group align="flex-start" gap="sm">
          <TextInput
            label="Who"
            placeholder="user or executor"
            value={draft.actor}
            onChange={(event) => set("actor", event.currentTarget.value)}
            error={problems.get("actor")}
            maxLength={255}
            spellCheck={false}
            autoCapitalize="none"
            style={{ flex: "1 1 130px" }}
          />
          <NativeSelect
            label="What"
            value={draft.action}
            onChange={(event) => apply({ ...draft, action: event.currentTarget.value })}
            error={problems.get("action")}
            style={{ flex: "1 1 145px" }}
          >
            <option value="">Everything</option>
            {kinds.map(([kind, actions]) => (
              <optgroup key={kind} label={kindWords(kind)}>
                {actions.length > 1 && <option value={kind}>{`${kindWords(kind)}: everything`}</option>}
                {actions.map((action) => (
                  <option key={action} value={action}>
                    {actionWords[action]}
                  </option>
                ))}
              </optgroup>
            ))}
          </NativeSelect>
          <TextInput
            label="Namespace"
            placeholder="user or organization"
            value={draft.namespace}
            onChange={(event) => set("namespace", event.currentTarget.value)}
            error={problems.get("namespace")}
            maxLength={100}
            spellCheck={false}
            autoCapitalize="none"
            style={{ flex: "1 1 130px" }}
          />
          <TextInput
            label="From"
            type="datetime-local"
            value={localTime(draft.since)}
            onChange={(event) => set("since", isoTime(event.currentTarget.value))}
            error={problems.get("since")}
            style={{ flex: "1 1 145px" }}
          />
          <TextInput
            label="Until"
            type="datetime-local"
            value={localTime(draft.until)}
            onChange={(event) => set("until", isoTime(event.currentTarget.value))}
            error={problems.get("until")}
            style={{ flex: "1 1 145px" }}
          />
        </Group>
        <Group mt="md" gap="xs">
          <Button type="submit" size="xs" leftSection={<IconFilter size={14} />}>
            Filter
          </Button>
          {filtered && (
            <Button variant="subtle" size="xs" leftSection={<IconFilterX size={14} />} onClick={() => apply(nothing)}>
              Clear filters
            </Button>
          )}
        </Group>
      </form>
    </Paper>
  );
}

/** `access-token` → `Access token` */
function kindWords(kind: string): string {
  return `${kind.slice(0, 1).toUpperCase()}${kind.slice(1)}`.replaceAll("-", " ");
}
