import type { SessionView } from "@airlock/api";
import { Modal, Stack, Text } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { createSession } from "../../api-client/endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { getSignInMethods } from "../../api-client/sign-in-endpoints.ts";
import { visibleText } from "../../ui/visible-text.ts";
import { hasAccounts, SignInWays } from "./sign-in-ways.tsx";

interface SignInAgainProps {
  /** The session that has ended. */
  readonly session: SessionView;
  /** Called when there may be a session again. */
  readonly onSignedIn: () => Promise<void>;
}

/** Covers the page when the session has ended, and keeps what was typed there. */
export function SignInAgain({ session, onSignedIn }: SignInAgainProps) {
  const methods = useQuery({
    queryKey: queryKeys.signInMethods,
    queryFn: ({ signal }) => getSignInMethods({ signal }),
  });
  const [asksToken, setAsksToken] = useState(session.user === null);
  const { mutate, isPending, error } = useMutation({ mutationFn: createSession, onSuccess: onSignedIn });
  const byToken = asksToken || methods.isError || (methods.data !== undefined && !hasAccounts(methods.data));
  const { pathname, search, hash } = window.location;
  return (
    <Modal
      opened
      onClose={() => {}}
      withCloseButton={false}
      // Above the dialogs of the page.
      zIndex={1000}
      closeOnEscape={false}
      closeOnClickOutside={false}
      title="Your session has ended"
      overlayProps={{ backgroundOpacity: 1, color: "var(--mantine-color-body)" }}
    >
      <Stack>
        <Text size="sm">
          Log in again{session.user && ` as ${visibleText(session.user.name)}`} to go on. What you typed on the page is
          kept.
        </Text>
        <SignInWays
          methods={methods.data}
          byToken={byToken}
          onByToken={setAsksToken}
          next={`${pathname}${search}${hash}`}
          keepsPage
          token={{ pending: isPending, error, onSubmit: mutate }}
          onSignedIn={onSignedIn}
        />
      </Stack>
    </Modal>
  );
}
