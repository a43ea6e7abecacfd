import { expect, it } from "vitest";
import { lookOf } from "./similar-names.ts";

it.each([
  ["team1", "teaml"],
  ["node0", "nodeo"],
  ["modern", "modem"],
  ["vvest", "west"],
])("%s looks like %s", (one, other) => {
  expect(lookOf(one)).toBe(lookOf(other));
});

it.each([
  ["team-a", "teama"],
  ["ali", "all"],
  ["team-1", "team-2"],
])("%s does not look like %s", (one, other) => {
  expect(lookOf(one)).not.toBe(lookOf(other));
});
