import { attackerImage } from "../testing/attacks/attacker-image.ts";
import { hostileImages } from "../testing/attacks/hostile-images.ts";
import { describePodAttacks } from "../testing/attacks/suite/describe-pod-attacks.ts";
import { openTestNamespace } from "./testing/kubernetes-under-test.ts";

// With `baseline` steps are root with the capabilities of a plain container. With `restricted` they have fewer rights.
describePodAttacks(async () => {
  await using cleanup = new AsyncDisposableStack();
  const namespace = cleanup.use(await openTestNamespace("baseline", { kind: "image" }));
  const owned = cleanup.move();
  return {
    createRuntime: ({ seccomp }) => namespace.createRuntime({ seccomp }),
    loadImage: async (name) =>
      await namespace.load(await (name ? hostileImages[name] : attackerImage)(), name ?? "attacker"),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
});
