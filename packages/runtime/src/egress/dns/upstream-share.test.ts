import { expect, it } from "vitest";
import { UpstreamShare } from "./upstream-share.ts";

it("a sandbox can query upstream although others use up their share, and a share is free again when queries end", async () => {
  const share = new UpstreamShare<string>();
  const answer = Promise.withResolvers<string>();
  const ask = (sandbox: string, times: number) =>
    Promise.all(Array.from({ length: times }, () => Promise.race([share.run(sandbox, () => answer.promise), "waits"])));
  const refused = (outcomes: readonly (string | undefined)[]) => outcomes.filter((outcome) => outcome === undefined);

  for (let greedy = 0; greedy < 8; greedy += 1) expect(refused(await ask(`greedy-${greedy}`, 64))).toEqual([]);
  expect(await ask("greedy-0", 1)).toEqual([undefined]);
  expect(refused(await ask("modest", 17))).toHaveLength(1);

  answer.resolve("answer");
  await answer.promise;
  await expect.poll(() => share.run("greedy-0", async () => "asked")).toBe("asked");
});
