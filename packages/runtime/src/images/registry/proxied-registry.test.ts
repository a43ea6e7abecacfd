import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { readProxies } from "@airlock/proxy";
import { busyboxImage, forwardingProxy, makeCertificates, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ImageStore } from "../store/image-store.ts";
import { type Answer, openRegistry, serving } from "./testing/fake-registry.ts";

const signal = new AbortController().signal;
const password = "s3cret-of-the-proxy";

let stack: AsyncDisposableStack;
let dir: string;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
});
afterEach(() => stack.disposeAsync());

async function openStore(env: Readonly<Record<string, string>>, certificatesDirectory?: string) {
  const store = await ImageStore.open({
    ...{ directory: join(dir, `store-${Math.random()}`), style: "flat", keepOwners: false, idRange: null },
    registry: {
      proxies: readProxies(env),
      insecureRegistries: ["registry.test:5000"],
      ...(certificatesDirectory === undefined ? {} : { certificatesDirectory }),
    },
  });
  stack.defer(() => store.close());
  return (image: string) => store.prepare(image, { signal, progress: () => {} });
}

const portOf = ({ address }: { readonly address: string }) => Number(address.split(":")[1]);

/** A registry behind a proxy that sends its blobs to `place`. */
async function registryLeadingTo(place: string) {
  const image = await busyboxImage();
  const registry = stack.use(
    await openRegistry(
      serving(image, (path, response) => {
        if (!path.includes("/blobs/")) return false;
        response.writeHead(307, { location: place + path }).end();
        return true;
      }),
    ),
  );
  const proxy = await forwardingProxy({ routes: { "registry.test:5000": portOf(registry) } });
  return { image, proxy };
}

describe("a registry behind a proxy", () => {
  it("is asked through the proxy, also for content that it stores elsewhere", async () => {
    const image = await busyboxImage();
    const storage = stack.use(await openRegistry(serving(image)));
    const { proxy } = await registryLeadingTo("http://storage.test");
    proxy.route("storage.test:80", portOf(storage));
    const prepare = await openStore({ HTTP_PROXY: proxy.url });

    expect(await prepare("registry.test:5000/x/y:1")).toMatchObject({ layers: [expect.any(String)] });
    expect(proxy.requests).toContain("GET http://registry.test:5000/v2/x/y/manifests/1");
    expect(proxy.requests).toContain(`GET http://storage.test/v2/x/y/blobs/${image.config.digest}`);
  });

  it("that uses https is asked through a tunnel, and its certificate is checked against its own authorities", async () => {
    const image = await busyboxImage();
    const certificates = await makeCertificates(dir, "DNS:registry.test");
    const answer: Answer = serving(image);
    const server = createServer(certificates, answer);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    stack.defer(() => {
      server.closeAllConnections();
      server.close();
    });
    const proxy = await forwardingProxy({
      routes: { "registry.test:443": (server.address() as AddressInfo).port },
      credentials: `ci:${password}`,
    });
    const trusted = join(dir, "certs.d");
    await mkdir(join(trusted, "registry.test"), { recursive: true });
    await writeFile(join(trusted, "registry.test", "ca.crt"), certificates.ca);
    const env = { HTTPS_PROXY: proxy.url };

    const untrusting = await openStore(env);
    await expect(untrusting("registry.test/x/y:1")).rejects.toMatchObject({ reason: "image-unavailable" });
    const trusting = await openStore(env, trusted);
    expect(await trusting("registry.test/x/y:1")).toMatchObject({ layers: [expect.any(String)] });
    expect(proxy.requests).toContain("CONNECT registry.test:443");
  });

  it("that the proxy refuses is reported with the proxy's address, without its password", async () => {
    const proxy = await forwardingProxy({ credentials: "ci:other" });
    const prepare = await openStore({ ALL_PROXY: `http://ci:${password}@127.0.0.1:${proxy.port}` });

    for (const image of ["registry.test:5000/x/y:1", "registry.test/x/y:1"]) {
      const error = await prepare(image).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ reason: "image-unavailable" });
      const said = JSON.stringify([String((error as Error).cause), String((error as Error).stack)]);
      expect(said).toContain(`through the proxy http://127.0.0.1:${proxy.port}`);
      expect(said).not.toContain(password);
    }
  });

  it.each([
    "http://10.0.0.5",
    "http://169.254.169.254",
    "http://[fd00::1]",
    "http://metadata.google.internal",
    "http://wiki",
    "http://printer.local",
    "http://127.0.0.1:1",
    "http://localhost:1",
  ])("must not redirect to %s: the proxy is not asked for it", async (place) => {
    const { proxy } = await registryLeadingTo(place);
    const prepare = await openStore({ ALL_PROXY: proxy.url });

    await expect(prepare("registry.test:5000/x/y:1")).rejects.toMatchObject({ reason: "image-unavailable" });
    expect(proxy.requests.filter((line) => !line.includes("registry.test"))).toEqual([]);
  });

  it("must not redirect to a NO_PROXY host with an address of this machine", async () => {
    const { proxy } = await registryLeadingTo("http://localhost.test");
    const inside = stack.use(await openRegistry(serving(await busyboxImage())));
    proxy.route("localhost.test:80", portOf(inside));
    const prepare = await openStore({ ALL_PROXY: proxy.url, NO_PROXY: "localhost.test" });

    await expect(prepare("registry.test:5000/x/y:1")).rejects.toMatchObject({ reason: "image-unavailable" });
    expect(inside.asked).toEqual([]);
  });

  it("on this machine or in NO_PROXY is asked directly", async () => {
    const registry = stack.use(await openRegistry(serving(await busyboxImage())));
    const proxy = await forwardingProxy();
    const prepare = await openStore({ ALL_PROXY: proxy.url });

    expect(await prepare(`${registry.address}/x/y:1`)).toMatchObject({ layers: [expect.any(String)] });
    expect(proxy.requests).toEqual([]);
  });
});
