import { SignInMethods } from "@airlock/api";
import { type Abortable, requestJson, requestNothing } from "./http.ts";
import { restPath } from "./rest-path.ts";

export const getSignInMethods = (options?: Abortable) => requestJson(SignInMethods, restPath`/sign-in`, options);

export const signIn = (name: string, password: string) =>
  requestNothing(restPath`/sign-in`, { method: "POST", body: { name, password } });

/** Sets a password with the token of a one-time link, and begins a session. */
export const setPassword = (token: string, password: string) =>
  requestNothing(restPath`/password`, { method: "POST", body: { token, password } });
