import { AirlockError, errorMessage } from "@airlock/job";
import { type Proxies, RoutedAgents } from "@airlock/proxy";
import * as oidc from "openid-client";
import type { OidcSettings } from "./oidc-settings.ts";
import { routedFetch } from "./routed-fetch.ts";

/** What one sign-in must bring back from the provider. Kept by the browser. */
export interface OidcFlow {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

/** An account of the provider. Only issuer and subject identify it. */
export interface ProviderAccount {
  readonly issuer: string;
  readonly subject: string;
  /** The provider's claims: checked to be from it, but chosen by people. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** How much the clocks of the two machines may differ. */
const clockToleranceS = 60;
const timeoutS = 10;
/** After this time, the provider's description is read again. */
const discoveryMs = 10 * 60_000;

/** Talks to the OpenID Connect provider. Its library checks every answer. */
export class OidcClient implements AsyncDisposable {
  readonly settings: OidcSettings;
  readonly #agents: RoutedAgents;
  #known: { readonly configuration: oidc.Configuration; readonly at: number } | null = null;
  #discovering: Promise<oidc.Configuration> | null = null;

  constructor(settings: OidcSettings, proxies: Proxies) {
    this.settings = settings;
    this.#agents = new RoutedAgents(proxies, {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agents[Symbol.asyncDispose]();
  }

  /**
   * Reads the provider's description, if it is not known.
   * @throws {AirlockError} `sign-in-provider`.
   */
  async discover(): Promise<oidc.Configuration> {
    const known = this.#known;
    if (known && performance.now() - known.at < discoveryMs) return known.configuration;
    // Strangers can begin sign-ins. All that wait share one request.
    this.#discovering ??= this.#discover().finally(() => {
      this.#discovering = null;
    });
    return this.#discovering;
  }

  async #discover(): Promise<oidc.Configuration> {
    const known = this.#known;
    const { issuer, clientId, clientSecret } = this.settings;
    try {
      const configuration = await oidc.discovery(
        new URL(issuer),
        clientId,
        { client_secret: clientSecret, [oidc.clockTolerance]: clockToleranceS },
        oidc.ClientSecretBasic(clientSecret),
        {
          timeout: timeoutS,
          [oidc.customFetch]: routedFetch(this.#agents),
          execute: [
            // The library trusts the connection to the provider. We want the ID token's signature checked, too.
            oidc.enableNonRepudiationChecks,
            ...(issuer.startsWith("http:") ? [oidc.allowInsecureRequests] : []),
          ],
        },
      );
      this.#known = { configuration, at: performance.now() };
      return configuration;
    } catch (error) {
      // The one that is known may still do.
      if (known) return known.configuration;
      throw unavailable(this.settings, error);
    }
  }

  /** The provider's page on which a person signs in. */
  async begin(): Promise<{ readonly url: URL; readonly flow: OidcFlow }> {
    const configuration = await this.discover();
    const flow = { state: oidc.randomState(), nonce: oidc.randomNonce(), verifier: oidc.randomPKCECodeVerifier() };
    const url = oidc.buildAuthorizationUrl(configuration, {
      redirect_uri: this.settings.redirectUri,
      scope: this.settings.scopes,
      state: flow.state,
      nonce: flow.nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(flow.verifier),
      code_challenge_method: "S256",
    });
    return { url, flow };
  }

  /**
   * Checks what the provider sent back with the person.
   * @param search The query of the address to which it sent them.
   * @throws {AirlockError} `sign-in-provider`, `sign-in-refused`.
   */
  async finish(search: string, { state, nonce, verifier }: OidcFlow): Promise<ProviderAccount> {
    const configuration = await this.discover();
    const url = new URL(this.settings.redirectUri);
    url.search = search;
    try {
      const tokens = await oidc.authorizationCodeGrant(configuration, url, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      });
      const claims = tokens.claims();
      if (!claims) throw new Error("the answer has no ID token");
      const { userinfo_endpoint: hasMore } = configuration.serverMetadata();
      const more = hasMore ? await oidc.fetchUserInfo(configuration, tokens.access_token, claims.sub) : {};
      return { issuer: claims.iss, subject: claims.sub, claims: { ...more, ...claims } };
    } catch (error) {
      throw refused(this.settings, error);
    }
  }
}

function refused(settings: OidcSettings, error: unknown): AirlockError {
  const { label } = settings;
  if (error instanceof oidc.AuthorizationResponseError) {
    return new AirlockError(`${label} did not sign you in: ${brief(error.error)}`, {
      code: "sign-in-refused",
      hint: "Try again. If this happens again, ask the administrator of the provider.",
      cause: error,
    });
  }
  if (error instanceof oidc.ResponseBodyError && error.error === "invalid_grant") {
    return new AirlockError(`${label} no longer accepts this sign-in`, {
      code: "sign-in-refused",
      hint: "It was used before, or took too long. Sign in again.",
      cause: error,
    });
  }
  const isUnknownClient =
    error instanceof oidc.WWWAuthenticateChallengeError ||
    (error instanceof oidc.ResponseBodyError && error.error === "invalid_client");
  if (isUnknownClient) {
    return new AirlockError(`${label} does not accept the instance's client id or secret`, {
      code: "sign-in-provider",
      hint: "The administrator sets them with AIRLOCK_OIDC_CLIENT_ID and AIRLOCK_OIDC_CLIENT_SECRET.",
      cause: error,
    });
  }
  const code = codeOf(error);
  if (code === "OAUTH_JWT_TIMESTAMP_CHECK_FAILED") {
    return new AirlockError(`the answer of ${label} is not valid now`, {
      code: "sign-in-provider",
      hint: "The clocks of the provider and of the instance may differ. Both administrators should check them.",
      cause: error,
    });
  }
  if (code?.startsWith("OAUTH_")) {
    return new AirlockError(`the answer of ${label} is not valid: ${brief(errorMessage(error))}`, {
      code: "sign-in-refused",
      hint: "Nobody was signed in. Try again, and tell the administrator if this happens again.",
      cause: error,
    });
  }
  return unavailable(settings, error);
}

function unavailable({ label, issuer }: OidcSettings, error: unknown): AirlockError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return new AirlockError(`cannot sign in with ${label}: ${brief(errorMessage(cause))}`, {
    code: "sign-in-provider",
    hint: `Try again in a moment. The instance needs ${issuer}, which AIRLOCK_OIDC_ISSUER names.`,
    cause: error,
  });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** The provider, or who pretends to be it, chooses parts of the text. */
function brief(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
