import type { RepositoryView } from "@airlock/api";
import { Anchor, Button, Group, Loader, Paper, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { listRepositories } from "../../api-client/endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { ErrorPanel } from "../../ui/error-panel.tsx";
import { VisibilityDialog } from "../repositories/visibility-dialog.tsx";

interface RepositoriesSectionProps {
  readonly organization: string;
  readonly administrator: boolean;
}

/** The repositories that are visible to an organization by name. */
export function RepositoriesSection({ organization, administrator }: RepositoriesSectionProps) {
  const [edited, setEdited] = useState<RepositoryView>();
  const { data, error, refetch } = useQuery({
    queryKey: queryKeys.repositories,
    queryFn: ({ signal }) => listRepositories({ signal }),
  });
  const named = data?.filter((repository) => repository.organizations?.includes(organization)) ?? [];
  const open = data?.filter((repository) => repository.organizations === null).length ?? 0;
  return (
    <Stack gap="sm" component="section" aria-label="Repositories">
      <Title order={2} size="h4">
        Repositories
      </Title>
      {edited && <VisibilityDialog repository={edited} onClose={() => setEdited(undefined)} />}
      {error && data === undefined && (
        <ErrorPanel title="The repositories could not be loaded" error={error} onRetry={refetch} />
      )}
      {!error && data === undefined && <Loader type="dots" aria-label="Loading" />}
      {named.length > 0 && (
        <Paper withBorder bg="var(--airlock-surface)" component="ul" m={0} p={0} style={{ listStyle: "none" }}>
          {named.map((repository, index) => (
            <Group
              key={repository.name}
              component="li"
              justify="space-between"
              px="md"
              py="xs"
              gap="xs"
              style={index === 0 ? {} : { borderTop: "1px solid var(--airlock-border)" }}
            >
              <div style={{ flex: "1 1 220px", minWidth: 0 }}>
                <Text size="sm" fw={600} style={{ overflowWrap: "anywhere" }}>
                  {repository.name}
                </Text>
                <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
                  visible to {repository.organizations?.join(", ")}
                </Text>
              </div>
              {administrator && (
                <Button
                  variant="default"
                  size="xs"
                  aria-label={`Visibility of ${repository.name}`}
                  onClick={() => setEdited(repository)}
                >
                  Visibility
                </Button>
              )}
            </Group>
          ))}
        </Paper>
      )}
      {data && (
        <Text size="sm" c="dimmed">
          {named.length === 0 && "No repository is visible to this organization only. "}
          {open > 0 && `${open === 1 ? "One repository is" : `${open} repositories are`} visible to every user. `}
          {administrator && (
            <>
              Choose who sees a repository under{" "}
              <Anchor component={Link} to="/repositories" size="sm" underline="always">
                Repositories
              </Anchor>
              .
            </>
          )}
        </Text>
      )}
    </Stack>
  );
}
