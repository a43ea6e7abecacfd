import {
  AccessTokenList,
  type CreateUserRequest,
  PasswordLink,
  SessionEntryList,
  type UpdateUserRequest,
  UserList,
  UserView,
} from "@airlock/api";
import type { z } from "zod";
import { type Abortable, requestJson, requestNothing } from "./http.ts";
import { type AccountPage, accountPageSearch, restPath } from "./rest-path.ts";

export const listUsers = (page: AccountPage, options?: Abortable) =>
  requestJson(UserList, `${restPath`/users`}?${accountPageSearch(page)}`, options);

export const getUser = (name: string, options?: Abortable) => requestJson(UserView, restPath`/users/${name}`, options);

export const createUser = (body: z.input<typeof CreateUserRequest>) =>
  requestJson(UserView, restPath`/users`, { method: "POST", body });

export const updateUser = (name: string, body: UpdateUserRequest) =>
  requestJson(UserView, restPath`/users/${name}`, { method: "PATCH", body });

export const createPasswordLink = (name: string) =>
  requestJson(PasswordLink, restPath`/users/${name}/password-link`, { method: "POST" });

export const listUserSessions = async (user: string, options?: Abortable) =>
  (await requestJson(SessionEntryList, restPath`/users/${user}/sessions`, options)).sessions;

export const endUserSession = (user: string, id: number) =>
  requestNothing(restPath`/users/${user}/sessions/${id}`, { method: "DELETE" });

export const listUserTokens = async (user: string, options?: Abortable) =>
  (await requestJson(AccessTokenList, restPath`/users/${user}/tokens`, options)).tokens;

export const deleteUserToken = (user: string, id: number) =>
  requestNothing(restPath`/users/${user}/tokens/${id}`, { method: "DELETE" });
