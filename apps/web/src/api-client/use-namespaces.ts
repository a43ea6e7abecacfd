import type { OrganizationRole } from "@airlock/api";
import { useQuery } from "@tanstack/react-query";
import { getSession } from "./endpoints.ts";
import { queryKeys } from "./query-client.ts";

/**
 * The namespaces in which the reader has one of the roles, the user's own one first. `undefined`: not known yet, or the
 * reader administrates the instance and may use any.
 */
export function useNamespaces(roles: readonly OrganizationRole[]): readonly string[] | undefined {
  const { data } = useQuery({ queryKey: queryKeys.session, queryFn: ({ signal }) => getSession({ signal }) });
  if (!data?.user || data.role === "administrator") return undefined;
  const own = data.user.name;
  const others = data.namespaces.filter(({ name, role }) => name !== own && roles.includes(role));
  return [own, ...others.map(({ name }) => name)];
}
