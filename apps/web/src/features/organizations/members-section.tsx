import type { OrganizationView } from "@airlock/api";
import { Loader, Stack, Text, Title } from "@mantine/core";
import { IconUsers } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { listMembers } from "../../api-client/organization-endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { EmptyState } from "../../ui/empty-state.tsx";
import { ErrorPanel } from "../../ui/error-panel.tsx";
import { MoreButton } from "../../ui/more-button.tsx";
import { SearchField, useSearchText } from "../../ui/search-field.tsx";
import { AddMember } from "./add-member.tsx";
import { MemberTable } from "./member-table.tsx";

interface MembersSectionProps {
  readonly organization: OrganizationView;
  /** The reader's name; `null`: the administrator's token. */
  readonly self: string | null;
  readonly administrator: boolean;
  readonly onLeft: () => void;
}

/** From this many members on, a search is shown. */
const searchedFrom = 10;

export function MembersSection({ organization: { name, role }, self, administrator, onLeft }: MembersSectionProps) {
  const text = useSearchText();
  const manages = administrator || role === "owner";
  const list = useInfiniteQuery({
    queryKey: queryKeys.members(name, text),
    queryFn: ({ pageParam, signal }) => listMembers(name, { text, after: pageParam }, { signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    placeholderData: (before) => before,
  });
  const members = list.data?.pages.flatMap((page) => page.members);
  return (
    <Stack gap="md" component="section" aria-label="Members">
      <Title order={2} size="h4">
        Members
      </Title>
      {manages && <AddMember organization={name} />}
      {(text !== "" || (members?.length ?? 0) >= searchedFrom) && (
        <SearchField label="Search members" placeholder="Name of a member" />
      )}
      {list.error && members === undefined && (
        <ErrorPanel title="The members could not be loaded" error={list.error} onRetry={list.refetch} />
      )}
      {!list.error && members === undefined && <Loader type="dots" aria-label="Loading" />}
      {members?.length === 0 && text === "" && (
        <EmptyState icon={IconUsers} title="No members yet">
          Only administrators see this organization. Add its first owner above: owners choose the other members.
        </EmptyState>
      )}
      {members?.length === 0 && text !== "" && <Text c="dimmed">No member's name contains “{text}”.</Text>}
      {members && members.length > 0 && (
        <MemberTable
          organization={name}
          members={members}
          self={self}
          administrator={administrator}
          manages={manages}
          onLeft={onLeft}
        />
      )}
      <MoreButton list={list} label="Show more members" />
    </Stack>
  );
}
