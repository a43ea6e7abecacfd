import type { PasswordLink as Link } from "@airlock/api";
import { Text } from "@mantine/core";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { ShownOnce } from "../../ui/shown-once.tsx";

interface PasswordLinkProps {
  readonly user: string;
  readonly link: Pick<Link, "token" | "expiresAt">;
  readonly onClose: () => void;
}

/** Shows the link with which a user sets a password. */
export function PasswordLink({ user, link, onClose }: PasswordLinkProps) {
  return (
    <ShownOnce title={`Link for ${user}`} label="Link" secret={passwordLinkAddress(link.token)} onClose={onClose}>
      <Text size="sm">
        Send it to {user} in a private message. Who opens it chooses the password and is signed in as {user}. It works
        once, and ends <RelativeTime at={link.expiresAt} />. Earlier links of {user} don't work any more.
      </Text>
    </ShownOnce>
  );
}

/** The token is in the fragment, which browsers don't send, so it is in no server's or proxy's log. */
function passwordLinkAddress(token: string): string {
  return `${window.location.origin}/password#token=${encodeURIComponent(token)}`;
}
