import { Anchor } from "@mantine/core";
import { IconHelpCircle } from "@tabler/icons-react";

/** Places in the documentation site, by what they explain. A test opens all of them. */
export const helpPlaces = {
  start: "/help",
  jobs: "/help/first-steps",
  "job-file": "/help/job-file",
  queues: "/help/running#queues",
  repositories: "/help/access#users-and-organizations",
  secrets: "/help/secrets",
  people: "/help/access#users-and-organizations",
  account: "/help/access#signing-in",
  executors: "/help/running#an-executor",
  "executor-tokens": "/help/access#executor-tokens",
  audit: "/help/access#audit-log",
  "sign-in": "/help/sign-in",
} as const;
export type HelpPlace = keyof typeof helpPlaces;

interface HelpLinkProps {
  readonly href: string;
  /** Whether the link is in a tinted box, on which its own colour is too pale. */
  readonly tinted?: boolean;
  readonly children: string;
}

/** A link to the documentation site. It opens in a new tab, so that nothing that was typed is lost. */
export function HelpLink({ href, tinted = false, children }: HelpLinkProps) {
  return (
    <Anchor
      href={href}
      target="_blank"
      rel="noopener"
      size="sm"
      inline
      underline="always"
      {...(tinted ? { c: "inherit" } : {})}
    >
      <IconHelpCircle size={16} stroke={1.6} style={{ verticalAlign: "-3px", marginRight: 4 }} aria-hidden />
      {children}
      <span className="visually-hidden"> (opens in a new tab)</span>
    </Anchor>
  );
}
