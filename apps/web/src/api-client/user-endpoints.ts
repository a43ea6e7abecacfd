import { type CreateUserRequest, PasswordLink, type UpdateUserRequest, UserList, UserView } from "@airlock/api";
import type { z } from "zod";
import { type Abortable, requestJson } from "./http.ts";
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
