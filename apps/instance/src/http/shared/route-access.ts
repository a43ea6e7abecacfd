import type { FastifyInstance, FastifyRequest, RouteOptions } from "fastify";
import type { Actor } from "../../access/actor.ts";
import { dependsOnTarget, namespacesOf, type Refusal, refusalOf, type Target } from "../../access/may.ts";
import { type Permission, reachOf } from "../../access/permissions.ts";
import { optionalRoutes, type RuledRoute, routeRule, routeRules } from "../../access/route-rules.ts";
import { toApiError } from "./api-error.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** What the route needs, by its line in `routeRules`. */
    permission?: Permission;
    /** The route refuses requests without valid credentials. */
    guarded?: boolean;
  }
}

/** Tells who sends a request. */
export interface Credentials {
  /** Throws the API's error if the credentials are missing or invalid. Its answer ends the request. */
  readonly authenticate: (request: FastifyRequest) => Promise<Actor>;
  /** The API's error for an actor that may not do this. */
  readonly refuse: (refusal: Refusal) => Error;
}

const known = new WeakMap<FastifyRequest, RequestAccess>();

/** The access of a request to a guarded route. */
export function accessOf(request: FastifyRequest): RequestAccess {
  const access = known.get(request);
  if (!access) throw new Error(`the route ${request.routeOptions.url} is not guarded`);
  return access;
}

/** As {@link accessOf}; `undefined`: the route is not guarded, or the credentials are not valid. */
export function knownAccessOf(request: FastifyRequest): RequestAccess | undefined {
  return known.get(request);
}

/** What the sender of one request may do. */
export class RequestAccess {
  readonly permission: Permission;
  readonly #request: FastifyRequest;
  readonly #credentials: Credentials;
  #actor: Actor;
  #target: Target | undefined;
  #decided: boolean;

  constructor(request: FastifyRequest, actor: Actor, permission: Permission, credentials: Credentials) {
    this.#actor = actor;
    this.permission = permission;
    this.#request = request;
    this.#credentials = credentials;
    this.#decided = !dependsOnTarget(actor, permission);
  }

  /** The sender. While a stream is open, its roles may change. */
  get actor(): Actor {
    return this.#actor;
  }

  /** Whether the permission was checked for the target, if it depends on one. */
  get decided(): boolean {
    return this.#decided;
  }

  /**
   * Refuses the request unless the actor may do this to the target.
   * @param missing The error for a target that doesn't exist. It is also the answer for a target that the actor must not
   * know, so that both can't be told apart.
   */
  require(target: Target, missing?: Error): void {
    this.#decided = true;
    this.#target = target;
    const refusal = refusalOf(this.#actor, this.permission, target);
    if (refusal === "hidden" && missing) throw missing;
    if (refusal !== null) throw this.#credentials.refuse(refusal);
  }

  /** The namespaces in which the actor may do this, for lists; `null`: all. */
  namespaces(): readonly string[] | null {
    this.#decided = true;
    return namespacesOf(this.#actor, this.permission);
  }

  /** Whether the target is the actor's. Unlike `require`, leaves the answer to the route. */
  permits(target: Target): boolean {
    this.#decided = true;
    return refusalOf(this.#actor, this.permission, target) === null;
  }

  /** Whether an accepted request would still be accepted now. Streams ask this again and again. */
  async stillAllowed(): Promise<boolean> {
    try {
      this.#actor = await this.#credentials.authenticate(this.#request);
      return refusalOf(this.#actor, this.permission, this.#target) === null;
    } catch (error) {
      if (toApiError(error).status < 500) return false;
      throw error;
    }
  }
}

/**
 * Guards all routes of a scope: checks credentials and permission before the body is read, so that bodies of senders
 * without access cost nothing.
 */
export function guard(scope: FastifyInstance, credentials: Credentials): void {
  scope.addHook("onRoute", (route) => {
    route.config = { ...route.config, guarded: true };
  });
  scope.addHook("onRequest", async (request) => {
    const { permission } = request.routeOptions.config;
    // Unknown routes have no rule. They answer 404 to everyone with credentials.
    const actor = await credentials.authenticate(request);
    if (permission === undefined) return;
    known.set(request, new RequestAccess(request, actor, permission, credentials));
    const refusal = refusalOf(actor, permission);
    if (refusal !== null) throw credentials.refuse(refusal);
  });
  // A route that forgets to name its target must not answer.
  scope.addHook("onSend", async (request, reply) => {
    const access = known.get(request);
    if (reply.statusCode < 300 && access && !access.decided) {
      throw new Error(`the route ${request.routeOptions.url} did not check its target`);
    }
  });
}

/**
 * Gives every route of the server its permission. Registering a route without a line in `routeRules` throws. So does
 * `app.ready()` if a route that is not for everyone is not guarded, or if a line has no route.
 */
export function requireRules(app: FastifyInstance): void {
  const registered = new Map<RuledRoute, RouteOptions>();
  app.addHook("onRoute", (route) => {
    for (const method of [route.method].flat()) {
      const rule = routeRule(method, route.url);
      if (!rule) {
        throw new Error(`the route ${method} ${route.url} has no permission: add it to access/route-rules.ts`);
      }
      route.config = { ...route.config, permission: rule.permission };
      registered.set(rule.route, route);
    }
  });
  app.addHook("onReady", async () => {
    for (const name of Object.keys(routeRules) as RuledRoute[]) {
      const route = registered.get(name);
      if (!route) {
        if (!optionalRoutes.includes(name))
          throw new Error(`access/route-rules.ts names ${name}, which is not a route`);
      } else if (!route.config?.guarded && reachOf("anonymous", routeRules[name]) === null) {
        throw new Error(`the route ${name} needs ${routeRules[name]}, but nothing checks credentials`);
      }
    }
  });
}
