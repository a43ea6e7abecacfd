import type { SessionEntry } from "@airlock/api";
import { Text } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { queryKeys } from "../../api-client/query-client.ts";
import { endUserSession, listUserSessions } from "../../api-client/user-endpoints.ts";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { visibleText } from "../../ui/visible-text.ts";
import { browserName } from "./browser-name.ts";
import { CredentialList } from "./credential-list.tsx";

/** The browsers in which a user is signed in, for administrators. */
export function UserSessions({ user }: { readonly user: string }) {
  const client = useQueryClient();
  const [asked, setAsked] = useState<SessionEntry>();
  const query = useQuery({
    queryKey: queryKeys.userSessions(user),
    queryFn: ({ signal }) => listUserSessions(user, { signal }),
  });
  return (
    <>
      <CredentialList
        title="Sessions"
        empty="The user is signed in nowhere."
        failure="The sessions could not be loaded"
        query={query}
        items={query.data?.map((session) => ({
          id: session.id,
          title: browserName(session.userAgent) ?? "Unknown browser",
          action: "End",
          label: `session ${session.id}`,
          onAct: () => setAsked(session),
          children: (
            <Text size="xs" c="dimmed" component="div" style={{ overflowWrap: "anywhere" }}>
              {session.current && "this browser · "}
              {session.address} · last used <RelativeTime at={session.lastUsedAt} /> · began{" "}
              <RelativeTime at={session.createdAt} />
              <br />
              {visibleText(session.userAgent)}
            </Text>
          ),
        }))}
      />
      {asked && (
        <ConfirmDialog
          title={`End this session of ${user}?`}
          confirmLabel="End session"
          cancelLabel="Keep it"
          done={`Session of ${user} ended`}
          action={async () => {
            await endUserSession(user, asked.id);
            await client.invalidateQueries({ queryKey: queryKeys.userSessions(user) });
          }}
          onClose={() => setAsked(undefined)}
        >
          <Text size="sm">
            {asked.current ? "You are signed out of this browser." : `${user} is signed out of this browser.`} Open
            pages end within seconds. Someone who knows the password can sign in again.
          </Text>
        </ConfirmDialog>
      )}
    </>
  );
}
