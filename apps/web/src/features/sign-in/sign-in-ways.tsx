import type { SignInMethods } from "@airlock/api";
import { Anchor, Button, Loader } from "@mantine/core";
import { PasswordForm } from "./password-form.tsx";
import { TokenForm } from "./token-form.tsx";

interface SignInWaysProps {
  /** `undefined`: not known yet. */
  readonly methods: SignInMethods | undefined;
  readonly byToken: boolean;
  readonly onByToken: (byToken: boolean) => void;
  /** Page to show after single sign-on. */
  readonly next: string;
  /** Opens single sign-on in another tab, so that this page stays as it is. */
  readonly keepsPage?: boolean;
  readonly token: {
    readonly pending: boolean;
    readonly error: unknown;
    readonly onSubmit: (token: string) => void;
  };
  readonly onSignedIn: () => Promise<void>;
}

/** The ways to log in that an instance offers. */
export function SignInWays({
  methods,
  byToken,
  onByToken,
  next,
  keepsPage = false,
  token,
  onSignedIn,
}: SignInWaysProps) {
  const sso = methods?.openIdConnect ?? null;
  if (!byToken && methods === undefined) return <Loader type="dots" aria-label="Loading" mx="auto" />;
  return (
    <>
      {byToken && <TokenForm {...token} />}
      {!byToken && sso !== null && (
        <Button
          component="a"
          href={`${sso.path}?${new URLSearchParams({ next })}`}
          target={keepsPage ? "_blank" : undefined}
          variant={methods?.password ? "default" : "filled"}
          fullWidth
        >
          Log in with {sso.label}
        </Button>
      )}
      {!byToken && methods?.password && <PasswordForm onSignedIn={onSignedIn} />}
      {methods && hasAccounts(methods) && (
        <Anchor component="button" type="button" size="sm" ta="center" onClick={() => onByToken(!byToken)}>
          {byToken ? "Log in with your account" : "Use the administrator's token"}
        </Anchor>
      )}
    </>
  );
}

/** Whether people can sign in with an account. */
export function hasAccounts({ password, openIdConnect, needsSetUp }: SignInMethods): boolean {
  return openIdConnect !== null || (password && !needsSetUp);
}
