import { ImageStore } from "../image-store.ts";

/** Prepares an image in a store, prints `held`, and uses the image until it is killed. */
const { STORE: directory = "", IMAGE: image = "", REGISTRY: registry = "" } = process.env;
const store = await ImageStore.open({
  ...{ directory, style: "overlay", keepOwners: false, idRange: null },
  registry: { insecureRegistries: [registry] },
});
await store.prepare(image, { signal: new AbortController().signal, progress: () => {}, hold: store.hold() });
console.log("held");
process.stdin.resume();
