import type { RepositoryView } from "@airlock/api";
import { Button, Group, Modal, Radio, Stack, TagsInput, Text } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { setRepositoryVisibility } from "../../api-client/endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { listOrganizations } from "../../api-client/organization-endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { fieldErrors } from "../../forms/field-errors.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";

interface VisibilityDialogProps {
  readonly repository: RepositoryView;
  readonly onClose: () => void;
}

/** Chooses who sees a repository. */
export function VisibilityDialog({ repository, onClose }: VisibilityDialogProps) {
  const client = useQueryClient();
  const [everyone, setEveryone] = useState(repository.organizations === null);
  const [names, setNames] = useState<string[]>([...(repository.organizations ?? [])]);
  const [typed, setTyped] = useState("");
  const [text] = useDebouncedValue(typed.trim(), 250);
  const offered = useQuery({
    queryKey: queryKeys.organizationNames(text),
    queryFn: ({ signal }) => listOrganizations({ text, after: null }, { signal }),
    enabled: !everyone,
    placeholderData: (before) => before,
    select: (page) => page.organizations.map((organization) => organization.name),
  });
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: () => setRepositoryVisibility(repository.name, everyone ? null : names),
    onSuccess: async () => {
      announce(`Visibility of ${repository.name} saved`);
      await client.invalidateQueries({ queryKey: queryKeys.repositories });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const refused = fieldErrors(error, ["organizations"], {
    "unknown-namespace": { field: "organizations", hint: "Choose one of the list, or create it under Organizations." },
  });
  return (
    <Modal opened onClose={onClose} title={`Who sees ${repository.name}?`} size="lg">
      <form onSubmit={submit}>
        <Stack gap="md">
          <Radio.Group
            aria-label="Who sees it"
            value={everyone ? "everyone" : "organizations"}
            onChange={(value) => {
              setEveryone(value === "everyone");
              reset();
            }}
          >
            <Stack gap="xs">
              <Radio value="everyone" label="Every user of this instance" />
              <Radio value="organizations" label="Members of these organizations" />
            </Stack>
          </Radio.Group>
          {!everyone && (
            <TagsInput
              label="Organizations"
              description="Without any, only administrators see the repository and run jobs on it"
              data={offered.data ?? []}
              value={names}
              onChange={(next) => {
                setNames(next);
                reset();
              }}
              searchValue={typed}
              onSearchChange={setTyped}
              error={refused.fields.get("organizations")}
              placeholder="Name of an organization"
            />
          )}
          <Text size="sm" c="dimmed">
            Everyone else gets the same answer as for a repository that does not exist. Running jobs go on.
          </Text>
          {refused.note !== undefined && <ErrorNote words={errorWords(refused.note)} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={isPending}>
              Save
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
