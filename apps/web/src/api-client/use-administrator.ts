import { useQuery } from "@tanstack/react-query";
import { getSession } from "./endpoints.ts";
import { queryKeys } from "./query-client.ts";

/** Whether the reader administrates the instance; `undefined` until that is known. */
export function useAdministrator(): boolean | undefined {
  const { data } = useQuery({ queryKey: queryKeys.session, queryFn: ({ signal }) => getSession({ signal }) });
  return data && data.role === "administrator";
}
