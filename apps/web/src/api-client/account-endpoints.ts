import {
  AccessTokenList,
  type ChangePasswordRequest,
  CommandLineLoginView,
  type ConfirmCommandLineLogin,
  ConfirmedCommandLineLogin,
  type CreateAccessTokenRequest,
  CreatedAccessToken,
  IdentityList,
  SessionEntryList,
  SignInLocation,
} from "@airlock/api";
import type { z } from "zod";
import { type Abortable, requestJson, requestNothing } from "./http.ts";
import { restPath } from "./rest-path.ts";

export const changePassword = (body: z.input<typeof ChangePasswordRequest>) =>
  requestNothing(restPath`/account/password`, { method: "PUT", body });

export const listOwnSessions = async (options?: Abortable) =>
  (await requestJson(SessionEntryList, restPath`/account/sessions`, options)).sessions;

export const endOwnSession = (id: number) => requestNothing(restPath`/account/sessions/${id}`, { method: "DELETE" });

export const endOtherSessions = () => requestNothing(restPath`/account/sessions`, { method: "DELETE" });

export const listOwnTokens = async (options?: Abortable) =>
  (await requestJson(AccessTokenList, restPath`/account/tokens`, options)).tokens;

export const createOwnToken = (body: z.input<typeof CreateAccessTokenRequest>) =>
  requestJson(CreatedAccessToken, restPath`/account/tokens`, { method: "POST", body });

export const deleteOwnToken = (id: number) => requestNothing(restPath`/account/tokens/${id}`, { method: "DELETE" });

export const getCommandLineLogin = (code: string, options?: Abortable) =>
  requestJson(CommandLineLoginView, restPath`/account/command-line-logins/${code}`, options);

export const confirmCommandLineLogin = (code: string, body: z.input<typeof ConfirmCommandLineLogin>) =>
  requestJson(ConfirmedCommandLineLogin, restPath`/account/command-line-logins/${code}`, { method: "POST", body });

export const refuseCommandLineLogin = (code: string) =>
  requestNothing(restPath`/account/command-line-logins/${code}`, { method: "DELETE" });

export const listIdentities = async (options?: Abortable) =>
  (await requestJson(IdentityList, restPath`/account/identities`, options)).identities;

/** Returns the provider's page to open in this browser. */
export const linkIdentity = async (currentPassword: string) =>
  (await requestJson(SignInLocation, restPath`/account/identities`, { method: "POST", body: { currentPassword } }))
    .location;
