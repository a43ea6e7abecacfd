import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useLocation, useNavigate, useSearchParams } from "react-router";
import { createSession } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { getSignInMethods } from "../api-client/sign-in-endpoints.ts";
import { Entrance } from "../features/sign-in/entrance.tsx";
import { hasAccounts, SignInWays } from "../features/sign-in/sign-in-ways.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { returnPath } from "./return-path.ts";

/** Whether a token came from the form or from a link of `airlock dev`. */
type TokenSource = "form" | "link";

export function LoginPage() {
  usePageIdentity("Log in");
  const [search] = useSearchParams();
  const location = useLocation();
  const navigate = useNavigate();
  const client = useQueryClient();
  const [asksToken, setAsksToken] = useState(false);
  const methods = useQuery({
    queryKey: queryKeys.signInMethods,
    queryFn: ({ signal }) => getSignInMethods({ signal }),
  });
  const next = returnPath(search, window.location.origin);
  const needsSetUp = methods.data?.needsSetUp === true && methods.data.password;
  const enter = async (path: string) => {
    client.clear();
    await navigate(path, { replace: true });
  };
  const { mutate, isPending, error } = useMutation({
    mutationFn: ({ token }: { readonly token: string; readonly from: TokenSource }) => createSession(token),
    onSuccess: (_, { from }) => enter(from === "form" && needsSetUp ? `/setup?${new URLSearchParams({ next })}` : next),
  });

  useEffect(() => {
    const offered = new URLSearchParams(location.hash.slice(1)).get("token");
    if (!offered) return;
    setAsksToken(true);
    // Remove the token from the URL and the history first.
    void navigate({ search: location.search, hash: "" }, { replace: true });
    mutate({ token: offered, from: "link" });
  }, [location.hash, location.search, mutate, navigate]);

  const byToken = asksToken || methods.isError || (methods.data !== undefined && !hasAccounts(methods.data));
  return (
    <Entrance
      title="Log in to airlock"
      description={
        byToken && (
          <>
            With the administrator's token. <code>airlock dev</code> and <code>airlock server</code> print a link that
            logs you in.
            {needsSetUp && " This instance has no users yet. You create the first one next."}
          </>
        )
      }
    >
      <SignInWays
        methods={methods.data}
        byToken={byToken}
        onByToken={setAsksToken}
        next={next}
        token={{ pending: isPending, error, onSubmit: (token) => mutate({ token, from: "form" }) }}
        onSignedIn={() => enter(next)}
      />
    </Entrance>
  );
}
