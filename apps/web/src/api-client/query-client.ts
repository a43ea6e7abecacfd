import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { ApiRequestError } from "./http.ts";
import { noteApiError } from "./session-lapse.ts";

export function createQueryClient(): QueryClient {
  return new QueryClient({
    queryCache: new QueryCache({ onError: noteApiError }),
    mutationCache: new MutationCache({ onError: noteApiError }),
    defaultOptions: {
      queries: {
        staleTime: 2000,
        retry: (count, error) => !(error instanceof ApiRequestError && error.status < 500) && count < 2,
      },
    },
  });
}

/** Query keys of all fetched data. */
export const queryKeys = {
  session: ["session"],
  signInMethods: ["sign-in"],
  identities: ["account", "identities"],
  commandLineLogin: (code: string) => ["account", "command-line-login", code],
  allJobs: ["jobs"],
  jobs: (search: string) => ["jobs", search],
  job: (id: number) => ["job", id],
  jobUsage: (id: number, attempt: number) => ["job", id, "usage", attempt],
  executors: ["executors"],
  queues: ["queues"],
  repositories: ["repositories"],
  /** Also the prefix of the audit record's key: what changes the secrets adds to the record. */
  secrets: ["secrets"],
  secretRecord: (name: string | null) => ["secrets", "record", name],
  organizations: ["organizations"],
  organizationList: (text: string) => ["organizations", "list", text],
  organizationNames: (text: string) => ["organizations", "names", text],
  organization: (name: string) => ["organizations", "one", name],
  members: (organization: string, text: string) => ["organizations", "members", organization, text],
  users: ["users"],
  userList: (text: string) => ["users", "list", text],
  user: (name: string) => ["users", "one", name],
  userSessions: (name: string) => ["users", "sessions", name],
  userTokens: (name: string) => ["users", "tokens", name],
  executorTokens: ["executor-tokens"],
  audit: (search: string) => ["audit", search],
} as const;
