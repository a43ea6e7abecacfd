import type { OrganizationView } from "@airlock/api";
import { Anchor, Badge, Button, Group, Loader, Stack, Text } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { getSession } from "../api-client/endpoints.ts";
import { ApiRequestError } from "../api-client/http.ts";
import { deleteOrganization, getOrganization, updateOrganization } from "../api-client/organization-endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { MembersSection } from "../features/organizations/members-section.tsx";
import { RepositoriesSection } from "../features/organizations/repositories-section.tsx";
import { DisplayNameDialog } from "../features/users/display-name-dialog.tsx";
import { organizationRoleWords } from "../features/users/role-words.ts";
import { BackLink } from "../ui/back-link.tsx";
import { ConfirmDialog } from "../ui/confirm-dialog.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { NotFoundPage } from "./not-found-page.tsx";

export function OrganizationPage() {
  const { name = "" } = useParams();
  usePageIdentity(name);
  const { data, error, refetch } = useQuery({
    queryKey: queryKeys.organization(name),
    queryFn: ({ signal }) => getOrganization(name, { signal }),
  });
  if (error instanceof ApiRequestError && error.status === 404) {
    return (
      <NotFoundPage title="Organization not found">
        No organization that you are a member of has this name.
      </NotFoundPage>
    );
  }
  return (
    <>
      <BackLink to="/organizations">Organizations</BackLink>
      {error && data === undefined && (
        <ErrorPanel title="The organization could not be loaded" error={error} onRetry={refetch} />
      )}
      {!error && data === undefined && <Loader type="dots" aria-label="Loading" />}
      {data && <Organization organization={data} />}
    </>
  );
}

function Organization({ organization }: { readonly organization: OrganizationView }) {
  const { name, displayName, role } = organization;
  const client = useQueryClient();
  const navigate = useNavigate();
  const session = useQuery({ queryKey: queryKeys.session, queryFn: ({ signal }) => getSession({ signal }) });
  const [renaming, setRenaming] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const administrator = session.data?.role === "administrator";
  return (
    <>
      <PageHeader title={displayName === "" ? name : displayName} description={displayName === "" ? "" : name}>
        {(administrator || role === "owner") && (
          <Button variant="default" onClick={() => setRenaming(true)}>
            Change full name
          </Button>
        )}
        {administrator && (
          <Button variant="light" color="red" onClick={() => setDeleting(true)}>
            Delete organization
          </Button>
        )}
      </PageHeader>
      {deleting && (
        <ConfirmDialog
          title={`Delete ${name}?`}
          confirmLabel="Delete organization"
          cancelLabel="Keep the organization"
          typed={name}
          action={() => deleteOrganization(name)}
          done={`Organization ${name} deleted`}
          onClose={() => setDeleting(false)}
          onDone={async () => {
            await navigate("/organizations", { replace: true });
            await client.invalidateQueries({ queryKey: queryKeys.organizations });
          }}
        >
          <Text size="sm">
            All members are removed from it, and its access to repositories ends. Its finished jobs stay until their
            retention ends, and only administrators see them. The name can't be used again.
          </Text>
          <Text size="sm">An organization with secrets, or with jobs that have not ended, is not deleted.</Text>
        </ConfirmDialog>
      )}
      {renaming && (
        <DisplayNameDialog
          title={`Full name of ${name}`}
          label="Full name"
          value={displayName}
          save={async (text) => {
            await updateOrganization(name, { displayName: text });
            await client.invalidateQueries({ queryKey: queryKeys.organizations });
          }}
          onClose={() => setRenaming(false)}
        />
      )}
      <Group mb="lg" gap="md">
        {role !== null && (
          <Badge variant="light" color="blue" tt="none">
            You are {organizationRoleWords[role].name.toLowerCase()}
          </Badge>
        )}
        <Anchor component={Link} size="sm" to={`/jobs?namespace=${encodeURIComponent(name)}`}>
          Jobs
        </Anchor>
        {(administrator || role === "owner") && (
          <Anchor component={Link} size="sm" to={`/audit?namespace=${encodeURIComponent(name)}`}>
            Audit log
          </Anchor>
        )}
      </Group>
      <Stack gap="xl">
        <MembersSection
          organization={organization}
          self={session.data?.user?.name ?? null}
          administrator={administrator}
          onLeft={() => void navigate("/organizations", { replace: true })}
        />
        <RepositoriesSection organization={name} administrator={administrator} />
      </Stack>
    </>
  );
}
