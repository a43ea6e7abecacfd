import type { SessionView } from "@airlock/api";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { getSession } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { endSessionLapse, useSessionLapse } from "../api-client/session-lapse.ts";
import { SignInAgain } from "../features/sign-in/sign-in-again.tsx";
import { loginPath } from "../pages/return-path.ts";

/**
 * Asks for a new session when the one of this page has ended. The page stays as it is for the same reader, and is loaded
 * again for another one. Without an earlier session, the login page comes next.
 */
export function SessionGuard() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [mountedAt] = useState(() => Date.now());
  const lapse = useSessionLapse();
  // The login page notes wrong tokens, which say nothing about the session that came after them.
  const lapsedAt = lapse !== null && lapse >= mountedAt ? lapse : null;
  const { data, dataUpdatedAt, refetch } = useQuery({
    queryKey: queryKeys.session,
    queryFn: ({ signal }) => getSession({ signal }),
  });
  const reader = useRef<SessionView>(undefined);
  const isBack = lapsedAt !== null && data !== undefined && dataUpdatedAt > lapsedAt;

  useEffect(endSessionLapse, []);
  useEffect(() => {
    if (lapsedAt === null) {
      reader.current = data;
    } else if (data === undefined) {
      endSessionLapse();
      void navigate(loginPath(window.location), { replace: true });
    } else if (!isBack) {
      // It may have come at the same moment as the end of its session.
      reader.current = data;
      // Another tab may have begun a session.
      void refetch();
    } else if (readerOf(data) === readerOf(reader.current)) {
      endSessionLapse();
      void client.invalidateQueries();
    } else {
      window.location.reload();
    }
  }, [client, navigate, refetch, lapsedAt, data, isBack]);

  if (lapsedAt === null || data === undefined) return null;
  return <SignInAgain session={data} onSignedIn={async () => void (await refetch())} />;
}

/** `undefined`: not known. */
function readerOf(session: SessionView | undefined): string | null | undefined {
  return session && (session.user?.name ?? null);
}
