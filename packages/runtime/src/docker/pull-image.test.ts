import { describe, expect, it } from "vitest";
import { EngineError } from "./engine-client.ts";
import { pullFailure } from "./pull-image.ts";
import { PullProgress } from "./pull-progress.ts";

describe("pullFailure", () => {
  it.each([
    [404, "manifest for x:1 not found: manifest unknown: manifest unknown"],
    [404, "pull access denied for x, repository does not exist or may require 'docker login'"],
    [500, "unauthorized: authentication required"],
    [500, 'Head "http://r:1/v2/x/manifests/latest": no basic auth credentials'],
    [400, "invalid reference format"],
    [500, "no matching manifest for linux/amd64 in the manifest list entries"],
  ])("blames the job for %i %s", (status, message) => {
    expect(pullFailure("x", new EngineError(status, message))).toMatchObject({ reason: "image-invalid" });
  });

  it.each([
    [500, 'Get "http://r:1/v2/": dial tcp 10.0.0.1:1: connect: connection refused'],
    [500, 'Get "https://r/v2/": dial tcp: lookup r: no such host'],
    [500, "toomanyrequests: You have reached your pull rate limit"],
    [500, "received unexpected HTTP status: 503 Service Unavailable"],
    [500, "unexpected EOF"],
  ])("treats status %i as temporary: %s", (status, message) => {
    expect(pullFailure("x", new EngineError(status, message))).toMatchObject({ reason: "image-unavailable" });
  });
});

describe("PullProgress", () => {
  it("reports which layer is being pulled and the progress of all layers", () => {
    const progress = new PullProgress();
    const texts = [
      { status: "Pulling from library/x", id: "latest" },
      { status: "Pulling fs layer", id: "a" },
      { status: "Already exists", id: "b" },
      { status: "Pulling fs layer", id: "c" },
      { status: "Downloading", id: "a", progressDetail: { current: 50, total: 100 } },
      { status: "Downloading", id: "c", progressDetail: { current: 36, total: 100 } },
      { status: "Pull complete", id: "a" },
      { status: "Extracting", id: "c", progressDetail: { current: 1, total: 100 } },
      { status: "Pull complete", id: "c" },
      { status: "Digest: sha256:…" },
    ].map((message) => progress.update(message));
    expect(texts).toEqual([
      undefined,
      "pulling layer 1 of 1",
      "pulling layer 2 of 2",
      "pulling layer 2 of 3",
      "pulling layer 2 of 3, 50 B of 100 B (50 %)",
      "pulling layer 2 of 3, 86 B of 200 B (43 %)",
      "pulling layer 3 of 3, 86 B of 200 B (43 %)",
      "unpacking layer 3 of 3, 86 B of 200 B (43 %)",
      "pulled 3 layers",
      undefined,
    ]);
  });
});
