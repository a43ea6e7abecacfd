import { Button, Loader } from "@mantine/core";
import { IconDownload, IconHistory } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { auditExportPath, readAudit } from "../api-client/audit-endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { auditFields, auditFilter, auditSearch } from "../features/audit/audit-filter.ts";
import { AuditFilters } from "../features/audit/audit-filters.tsx";
import { AuditTable } from "../features/audit/audit-table.tsx";
import { fieldErrors } from "../forms/field-errors.ts";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { MoreButton } from "../ui/more-button.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";

export function AuditPage() {
  usePageIdentity("Audit log");
  const [address, setAddress] = useSearchParams();
  const filter = auditFilter(address);
  const search = auditSearch(filter);
  const list = useInfiniteQuery({
    queryKey: queryKeys.audit(search.toString()),
    queryFn: ({ pageParam, signal }) => readAudit(search, pageParam, { signal }),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => page.next,
  });
  const entries = list.data?.pages.flatMap((page) => page.entries);
  const refused = fieldErrors(list.error, auditFields);
  const filtered = search.size > 0;
  return (
    <>
      <PageHeader title="Audit log" help="audit" description="Who did what, when and from where. Nobody can change it.">
        <Button
          component="a"
          href={auditExportPath(search)}
          download="audit.jsonl"
          variant="default"
          leftSection={<IconDownload size={16} />}
        >
          Download
        </Button>
      </PageHeader>
      <AuditFilters
        filter={filter}
        problems={withTimes(refused.fields)}
        onChange={(next) => setAddress(auditSearch(next))}
      />
      {refused.note !== undefined && entries === undefined && (
        <ErrorPanel title="The audit log could not be loaded" error={refused.note} onRetry={list.refetch} />
      )}
      {!list.error && entries === undefined && <Loader type="dots" aria-label="Loading" />}
      {entries?.length === 0 && (
        <EmptyState icon={IconHistory} title={filtered ? "No entry matches" : "No entries yet"}>
          {filtered
            ? "Clear a filter, or choose a longer time. Old entries are deleted after the instance's retention."
            : "Sign-ins, changes, uses of secrets and downloads appear here."}
        </EmptyState>
      )}
      {entries && entries.length > 0 && <AuditTable entries={entries} />}
      <MoreButton list={list} label="Show older entries" />
    </>
  );
}

/** The API names the format of a time, which people don't type here. */
function withTimes(problems: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map(
    [...problems].map(([field, text]) => [field, field === "since" || field === "until" ? "Choose a time" : text]),
  );
}
