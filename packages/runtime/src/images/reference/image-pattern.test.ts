import { describe, expect, it } from "vitest";
import { admitHostImage, admitImage, defaultImagePolicy, type ImagePolicy } from "../policy/image-policy.ts";
import { matchesGlob, matchesImage, parseImagePattern } from "./image-pattern.ts";
import { parseImageReference } from "./image-reference.ts";

const digest = `sha256:${"a".repeat(64)}`;
const patterns = (...texts: string[]) => texts.map(parseImagePattern);
const allowing = (...texts: string[]): ImagePolicy => ({ ...defaultImagePolicy, allowed: patterns(...texts) });
const denying = (...texts: string[]): ImagePolicy => ({ ...defaultImagePolicy, denied: patterns(...texts) });

describe("an image pattern", () => {
  it.each([
    ["alpine", "alpine:3"],
    ["alpine", `index.docker.io/library/alpine@${digest}`],
    ["alpine:3*", "docker.io/library/alpine:3.20"],
    ["docker.io/library/*", "alpine"],
    ["docker.io/*", "team/app"],
    ["team/*", "docker.io/team/app:1"],
    ["*", "registry.example.com:5000/a/b/c"],
    ["*/team/*", "registry.example.com/team/x"],
    ["*.example.com/*", "a.b.example.com/x"],
    ["registry.example.com:443/x", "Registry.Example.com/x"],
    ["registry.example.com/*", `registry.example.com:443/a/b@${digest}`],
    [`alpine@${digest}`, `alpine:3@${digest}`],
    ["localhost:5000/*:1.*", "LOCALHOST:5000/a/b:1.2"],
  ])("%s matches %s", (pattern, image) => {
    expect(matchesImage(parseImagePattern(pattern), parseImageReference(image))).toBe(true);
  });

  it.each([
    ["alpine", "alpine-evil"],
    ["alpine", "evil/alpine"],
    ["alpine:3", "alpine:3.20"],
    ["alpine:3", `alpine:3@${digest}`],
    ["registry.example.com/*", "registry.example.com.evil.org/x"],
    ["registry.example.com/*", "registry.example.com:5000/x"],
    ["*.example.com/*", "evil.org/a.example.com/x"],
    ["*.example.com/*", "evil-example.com/x"],
    ["*/team/*", "evil.org/x/team/y"],
    ["host", "docker.io/library/host"],
  ])("%s does not match %s", (pattern, image) => {
    expect(matchesImage(parseImagePattern(pattern), parseImageReference(image))).toBe(false);
  });

  it.each([
    "registry.example.com",
    "registry.example.com*",
    "registry.example.com*/x",
    "re*.example.com/x",
    "registry.example.com/",
    "x y",
    "",
    "docker.io/Library/x",
    "*.*/x",
  ])("%j is refused", (text) => {
    expect(() => parseImagePattern(text)).toThrow(RangeError);
  });

  it("is matched in linear time", () => {
    const before = process.cpuUsage();
    expect(matchesGlob(`${"*a".repeat(5_000)}b`, "a".repeat(20_000))).toBe(false);
    expect(matchesGlob(`${"*ab".repeat(5_000)}*c*d`, "ab".repeat(10_000))).toBe(false);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(500);
  });
});

describe("the image policy", () => {
  it("reports which pattern of which setting denies an image, and how to spell the image", () => {
    expect(() => admitImage("Docker.io/evil/miner:1", denying("evil/*"))).toThrow(
      expect.objectContaining({
        reason: "policy",
        message: 'the image "docker.io/evil/miner:1" is not allowed by the pattern "evil/*" of EXECUTOR_DENIED_IMAGES',
      }),
    );
    expect(() => admitImage("alpine", allowing("registry.example.com/*", "debian"))).toThrow(
      "EXECUTOR_ALLOWED_IMAGES, which has the patterns registry.example.com/*, debian",
    );
  });

  it.each([
    "evil/miner",
    "docker.io/evil/miner",
    "DOCKER.io/evil/miner:2",
    "index.docker.io/evil/miner",
    "Index.Docker.IO:443/evil/miner",
    "registry-1.docker.io/evil/miner",
    "registry.hub.docker.com/evil/miner",
    `evil/miner@${digest}`,
    `evil/miner:latest@${digest}`,
  ])("denies %s in every spelling", (image) => {
    expect(() => admitImage(image, denying("docker.io/evil/*"))).toThrow(expect.objectContaining({ reason: "policy" }));
  });

  it("denies every digest of a repository if one of its tags is denied", () => {
    const policy = denying("evil/miner:1");

    expect(() => admitImage(`evil/miner@${digest}`, policy)).toThrow(expect.objectContaining({ reason: "policy" }));
    expect(() => admitImage(`evil/miner:2@${digest}`, policy)).toThrow(expect.objectContaining({ reason: "policy" }));
    expect(admitImage("evil/miner:2", policy).canonical).toBe("docker.io/evil/miner:2");
    expect(() => admitImage("evil/miner:2", denying(`evil/miner@${digest}`))).toThrow();
  });

  it("does not allow a digest if only a tag is allowed", () => {
    expect(() => admitImage(`alpine:3@${digest}`, allowing("alpine:3"))).toThrow(
      expect.objectContaining({ reason: "policy" }),
    );
    expect(admitImage("alpine:3", allowing("alpine:3")).version.text).toBe("3");
  });

  it("gives denials precedence", () => {
    const policy = { ...allowing("*"), denied: patterns("*:latest") };

    expect(() => admitImage("alpine", policy)).toThrow(/DENIED/);
    expect(admitImage("debian:12", policy).version.text).toBe("12");
    admitHostImage(policy);
  });

  it("requires digests if it is configured to", () => {
    const policy = { ...defaultImagePolicy, requireDigest: true };

    expect(() => admitImage("alpine:3", policy)).toThrow(/EXECUTOR_IMAGE_REQUIRE_DIGEST/);
    expect(admitImage(`alpine:3@${digest}`, policy).version.text).toBe(digest);
  });

  it("also applies to the host's tools, which no image pattern matches", () => {
    expect(() => admitHostImage(allowing("docker.io/*", "docker.io/library/host"))).toThrow(/ALLOWED/);
    expect(() => admitHostImage(denying("host"))).toThrow(/DENIED/);
    admitHostImage(allowing("debian", "host"));
    admitHostImage(denying("docker.io/library/host"));
  });
});
