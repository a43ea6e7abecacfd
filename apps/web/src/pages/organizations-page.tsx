import { Button, Loader, Text } from "@mantine/core";
import { IconBuilding, IconPlus } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { listOrganizations } from "../api-client/organization-endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { useAdministrator } from "../api-client/use-administrator.ts";
import { NewOrganizationDialog } from "../features/organizations/new-organization-dialog.tsx";
import { OrganizationTable } from "../features/organizations/organization-table.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { MoreButton } from "../ui/more-button.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { SearchField, useSearchText } from "../ui/search-field.tsx";

export function OrganizationsPage() {
  usePageIdentity("Organizations");
  const text = useSearchText();
  const navigate = useNavigate();
  const administrator = useAdministrator();
  const [adding, setAdding] = useState(false);
  const list = useInfiniteQuery({
    queryKey: queryKeys.organizationList(text),
    queryFn: ({ pageParam, signal }) => listOrganizations({ text, after: pageParam }, { signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
  const organizations = list.data?.pages.flatMap((page) => page.organizations);
  return (
    <>
      <PageHeader
        title="Organizations"
        help="people"
        description={
          administrator
            ? "Namespaces of jobs and secrets that people share"
            : "Your organizations: namespaces of jobs and secrets that you share with other people"
        }
      >
        {administrator && (
          <Button leftSection={<IconPlus size={16} />} onClick={() => setAdding(true)}>
            New organization
          </Button>
        )}
      </PageHeader>
      {adding && (
        <NewOrganizationDialog
          onClose={() => setAdding(false)}
          onCreated={({ name }) => void navigate(`/organizations/${encodeURIComponent(name)}`)}
        />
      )}
      {(text !== "" || (organizations?.length ?? 0) > 0) && (
        <SearchField label="Search organizations" placeholder="Name of an organization" />
      )}
      {list.error && organizations === undefined && (
        <ErrorPanel title="The organizations could not be loaded" error={list.error} onRetry={list.refetch} />
      )}
      {!list.error && organizations === undefined && <Loader type="dots" aria-label="Loading" />}
      {organizations?.length === 0 && text === "" && (
        <EmptyState icon={IconBuilding} title="No organizations yet">
          <Text c="dimmed">
            {administrator
              ? "Create one with “New organization”, and add its first owner."
              : "You are in no organization. Ask an owner of one to add you by your user name. Your own jobs are under Jobs."}
          </Text>
        </EmptyState>
      )}
      {organizations?.length === 0 && text !== "" && (
        <EmptyState icon={IconBuilding} title="No organization matches">
          {`No name contains “${text}”. Try a part of the name.`}
        </EmptyState>
      )}
      {organizations && organizations.length > 0 && <OrganizationTable organizations={organizations} />}
      <MoreButton list={list} label="Show more organizations" />
    </>
  );
}
