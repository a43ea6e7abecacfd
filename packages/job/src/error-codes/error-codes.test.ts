import { describe, expect, it } from "vitest";
import { AirlockError } from "../errors.ts";
import { errorCodeGroups, httpStatusOfCode, isErrorCode } from "./error-codes.ts";

const codes = Object.values(errorCodeGroups).flatMap((group) => Object.keys(group));

/** One period that ends a sentence, at the end. File names such as `.gitattributes` may hold others. */
const oneSentence = /^(?:[^.]|\.(?=\S))+\.$/;

describe("error codes", () => {
  it("are declared once each", () => {
    expect(codes).toEqual([...new Set(codes)]);
  });

  it.each(codes)("of %s are kebab-case with one sentence of documentation", (code) => {
    const entry = Object.entries(Object.assign({}, ...Object.values(errorCodeGroups))).find(([name]) => name === code);
    expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(entry?.[1]).toMatchObject({ documentation: expect.stringMatching(oneSentence) });
  });

  it("do not compile if they are not declared", () => {
    // @ts-expect-error: the type checker fails here once an undeclared code is accepted.
    const error = new AirlockError("x", { code: "not-declared" });
    expect(isErrorCode(error.code)).toBe(false);
  });

  it("of refused requests have the HTTP status of their answer, others have 500", () => {
    expect([httpStatusOfCode("unknown-queue"), httpStatusOfCode("usage")]).toEqual([422, 500]);
  });
});
