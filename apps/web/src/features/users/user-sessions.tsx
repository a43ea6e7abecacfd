import type { SessionEntry } from "@airlock/api";
import { Text } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { endOwnSession, listOwnSessions } from "../../api-client/account-endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { endUserSession, listUserSessions } from "../../api-client/user-endpoints.ts";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { visibleText } from "../../ui/visible-text.ts";
import { browserName } from "./browser-name.ts";
import { CredentialList } from "./credential-list.tsx";

interface UserSessionsProps {
  readonly user: string;
  /** The reader is this user. Otherwise the reader is an administrator. */
  readonly own?: boolean;
}

/** The browsers in which a user is signed in. */
export function UserSessions({ user, own = false }: UserSessionsProps) {
  const client = useQueryClient();
  const [asked, setAsked] = useState<SessionEntry>();
  const query = useQuery({
    queryKey: queryKeys.userSessions(user),
    queryFn: ({ signal }) => (own ? listOwnSessions({ signal }) : listUserSessions(user, { signal })),
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
          title={own ? "End this session?" : `End this session of ${user}?`}
          confirmLabel="End session"
          cancelLabel="Keep it"
          done={`Session of ${user} ended`}
          action={async () => {
            await (own ? endOwnSession(asked.id) : endUserSession(user, asked.id));
            await client.invalidateQueries({ queryKey: queryKeys.userSessions(user) });
          }}
          onClose={() => setAsked(undefined)}
        >
          <Text size="sm">
            {own || asked.current ? "You are" : `${user} is`} signed out of{" "}
            {asked.current ? "this browser" : "that browser"}. Open pages end within seconds. Someone who knows the
            password can sign in again.
          </Text>
        </ConfirmDialog>
      )}
    </>
  );
}
