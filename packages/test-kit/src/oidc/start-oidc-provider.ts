import { createPrivateKey, generateKeyPairSync, type JsonWebKey, sign } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import Provider, { type Configuration } from "oidc-provider";

type Claims = Record<string, unknown>;

export interface OidcProviderOptions {
  readonly redirectUri: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

/** A real OpenID Connect provider in this process. */
export interface TestOidcProvider extends AsyncDisposable {
  readonly issuer: string;
  /** Claims of each account, by its `sub`. Change them to change the person. */
  readonly accounts: Map<string, Claims>;
  /** Changes the provider's next answers, as a hostile or broken one would. The ID tokens are signed again. */
  tamper: {
    idToken?: ((claims: Claims) => Claims) | undefined;
    userInfo?: ((claims: Claims) => Claims) | undefined;
    /** Signs with a key that the provider does not publish. */
    withForeignKey?: boolean | undefined;
  };
  /** Lifetime of codes. */
  codeSeconds: number;
  /** Closes the port, as if the provider were away. */
  stop(): Promise<void>;
  /** Listens on the same port again. */
  start(): Promise<void>;
}

/** A person signs in at the provider by this header, which a browser of the tests sends. */
export const loginHeader = "x-test-login";

export async function startOidcProvider(options: OidcProviderOptions): Promise<TestOidcProvider> {
  const keys = [newKey("published"), newKey("foreign")] as const;
  const [published, foreign] = keys;
  const accounts = new Map<string, Claims>();
  let listener: Parameters<typeof createServer>[1];
  let server = createServer((request, response) => listener?.(request, response as never));
  const port = await listen(server, 0);
  const issuer = `http://127.0.0.1:${port}`;
  const target: TestOidcProvider = {
    issuer,
    accounts,
    tamper: {},
    codeSeconds: 60,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
    async start() {
      server = createServer((request, response) => listener?.(request, response as never));
      await listen(server, port);
    },
    async [Symbol.asyncDispose]() {
      if (server.listening) await target.stop();
    },
  };
  const provider = new Provider(issuer, configuration(options, { accounts, jwk: published, target }));
  provider.use(async (context, next) => {
    await next();
    tamperWith(context, target, target.tamper.withForeignKey ? foreign : published);
  });
  const answer = provider.callback();
  listener = (request, response) => {
    const { pathname } = new URL(request.url ?? "/", issuer);
    if (!pathname.startsWith("/interaction/")) return void answer(request, response);
    finishInteraction(provider, request, response).catch((error: unknown) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  };
  return target;
}

async function finishInteraction(
  provider: Provider,
  request: IncomingMessage,
  response: Parameters<Provider["interactionFinished"]>[1],
): Promise<void> {
  const accountId = request.headers[loginHeader];
  const result =
    typeof accountId === "string"
      ? { login: { accountId } }
      : { error: "access_denied", error_description: 'the person said "<b>no</b>"' };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

function configuration(
  { clientId, clientSecret, redirectUri }: OidcProviderOptions,
  { accounts, jwk, target }: { accounts: Map<string, Claims>; jwk: JsonWebKey; target: TestOidcProvider },
): Configuration {
  return {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [redirectUri],
        grant_types: ["authorization_code"],
        response_types: ["code"],
      },
    ],
    jwks: { keys: [jwk] },
    cookies: { keys: ["a key of the tests"] },
    claims: { openid: ["sub"], profile: ["name", "preferred_username"], email: ["email"], groups: ["groups"] },
    // In the ID token, too: many providers do that.
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    ttl: {
      AuthorizationCode: () => target.codeSeconds,
      AccessToken: 300,
      IdToken: 300,
      Grant: 3600,
      Interaction: 3600,
      Session: 3600,
    },
    findAccount: async (_context, sub) => ({
      accountId: sub,
      claims: async () => ({ ...accounts.get(sub), sub }),
    }),
    // Nobody is asked for consent.
    async loadExistingGrant(context) {
      const { client, session, params } = context.oidc;
      // A new grant would end the sign-ins of other tabs.
      const known = session?.grantIdFor(client?.clientId ?? "");
      if (known) return context.oidc.provider.Grant.find(known);
      const grant = new context.oidc.provider.Grant({
        clientId: client?.clientId ?? "",
        accountId: session?.accountId ?? "",
      });
      grant.addOIDCScope(String(params?.scope));
      await grant.save();
      return grant;
    },
    renderError: (context, { error, error_description }) => {
      context.body = `${error}: ${error_description ?? ""}`;
    },
  };
}

function tamperWith(
  answer: { readonly path: string; body: unknown },
  { tamper }: TestOidcProvider,
  key: JsonWebKey,
): void {
  const { path, body } = answer;
  if (typeof body !== "object" || body === null) return;
  if (path === "/me" && tamper.userInfo) answer.body = tamper.userInfo(body as Claims);
  if (path !== "/token" || !("id_token" in body) || !(tamper.idToken || tamper.withForeignKey)) return;
  const [head = "", payload = ""] = String(body.id_token).split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Claims;
  const changed = Buffer.from(JSON.stringify(tamper.idToken?.(claims) ?? claims)).toString("base64url");
  const signature = sign("sha256", Buffer.from(`${head}.${changed}`), createPrivateKey({ key, format: "jwk" }));
  answer.body = { ...body, id_token: `${head}.${changed}.${signature.toString("base64url")}` };
}

function newKey(kid: string): JsonWebKey & { readonly kid: string } {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid, alg: "RS256", use: "sig" };
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
