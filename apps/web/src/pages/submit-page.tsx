import { Loader } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { getJob } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { emptyForm, formOf } from "../features/submission/form-model.ts";
import { SubmitForm } from "../features/submission/submit-form.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";

export function SubmitPage() {
  usePageIdentity("New job");
  const [search] = useSearchParams();
  const from = Number(search.get("from")) || undefined;
  const template = useQuery({
    queryKey: queryKeys.job(from ?? 0),
    queryFn: ({ signal }) => getJob(from ?? 0, { signal }),
    enabled: from !== undefined,
  });
  return (
    <>
      <PageHeader
        title="New job"
        help="job-file"
        {...(template.data
          ? { description: `Copied from job #${template.data.id}, without the values of variables` }
          : {})}
      />
      {template.isLoading ? (
        <Loader type="dots" aria-label="Loading" />
      ) : (
        <SubmitForm
          key={template.data?.id ?? 0}
          initial={template.data ? formOf(template.data) : emptyForm(search.get("repository") ?? "")}
        />
      )}
    </>
  );
}
