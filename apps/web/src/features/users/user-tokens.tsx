import type { AccessTokenView } from "@airlock/api";
import { Text } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { deleteOwnToken, listOwnTokens } from "../../api-client/account-endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { deleteUserToken, listUserTokens } from "../../api-client/user-endpoints.ts";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { visibleText } from "../../ui/visible-text.ts";
import { CredentialList } from "./credential-list.tsx";

interface UserTokensProps {
  readonly user: string;
  /** The reader is this user. Otherwise the reader is an administrator. */
  readonly own?: boolean;
}

/** The access tokens of a user. */
export function UserTokens({ user, own = false }: UserTokensProps) {
  const client = useQueryClient();
  const [asked, setAsked] = useState<AccessTokenView>();
  const query = useQuery({
    queryKey: queryKeys.userTokens(user),
    queryFn: ({ signal }) => (own ? listOwnTokens({ signal }) : listUserTokens(user, { signal })),
  });
  return (
    <>
      <CredentialList
        title="Access tokens"
        empty={own ? "You have no access tokens. Create one for a program." : "The user has no access tokens."}
        failure="The access tokens could not be loaded"
        query={query}
        items={query.data?.map((token) => ({
          id: token.id,
          title: visibleText(token.name),
          action: "Delete",
          label: `token ${visibleText(token.name)}`,
          onAct: () => setAsked(token),
          children: (
            <Text size="xs" c="dimmed" component="div" style={{ overflowWrap: "anywhere" }}>
              {token.scopes.join(", ")} ·{" "}
              {token.lastUsedAt === null ? (
                "never used"
              ) : (
                <>
                  last used <RelativeTime at={token.lastUsedAt} />
                  {token.lastAddress !== null && ` from ${token.lastAddress}`}
                </>
              )}{" "}
              ·{" "}
              {token.expiresAt === null ? (
                "never expires"
              ) : (
                <>
                  expires <RelativeTime at={token.expiresAt} />
                </>
              )}
            </Text>
          ),
        }))}
      />
      {asked && (
        <ConfirmDialog
          title={`Delete the token “${visibleText(asked.name)}”${own ? "" : ` of ${user}`}?`}
          confirmLabel="Delete token"
          cancelLabel="Keep it"
          done={`Access token of ${user} deleted`}
          action={async () => {
            await (own ? deleteOwnToken(asked.id) : deleteUserToken(user, asked.id));
            await client.invalidateQueries({ queryKey: queryKeys.userTokens(user) });
          }}
          onClose={() => setAsked(undefined)}
        >
          <Text size="sm">Programs that use it are refused from this moment. This can't be undone.</Text>
        </ConfirmDialog>
      )}
    </>
  );
}
