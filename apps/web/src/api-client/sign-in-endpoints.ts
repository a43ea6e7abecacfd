import { type SetUpRequest, SignInMethods } from "@airlock/api";
import type { z } from "zod";
import { type Abortable, requestJson, requestNothing } from "./http.ts";
import { restPath } from "./rest-path.ts";

export const getSignInMethods = (options?: Abortable) => requestJson(SignInMethods, restPath`/sign-in`, options);

export const signIn = (name: string, password: string) =>
  requestNothing(restPath`/sign-in`, { method: "POST", body: { name, password } });

/** Creates the first user, an administrator, and begins a session of that user. */
export const setUp = (body: z.input<typeof SetUpRequest>) => requestNothing(restPath`/setup`, { method: "POST", body });

/** Sets a password with the token of a one-time link, and begins a session. */
export const setPassword = (token: string, password: string) =>
  requestNothing(restPath`/password`, { method: "POST", body: { token, password } });
